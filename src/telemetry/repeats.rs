//! Lines that come again and again: the first of them, then seldom, with a count of what was left out.
//!
//! A room that knows what may repeat says it seldom by itself. This is for what nobody foresaw: a
//! log that fills the disk harms the records on it.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::log::AUDIT;

/// So many equal lines are written in each period.
const LINES_MAX: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);
/// Most kinds of lines that are remembered; beyond it all are forgotten, and begin anew.
const KINDS_MAX: usize = 4_096;
/// Longest beginning of a line that is repeated in the count.
const WORDS_CHARS_MAX: usize = 120;

/// Leaves out lines that are equal but for their numbers.
#[derive(Debug, Default)]
pub(super) struct Repeats(Mutex<HashMap<u64, Kind>>);

/// Lines of one kind, in this period.
#[derive(Debug)]
struct Kind {
    begun: Instant,
    written: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Write,
    /// The same, and so many before it were not written.
    WriteAndTell(u64),
    LeaveOut,
}

impl Repeats {
    fn judge(&self, kind: u64, now: Instant) -> Verdict {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.len() >= KINDS_MAX && !kinds.contains_key(&kind) {
            kinds.clear();
        }
        let new = || Kind { begun: now, written: 0, left_out: 0 };
        let known = kinds.entry(kind).or_insert_with(new);
        let mut left_out = 0;
        if now.duration_since(known.begun) >= PERIOD {
            left_out = std::mem::replace(known, new()).left_out;
        }
        if known.written >= LINES_MAX {
            known.left_out += 1;
            return Verdict::LeaveOut;
        }
        known.written += 1;
        if left_out > 0 { Verdict::WriteAndTell(left_out) } else { Verdict::Write }
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        // Whoever asks for single requests wants all of them; and no order hides behind others.
        if *event.metadata().level() > Level::INFO || event.metadata().target() == AUDIT {
            return true;
        }
        let mut text = Text { hash: DefaultHasher::new(), words: String::new() };
        event.metadata().callsite().hash(&mut text.hash);
        event.record(&mut text);
        let Text { hash, words } = text;
        match self.judge(hash.finish(), Instant::now()) {
            Verdict::Write => true,
            Verdict::LeaveOut => false,
            Verdict::WriteAndTell(left_out) => {
                tracing::info!(left_out, like = words, "equal lines were left out");
                true
            }
        }
    }
}

/// The texts of an event; numbers are what may differ between equal lines.
struct Text {
    hash: DefaultHasher,
    words: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        field.name().hash(&mut self.hash);
        text.hash(&mut self.hash);
        if field.name() == "message" {
            self.words = text.chars().take(WORDS_CHARS_MAX).collect();
        }
    }

    fn record_i64(&mut self, _: &Field, _: i64) {}
    fn record_u64(&mut self, _: &Field, _: u64) {}
    fn record_f64(&mut self, _: &Field, _: f64) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_equal_lines_a_minute_are_written_and_the_others_counted() {
        let repeats = Repeats::default();
        let judge = |kind| repeats.judge(kind, Instant::now());

        let first: Vec<_> = (0..13).map(|_| judge(1)).collect();
        assert_eq!(first[..10], [Verdict::Write; 10]);
        assert_eq!(first[10..], [Verdict::LeaveOut; 3]);
        assert_eq!(judge(2), Verdict::Write);
        tokio::time::advance(PERIOD).await;
        assert_eq!(
            [judge(1), judge(1), judge(2)],
            [Verdict::WriteAndTell(3), Verdict::Write, Verdict::Write]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let repeats = Repeats::default();
        for kind in 0..100_000 {
            assert_eq!(repeats.judge(kind, Instant::now()), Verdict::Write);
        }
        assert!(repeats.0.lock().unwrap().len() <= KINDS_MAX);
    }

    struct Counted(Arc<AtomicUsize>);

    impl<S: Subscriber> Layer<S> for Counted {
        fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_equal_when_only_their_numbers_differ() {
        let written = Arc::new(AtomicUsize::new(0));
        let lines =
            tracing_subscriber::registry().with(Repeats::default()).with(Counted(written.clone()));
        tracing::subscriber::with_default(lines, || {
            for number in 0..50_u64 {
                tracing::warn!(number, stream = "a", "it came again");
            }
            assert_eq!(written.swap(0, Ordering::Relaxed), 10);
            for stream in ["b", "c"] {
                tracing::warn!(number = 1_u64, stream, "it came again");
            }
            (0..50).for_each(|_| tracing::debug!("a single request"));
            (0..50).for_each(|_| tracing::warn!(target: AUDIT, "somebody's order"));
        });
        assert_eq!(written.load(Ordering::Relaxed), 102);
    }
}

//! What the log says of a destination in trouble: once when it begins, once when it ends.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::Settings;
use super::class::Class;
use super::metrics::WorkerMetrics;
use super::retry::Trouble;
use super::watch::Hold;
use crate::base::units::Span;

/// Longest time between two counts of the time spent in a hold.
pub(super) const HOLD_TOLD_EVERY: Duration = Duration::from_secs(10);

/// A fault that passes is told only if it is met as often in a row: a single lost request is no
/// news, and the metrics count it.
const TELL_AFTER_TRIES: u32 = 3;

/// What was told last.
#[derive(Debug)]
pub(super) struct Bulletin {
    stream: String,
    destination: String,
    told: Option<Class>,
    /// The class that holds the destination, and up to when that was counted.
    counted: Option<(Class, Instant)>,
}

impl Bulletin {
    pub(super) fn new(settings: &Settings) -> Self {
        let (stream, destination) = (settings.stream.clone(), settings.destination.clone());
        Self { stream, destination, told: None, counted: None }
    }

    /// The trouble was met, for the first time or again.
    pub(super) fn met(&mut self, trouble: &Trouble, waiting: u64) {
        let is_news = trouble.class.is_hold() || trouble.tries >= TELL_AFTER_TRIES;
        if !is_news || self.told == Some(trouble.class) {
            return;
        }
        self.told = Some(trouble.class);
        warn!(
            stream = self.stream,
            destination = self.destination,
            class = trouble.class.as_str(),
            code = trouble.fault.code,
            // Not `message`: the line itself is called so.
            says = trouble.fault.message,
            waiting,
            "the destination takes nothing; its records wait, and it is tried now and then"
        );
    }

    /// Counts the time in trouble, by class.
    pub(super) fn count(&mut self, class: Option<Class>, now: Instant, metrics: &WorkerMetrics) {
        if let Some((class, since)) = self.counted {
            metrics.held(class, now.duration_since(since));
        }
        if self.counted.map(|(class, _)| class) != class {
            metrics.holding(class);
        }
        self.counted = class.map(|class| (class, now));
    }

    /// The trouble is over.
    pub(super) fn ended(&mut self, trouble: &Trouble, now: Instant, waiting: u64) {
        self.say_over(trouble, now, waiting, "the destination takes records again");
    }

    /// All that waited has lapsed; whether the trouble is over shows with the next record.
    pub(super) fn nothing_waits(&mut self, trouble: &Trouble, now: Instant) {
        let words =
            "nothing waits for the destination any more, so it is not tried before the next record";
        self.say_over(trouble, now, 0, words);
    }

    fn say_over(&mut self, trouble: &Trouble, now: Instant, waiting: u64, words: &str) {
        if self.told.take().is_none() {
            return;
        }
        info!(
            stream = self.stream,
            destination = self.destination,
            class = trouble.class.as_str(),
            code = trouble.fault.code,
            lasted = %trouble.lasted(now),
            waiting,
            "{words}"
        );
    }
}

impl Trouble {
    /// How long, in whole seconds.
    fn lasted(&self, now: Instant) -> Span {
        Span(Duration::from_secs(now.duration_since(self.since).as_secs()))
    }

    /// As status and readiness show it.
    pub(super) fn hold(&self, now: Instant, now_unix_ms: u64) -> Hold {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let next_try = self.next_try().map(|at| ms(at.saturating_duration_since(now)));
        Hold {
            class: self.class.as_str().to_owned(),
            meaning: self.class.in_words(),
            code: self.fault.code.clone(),
            message: self.fault.message.clone(),
            since_unix_ms: now_unix_ms.saturating_sub(ms(now.duration_since(self.since))),
            next_try_unix_ms: next_try.map(|wait| now_unix_ms.saturating_add(wait)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;
    use crate::delivery::retry::Pause;
    use crate::sink::{At, Fault};

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_told_once_at_its_beginning_and_once_at_its_end_with_how_long_it_lasted() {
        let log = Log::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).without_time();
        let lines = lines.with_target(false).with_writer(move || writer.clone()).finish();
        let _kept = tracing::subscriber::set_default(lines);
        let mut bulletin = Bulletin::new(&crate::delivery::tests::settings());
        let mut pause = Pause::new(Duration::from_millis(100), Duration::from_secs(30));
        let begun = Instant::now();
        let fault = Fault {
            at: At::Answer(400),
            code: "AccessDeniedException".into(),
            message: "not for you".into(),
            retry_after: None,
        };

        for seconds in [0, 40, 90] {
            let now = begun + Duration::from_secs(seconds);
            pause.met(now, Class::Auth, fault.clone(), true);
            bulletin.met(pause.trouble().unwrap(), 7);
        }
        let trouble = pause.answered(true).unwrap();
        bulletin.ended(&trouble, begun + Duration::from_secs(95), 3);
        bulletin.ended(&trouble, begun + Duration::from_secs(99), 3);

        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(
            lines[0].trim_start(),
            "WARN the destination takes nothing; its records wait, and it is tried now and then \
             stream=\"access\" destination=\"archive\" class=\"auth\" \
             code=\"AccessDeniedException\" says=\"not for you\" waiting=7"
        );
        let lasted = Span(Duration::from_secs(95));
        assert_eq!(
            lines[1].trim_start(),
            format!(
                "INFO the destination takes records again stream=\"access\" \
                 destination=\"archive\" class=\"auth\" code=\"AccessDeniedException\" \
                 lasted={lasted} waiting=3"
            )
        );
    }
}

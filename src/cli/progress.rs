//! A line on standard error that says how far long work is; on a terminal only, and gone when the
//! work is done.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use super::table::{age, count};
use crate::base::units::ByteSize;

/// How often it is drawn at most.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Work that takes less is over before anybody reads of it.
const SHOWN_AFTER: Duration = Duration::from_millis(300);
/// Most characters of a line, so that it never wraps.
const WIDTH_MAX: usize = 78;
const BAR_CHARS: u64 = 20;

/// Returns to the begin of the line and clears it.
pub(super) const CLEAR: &str = "\r\x1b[K";

/// How far work is.
#[derive(Debug)]
pub(super) struct Progress {
    /// `None` where nobody would see it.
    due: Option<Instant>,
    begun: Instant,
    is_drawn: bool,
}

impl Progress {
    /// Shown if standard error is a terminal.
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        let due = io::stderr().is_terminal().then(|| begun + SHOWN_AFTER);
        Self { due, begun, is_drawn: false }
    }

    /// Not shown where the results go to the same terminal.
    pub(super) fn beside_output(is_file: bool) -> Self {
        if is_file || !io::stdout().is_terminal() { Self::new() } else { Self::none() }
    }

    /// Never shown.
    fn none() -> Self {
        Self { due: None, begun: Instant::now(), is_drawn: false }
    }

    /// Draws it anew, if that is due.
    pub(super) fn show(&mut self, words: impl FnOnce() -> String) {
        let now = Instant::now();
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = Some(now + DRAW_EVERY);
        self.is_drawn = true;
        let line: String = words().chars().take(WIDTH_MAX).collect();
        draw(&format!("{CLEAR}{line}"));
    }

    /// The same with a bar, where the whole is known.
    pub(super) fn show_of(&mut self, what: &str, done: u64, whole: u64) {
        let begun = self.begun;
        self.show(|| format!("{} {what}", bar(done, whole, begun.elapsed())));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            draw(CLEAR);
        }
    }
}

/// Does what takes its time elsewhere, and says how long it has taken.
pub(super) fn while_waiting<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = sync_channel::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut progress, begun) = (Progress::new(), Instant::now());
            while is_done.recv_timeout(DRAW_EVERY) == Err(RecvTimeoutError::Timeout) {
                progress.show(|| format!("{what}, {}", age(begun.elapsed().as_secs())));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// What cannot be drawn is not missed.
fn draw(text: &str) {
    let mut out = io::stderr().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// `[=====>              ]  27 %  1.2 GiB of 4.4 GiB, 8 s left`
fn bar(done: u64, whole: u64, took: Duration) -> String {
    let done = done.min(whole);
    let part = |of: u64| {
        let scaled = u128::from(done) * u128::from(of) / u128::from(whole.max(1));
        u64::try_from(scaled).unwrap_or(of)
    };
    let filled: String =
        (0..BAR_CHARS).map(|at| if at < part(BAR_CHARS) { '=' } else { ' ' }).collect();
    let left = u128::from(whole - done) * took.as_millis() / u128::from(done.max(1)) / 1_000;
    let left = match u64::try_from(left) {
        Ok(left) if done > 0 => format!(", {} s left", count(left)),
        _ => String::new(),
    };
    let sizes = format!("{} of {}", ByteSize(done).rounded(), ByteSize(whole).rounded());
    format!("[{filled}] {:3} %  {sizes}{left}", part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_is_done_and_how_long_it_will_take() {
        let sec = Duration::from_secs;
        assert_eq!(bar(0, 4 << 20, sec(1)), "[                    ]   0 %  0 B of 4.0 MiB");
        assert_eq!(
            bar(1 << 20, 4 << 20, sec(2)),
            "[=====               ]  25 %  1.0 MiB of 4.0 MiB, 6 s left"
        );
        assert_eq!(bar(9, 8, sec(2)), "[====================] 100 %  8 B of 8 B, 0 s left");
        assert_eq!(bar(0, 0, sec(0)), "[                    ]   0 %  0 B of 0 B");
        assert!(bar(u64::MAX - 1, u64::MAX, sec(u64::MAX >> 10)).chars().count() <= WIDTH_MAX + 20);
    }
}

//! How long a payload has waited, by a wall clock that may be wrong: no jump of it makes anything
//! older than it can be.
//!
//! What was committed since the opening ages by the time that passed here, whatever the wall clock
//! did meanwhile. What was there at the opening has only its stamp: it gets a while before it may
//! be too old, in which a wrong clock is usually put right, and a stamp that no weir can have
//! written counts from the opening on.

use std::time::Duration;

use tokio::time::Instant;

/// No weir ran before: a clock that says less was not set yet. 2026-01-01T00:00:00Z.
const FIRST_UNIX_MS: u64 = 1_767_225_600_000;
/// The wall clock and the time that passed may differ by so much without having jumped.
const JUMP_MS: u64 = 10_000;
/// Jumps remembered; of what was committed before the oldest one, only the least age is known.
const ERAS_MAX: usize = 64;

/// Ages of one queue.
#[derive(Debug)]
pub(super) struct Ages {
    opened: Instant,
    /// What the wall clock said at the opening, or less, if it was set back since.
    opened_unix_ms: u64,
    /// Positions up to here were there at the opening.
    found: u64,
    /// What was there may be too old only after this.
    patience: Duration,
    eras: Vec<Era>,
}

/// A while without a jump.
#[derive(Clone, Copy, Debug)]
struct Era {
    /// The first position that may have been committed in it.
    from: u64,
    began: Instant,
    /// How far the wall clock stands from the opening's time plus what passed since.
    ahead_ms: i128,
}

impl Ages {
    /// Of a queue that is opened now and holds positions up to `found`.
    pub(super) fn new(unix_ms: u64, found: u64, patience: Duration) -> Self {
        let opened = Instant::now();
        let first = Era { from: found + 1, began: opened, ahead_ms: 0 };
        Self { opened, opened_unix_ms: unix_ms, found, patience, eras: vec![first] }
    }

    /// Notes what the wall clock says before `next` is committed.
    pub(super) fn look(&mut self, unix_ms: u64, next: u64) {
        let ahead_ms = i128::from(unix_ms) - self.started_ms() - self.passed_ms();
        let known = self.eras.last().map_or(0, |era| era.ahead_ms);
        if ahead_ms.abs_diff(known) < u128::from(JUMP_MS) {
            return;
        }
        if self.eras.len() >= ERAS_MAX {
            self.eras.remove(0);
        }
        self.eras.push(Era { from: next, began: Instant::now(), ahead_ms });
    }

    /// The least that a payload with this position and stamp has waited.
    pub(super) fn least(&self, position: u64, unix_ms: u64) -> Duration {
        let passed = self.opened.elapsed();
        if position <= self.found {
            return self.of_found(unix_ms, passed);
        }
        let behind = self.eras.partition_point(|era| era.from <= position);
        let ms = match behind.checked_sub(1).and_then(|at| self.eras.get(at)) {
            Some(era) => {
                let committed_ms = i128::from(unix_ms) - self.started_ms() - era.ahead_ms;
                self.passed_ms() - committed_ms
            }
            None => self.eras.first().map_or(0, |era| i128::from(ms_of(era.began.elapsed()))),
        };
        Duration::from_millis(u64::try_from(ms).unwrap_or(0)).min(passed)
    }

    fn of_found(&self, unix_ms: u64, passed: Duration) -> Duration {
        if passed < self.patience {
            return Duration::ZERO;
        }
        // A clock that was set back since the opening was wrong at the opening.
        let set_back = self.eras.iter().map(|era| era.ahead_ms).min().unwrap_or(0).min(0);
        let opened_ms = u64::try_from(self.started_ms() + set_back).unwrap_or(0);
        let are_sane = unix_ms >= FIRST_UNIX_MS && opened_ms >= FIRST_UNIX_MS;
        let before_ms = if are_sane { opened_ms.saturating_sub(unix_ms) } else { 0 };
        Duration::from_millis(before_ms).saturating_add(passed)
    }

    fn started_ms(&self) -> i128 {
        i128::from(self.opened_unix_ms)
    }

    fn passed_ms(&self) -> i128 {
        i128::from(ms_of(self.opened.elapsed()))
    }
}

fn ms_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const NOW: u64 = FIRST_UNIX_MS + 86_400_000;
    const MINUTE: Duration = Duration::from_secs(60);
    const TEN_YEARS_MS: u64 = 10 * 365 * 86_400_000;

    #[tokio::test(start_paused = true)]
    async fn what_was_there_has_its_stamp_and_is_young_for_a_while() {
        let ages = Ages::new(NOW, 5, MINUTE);

        assert_eq!(ages.least(5, NOW - 3_600_000), Duration::ZERO);
        advance(MINUTE - Duration::from_millis(1)).await;
        assert_eq!(ages.least(5, NOW - 3_600_000), Duration::ZERO);
        advance(Duration::from_millis(1)).await;
        assert_eq!(ages.least(5, NOW - 3_600_000), 61 * MINUTE);
        assert_eq!(ages.least(5, NOW + 3_600_000), MINUTE, "a stamp from the future is one of now");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_not_set_at_boot_makes_nothing_old() {
        let mut ages = Ages::new(60_000, 5, MINUTE);
        advance(MINUTE).await;
        let in_1970 = 120_000;
        advance(MINUTE).await;
        ages.look(NOW, 8);
        advance(MINUTE).await;

        assert_eq!(ages.least(7, in_1970), 2 * MINUTE, "committed before the clock was set");
        assert_eq!(ages.least(8, NOW), MINUTE, "committed after");
        assert_eq!(ages.least(5, 1_000), 3 * MINUTE, "of an earlier boot without a clock");
        assert_eq!(ages.least(5, NOW - 3_600_000), 3 * MINUTE, "of an earlier boot with one");

        let next_boot = Ages::new(NOW, 9, MINUTE);
        advance(2 * MINUTE).await;
        assert_eq!(next_boot.least(7, in_1970), 2 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_of_ten_years_and_back_makes_nothing_older_than_the_time_that_passed() {
        let mut ages = Ages::new(NOW, 5, MINUTE);
        ages.look(NOW, 6);
        advance(MINUTE).await;
        ages.look(NOW + 60_000 + TEN_YEARS_MS, 7);
        advance(MINUTE).await;
        ages.look(NOW + 120_000, 8);
        advance(MINUTE).await;

        assert_eq!(ages.least(5, NOW - 60_000), 4 * MINUTE);
        assert_eq!(ages.least(6, NOW), 3 * MINUTE);
        assert_eq!(ages.least(7, NOW + 60_000 + TEN_YEARS_MS), 2 * MINUTE);
        assert_eq!(ages.least(8, NOW + 120_000), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_ten_years_ahead_at_the_opening_is_forgiven_when_it_is_put_right() {
        let mut ages = Ages::new(NOW + TEN_YEARS_MS, 5, 10 * MINUTE);
        advance(MINUTE).await;
        ages.look(NOW + 60_000, 6);
        advance(9 * MINUTE).await;

        assert_eq!(ages.least(5, NOW - 60_000), 11 * MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_jumps_are_remembered_and_nothing_grows_older_for_it() {
        let mut ages = Ages::new(NOW, 0, MINUTE);
        for jump in 0..1_000_u64 {
            advance(Duration::from_secs(1)).await;
            ages.look(NOW + (jump % 2) * TEN_YEARS_MS, jump + 1);
        }

        assert!(ages.eras.len() <= ERAS_MAX);
        assert!(ages.least(1, NOW) <= Duration::from_secs(1000));
        assert!(ages.least(1, NOW) >= Duration::from_secs(60));
    }
}

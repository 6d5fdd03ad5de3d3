//! How old a file of letters is, by a wall clock that may be wrong: no jump of it makes one older than
//! it can be.
//!
//! What was begun here ages by the time that passed, whatever the wall clock did meanwhile. What was
//! there at the opening has only the time in its name. By the time that a service told, that is
//! reckoned with at once; by the host's clock only after a while, in which a wrong one is usually
//! put right.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// No weir ran before, so a clock that says less was not set yet. 2026-01-01T00:00:00Z.
const FIRST_UNIX_MS: u64 = 1_767_225_600_000;

/// By the host's clock alone, what was there at the opening may be too old only after this, or after
/// `max_age` if that is less.
const PATIENCE: Duration = Duration::from_secs(600);

/// Ages of the files of one shelf.
#[derive(Debug)]
pub(super) struct Ages {
    opened: Instant,
    /// What time it was at the opening, as far as is known.
    at_opening: Option<Known>,
    /// When files were begun since, by the time in their names.
    begun: BTreeMap<u64, Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// By the host's clock; the least that it came to, for one that was set back was wrong before.
    Host(u64),
    /// By a service's.
    Told(u64),
}

impl Ages {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), at_opening: None, begun: BTreeMap::new() }
    }

    /// A file with this time in its name is begun now.
    pub(super) fn begin(&mut self, name_unix_ms: u64) {
        self.begun.insert(name_unix_ms, Instant::now());
    }

    /// Only these files are left.
    pub(super) fn keep(&mut self, is_left: impl Fn(u64) -> bool) {
        self.begun.retain(|name_unix_ms, _| is_left(*name_unix_ms));
    }

    /// It is so late now by the host's clock, or by a service that told.
    pub(super) fn look(&mut self, host_unix_ms: u64, told_unix_ms: Option<u64>) {
        let passed = ms(self.opened.elapsed());
        let host = host_unix_ms.saturating_sub(passed);
        self.at_opening = Some(match (told_unix_ms, self.at_opening) {
            (Some(told), _) => Known::Told(told.saturating_sub(passed)),
            (None, Some(told @ Known::Told(_))) => told,
            (None, Some(Known::Host(known))) => Known::Host(known.min(host)),
            (None, None) => Known::Host(host),
        });
    }

    /// The least that has passed since a file with this time in its name was begun.
    pub(super) fn least(&self, name_unix_ms: u64, max_age: Duration) -> Duration {
        if let Some(begun) = self.begun.get(&name_unix_ms) {
            return begun.elapsed();
        }
        let passed = self.opened.elapsed();
        let at_opening = match self.at_opening {
            Some(Known::Told(unix_ms)) => unix_ms,
            Some(Known::Host(unix_ms)) if passed >= PATIENCE.min(max_age) => unix_ms,
            _ => return Duration::ZERO,
        };
        let are_sane = name_unix_ms >= FIRST_UNIX_MS && at_opening >= FIRST_UNIX_MS;
        let before = if are_sane { at_opening.saturating_sub(name_unix_ms) } else { 0 };
        Duration::from_millis(before).saturating_add(passed)
    }
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const NOW: u64 = FIRST_UNIX_MS + 86_400_000;
    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 86_400_000;
    const DAYS: Duration = Duration::from_secs(30 * 86_400);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_here_ages_by_the_time_that_passed_whatever_the_clock_does() {
        let mut ages = Ages::new();
        ages.look(NOW, None);
        ages.begin(NOW);
        for jump in [0, 10 * YEAR_MS, 0] {
            advance(SECOND).await;
            ages.look(NOW + jump, None);
        }
        assert_eq!(ages.least(NOW, DAYS), 3 * SECOND);
        ages.keep(|_| false);
        assert!(ages.begun.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_has_its_name_and_is_young_while_the_clock_may_be_put_right() {
        let mut ages = Ages::new();
        ages.look(NOW + 10 * YEAR_MS, None);
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::ZERO);

        advance(SECOND).await;
        ages.look(NOW + 1_000, None);
        advance(PATIENCE - 2 * SECOND).await;
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::ZERO);
        advance(SECOND).await;
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::from_secs(3_600) + PATIENCE);

        // And a jump from here on tells nothing of the time before.
        ages.look(NOW + 10 * YEAR_MS, None);
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::from_secs(3_600) + PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_tells_the_time_is_believed_at_once_and_for_good() {
        let mut ages = Ages::new();
        ages.look(0, None);
        advance(SECOND).await;
        ages.look(NOW + 10 * YEAR_MS, Some(NOW + 1_000));
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::from_secs(3_601));
        ages.look(0, None);
        assert_eq!(ages.least(NOW - HOUR_MS, DAYS), Duration::from_secs(3_601));
        assert_eq!(ages.least(NOW + HOUR_MS, DAYS), SECOND, "from the future: since the opening");
        assert_eq!(ages.least(5_000, DAYS), SECOND, "of a boot without a clock");
    }
}

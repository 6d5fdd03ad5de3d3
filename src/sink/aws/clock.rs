//! The time as the service has it: the host's clock, and how far it is off by what the service's
//! answers said. A gateway without a battery boots in 1970 and still signs requests of today.
//!
//! Each destination has its own, so that an upstream whose clock is wrong misleads nobody else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::time::TimeSource;
use tokio::sync::watch;

use crate::base::clock::{Clock, parse_http_date};

/// The `Date` of an answer counts in whole seconds, and the way there and back takes its time: a
/// smaller difference says nothing.
const NOISE_MS: u64 = 2_000;
/// An answer that took longer says too little of the time: signatures are good for five minutes.
const TRUSTED_MAX: Duration = Duration::from_secs(120);

/// The beginning of 2200. What says that it is later is wrong, and dates near the end of what dates
/// can say cannot be reckoned with.
const LATEST_UNIX_MS: u64 = 7_258_118_400_000;

/// What is worth remembering across restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockMemory {
    /// What to add to the host's clock, in milliseconds.
    pub offset_ms: i64,
    /// The service's time when it last answered, in milliseconds since 1970.
    pub seen_unix_ms: u64,
}

/// The service's time; cheap to clone, all clones learn together.
#[derive(Clone, Debug)]
pub struct ServiceClock {
    host: Clock,
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    memory: ClockMemory,
    /// Whether an answer told, since the start.
    is_sure: bool,
}

impl ServiceClock {
    /// A clock that goes by the host's, and by what an earlier run learned.
    pub fn new(host: Clock, remembered: Option<ClockMemory>) -> Self {
        let mut memory = remembered.unwrap_or_default();
        let seen = i64::try_from(memory.seen_unix_ms).unwrap_or(i64::MAX);
        let host_ms = i64::try_from(host.unix_ms()).unwrap_or(i64::MAX);
        // The host's clock may have been set right meanwhile: what is nearer to the last known time
        // is the likelier.
        let away = |ms: i64| ms.abs_diff(seen);
        if away(host_ms) <= away(host_ms.saturating_add(memory.offset_ms)) {
            memory.offset_ms = 0;
        }
        let state = State { memory, is_sure: false };
        Self { host, state: Arc::new(watch::Sender::new(state)) }
    }

    /// The service's time, in milliseconds since 1970. Before the first answer it is at least the
    /// time that was known last.
    pub fn unix_ms(&self) -> u64 {
        let state = *self.state.borrow();
        let now = self.host.unix_ms().saturating_add_signed(state.memory.offset_ms);
        let known = if state.is_sure { now } else { now.max(state.memory.seen_unix_ms) };
        known.min(LATEST_UNIX_MS)
    }

    /// The host's own, right or wrong.
    pub(super) fn host_unix_ms(&self) -> u64 {
        self.host.unix_ms()
    }

    /// Whether the service itself said what time it is, since the start.
    pub fn is_sure(&self) -> bool {
        self.state.borrow().is_sure
    }

    /// Learns from the `Date` of an answer that has just come and took so long. The service is
    /// taken to have written it half way.
    pub(super) fn heard(&self, date: &str, took: Duration) {
        let is_possible = |date_ms: &u64| took <= TRUSTED_MAX && *date_ms < LATEST_UNIX_MS;
        let Some(date_ms) = parse_http_date(date).filter(is_possible) else { return };
        let half = u64::try_from(took.as_millis() / 2).unwrap_or(u64::MAX);
        let host_then = self.host.unix_ms().saturating_sub(half);
        let offset_ms = difference(date_ms + 500, host_then);
        self.state.send_if_modified(|state| {
            let known = *state;
            let is_news = known.memory.offset_ms.abs_diff(offset_ms) > NOISE_MS;
            if is_news {
                let is_right = offset_ms.unsigned_abs() <= NOISE_MS;
                state.memory.offset_ms = if is_right { 0 } else { offset_ms };
            }
            state.memory.seen_unix_ms = date_ms;
            state.is_sure = true;
            is_news || !known.is_sure
        });
    }

    /// Learns that it cannot be earlier: a certificate that is in use became valid then.
    pub(super) fn not_before(&self, unix_ms: u64) {
        self.state.send_if_modified(|state| {
            let is_news = !state.is_sure && unix_ms > state.memory.seen_unix_ms;
            if is_news {
                state.memory.seen_unix_ms = unix_ms;
            }
            is_news
        });
    }

    /// What to remember.
    pub fn memory(&self) -> ClockMemory {
        self.state.borrow().memory
    }

    /// Wakes whenever something else is to be remembered.
    pub fn changes(&self) -> ClockChanges {
        ClockChanges(self.state.subscribe())
    }
}

/// News of a [`ServiceClock`].
#[derive(Debug)]
pub struct ClockChanges(watch::Receiver<State>);

impl ClockChanges {
    /// Returns with the next thing to remember; never, once the clock is gone.
    pub async fn next(&mut self) -> ClockMemory {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().memory
    }
}

/// `later - earlier`, within what an offset can be.
fn difference(later: u64, earlier: u64) -> i64 {
    let apart = i64::try_from(later.abs_diff(earlier)).unwrap_or(i64::MAX);
    if later >= earlier { apart } else { -apart }
}

impl TimeSource for ServiceClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.unix_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;
    const FIFTY_YEARS_MS: u64 = 18_262 * DAY_MS;
    /// Tue, 24 Nov 2026 15:00:00 GMT.
    const DATE: &str = "Tue, 24 Nov 2026 15:00:00 GMT";
    const DATE_MS: u64 = 1_795_532_400_000;

    fn clock(host_ms: u64, remembered: Option<ClockMemory>) -> ServiceClock {
        ServiceClock::new(Clock::starting_at(host_ms), remembered)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_sets_a_clock_right_that_is_off_by_any_amount() {
        for host_ms in [0, DATE_MS - FIFTY_YEARS_MS, DATE_MS + DAY_MS, DATE_MS + FIFTY_YEARS_MS] {
            let clock = clock(host_ms, None);

            clock.heard(DATE, Duration::ZERO);
            tokio::time::advance(Duration::from_secs(60)).await;

            assert_eq!(clock.unix_ms(), DATE_MS + 500 + 60_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_tells_the_time_of_half_its_way() {
        let clock = clock(1_000_000, None);

        clock.heard(DATE, Duration::from_secs(20));

        assert_eq!(clock.unix_ms(), DATE_MS + 500 + 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_lies_within_the_noise_moves_nothing_and_is_no_news() {
        let clock = clock(DATE_MS, None);
        clock.heard(DATE, Duration::ZERO);
        let mut changes = clock.changes();

        for took in [0, 1, 2] {
            clock.heard(DATE, Duration::from_secs(took));
            clock.heard("Tue, 24 Nov 2026 14:59:58 GMT", Duration::ZERO);
        }

        assert_eq!(clock.unix_ms(), DATE_MS);
        let none = tokio::time::timeout(Duration::from_secs(1), changes.next()).await;
        none.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_drifting_clock_is_followed() {
        let clock = clock(DATE_MS, None);
        let mut changes = clock.changes();
        clock.heard(DATE, Duration::ZERO);
        changes.next().await;
        for behind in [30, 60, 90] {
            let date = format!("Tue, 24 Nov 2026 15:0{}:{:02} GMT", behind / 60, behind % 60);
            clock.heard(&date, Duration::ZERO);
            assert_eq!(clock.unix_ms(), DATE_MS + behind * 1_000 + 500);
            assert_eq!(
                changes.next().await.offset_ms,
                i64::try_from(behind).unwrap() * 1_000 + 500
            );
        }
        // And somebody sets the clock right: the host's says again what the service says.
        clock.heard(DATE, Duration::ZERO);
        assert_eq!(clock.memory().offset_ms, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_date_a_broken_one_and_a_very_late_one_teach_nothing() {
        let clock = clock(1_000, None);
        for date in ["", "now", "2026-11-24T15:00:00Z", "Tue, 99 Nov 2026 15:00:00 GMT"] {
            clock.heard(date, Duration::ZERO);
        }
        clock.heard(DATE, TRUSTED_MAX + Duration::from_millis(1));

        assert_eq!((clock.unix_ms(), clock.is_sure()), (1_000, false));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_later_than_dates_can_be_reckoned_with() {
        let clock = clock(DATE_MS, None);
        for date in ["Fri, 31 Dec 9999 23:59:59 GMT", "Wed, 01 Jan 2200 00:00:00 GMT"] {
            clock.heard(date, Duration::ZERO);
        }
        assert_eq!((clock.unix_ms(), clock.is_sure()), (DATE_MS, false));

        // An earlier run may have believed it.
        let absurd = ClockMemory { offset_ms: i64::MAX, seen_unix_ms: u64::MAX };
        let clock = self::clock(DATE_MS, Some(absurd));
        assert!(clock.unix_ms() <= LATEST_UNIX_MS);
        clock.heard(DATE, Duration::ZERO);
        assert_eq!((clock.unix_ms(), clock.is_sure()), (DATE_MS, true));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_learned_holds_after_a_restart_unless_the_host_was_set_right() {
        let off_by_a_day =
            ClockMemory { offset_ms: -i64::try_from(DAY_MS).unwrap(), seen_unix_ms: DATE_MS };
        assert_eq!(clock(DATE_MS + DAY_MS + 5, Some(off_by_a_day)).unix_ms(), DATE_MS + 5);
        assert_eq!(clock(DATE_MS + 9, Some(off_by_a_day)).unix_ms(), DATE_MS + 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_starts_in_1970_again_is_not_before_the_last_known_time() {
        let last = ClockMemory { offset_ms: 1_795_000_000_000, seen_unix_ms: DATE_MS };
        let clock = clock(10_000, Some(last));
        assert_eq!(clock.unix_ms(), DATE_MS);

        // What was remembered may be wrong as well: the first answer decides.
        clock.heard("Sat, 24 Nov 2001 15:00:00 GMT", Duration::ZERO);
        assert_eq!(clock.unix_ms(), 1_006_614_000_500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_in_use_tells_that_it_is_not_earlier_until_an_answer_tells_more() {
        let clock = clock(0, None);
        clock.not_before(DATE_MS);
        clock.not_before(5);
        assert_eq!(clock.unix_ms(), DATE_MS);

        clock.heard(DATE, Duration::ZERO);
        clock.not_before(DATE_MS + DAY_MS);
        assert_eq!(clock.unix_ms(), DATE_MS + 500);
    }
}

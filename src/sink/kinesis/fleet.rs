//! When a stream is asked, so that a fleet that was started together, or comes back from the same
//! outage, does not ask together: each agent draws its own moments. Pure.

use std::time::Duration;

use crate::base::backoff::Backoff;
use crate::base::random;

/// What is known is asked again after half of this time to the whole of it.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);
/// First wait after a look that failed; doubled up to [`LOOK_AGAIN_AFTER`].
pub(super) const LOOK_FIRST: Duration = Duration::from_secs(1);
/// What an earlier run learned longer ago is asked again within this time.
const OLD_LOOK_WITHIN: Duration = Duration::from_secs(60);

/// How long after a look that went well the next one comes.
pub(super) fn calm() -> Duration {
    Backoff::new(LOOK_AGAIN_AFTER, LOOK_AGAIN_AFTER).wait_at(0)
}

/// The waits after looks that failed.
pub(super) fn uneasy() -> Backoff {
    Backoff::new(LOOK_FIRST, LOOK_AGAIN_AFTER)
}

/// How long the first look of a run has time, where an earlier run has looked so long ago.
pub(super) fn first_in(age: Duration) -> Duration {
    let soon = OLD_LOOK_WITHIN.mul_f64(random::fraction());
    calm().checked_sub(age).unwrap_or(soon)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moments that a fleet of 400 draws lie in this time, and in each eighth of it some.
    #[track_caller]
    fn check(from_s: f64, to_s: f64, mut draw: impl FnMut() -> Duration) {
        let mut eighths = [0; 8];
        for _ in 0..400 {
            let moment = draw().as_secs_f64();
            assert!((from_s..=to_s).contains(&moment), "{moment}");
            let part = ((moment - from_s) / (to_s - from_s) * 8.0).floor();
            let reached = (0..8_u8).rev().find(|eighth| f64::from(*eighth) <= part);
            eighths[usize::from(reached.unwrap_or(0))] += 1;
        }
        assert!(eighths.iter().all(|count| *count > 15), "{eighths:?}");
    }

    #[test]
    fn a_fleet_that_was_started_together_asks_at_moments_of_its_own() {
        check(300.0, 600.0, calm);
        check(290.0, 590.0, || first_in(Duration::from_secs(10)));
        check(0.5, 1.0, || uneasy().next_wait());
    }

    #[test]
    fn a_fleet_that_comes_back_from_a_long_outage_asks_within_a_minute_and_not_together() {
        check(0.0, 60.0, || first_in(Duration::from_secs(86_400)));
    }
}

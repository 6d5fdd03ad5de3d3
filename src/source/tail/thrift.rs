//! How often folders are looked through at changed names; pure.

use std::time::Duration;

use tokio::time::Instant;

/// In the long run scans take at most one part in so many of the time.
const PART: u32 = 10;
/// At a stretch they may take so much: a rotation, or a new folder, is then seen at once.
const AHEAD: Duration = Duration::from_secs(1);

/// No scan waits longer for the one before, or not longer than a few times what that took: on a busy host
/// a scan takes long because it waits for a processor.
const WAIT_MAX: Duration = Duration::from_secs(2);
const WAIT_MAX_PART: u32 = 3;

/// What scans took, and when the next one may begin.
#[derive(Debug)]
pub(super) struct Thrift {
    /// When all that was taken is made up for.
    even_at: Instant,
}

impl Thrift {
    pub(super) fn new(now: Instant) -> Self {
        Self { even_at: now }
    }

    /// A scan took this long.
    pub(super) fn spend(&mut self, begun: Instant, took: Duration) {
        let wait_max = WAIT_MAX.max(took * WAIT_MAX_PART);
        let at_most = begun + took + wait_max + AHEAD * PART;
        self.even_at = (self.even_at.max(begun) + took * PART).min(at_most);
    }

    /// When the next one may begin.
    pub(super) fn not_before(&self) -> Instant {
        self.even_at.checked_sub(AHEAD * PART).unwrap_or(self.even_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_follow_each_other_at_once_and_take_a_tenth_of_the_time_in_the_long_run() {
        let start = Instant::now() + Duration::from_secs(3600);
        let took = Duration::from_millis(100);
        let (mut thrift, mut now, mut begun) = (Thrift::new(start), start, Vec::new());
        while now < start + Duration::from_secs(100) {
            begun.push(now.duration_since(start));
            thrift.spend(now, took);
            now = thrift.not_before().max(now + took);
        }
        assert_eq!(begun[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|number| took * number));
        assert!((109..=111).contains(&begun.len()), "{}", begun.len());

        // A slow one does not hold up the next for ever.
        let slow = Duration::from_millis(1_500);
        for _ in 0..5 {
            thrift.spend(now, slow);
            now += slow;
        }
        assert_eq!(thrift.not_before(), now + slow * WAIT_MAX_PART);

        // After a rest it is as at first.
        now += Duration::from_secs(100);
        assert!(thrift.not_before() < now);
        thrift.spend(now, took);
        assert!(thrift.not_before() <= now);
    }
}

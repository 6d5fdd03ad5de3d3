//! Growing waits with jitter; pure, the caller sleeps.

use std::time::Duration;

use super::random;

/// Doubles from `first` to `max`; each wait is drawn evenly from the upper half of its step, so
/// that a fleet which lost its uplink together does not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    step: u32,
}

impl Backoff {
    /// A fresh sequence.
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, step: 0 }
    }

    /// The next wait, between half of the current step and the whole of it.
    pub fn next_wait(&mut self) -> Duration {
        let wait = self.wait_at(self.step);
        self.step = self.step.saturating_add(1);
        wait
    }

    /// A wait of the given step, counted from 0, for a caller that counts by itself.
    pub fn wait_at(&self, step: u32) -> Duration {
        let whole = self.first.saturating_mul(1 << step.min(20)).min(self.max);
        whole.mul_f64(0.5 + 0.5 * random::fraction())
    }

    /// How many waits were drawn since the last success.
    pub fn attempts(&self) -> u32 {
        self.step
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.step = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

        let waits: Vec<_> = (0..40).map(|_| backoff.next_wait()).collect();
        for (wait, whole) in waits.iter().zip([100, 200, 400, 800, 1000, 1000]) {
            assert!(
                *wait >= Duration::from_millis(whole / 2) && *wait <= Duration::from_millis(whole)
            );
        }
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(1)));

        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn no_two_hosts_wait_alike() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for (step, whole) in [(0, 1.0), (3, 8.0), (20, 60.0)] {
            let parts: Vec<f64> =
                (0..400).map(|_| backoff.wait_at(step).as_secs_f64() / whole).collect();
            for eighth in 4..8 {
                let from = f64::from(eighth) / 8.0;
                let is_in = |part: &&f64| (from..from + 0.125).contains(*part);
                let count = parts.iter().filter(is_in).count();
                assert!(count > 40, "{count} of 400 waits are from {from} on, in step {step}");
            }
        }
    }
}

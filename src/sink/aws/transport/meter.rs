//! How fast large requests are sent, for whoever decides how large the next ones shall be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is smaller is gone into buffers on the way before it can be measured.
const MEASURED_BYTES_LEAST: u64 = 192 << 10;
/// And of what is measured, so much may still lie in the host's own.
const BUFFERED_BYTES: u64 = 64 << 10;

/// The last measure of a pool; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(in crate::sink) struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes a second that one request was sent with; each measure is told once.
    pub(in crate::sink) fn take(&self) -> Option<u64> {
        Some(self.0.swap(0, Ordering::AcqRel)).filter(|rate| *rate > 0)
    }

    /// One request, whole or cut off, sent so many bytes in this time.
    pub(super) fn note(&self, sent: u64, took: Duration) {
        if sent < MEASURED_BYTES_LEAST {
            return;
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = (sent - BUFFERED_BYTES).saturating_mul(1_000) / took_ms;
        self.0.store(rate.max(1), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_measure_is_told_once_and_what_is_small_measures_nothing() {
        let meter = Meter::default();
        assert_eq!(meter.take(), None);

        meter.note((1 << 20) + BUFFERED_BYTES, Duration::from_secs(16));
        assert_eq!((meter.take(), meter.take()), (Some(65_536), None));

        meter.note(MEASURED_BYTES_LEAST - 1, Duration::from_secs(1_000));
        assert_eq!(meter.take(), None);
        meter.note(MEASURED_BYTES_LEAST, Duration::from_secs(1_000_000));
        assert_eq!(meter.take(), Some(1), "it may be slow, but it moved");
    }
}

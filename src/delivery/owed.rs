//! What was read and is not settled, and whether more is.

use tokio::time::Instant;

use super::parcel::OVERHEAD_BYTES;
use crate::queue::Budget;

/// Most payloads taken from the queue in one step.
const READ_COUNT_MAX: usize = 2_000;

/// What is asked for while nothing may be read: the branch it stands in is switched off.
pub(super) const NOTHING: Budget = Budget { count: 0, bytes: 0 };

/// Whether the queue is asked for more.
#[derive(Debug)]
pub(super) enum Reading {
    On,
    /// The disk failed; asked again then.
    After(Instant),
    /// The queue is closed and empty.
    Ended,
}

impl Reading {
    /// Goes on if the time has come.
    pub(super) fn resume(&mut self, now: Instant) {
        if matches!(self, Self::After(at) if *at <= now) {
            *self = Self::On;
        }
    }

    /// When that is; `None` if nothing is waited for.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::After(at) => Some(*at),
            _ => None,
        }
    }
}

/// The count of parcels and the memory they take.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Owed {
    /// How much more may be read within a bound on memory; `None` for nothing.
    pub(super) fn room(&self, bytes_max: usize) -> Option<Budget> {
        let bytes = bytes_max.saturating_sub(self.bytes);
        let count = (bytes / OVERHEAD_BYTES).min(READ_COUNT_MAX);
        // The first record is read however small the bound is, else nothing ever moved.
        (count > 0 || self.count == 0).then(|| Budget { count: count.max(1), bytes })
    }

    pub(super) fn more(&mut self, cost: usize) {
        self.count += 1;
        self.bytes += cost;
    }

    pub(super) fn less(&mut self, costs: impl Iterator<Item = usize>) {
        for cost in costs {
            self.count -= 1;
            self.bytes -= cost;
        }
    }
}

//! What was read and is not settled, and whether more is.

use tokio::time::Instant;

/// Whether the queue is asked for more.
#[derive(Debug)]
pub(super) enum Reading {
    On,
    /// The disk failed; asked again then.
    After(Instant),
    /// The queue is closed and empty.
    Ended,
}

/// The count of parcels and the memory they take.
#[derive(Debug, Default)]
pub(super) struct Owed {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Owed {
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

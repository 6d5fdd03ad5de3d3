//! What was read and is not settled, and whether more is.

use tokio::time::Instant;

use super::parcel::OVERHEAD_BYTES;
use crate::queue::Budget;
use crate::sink::HashRange;

/// Most payloads taken from the queue in one step.
const READ_COUNT_MAX: usize = 2_000;

/// Whether the queue is asked for more.
#[derive(Debug)]
pub(super) enum Reading {
    On,
    /// The disk failed; asked again then.
    After(Instant),
    /// The queue is closed and empty.
    Ended,
}

/// What is asked for while nothing may be read: the branch it stands in is switched off.
pub(super) const NOTHING: Budget = Budget { count: 0, bytes: 0 };

impl Reading {
    /// When the disk is asked again, if it failed.
    pub(super) fn due(&self) -> Option<Instant> {
        if let Self::After(at) = self { Some(*at) } else { None }
    }

    /// Asks again when its time has come.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            *self = Self::On;
        }
    }
}

/// The count of parcels and the memory they take.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) count: usize,
    pub(super) bytes: usize,
    /// The memory by the hash of the key, so that it is known of a shard, whichever shards there are.
    by_part: Vec<usize>,
}

/// One of 256 equal parts of all hashes.
pub(super) fn part_of(hash: u128) -> u8 {
    hash.to_be_bytes()[0]
}

/// The least hash of a part.
pub(super) fn first_of(part: u8) -> u128 {
    u128::from(part) << 120
}

impl Default for Owed {
    fn default() -> Self {
        Self { count: 0, bytes: 0, by_part: vec![0; 256] }
    }
}

impl Owed {
    /// One more, as [`super::parcel::Parcel::debt`] says.
    pub(super) fn more(&mut self, (hash, cost): (u128, usize)) {
        self.count += 1;
        self.bytes += cost;
        if let Some(bytes) = self.by_part.get_mut(usize::from(part_of(hash))) {
            *bytes += cost;
        }
    }

    /// These are gone.
    pub(super) fn less(&mut self, debts: impl Iterator<Item = (u128, usize)>) {
        for (hash, cost) in debts {
            self.count -= 1;
            self.bytes -= cost;
            if let Some(bytes) = self.by_part.get_mut(usize::from(part_of(hash))) {
                *bytes -= cost;
            }
        }
    }

    /// The memory of what belongs to a shard of these hashes, and of its neighbours in the same
    /// part.
    pub(super) fn of(&self, range: HashRange) -> usize {
        let parts = usize::from(part_of(range.first))..=usize::from(part_of(range.last));
        self.by_part.get(parts).map_or(0, |bytes| bytes.iter().sum())
    }

    /// What else may be read, beside so many bytes in all; `None` when nothing.
    pub(super) fn budget(&self, bytes_max: usize) -> Option<Budget> {
        let bytes = bytes_max.saturating_sub(self.bytes);
        let count = (bytes / OVERHEAD_BYTES).min(READ_COUNT_MAX);
        // The first record is read however small the bound is, else nothing ever moved.
        (count > 0 || self.count == 0).then(|| Budget { count: count.max(1), bytes })
    }
}

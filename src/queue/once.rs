//! The table of idempotency keys: what was stored under each, for a while.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::cut::Cut;
use super::frame::POSITION_MAX;
use super::group::OnceKey;

/// Longest note of a key, in bytes.
pub(super) const NOTE_BYTES_MAX: usize = 64;
/// Most keys in the table of a large queue.
pub(super) const KEY_COUNT_MAX: usize = 1 << 16;
/// Bytes of a key in the body of a frame, without its note.
const ENTRY_BYTES: usize = 4 + PRINT_BYTES + PLACE_BYTES;
/// A fingerprint, which stands where the name of a mark stands.
pub(super) const PRINT_BYTES: usize = 16;
/// First position, count and time, which stand before the note.
const PLACE_BYTES: usize = 20;

/// A group that was stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) key: OnceKey,
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) unix_ms: u64,
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) count: usize,
    /// In a frame: each new segment begins with a copy of the table.
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// The table, oldest first. At a bound the oldest is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyTable {
    kept: HashMap<[u8; PRINT_BYTES], Kept>,
    /// In the order of commits.
    order: VecDeque<[u8; PRINT_BYTES]>,
    bytes: usize,
}

impl KeyTable {
    /// What was stored under a fingerprint and is not too old.
    pub(super) fn find(
        &self,
        print: &[u8; PRINT_BYTES],
        now_ms: u64,
        bounds: &Bounds,
    ) -> Option<&Kept> {
        self.kept.get(print).filter(|kept| kept.is_young(now_ms, bounds.age))
    }

    /// Takes a key in, and forgets the oldest ones beyond the bounds.
    pub(super) fn keep(&mut self, kept: Kept, bounds: &Bounds) {
        let (print, now_ms) = (kept.key.print, kept.unix_ms);
        if self.forget(&print) {
            // Only a key that was too old comes again, so this is rare.
            self.order.retain(|one| *one != print);
        }
        self.bytes += entry_bytes(&kept.key);
        self.kept.insert(print, kept);
        self.order.push_back(print);
        while let Some(print) = self.order.front().copied() {
            let is_young = self.find(&print, now_ms, bounds).is_some();
            if is_young && self.kept.len() <= bounds.count && self.bytes <= bounds.bytes {
                break;
            }
            self.order.pop_front();
            self.forget(&print);
        }
    }

    fn forget(&mut self, print: &[u8; PRINT_BYTES]) -> bool {
        let gone = self.kept.remove(print);
        self.bytes -= gone.as_ref().map_or(0, |gone| entry_bytes(&gone.key));
        gone.is_some()
    }

    /// All, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Kept> {
        self.order.iter().filter_map(|print| self.kept.get(print))
    }
}

impl Kept {
    fn is_young(&self, now_ms: u64, age: Duration) -> bool {
        u128::from(now_ms.saturating_sub(self.unix_ms)) < age.as_millis()
    }

    /// What stands where the value of a mark stands.
    pub(super) fn value(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLACE_BYTES + self.key.note.len());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.unix_ms.to_le_bytes());
        bytes.extend_from_slice(&self.key.note);
        bytes
    }

    /// From a name and a value; `None` if they are not what was written.
    pub(super) fn read(name: &[u8], value: &[u8]) -> Option<Self> {
        let print = name.try_into().ok()?;
        let mut cut = Cut(value);
        let (first, count, unix_ms) = (cut.u64()?, cut.u32()?, cut.u64()?);
        let note = Bytes::copy_from_slice(cut.0);
        let is_sane = note.len() <= NOTE_BYTES_MAX && first < POSITION_MAX;
        is_sane.then_some(Self { key: OnceKey { print, note }, first, count, unix_ms })
    }
}

/// Bytes of a key in the body of a frame.
pub(super) fn entry_bytes(key: &OnceKey) -> usize {
    ENTRY_BYTES + key.note.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGE: Duration = Duration::from_secs(10);

    fn kept(print: u8, first: u64, unix_ms: u64) -> Kept {
        let key = OnceKey { print: [print; 16], note: Bytes::from(vec![print; 24]) };
        Kept { key, first, count: 1, unix_ms }
    }

    #[test]
    fn a_key_is_known_for_its_time_and_not_a_moment_longer() {
        let mut table = KeyTable::default();
        let bounds = Bounds { count: 9, bytes: 9_000, age: AGE };
        table.keep(kept(1, 1, 5_000), &bounds);

        assert_eq!(table.find(&[1; 16], 14_999, &bounds), Some(&kept(1, 1, 5_000)));
        assert_eq!(table.find(&[1; 16], 15_000, &bounds), None);
        assert_eq!(table.find(&[1; 16], 0, &bounds), Some(&kept(1, 1, 5_000)), "a clock set back");
        assert_eq!(table.find(&[2; 16], 5_000, &bounds), None);
        let off = Bounds { age: Duration::ZERO, ..bounds };
        assert_eq!(table.find(&[1; 16], 5_000, &off), None);
    }

    #[test]
    fn the_oldest_keys_go_at_each_bound() {
        let bytes = entry_bytes(&kept(1, 1, 0).key);
        for (count, room, held) in
            [(3, 99 * bytes, 3), (99, 3 * bytes, 3), (99, 3 * bytes - 1, 2), (99, 3 * bytes + 1, 3)]
        {
            let mut table = KeyTable::default();
            let bounds = Bounds { count, bytes: room, age: AGE };
            for print in 1..=6 {
                table.keep(kept(print, u64::from(print), 0), &bounds);
            }
            let prints: Vec<u8> = table.iter().map(|kept| kept.key.print[0]).collect();
            assert_eq!(prints, [4, 5, 6][3 - held..]);
        }
    }

    proptest! {
        #[test]
        fn the_table_is_the_newest_of_each_key_in_order_within_its_bounds(
            steps in proptest::collection::vec((0_u8..6, 0_u64..4_000), 0..60),
            count in 1_usize..6,
        ) {
            let bounds = Bounds { count, bytes: 10_000, age: AGE };
            let (mut table, mut now, mut model) = (KeyTable::default(), 0, Vec::<Kept>::new());
            for (first, (print, passes)) in (1..).zip(steps) {
                now += passes;
                let known = table.find(&[print; 16], now, &bounds).cloned();
                let right = model.iter().find(|one| one.key.print[0] == print);
                prop_assert_eq!(known.as_ref(), right.filter(|one| now - one.unix_ms < 10_000));
                if known.is_none() {
                    table.keep(kept(print, first, now), &bounds);
                    model.retain(|one| one.key.print[0] != print);
                    model.push(kept(print, first, now));
                    model.retain(|one| now - one.unix_ms < 10_000);
                    let over = model.len().saturating_sub(count);
                    model.drain(..over);
                }
                prop_assert_eq!(table.iter().cloned().collect::<Vec<_>>(), model.clone());
                let bytes: usize = model.iter().map(|one| entry_bytes(&one.key)).sum();
                prop_assert_eq!(table.bytes, bytes);
            }
        }

        #[test]
        fn a_key_reads_back_and_any_bytes_are_judged_without_a_panic(
            print in any::<[u8; 16]>(),
            note in proptest::collection::vec(any::<u8>(), 0..NOTE_BYTES_MAX + 1),
            first in 0..POSITION_MAX,
            count in any::<u32>(),
            unix_ms in any::<u64>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let kept = Kept { key: OnceKey { print, note: note.into() }, first, count, unix_ms };
            prop_assert_eq!(Kept::read(&print, &kept.value()), Some(kept));
            drop(Kept::read(&bytes[..bytes.len().min(16)], &bytes));
        }
    }
}

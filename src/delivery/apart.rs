//! An aggregate from elsewhere whose records belong to several shards. It stays as it was read, and
//! only what of it has arrived is remembered, by hashes: however many records it has, they take no
//! memory of their own while it waits. Pure.

use bytes::Bytes;

use crate::sink::{Entry, Form, HashRange, Member, Sink, members};

/// While shards are not known, so many parts of one aggregate travel in a request at most: others
/// want to travel too.
const PARTS_AT_ONCE: usize = 100;

/// The hashes of the records of an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    least: u128,
    most: u128,
}

impl Span {
    /// `None` where it cannot be taken apart without losing something.
    pub(super) fn of(payload: &Bytes) -> Option<Self> {
        let members = members(payload)?;
        let hashes = || members.iter().map(Member::hash);
        Some(Self { least: hashes().min()?, most: hashes().max()? })
    }

    /// Whether all of them belong to one shard of these.
    pub(super) fn lies_in(self, range: HashRange) -> bool {
        range.holds(self.least) && range.holds(self.most)
    }
}

/// What has arrived of an aggregate that is sent by shards. While these are not known only what has
/// the same hash shares an entry: whatever they are, it belongs to one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Apart {
    /// Hashes of which nothing is to be sent any more: in their order, and never two that touch. What
    /// is left is sent from the least on, so there are no more than there were shards, or parts at
    /// once.
    arrived: Vec<HashRange>,
    /// The least hash that is still to be sent.
    next: u128,
    /// How many parts go at once while shards are not known.
    at_once: usize,
}

impl Apart {
    /// Nothing has arrived.
    pub(super) fn new(span: Span) -> Self {
        Self { arrived: Vec::new(), next: span.least, at_once: 1 }
    }

    /// The number that chooses its shard now.
    pub(super) fn next(&self) -> u128 {
        self.next
    }

    /// How many parts more than one it may send at once, of so many that are free; how many of these
    /// are free still.
    pub(super) fn allot(&mut self, free: usize) -> usize {
        let more = free.min(PARTS_AT_ONCE - 1);
        self.at_once = 1 + more;
        free - more
    }

    /// Adds what is sent of it: an entry for a shard of these hashes, or for each of some hashes.
    pub(super) fn put_entries<S: Sink>(
        &self,
        sink: &S,
        payload: &Bytes,
        range: Option<HashRange>,
        entries: &mut Vec<Entry>,
    ) {
        let members = members(payload).unwrap_or_default();
        let shares = self.shares_of(&members, range);
        let mut parts = vec![Vec::new(); shares.len()];
        for one in members.iter().filter(|one| self.is_left(one.hash())) {
            let place = shares.partition_point(|share| share.last < one.hash());
            if shares.get(place).is_some_and(|share| share.holds(one.hash()))
                && let Some(part) = parts.get_mut(place)
            {
                part.push(one);
            }
        }
        entries.extend(parts.iter().map(|part| entry(sink, part)));
    }

    /// The hashes that each entry is sent for, in their order: of what is left, there is nothing else
    /// among them.
    pub(super) fn shares(&self, payload: &Bytes, range: Option<HashRange>) -> Vec<HashRange> {
        self.shares_of(&members(payload).unwrap_or_default(), range)
    }

    fn shares_of(&self, members: &[Member], range: Option<HashRange>) -> Vec<HashRange> {
        if let Some(range) = range {
            return vec![range];
        }
        let hashes = members.iter().map(Member::hash);
        let mut left: Vec<u128> = hashes.filter(|hash| self.is_left(*hash)).collect();
        left.sort_unstable();
        left.dedup();
        let before = std::iter::once(0).chain(left.iter().map(|hash| hash.saturating_add(1)));
        let share = |(first, last): (u128, &u128)| HashRange { first, last: *last };
        before.zip(&left).map(share).take(self.at_once).collect()
    }

    /// What has these hashes has arrived; whether nothing is left.
    pub(super) fn arrived(
        &mut self,
        payload: &Bytes,
        ranges: impl IntoIterator<Item = HashRange>,
    ) -> bool {
        self.arrived.extend(ranges);
        self.arrived.sort_by_key(|range| range.first);
        self.arrived.dedup_by(|next, range| {
            let do_touch = range.last.checked_add(1).is_none_or(|end| next.first <= end);
            if do_touch {
                range.last = range.last.max(next.last);
            }
            do_touch
        });
        let members = members(payload).unwrap_or_default();
        let left = members.iter().map(Member::hash).filter(|hash| self.is_left(*hash)).min();
        self.next = left.unwrap_or(self.next);
        left.is_none()
    }

    fn is_left(&self, hash: u128) -> bool {
        let behind = self.arrived.partition_point(|range| range.first <= hash);
        let before = behind.checked_sub(1).and_then(|place| self.arrived.get(place));
        before.is_none_or(|range| !range.holds(hash))
    }
}

/// Some records of an aggregate as one entry.
fn entry<S: Sink>(sink: &S, members: &[&Member]) -> Entry {
    if let [one] = members {
        let entry = sink.entry(one.key().to_owned(), one.data().clone());
        return Entry { hash_key: one.explicit(), ..entry };
    }
    let pieces: Vec<_> = members.iter().map(|one| one.piece()).collect();
    let weight = pieces.iter().map(|piece| piece.key.len() + piece.data.len() + 32).sum();
    // How large it may be was decided when it was made.
    Form::Aggregate { weight_max: 0 }.pack(&pieces, weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Piece;

    fn range(first: u128, last: u128) -> HashRange {
        HashRange { first, last }
    }

    /// An aggregate of records with these hashes, one byte each, and what is left of it.
    fn apart(hashes: &[u128]) -> (Bytes, Apart) {
        let data = Bytes::from_static(b"x");
        let piece = |hash: &u128| Piece {
            key: "key",
            key_hash: 0,
            key_is_unique: false,
            explicit: Some(*hash),
            data: &data,
        };
        let pieces: Vec<_> = hashes.iter().map(piece).collect();
        let payload = Form::Aggregate { weight_max: 0 }.pack(&pieces, 0).data;
        let apart = Apart::new(Span::of(&payload).unwrap());
        (payload, apart)
    }

    #[test]
    fn what_has_arrived_of_many_shards_takes_no_more_memory_than_there_are_gaps_in_it() {
        let hashes: Vec<u128> = (0..3_000).rev().collect();
        let (payload, mut apart) = apart(&hashes);
        let shards = (0..100_u128).map(|shard| range(shard * 30, shard * 30 + 29));
        let (even, odd): (Vec<_>, Vec<_>) = shards.partition(|shard| shard.first / 30 % 2 == 0);

        even.into_iter().for_each(|shard| assert!(!apart.arrived(&payload, [shard])));
        assert_eq!((apart.arrived.len(), apart.next()), (50, 30));
        let ends: Vec<_> = odd.into_iter().map(|shard| apart.arrived(&payload, [shard])).collect();

        assert_eq!(ends.iter().position(|is_all| *is_all), Some(49));
        assert_eq!(apart.arrived, [range(0, 2_999)]);
    }

    #[test]
    fn what_arrived_twice_or_up_to_the_last_hash_is_one_range() {
        let (payload, mut apart) = apart(&[7, u128::MAX, 0]);
        assert!(!apart.arrived(&payload, [range(5, u128::MAX)]));
        assert!(!apart.arrived(&payload, [range(6, 9)]));
        assert_eq!((apart.arrived.clone(), apart.next()), (vec![range(5, u128::MAX)], 0));
        assert!(apart.arrived(&payload, [range(0, 0)]));
    }

    #[test]
    fn without_shards_each_hash_goes_by_itself_the_least_first_and_takes_no_memory_behind_it() {
        let hashes: Vec<u128> = (0..1_000).map(|number| u128::MAX - number * 7_919).collect();
        let (payload, mut apart) = apart(&hashes);
        apart.arrived(&payload, [range(u128::MAX - 10, u128::MAX)]);
        let mut parts = 0;
        loop {
            assert_eq!(apart.allot(500), 500 + 1 - PARTS_AT_ONCE);
            let shares = apart.shares(&payload, None);
            assert!(shares.len() <= PARTS_AT_ONCE && shares[0].holds(apart.next()));
            parts += shares.len();
            // Every tenth fails.
            let taken = shares.into_iter().enumerate().filter(|(place, _)| place % 10 != 9);
            let is_all = apart.arrived(&payload, taken.map(|(_, share)| share));
            assert!(apart.arrived.len() <= PARTS_AT_ONCE / 10 + 2, "{}", apart.arrived.len());
            if is_all {
                break;
            }
        }
        assert!((999..1_200).contains(&parts), "{parts}");
        assert_eq!(apart.allot(0), 0);
        assert_eq!(apart.at_once, 1);
    }
}

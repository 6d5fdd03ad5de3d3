//! Which shard a partition key leads to: the map of a stream, pure.

pub(crate) use crate::record::hash_of_key as hash_of;

/// A range of hashes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRange {
    /// The first that belongs to it.
    pub first: u128,
    /// The last.
    pub last: u128,
}

impl HashRange {
    /// Whether a key of this hash belongs to it.
    pub fn holds(self, hash: u128) -> bool {
        (self.first..=self.last).contains(&hash)
    }

    /// The hashes that belong to both.
    pub fn shared_with(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }
}

/// An open shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: std::sync::Arc<str>,
    /// The hashes that lead to it.
    pub range: HashRange,
    /// Checksum of its first sequence number: tells it from one of the same name in a stream that
    /// was deleted and made anew. 0 where that is not known.
    pub since: u32,
}

impl Shard {
    /// Whether it is one that the stream named, and not a guess.
    pub fn is_known(&self) -> bool {
        !self.id.is_empty()
    }
}

/// A shard as the stream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) shard: Shard,
    /// Whether it came of others by a reshard.
    pub(crate) has_parent: bool,
}

/// The open shards of a stream, in the order of their ranges, without gap or overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardMap(Vec<Shard>);

impl ShardMap {
    /// A map of these shards; `None` unless they divide all hashes among them, each exactly once.
    /// What lists shards in the middle of a reshard may name a parent beside its children.
    pub(crate) fn new(mut shards: Vec<Shard>) -> Option<Self> {
        shards.sort_by_key(|shard| shard.range.first);
        let mut next = Some(0_u128);
        for shard in &shards {
            let range = shard.range;
            if next != Some(range.first) || range.last < range.first {
                return None;
            }
            next = range.last.checked_add(1);
        }
        // Behind the last hash there is no number any more.
        (next.is_none() && !shards.is_empty()).then_some(Self(shards))
    }

    /// So many equal parts of all hashes, two at least, where the shards are not known: a slow one lies
    /// in some of them.
    pub(crate) fn of_parts(parts: u8) -> Self {
        let size = u128::MAX / u128::from(parts.max(2)) + 1;
        let part = |place: u8| {
            let first = u128::from(place) * size;
            let last = if place + 1 == parts { u128::MAX } else { first + (size - 1) };
            Shard { id: "".into(), range: HashRange { first, last }, since: 0 }
        };
        Self((0..parts).map(part).collect())
    }

    /// The shards in the order of their ranges.
    pub fn shards(&self) -> &[Shard] {
        &self.0
    }

    /// The place of the shard that a hash leads to.
    pub fn place_of(&self, hash: u128) -> usize {
        self.0.partition_point(|shard| shard.range.first <= hash).saturating_sub(1)
    }

    /// The shard of this name.
    pub fn shard(&self, id: &str) -> Option<&Shard> {
        self.0.iter().find(|shard| &*shard.id == id)
    }

    /// The range of a shard.
    pub fn range_of(&self, id: &str) -> Option<HashRange> {
        self.shard(id).map(|shard| shard.range)
    }

    /// Whether a shard of it is still the same here.
    pub(crate) fn has(&self, shard: &Shard) -> bool {
        self.0.get(self.place_of(shard.range.first)) == Some(shard)
    }

    /// Whether a stream of these shards can be what became of this one: each is still the same, or
    /// came of others. Where not, it is another stream of the same name.
    pub(crate) fn may_have_become(&self, listed: &[Listed]) -> bool {
        listed.iter().all(|one| one.has_parent || self.has(&one.shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ranges: &[(u128, u128)]) -> Option<ShardMap> {
        let shard = |(number, (first, last)): (usize, &(u128, u128))| Shard {
            id: format!("shard-{number}").into(),
            range: HashRange { first: *first, last: *last },
            since: 7,
        };
        ShardMap::new(ranges.iter().enumerate().map(shard).collect())
    }

    #[test]
    fn every_hash_belongs_to_one_shard_at_the_bounds_too() {
        let half = 1_u128 << 127;
        let map = map(&[(half, u128::MAX), (0, half - 1)]).unwrap();
        let id = |hash| &*map.shards()[map.place_of(hash)].id;

        assert_eq!([id(0), id(half - 1)], ["shard-1", "shard-1"]);
        assert_eq!([id(half), id(half + 1), id(u128::MAX)], ["shard-0", "shard-0", "shard-0"]);
        assert_eq!(map.range_of("shard-1"), Some(HashRange { first: 0, last: half - 1 }));
        assert_eq!(map.range_of("shard-7"), None);
    }

    #[test]
    fn what_was_made_anew_under_the_same_names_is_another_stream_and_a_reshard_is_not() {
        let half = 1_u128 << 127;
        let old = map(&[(0, half - 1), (half, u128::MAX)]).unwrap();
        let listed = |has_parent: bool, since: u32| {
            let one =
                |shard: &Shard| Listed { shard: Shard { since, ..shard.clone() }, has_parent };
            old.shards().iter().map(one).collect::<Vec<_>>()
        };

        assert!(old.may_have_become(&listed(false, 7)), "nothing has changed");
        assert!(!old.may_have_become(&listed(false, 8)), "the same names and ranges, begun later");
        assert!(old.may_have_become(&listed(true, 8)), "all of them came of others");
        let one = map(&[(0, u128::MAX)]).unwrap();
        assert!(!one.may_have_become(&listed(false, 7)), "other ranges, and none has a parent");
    }

    #[test]
    fn parts_are_a_whole_map_of_shards_that_nobody_named() {
        for count in [2, 64, 255] {
            let parts = ShardMap::of_parts(count);
            assert_eq!(parts.shards().len(), usize::from(count));
            assert!(parts.shards().iter().all(|part| !part.is_known()));
            assert_eq!(ShardMap::new(parts.shards().to_vec()), Some(parts));
        }
    }

    #[test]
    fn shards_that_leave_a_gap_or_overlap_are_no_map() {
        let whole = (0, u128::MAX);
        for wrong in [
            &[][..],
            &[(0, 9)],
            &[(1, u128::MAX)],
            &[(0, 9), (11, u128::MAX)],
            &[(0, 9), (9, u128::MAX)],
            &[whole, (0, 9), (10, u128::MAX)],
            &[(0, 9), (10, 5), (6, u128::MAX)],
        ] {
            assert_eq!(map(wrong), None, "{wrong:?}");
        }
        assert!(map(&[whole]).is_some());
    }
}

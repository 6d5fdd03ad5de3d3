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
}

/// An open shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: std::sync::Arc<str>,
    /// The hashes that lead to it.
    pub range: HashRange,
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

    /// The shards in the order of their ranges.
    pub fn shards(&self) -> &[Shard] {
        &self.0
    }

    /// The place of the shard that a hash leads to.
    pub fn place_of(&self, hash: u128) -> usize {
        self.0.partition_point(|shard| shard.range.first <= hash).saturating_sub(1)
    }

    /// The range of a shard.
    pub fn range_of(&self, id: &str) -> Option<HashRange> {
        self.0.iter().find(|shard| &*shard.id == id).map(|shard| shard.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(ranges: &[(u128, u128)]) -> Option<ShardMap> {
        let shard = |(number, (first, last)): (usize, &(u128, u128))| Shard {
            id: format!("shard-{number}").into(),
            range: HashRange { first: *first, last: *last },
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

//! The shards that callers see: those of the upstream, so that what a producer library packs for one
//! of them is whole in one of them there.

use std::ops::Range;
use std::sync::Arc;

use super::names::{SHARD, sequence_number};
use super::pen::Pen;
use crate::record::{RawRecord, hash_of_key};

/// A shard of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// `shardId-000000000000`.
    pub id: Arc<str>,
    /// The first and the last hash that lead to it.
    pub hashes: (u128, u128),
}

/// What is known of the shards behind a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shards {
    /// Nothing behind the stream has shards: it is one to its callers.
    #[default]
    One,
    /// There are some, or several sets of them, and which is not known (yet). Whoever would pack
    /// records for one of them must not.
    Unknown,
    /// All of them, in the order of their hashes.
    Known(Arc<[Shard]>),
}

/// The shards behind a stream, by its name.
pub type ShardsOf = Arc<dyn Fn(&str) -> Shards + Send + Sync>;

impl Shards {
    /// How many there are to be shown: none that somebody might pack records for is made up.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::One => 1,
            Self::Unknown => 0,
            Self::Known(all) => all.len(),
        }
    }

    /// The place of the shard that each record leads to; nothing while there is only one.
    pub(super) fn places(&self, records: &[RawRecord]) -> Vec<usize> {
        let Self::Known(all) = self else { return Vec::new() };
        if all.len() < 2 {
            return Vec::new();
        }
        let place = |record: &RawRecord| {
            let hash = record.hash_key.or_else(|| record.partition_key.as_deref().map(hash_of_key));
            let hash = hash.unwrap_or_default();
            all.partition_point(|shard| shard.hashes.0 <= hash).saturating_sub(1)
        };
        records.iter().map(place).collect()
    }

    /// The id of the shard at this place.
    pub(super) fn id_at(&self, place: Option<usize>) -> &str {
        let Self::Known(all) = self else { return SHARD };
        all.get(place.unwrap_or(0)).map_or(SHARD, |shard| &shard.id)
    }

    /// The place behind the shard with this id.
    pub(super) fn behind(&self, id: &str) -> Option<usize> {
        (0..self.count()).find(|place| self.id_at(Some(*place)) == id).map(|place| place + 1)
    }

    /// `Shards`, as far as they are on this page.
    pub(super) fn write(&self, pen: &mut Pen, page: Range<usize>) {
        pen.maps("Shards", page, |pen, place| {
            let hashes = match self {
                Self::Known(all) => all.get(place).map_or((0, u128::MAX), |shard| shard.hashes),
                _ => (0, u128::MAX),
            };
            pen.text("ShardId", self.id_at(Some(place)));
            pen.map("HashKeyRange", |pen| {
                pen.text("StartingHashKey", &hashes.0.to_string());
                pen.text("EndingHashKey", &hashes.1.to_string());
            });
            pen.map("SequenceNumberRange", |pen| {
                pen.text("StartingSequenceNumber", &sequence_number(0, 0, 0));
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::http::aws::call::Form;

    fn known(bounds: &[u128]) -> Shards {
        let ends = bounds.iter().skip(1).map(|next| next - 1).chain([u128::MAX]);
        let shard = |(number, (first, last)): (usize, (&u128, u128))| Shard {
            id: format!("shardId-{number:012}").into(),
            hashes: (*first, last),
        };
        Shards::Known(bounds.iter().zip(ends).enumerate().map(shard).collect())
    }

    #[test]
    fn a_record_leads_to_the_shard_of_its_hash() {
        let shards = known(&[0, 1 << 126, 1 << 127]);
        let of = |hash_key| RawRecord { hash_key, ..RawRecord::default() };
        let by_key = RawRecord { partition_key: Some("key".into()), ..RawRecord::default() };
        let records = [
            of(Some(0)),
            of(Some((1 << 126) - 1)),
            of(Some(1 << 126)),
            of(Some(u128::MAX)),
            // 0x3c6e…, see `md5sum`
            by_key,
        ];

        assert_eq!(shards.places(&records), [0, 0, 1, 2, 0]);
        assert_eq!(shards.id_at(Some(2)), "shardId-000000000002");
        assert_eq!(shards.behind("shardId-000000000001"), Some(2));
        assert_eq!(shards.behind("shardId-000000000003"), None);
    }

    #[test]
    fn one_shard_needs_no_hash() {
        for shards in [Shards::One, Shards::Unknown, known(&[0])] {
            assert_eq!(shards.places(&[RawRecord::default()]), Vec::<usize>::new());
            assert_eq!(shards.id_at(None), SHARD);
        }
    }

    #[test]
    fn none_is_shown_that_is_not_known() {
        for (shards, count) in [(Shards::Unknown, 0), (Shards::One, 1), (known(&[0, 7]), 2)] {
            let said = Pen::write(Form::Json, 0, |pen| shards.write(pen, 0..shards.count()));
            let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
            assert_eq!(said["Shards"].as_array().map(Vec::len), Some(count), "{said}");
        }
    }
}

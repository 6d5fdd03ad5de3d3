//! How several records become one entry.

use bytes::Bytes;

use super::Entry;
use super::kinesis::aggregate;
use crate::record::RoutingKey;

/// A form in which records share an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An aggregate as the Kinesis Producer Library makes it, for records of one shard.
    Aggregate {
        /// Most it may weigh; a record above travels alone.
        weight_max: usize,
    },
}

/// A record that is to share an entry.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Its partition key.
    pub key: RoutingKey<'a>,
    /// The number the key stands for.
    pub key_hash: u128,
    /// The number that stands in place of the key's.
    pub explicit: Option<u128>,
    /// Its payload.
    pub data: &'a Bytes,
}

impl Piece<'_> {
    /// The number that chooses its shard.
    pub fn hash(&self) -> u128 {
        self.explicit.unwrap_or(self.key_hash)
    }
}

/// Counts what an entry weighs while records are put together for it.
#[derive(Clone, Debug)]
pub struct Tally {
    form: Form,
    aggregate: aggregate::Tally,
}

impl Form {
    /// Counts from nothing.
    pub fn tally(self) -> Tally {
        Tally { form: self, aggregate: aggregate::Tally::default() }
    }

    /// Makes an entry of each of these, whose records were counted to weigh so much: all at once, as
    /// that costs less.
    pub fn pack(self, all: &[(Vec<Piece<'_>>, usize)]) -> Vec<Entry> {
        let Self::Aggregate { .. } = self;
        let encoded = aggregate::encode(all).into_iter();
        let entry = |(data, (pieces, _)): (Bytes, &(Vec<Piece<'_>>, usize))| Entry {
            key: aggregate::KEY.to_owned(),
            // Inside the shard, as every hash of its records is. The greatest, as the answer then
            // tells most: where a stream was made anew with more shards, it names another one if any
            // of the records belongs to another.
            hash_key: pieces.iter().map(Piece::hash).max(),
            shard: None,
            data,
        };
        encoded.zip(all).map(entry).collect()
    }

    /// Makes one.
    pub fn pack_one(self, pieces: Vec<Piece<'_>>, weight: usize) -> Entry {
        let mut made = self.pack(&[(pieces, weight)]);
        made.pop().expect("as many are made as are given")
    }
}

impl Tally {
    /// Counts one more record if it fits; the first always does.
    pub fn take(&mut self, piece: &Piece<'_>) -> bool {
        let Form::Aggregate { weight_max } = self.form;
        self.aggregate.take(piece, weight_max)
    }

    /// What an entry of all that was counted weighs.
    pub fn weight(&self) -> usize {
        self.aggregate.weight()
    }

    /// Whether hardly anything fits in any more.
    pub fn is_full(&self) -> bool {
        let Form::Aggregate { weight_max } = self.form;
        self.weight() >= weight_max
    }
}

//! A stream read back: its shards with their parents, and the records of each as they arrived.
//! One attempt per call, as everywhere in this room.

mod lineage;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record, ShardIteratorType};
use bytes::Bytes;

use super::aggregate::{MAGIC, is_aggregate};
use super::listing::PAGES_MAX;
use super::members::{Member, read_members};
use super::shards::HashRange;
use super::{Kinesis, StreamName};
use crate::sink::{Fault, aws};

pub use lineage::{Lineage, Offspring};

/// Where reading a shard begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest record there is.
    Oldest,
    /// Behind the newest one.
    Newest,
    /// At the first that arrived at this time or later, in milliseconds since 1970.
    At(u64),
    /// Behind the one with this sequence number.
    Behind(String),
}

/// What one call brought.
#[derive(Debug)]
pub struct Page {
    /// What arrived, in order.
    pub taken: Vec<Taken>,
    /// Where the next call goes on; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// How far behind the newest record of the shard this is, in milliseconds.
    pub behind_ms: u64,
}

/// What one sequence number stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The shard's number for it.
    pub sequence: String,
    /// The key it was put with.
    pub key: String,
    /// When the service took it, in milliseconds since 1970, as near as it says.
    pub arrived_unix_ms: Option<u64>,
    /// As it was put.
    pub data: Bytes,
}

/// What it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One record.
    Plain(Bytes),
    /// The records of an aggregate, in their order.
    Members(Vec<Member>),
    /// It begins like an aggregate, but its checksum is another: damaged, or bytes that happen to
    /// begin so.
    Unsound(Bytes),
    /// Its checksum is right, but what it holds is no aggregate within.
    Unreadable(Bytes),
}

impl Taken {
    /// Takes it apart where it is an aggregate.
    pub fn content(&self) -> Content {
        let data = &self.data;
        if !data.starts_with(&MAGIC) {
            return Content::Plain(data.clone());
        }
        if !is_aggregate(data) {
            return Content::Unsound(data.clone());
        }
        read_members(data).map_or_else(|| Content::Unreadable(data.clone()), Content::Members)
    }
}

/// The reading side of a [`Kinesis`]; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reading {
    client: Client,
    stream: StreamName,
}

impl Kinesis {
    /// To read back what arrived there.
    pub fn reading(&self) -> Reading {
        Reading { client: self.client.clone(), stream: self.stream.clone() }
    }
}

impl Reading {
    /// Every shard that still has records, open or closed.
    ///
    /// # Errors
    /// What the service answered.
    pub async fn shards(&self) -> Result<Vec<Offspring>, Fault> {
        let (mut shards, mut next) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let ask = self.client.list_shards();
            // A token stands for the stream, which then must not be named.
            let ask = match next.take() {
                Some(token) => ask.next_token(token),
                None => ask
                    .set_stream_name(self.stream.name.clone())
                    .set_stream_arn(self.stream.arn.clone()),
            };
            let page = ask.send().await.map_err(aws::fault_of)?;
            shards.extend(page.shards.unwrap_or_default().iter().map(offspring));
            next = page.next_token;
            if next.is_none() {
                break;
            }
        }
        Ok(shards)
    }

    /// Where a shard is read from; good for five minutes.
    ///
    /// # Errors
    /// What the service answered.
    pub async fn iterator(&self, shard: &str, begin: &Begin) -> Result<Option<String>, Fault> {
        let ask = self
            .client
            .get_shard_iterator()
            .set_stream_name(self.stream.name.clone())
            .set_stream_arn(self.stream.arn.clone())
            .shard_id(shard);
        let ask = match begin {
            Begin::Oldest => ask.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Begin::Newest => ask.shard_iterator_type(ShardIteratorType::Latest),
            Begin::At(unix_ms) => ask
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(i64::try_from(*unix_ms).unwrap_or(i64::MAX))),
            Begin::Behind(sequence) => ask
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence),
        };
        Ok(ask.send().await.map_err(aws::fault_of)?.shard_iterator)
    }

    /// The records at an iterator: as many as the service gives at once, up to this many.
    ///
    /// # Errors
    /// What the service answered; `ExpiredIteratorException` asks for another iterator.
    pub async fn page(&self, iterator: &str, records_max: u16) -> Result<Page, Fault> {
        let ask = self
            .client
            .get_records()
            .set_stream_arn(self.stream.arn.clone())
            .shard_iterator(iterator)
            .limit(records_max.into());
        let answer = ask.send().await.map_err(aws::fault_of)?;
        Ok(Page {
            taken: answer.records.into_iter().map(taken).collect(),
            next: answer.next_shard_iterator,
            behind_ms: answer.millis_behind_latest.and_then(|ms| ms.try_into().ok()).unwrap_or(0),
        })
    }
}

fn taken(record: Record) -> Taken {
    let arrived = record.approximate_arrival_timestamp.and_then(|at| at.to_millis().ok());
    Taken {
        sequence: record.sequence_number,
        key: record.partition_key.unwrap_or_default(),
        arrived_unix_ms: arrived.and_then(|ms| ms.try_into().ok()),
        data: record.data.into_inner().into(),
    }
}

fn offspring(shard: &aws_sdk_kinesis::types::Shard) -> Offspring {
    let bound = |text: &str| text.parse::<u128>().ok();
    let range = shard.hash_key_range.as_ref().and_then(|range| {
        let (first, last) = (bound(&range.starting_hash_key)?, bound(&range.ending_hash_key)?);
        Some(HashRange { first, last })
    });
    let parents = [&shard.parent_shard_id, &shard.adjacent_parent_shard_id];
    let sequence = shard.sequence_number_range.as_ref();
    Offspring {
        id: shard.shard_id.clone(),
        parents: parents.into_iter().flatten().cloned().collect(),
        range,
        is_open: sequence.is_none_or(|range| range.ending_sequence_number.is_none()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::aggregate::encode;
    use super::*;
    use crate::record::RoutingKey;

    #[test]
    fn an_aggregate_is_told_from_what_only_begins_like_one() {
        let of = |data: &[u8]| {
            let data = Bytes::copy_from_slice(data);
            Taken { sequence: "1".into(), key: "k".into(), arrived_unix_ms: None, data }.content()
        };
        let plain = Bytes::from_static(b"plain");
        assert_eq!(of(&plain), Content::Plain(plain.clone()));

        let piece = crate::sink::Piece {
            key: RoutingKey::Own("k"),
            key_hash: super::super::shards::hash_of("k"),
            explicit: Some(7),
            data: &plain,
        };
        let mut whole = encode(&[(vec![piece], 0)]).remove(0).to_vec();
        let Content::Members(members) = of(&whole) else { panic!("{whole:?}") };
        assert_eq!((members[0].key(), members[0].explicit()), ("k", Some(7)));
        assert_eq!(members[0].data(), &plain);
        whole[6] ^= 1;
        assert_eq!(of(&whole), Content::Unsound(whole.clone().into()));
        assert_eq!(of(&MAGIC), Content::Unsound(Bytes::copy_from_slice(&MAGIC)));
    }
}

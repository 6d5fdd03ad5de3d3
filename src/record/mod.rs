//! What a record is, its id, and its bytes in the queue.
//!
//! Uses: base.
//! Always: a record keeps its id from acceptance to delivery, dead letter and replay.
//! Never: does I/O.

mod key_template;

mod codec;
mod id;
mod text;

use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest as _, Md5};

pub use codec::{BadCode, Encoder, decode, encode};
pub use id::{IdText, RecordId};
pub use key_template::{BadTemplate, KeySource, KeyTemplate};
pub use text::Text;

/// What a sender hands in: bytes nobody has checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// The payload, untouched.
    pub payload: Bytes,
    /// The partition key the sender asked for.
    pub partition_key: Option<String>,
    /// The number the sender asked for in place of the key's hash.
    pub hash_key: Option<u128>,
    /// Where it came from, as far as templates may ask.
    pub origin: Option<Arc<Origin>>,
}

/// Where records came from; those of one request or one file share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Path of the tailed file.
    pub file: Option<String>,
    /// Headers of the request, by name.
    pub headers: Vec<(String, String)>,
    /// Parameters of the route's path, by name.
    pub route: Vec<(String, String)>,
}

/// A record that passed every check, on its way through the queue to the destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Given at acceptance; carries the time of acceptance in milliseconds.
    pub id: RecordId,
    /// 1 to 256 characters; `None` spreads records evenly over the shards, see [`Self::routing_key`].
    pub partition_key: Option<Text>,
    /// Chooses the shard in place of the key, as the explicit hash key of Kinesis does.
    pub hash_key: Option<u128>,
    /// Where it came in: `http.local`, `tail.nginx`, `replay`.
    pub source: Text,
    /// Who handed it in; empty at an open door.
    pub caller: Text,
    /// Set on a replayed record: the one destination it is for.
    pub only_for: Option<Text>,
    /// The bytes to deliver.
    pub payload: Bytes,
}

impl Record {
    /// The key that chooses the shard: the record's own, or an id, which hashes evenly: that of its
    /// run, so that small records which came together fill few entries; a large one goes by itself.
    pub fn routing_key(&self) -> RoutingKey<'_> {
        match &self.partition_key {
            Some(key) => RoutingKey::Own(key),
            None if self.payload.len() < RUN_PAYLOAD_BYTES => RoutingKey::Id(self.id.of_run()),
            None => RoutingKey::Id(self.id),
        }
    }
}

/// A payload of so many bytes shares its key with no other: a run fills an aggregate or two at most,
/// so that one shard is not given much more than the others at once.
const RUN_PAYLOAD_BYTES: usize = 1 << 10;

/// A key that chooses a shard; its text is made when it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingKey<'a> {
    /// The record's own.
    Own(&'a str),
    /// An id.
    Id(RecordId),
}

impl RoutingKey<'_> {
    /// Bytes of its text.
    pub fn bytes(self) -> usize {
        match self {
            Self::Own(key) => key.len(),
            Self::Id(_) => RecordId::TEXT_BYTES,
        }
    }

    /// Does something with its text.
    pub fn read<T>(self, read: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Own(key) => read(key),
            Self::Id(id) => read(&id.text()),
        }
    }

    /// The number by which it chooses its shard.
    pub fn hash(self) -> u128 {
        self.read(hash_of_key)
    }
}

/// Most characters in a partition key, as Kinesis counts them.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

/// The number by which a partition key chooses its shard: its MD5, read as one big-endian number.
pub fn hash_of_key(key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(key).into())
}

/// Reads an explicit hash key, as Kinesis writes them.
///
/// # Errors
/// In words, what would be right.
pub fn parse_hash_key(text: &str) -> Result<u128, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shortest = text == "0" || !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain && is_shortest).ok_or_else(|| {
        let most = u128::MAX;
        format!(
            "an explicit hash key should be a whole number from 0 to {most}, without zeros in front"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_where_kinesis_would_put_it() {
        // `printf key | md5sum`
        assert_eq!(hash_of_key("key"), 0x3c6e_0b8a_9c15_224a_8228_b9a9_8ca1_531d);
        assert_eq!(hash_of_key(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    }

    #[test]
    fn small_records_of_a_run_share_a_key_and_large_ones_go_by_themselves() {
        let first = RecordId::new(1_000).of_run();
        let key = |offset: u32, bytes: usize| {
            let record = Record {
                id: first.plus(offset),
                partition_key: None,
                hash_key: None,
                source: "tail.nginx".into(),
                caller: "".into(),
                only_for: None,
                payload: vec![b'x'; bytes].into(),
            };
            record.routing_key().read(str::to_owned)
        };

        let most = RUN_PAYLOAD_BYTES - 1;
        assert!((0..64).all(|offset| key(offset, most) == key(0, 0)), "one run");
        assert_ne!(key(64, most), key(0, most), "the next run");
        assert_eq!(key(5, most + 1), first.plus(5).to_string());
    }

    #[test]
    fn a_hash_key_is_a_number_of_128_bits_in_its_shortest_form() {
        let most = "340282366920938463463374607431768211455";
        assert_eq!(parse_hash_key("0"), Ok(0));
        assert_eq!(parse_hash_key("170141183460469231731687303715884105728"), Ok(1 << 127));
        assert_eq!(parse_hash_key(most), Ok(u128::MAX));
        for wrong in [
            "",
            "00",
            "01",
            "+1",
            "-1",
            " 1",
            "1e3",
            "0x1",
            "340282366920938463463374607431768211456",
        ] {
            let why = parse_hash_key(wrong).unwrap_err();
            assert!(why.contains(&format!("from 0 to {most}")), "{wrong:?}: {why}");
        }
    }
}

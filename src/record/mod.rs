//! What a record is, its id, and its bytes in the queue.
//!
//! Uses: base.
//! Always: a record keeps its id from acceptance to delivery, dead letter and replay.
//! Never: does I/O.

mod key_template;

mod codec;
mod id;

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

pub use codec::{BadCode, decode, encode};
pub use id::{IdText, RecordId};
pub use key_template::{BadTemplate, KeySource, KeyTemplate};

/// What a sender hands in: bytes nobody has checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    /// The payload, untouched.
    pub payload: Bytes,
    /// The partition key the sender asked for.
    pub partition_key: Option<String>,
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
    /// 1 to 256 characters; `None` spreads records evenly over the shards.
    pub partition_key: Option<String>,
    /// Where it came in: `http.local`, `tail.nginx`, `replay`.
    pub source: String,
    /// Who handed it in; empty at an open door.
    pub caller: String,
    /// Set on a replayed record: the one destination it is for.
    pub only_for: Option<String>,
    /// The bytes to deliver.
    pub payload: Bytes,
}

impl Record {
    /// The key that chooses the shard: the record's own, or its id, which hashes evenly.
    pub fn routing_key(&self) -> RoutingKey<'_> {
        match &self.partition_key {
            Some(key) => RoutingKey::Own(key),
            None => RoutingKey::Id(self.id.text()),
        }
    }
}

/// A key that chooses a shard; a text.
#[derive(Clone, Debug)]
pub enum RoutingKey<'a> {
    /// The record's own.
    Own(&'a str),
    /// Its id.
    Id(IdText),
}

impl Deref for RoutingKey<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Own(key) => key,
            Self::Id(id) => id,
        }
    }
}

/// Most characters in a partition key, as Kinesis counts them.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

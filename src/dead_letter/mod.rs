//! The shelf for records that can never be delivered: NDJSON files with the reason beside the bytes.
//!
//! Uses: base, record, telemetry.
//! Always: a letter is synced before `put` returns; the shelf is bounded by size and age, and what
//! ages out is counted.
//! Never: drops silently; changes a payload.
//! Files: `<stream>/<destination>/<time>.ndjson`; one that is being taken back has `.taken` behind it,
//! what stayed behind of one has `.left1` before its ending.

mod browse;
mod purge;
mod shelf;
mod take;

mod age;
mod aged;
mod filter;
mod folder;
mod letter;

mod metrics;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::record::{Record, RecordId, Text};

pub use aged::{AgedOut, aged_out};
pub use browse::{BadLine, LetterFile, Letters, Lying, letters, shelves};
pub use filter::Filter;
pub use purge::{Purged, purge};
pub use shelf::Shelf;
pub use take::{TakenBack, take};

/// Where letters lie and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `state_dir/dead`; below it `<stream>/<destination>/*.ndjson`.
    pub folder: PathBuf,
    /// Most bytes of one destination's letters; the oldest file goes first.
    pub max_bytes: u64,
    /// How long a letter is kept. Files go whole, so the first letters of a file stay up to a day
    /// (or a tenth of this, if that is less) longer.
    pub max_age: Duration,
}

/// An undeliverable record with its story; one line of JSON in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The record as it was accepted. `only_for` is not kept: the letter knows its destination.
    pub record: Record,
    /// The stream it was in.
    pub stream: String,
    /// The destination that cannot take it; `tail.NAME` for a line that never got into the stream.
    pub destination: String,
    /// When it was given up, in milliseconds since 1970.
    pub died_unix_ms: u64,
    /// How often it was sent.
    pub attempts: u32,
    /// Error class: `poison`, `undecodable`.
    pub class: String,
    /// The upstream's code, or weir's own.
    pub code: String,
    /// The upstream's words.
    pub message: String,
}

/// Bytes no codec understood.
pub fn bare(payload: Bytes) -> Record {
    Record {
        id: RecordId::NONE,
        partition_key: None,
        hash_key: None,
        source: Text::default(),
        caller: Text::default(),
        only_for: None,
        payload,
    }
}

#[cfg(test)]
mod tests;

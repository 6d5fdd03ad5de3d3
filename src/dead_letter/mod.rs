//! The shelf for records that can never be delivered: NDJSON files with the reason beside the bytes.
//!
//! Uses: base, record, telemetry.
//! Always: a letter is synced before `put` returns; the shelf is bounded by size and age, and what
//! ages out is counted.
//! Never: drops silently; changes a payload.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::base::disk::SharedDisk;
use crate::record::{Record, RecordId};

/// Where letters lie and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `state_dir/dead`; below it `<stream>/<destination>/*.ndjson`.
    pub folder: PathBuf,
    /// Most bytes of one destination's letters; the oldest file goes first.
    pub max_bytes: u64,
    /// Longest time a letter is kept.
    pub max_age: Duration,
}

/// An undeliverable record with its story; one line of JSON in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The record as it was accepted.
    pub record: Record,
    /// The stream it was in.
    pub stream: String,
    /// The destination that cannot take it.
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

/// The letters of one stream and destination.
#[derive(Debug)]
pub struct Shelf {}

impl Shelf {
    /// Opens the folder, or makes it, and cuts a torn last line. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(
        disk: SharedDisk,
        settings: &Settings,
        stream: &str,
        destination: &str,
    ) -> io::Result<Self> {
        let _ = (disk, settings, stream, destination);
        todo!()
    }

    /// Writes letters and syncs them. Blocks.
    ///
    /// # Errors
    /// What the disk says; the same letters may be put again then.
    pub fn put(&mut self, letters: &[Letter]) -> io::Result<()> {
        let _ = letters;
        todo!()
    }
}

/// A payload that is no record any more is kept with this id.
pub const NO_ID: fn() -> RecordId = || RecordId::from_bytes([0; 16]);

/// Bytes no codec understood.
pub fn bare(payload: Bytes) -> Record {
    Record {
        id: NO_ID(),
        partition_key: None,
        source: String::new(),
        caller: String::new(),
        only_for: None,
        payload,
    }
}

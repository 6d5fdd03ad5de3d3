//! The file format: the only room that knows TOML.
//!
//! Uses: base, record, telemetry, and the Settings of queue, sink, dead_letter, admission, delivery, source, admin.
//! Always: the file is checked as a whole; all faults come back at once, each with its place.
//! Never: starts anything.

mod load;

pub mod cases;

mod assemble;
mod doubts;
mod rules;

mod sections;

mod document;
mod setting;
mod value;

mod finding;
mod key;
mod masks;
mod suggest;
mod written;

pub mod reference;
mod summary;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use crate::telemetry::{EmfSettings, Format, Level, TraceSettings};
use crate::{admin, admission, dead_letter, delivery, queue, sink, source};

pub use finding::{Finding, Findings, Severity};
pub use load::{Loaded, demo, load, load_for_trial, parse, state_dir};

/// The whole configuration, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Queues, state and dead letters live below it.
    pub state_dir: PathBuf,
    /// Longest time for delivery to go on after SIGTERM.
    pub grace: Duration,
    /// How log lines look.
    pub log_format: Format,
    /// Least severe level that is written.
    pub log_level: Level,
    /// Where traces go, if anywhere.
    pub traces: Option<TraceSettings>,
    /// Whether lines for CloudWatch are written.
    pub emf: Option<EmfSettings>,
    /// Whether a changed file is taken over by itself.
    pub reload_on_change: bool,
    /// Callers, plans, and what streams take.
    pub admission: admission::Settings,
    /// By stream name.
    pub streams: BTreeMap<String, Stream>,
    /// By destination name.
    pub destinations: BTreeMap<String, Destination>,
    /// HTTP listeners.
    pub http: Vec<source::http::Settings>,
    /// Tailed files.
    pub tail: Vec<source::tail::Settings>,
    /// Standard input, if it is to be read; never by the file alone.
    pub stdin: Option<source::stdin::Settings>,
    /// How standard input is framed.
    pub stdin_framing: source::framing::Settings,
    /// Whether tailed files are read to their end once, and that is all.
    pub is_once: bool,
    /// The link that destinations share.
    pub uplink: delivery::LinkSettings,
    /// Dead letters.
    pub dead_letters: dead_letter::Settings,
    /// The operator's door.
    pub admin: admin::Settings,
}

impl Config {
    /// How each stream is delivered that leads to this destination, in the order of their names.
    pub fn deliveries_to<'a>(
        &'a self,
        destination: &'a str,
    ) -> impl Iterator<Item = &'a delivery::Settings> {
        let all = self.streams.values().flat_map(|stream| &stream.delivery);
        all.filter(move |delivery| delivery.destination == destination)
    }

    /// The destinations that some stream leads to.
    pub fn used_destinations(&self) -> BTreeSet<&str> {
        let all = self.streams.values().flat_map(|stream| &stream.delivery);
        all.map(|delivery| delivery.destination.as_str()).collect()
    }
}

/// One `[stream.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its queue.
    pub queue: queue::Settings,
    /// Where the key of new segments comes from, if not from the file.
    pub kms: Option<sink::KmsSettings>,
    /// One per destination, in the order of the file.
    pub delivery: Vec<delivery::Settings>,
}

/// One `[destination.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A Kinesis data stream.
    Kinesis(sink::KinesisSettings),
    /// A Firehose delivery stream.
    Firehose(sink::FirehoseSettings),
    /// A local folder.
    Directory(sink::DirectorySettings),
}

/// One `[encryption.NAME]`: the key, or where it comes from, and keys of before.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Encryption {
    /// `None` if it is at fault.
    Key(Option<queue::Key>, Vec<queue::Key>),
    Kms(Box<sink::KmsSettings>, Vec<queue::Key>),
}

//! One request to one upstream: Kinesis, Firehose, a directory.
//!
//! Uses: base, record.
//! Always: one attempt per call, one fate per entry, in the order of the request.
//! Never: retries, waits, or knows a position of the queue.

mod directory;
mod firehose;
mod kinesis;
mod kms;
mod lambda;
mod web;

mod probe;

mod aws;
mod form;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::record::RoutingKey;

pub use aws::{ClockChanges, ClockMemory, ServiceClock};
pub use directory::Directory;
pub use firehose::Firehose;
pub use form::{Form, Piece, Tally};
pub use kinesis::{
    Begin, Content, HashRange, Kinesis, Lineage, Member, Offspring, Page, Reading, Shard, ShardMap,
    StreamFacts, StreamNews, Taken,
};
pub(crate) use kinesis::{is_aggregate, members};
pub use kms::{Kms, KmsSettings, Wrapped};
pub use lambda::{Lambda, LambdaFault, LambdaSettings};
pub use probe::Probed;
pub use settings::{
    AwsSettings, Compression, DirectorySettings, FirehoseSettings, InstanceCredentials,
    IotSettings, KinesisSettings, Protocol, Proxy, RoleSettings, StaticCredentials,
};
pub use web::{Web, WebSettings, hushed};

/// One thing that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Chooses the shard; 1 to 256 characters. Sinks without shards ignore it.
    pub key: String,
    /// Chooses the shard in place of the key.
    pub hash_key: Option<u128>,
    /// The shard it should end up in, where that is known.
    pub shard: Option<Shard>,
    /// The bytes to hand over.
    pub data: Bytes,
}

impl Entry {
    /// One record, wherever its key leads.
    pub fn plain(key: String, data: Bytes) -> Self {
        Self { key, hash_key: None, shard: None, data }
    }
}

/// What one request may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: usize,
    /// Most bytes over all entries, counted as the upstream counts them.
    pub request_bytes: usize,
    /// Most bytes of one entry, counted the same way.
    pub entry_bytes: usize,
}

/// What a request carries, as far as its size on the wire depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// How many entries.
    pub entries: usize,
    /// What they weigh together.
    pub weight: usize,
    /// How many of them have an explicit hash key.
    pub hash_keys: usize,
}

/// What became of one entry of a request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The upstream has it.
    Taken,
    /// The upstream has it, but in another shard than it was meant for: what it holds of other
    /// hashes than these, its readers will drop. `None`: nobody knows which these are.
    Strayed(Option<HashRange>),
    /// The upstream did not take this one.
    Failed(Fault),
}

/// What went wrong, in the upstream's own words; what to do about it is delivery's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it went wrong.
    pub at: At,
    /// The upstream's code (`ProvisionedThroughputExceededException`), or weir's own in kebab-case.
    pub code: String,
    /// The upstream's words.
    pub message: String,
    /// How long the upstream asked to wait.
    pub retry_after: Option<Duration>,
}

/// Where a fault arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// In the answer about one entry.
    Entry,
    /// In the answer about the whole request, with its HTTP status.
    Answer(u16),
    /// There was no answer, or none that can be read: DNS, connect, TLS, reset, a count of results
    /// that is not that of the entries. The request was not executed, or maybe was.
    Transport,
    /// There was no answer in time; the request may have been executed.
    Timeout,
    /// It broke off, or took too long, while the request was being sent, after so many bytes of it;
    /// the request was not executed.
    Upload(u64),
    /// No credentials could be had; nothing was sent.
    Credentials,
    /// The settings do not make a request; nothing was sent.
    Settings,
    /// The local disk of a directory.
    Disk,
}

/// One fate per entry, or a fault of the whole request.
pub type Outcome = Result<Vec<Fate>, Fault>;

/// Whether records that go each by itself now could share entries a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// They could not.
    None,
    /// What is missing is being asked: until [`Sink::tended`] ends, or this time.
    Soon(Instant),
    /// What is missing cannot be asked now.
    Later,
}

/// An upstream that takes entries.
pub trait Sink: Send + Sync + 'static {
    /// `kinesis`, `firehose` or `directory`.
    fn kind(&self) -> &'static str;

    /// What one request may carry.
    fn limits(&self) -> Limits;

    /// The largest entry that the upstream certainly takes. One that is larger, up to
    /// [`Limits::entry_bytes`], travels in a request of its own, and the upstream decides.
    fn sure_bytes(&self) -> usize {
        self.limits().entry_bytes
    }

    /// How many bytes an entry counts against the limits; more than [`Limits::entry_bytes`] if and
    /// only if the upstream cannot take it.
    fn weigh(&self, entry: &Entry) -> usize;

    /// The same of the entry that a record would make, which need not be made for it.
    fn weigh_record(&self, key: RoutingKey<'_>, payload: &Bytes) -> usize {
        self.weigh(&self.entry(key.read(str::to_owned), payload.clone()))
    }

    /// How many bytes such a request takes on the wire; 0 where nothing leaves the host.
    fn wire_bytes(&self, load: Load) -> u64;

    /// Makes the entry for a record: adds framing where the upstream needs it.
    fn entry(&self, key: String, payload: Bytes) -> Entry;

    /// How several records become one entry; `None` where each travels alone, at least for now.
    fn form(&self) -> Option<Form> {
        None
    }

    /// The shards, while they are known: records of one shard share an entry, and a slow one does
    /// not slow the others.
    fn shards(&self) -> Option<Arc<ShardMap>> {
        None
    }

    /// Whether keys lead to shards at all, be they known or not.
    fn has_shards(&self) -> bool {
        false
    }

    /// Whether the upstream's answers contradict what it says of its shards, or that is no whole: then
    /// [`Sink::shards`] tells none, and what belongs to several must not go as one.
    fn is_in_doubt(&self) -> bool {
        false
    }

    /// Asked when several records are about to go each by itself.
    fn prospect(&self) -> Prospect {
        Prospect::None
    }

    /// Learns and keeps fresh what [`Sink::limits`], [`Sink::form`] and [`Sink::shards`] tell; never
    /// ends. Nothing depends on it but economy.
    fn tend(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Ends when what [`Sink::tend`] learns was asked for once, and nothing is asked now that is
    /// worth waiting for; whatever came of it.
    fn tended(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// What time it is by the service's own word since the start, in milliseconds since 1970.
    fn told_unix_ms(&self) -> Option<u64> {
        None
    }

    /// How many bytes a second a large request was sent with, alone or beside others; each measure is
    /// told once.
    fn upload_rate(&self) -> Option<u64> {
        None
    }

    /// Sends one request, once.
    fn put(&self, entries: Vec<Entry>) -> impl Future<Output = Outcome> + Send;

    /// Finishes what is half done (an open file); called once, when delivery has ended.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The scriptable upstream of the tests from outside; delivery's use it too.
#[cfg(test)]
#[path = "../../tests/support/fake_upstream.rs"]
pub(crate) mod fake_upstream;
/// The slow link of the tests from outside.
#[cfg(test)]
#[path = "../../tests/support/slow_link.rs"]
pub(crate) mod slow_link;
#[cfg(test)]
mod tests;
/// The peers behind TLS of the tests from outside.
#[cfg(test)]
#[path = "../../tests/support/tls_peer.rs"]
pub(crate) mod tls_peer;

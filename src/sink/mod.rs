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

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::secret::Secret;

pub use aws::{ClockChanges, ClockMemory, ServiceClock};
pub use directory::Directory;
pub use firehose::Firehose;
pub use form::{Form, Piece, Tally};
pub use kinesis::{HashRange, Kinesis, Shard, ShardMap, StreamFacts, StreamNews};
pub(crate) use kinesis::{hash_of, is_aggregate};
pub use kms::{Kms, KmsSettings, Wrapped};
pub use lambda::{Lambda, LambdaFault, LambdaSettings};
pub use probe::Probed;
pub use web::{Web, WebSettings};

/// One thing that a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Chooses the shard; 1 to 256 characters. Sinks without shards ignore it.
    pub key: String,
    /// Chooses the shard in place of the key.
    pub hash_key: Option<u128>,
    /// The shard it should end up in, where that matters to its readers.
    pub shard: Option<Arc<str>>,
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
    fn weigh_record(&self, key: &str, payload: &Bytes) -> usize {
        self.weigh(&self.entry(key.to_owned(), payload.clone()))
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

    /// Learns and keeps fresh what [`Sink::limits`], [`Sink::form`] and [`Sink::shards`] tell; never
    /// ends. Nothing depends on it but economy.
    fn tend(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Ends when what [`Sink::tend`] learns was asked for once, whatever came of it.
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

/// What both AWS sinks need to reach their service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSettings {
    /// `eu-west-1`; `None` asks the environment (`AWS_REGION`) and the profile.
    pub region: Option<String>,
    /// Another address than the public endpoint of the region.
    pub endpoint_url: Option<String>,
    /// Whether the region's FIPS endpoint is used.
    pub fips: bool,
    /// Whether the region's endpoint for IPv6 and IPv4 is used.
    pub dual_stack: bool,
    /// How the way out is found.
    pub proxy: Proxy,
    /// File of the certificates that are trusted in place of the host's.
    pub ca_bundle: Option<PathBuf>,
    /// Profile of the shared configuration file.
    pub profile: Option<String>,
    /// Explicit credentials; `None` asks the SDK's default chain.
    pub credentials: Option<StaticCredentials>,
    /// Credentials for a device certificate; they come before the chain.
    pub iot: Option<IotSettings>,
    /// A role to take on with them.
    pub assume_role: Option<RoleSettings>,
    /// Whether the chain asks an EC2 instance's service.
    pub instance_credentials: InstanceCredentials,
    /// Longest time for TCP, proxy and TLS.
    pub connect_timeout: Duration,
    /// Longest time for one request without a byte there or back.
    pub request_timeout: Duration,
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            region: None,
            endpoint_url: None,
            fips: false,
            dual_stack: false,
            proxy: Proxy::Environment,
            ca_bundle: None,
            profile: None,
            credentials: None,
            iot: None,
            assume_role: None,
            instance_credentials: InstanceCredentials::Auto,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// How the way out is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`.
    Environment,
    /// Straight, whatever the environment says.
    Off,
    /// Through this one; the address may hold a password.
    Through(Secret),
}

/// Whether an EC2 instance's service is asked for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceCredentials {
    /// On an instance, by its firmware.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// AWS IoT Core's credential provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IotSettings {
    /// Host of the account's endpoint, of type `iot:CredentialProvider`.
    pub endpoint: String,
    /// The alias of the role.
    pub role_alias: String,
    /// The thing that the certificate is attached to.
    pub thing_name: Option<String>,
    /// The device certificate, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// What signed the endpoint's certificate; `None` trusts as the destination does.
    pub ca: Option<PathBuf>,
}

/// A role that is taken on by STS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSettings {
    /// The role.
    pub arn: String,
    /// What its owner wants to hear.
    pub external_id: Option<Secret>,
    /// How CloudTrail names the session.
    pub session_name: String,
    /// How long a session lasts.
    pub duration: Duration,
    /// Another address than the region's STS.
    pub endpoint_url: Option<String>,
}

/// Credentials written in the configuration, by reference to where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticCredentials {
    /// `AKIA…`.
    pub access_key_id: Secret,
    /// Its secret.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
}

/// A Kinesis data stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KinesisSettings {
    /// Name of the stream, or its ARN.
    pub stream_name: String,
    /// Largest record the stream is known to take, with its key; if the stream itself says that it
    /// takes larger ones, that counts. 10 MiB at most.
    pub max_record_bytes: u64,
    /// Largest entry that several records share; `None` sends each alone.
    pub aggregate_bytes: Option<u64>,
    /// How to reach it.
    pub aws: AwsSettings,
}

/// A Firehose delivery stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirehoseSettings {
    /// Name of the delivery stream.
    pub delivery_stream: String,
    /// Whether each record ends with a newline; Firehose joins records without any.
    pub newline: bool,
    /// Whether many records travel in one Firehose record, as lines; never without newlines.
    pub pack: bool,
    /// Most bytes of a Firehose record that is filled so; at least [`Self::PACK_BYTES_MIN`].
    pub pack_bytes: u64,
    /// Whether the delivery stream takes records apart again, which it does up to 500 lines.
    pub deaggregation: bool,
    /// How to reach it.
    pub aws: AwsSettings,
}

impl FirehoseSettings {
    /// Smaller packs could need more Firehose records than one request has room for.
    pub const PACK_BYTES_MIN: u64 = 16 << 10;
    /// Largest Firehose record, before base64.
    pub const PACK_BYTES_MAX: u64 = 1_024_000;
}

/// A local folder of Firehose-shaped objects: `YYYY/MM/DD/HH/<name>-1-….ndjson`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySettings {
    /// The folder.
    pub path: PathBuf,
    /// First part of the object names.
    pub name: String,
    /// An object is finished when it has this many bytes…
    pub object_bytes: u64,
    /// …or this age.
    pub object_age: Duration,
    /// How objects are packed.
    pub compression: Compression,
}

/// How the objects of a directory are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
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

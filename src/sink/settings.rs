//! What sinks are told: where their service is, how to get in, how large things may be.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::secret::Secret;

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

/// How requests of PutRecords are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// In CBOR at an address of AWS, as long as that is understood there; in JSON elsewhere.
    #[default]
    Auto,
    /// In AWS JSON 1.1, with data in base64.
    Json,
    /// In AWS CBOR 1.1, with data as it is.
    Cbor,
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
    /// In which protocol PutRecords is called.
    pub protocol: Protocol,
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

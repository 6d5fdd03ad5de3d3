//! What the configuration decides about callers, plans and streams.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::units::{ByteRate, CountRate};
use crate::record::KeyTemplate;

/// Everything admission needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// By the name of the stream.
    pub streams: BTreeMap<String, StreamSettings>,
    /// By the name of the auth block.
    pub auth: BTreeMap<String, AuthSettings>,
    /// By the name of the plan.
    pub plans: BTreeMap<String, PlanSettings>,
}

/// What a stream takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Largest payload of one record, in bytes.
    pub max_record_bytes: u64,
    /// The key of a record whose sender chose none; without it records are spread evenly.
    pub partition_key: Option<KeyTemplate>,
    /// Other names it is known by.
    pub aliases: Vec<String>,
}

/// One way to recognise a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthSettings {
    /// Keys, hashed, in a TOML file that `weir keys` writes.
    ApiKey {
        /// The file.
        file: PathBuf,
        /// The plan of keys that name none.
        plan: Option<String>,
    },
    /// Requests that are signed as AWS wants it.
    SigV4(SigV4Settings),
}

/// How signed requests are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4Settings {
    /// The access keys with their secrets.
    pub file: PathBuf,
    /// The plan of keys that name none.
    pub plan: Option<String>,
    /// How much is believed.
    pub mode: SignatureMode,
    /// How far the clocks of both sides may be apart.
    pub skew: Duration,
    /// The only region a request may be signed for.
    pub region: Option<String>,
    /// Whether a body need not be signed.
    pub allows_unsigned_body: bool,
}

/// What is done with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureMode {
    /// It must be right.
    Verify,
    /// Its key names the caller, and nothing is checked.
    Identify,
    /// It is not looked at.
    Off,
}

/// Token buckets of each caller that has this plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanSettings {
    /// Records in a time.
    pub rate: Option<CountRate>,
    /// Most records at once; one second of `rate` by default.
    pub burst: Option<u64>,
    /// Bytes of body in a time; a burst of the same size.
    pub bytes: Option<ByteRate>,
}

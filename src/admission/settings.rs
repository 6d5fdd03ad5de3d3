//! What the configuration decides about callers, plans and streams.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::treatment::Treatment;
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
    /// What is done to its records.
    pub treatment: Treatment,
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

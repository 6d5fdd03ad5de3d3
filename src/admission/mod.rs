//! Who may hand in what: knock, get a pass; admit records; store them and get a receipt.
//!
//! Uses: base, record, queue, telemetry.
//! Always: a [`Receipt`] needs a `Durable`, an [`Admitted`] needs a [`Pass`].
//! Never: knows HTTP or files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::units::{ByteRate, CountRate};
use crate::queue;
use crate::record::{RawRecord, RecordId};
use crate::telemetry::Metrics;

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

/// What somebody who wants to hand in records shows at the door.
#[derive(Clone, Debug)]
pub struct Knock<'a> {
    /// `http.lan`, `tail.nginx`: goes onto the record and into metrics.
    pub source: &'a str,
    /// Names of the auth blocks of that door, tried in order; empty for an open one.
    pub auth: &'a [String],
    /// `x-api-key` or the Bearer token.
    pub api_key: Option<&'a str>,
    /// The stream.
    pub stream: &'a str,
    /// Size of the body as declared.
    pub declared_bytes: Option<u64>,
}

/// Proof of a known caller within its plan.
#[derive(Debug)]
pub struct Pass {
    source: String,
    caller: String,
    plan: Option<String>,
    stream: String,
}

/// Records that are valid and keyed, with the marks that belong to them.
#[derive(Debug)]
pub struct Admitted {
    stream: String,
    group: queue::Group,
    first: Option<RecordId>,
    last: Option<RecordId>,
}

/// Proof that records are on stable storage; a success answer needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How many records.
    pub accepted: u32,
    /// Id of the first; `None` when there was none.
    pub first: Option<RecordId>,
    /// Id of the last.
    pub last: Option<RecordId>,
}

/// Why nothing of a hand-in was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No auth block of this door knows the caller.
    UnknownCaller,
    /// The caller is known, but not for this stream, or its key expired.
    NotAllowed,
    /// There is no such stream.
    UnknownStream,
    /// The caller's plan says: later.
    TooFast {
        /// How long to wait.
        retry_after: Duration,
    },
    /// More records or bytes at once than the caller's plan ever lets through.
    OverBurst {
        /// What would be right.
        limit: u64,
        /// `records` or `bytes`.
        unit: &'static str,
    },
    /// The queue is full.
    Full {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The disk fails.
    Broken {
        /// How long to wait.
        retry_after: Duration,
    },
    /// More bytes than the queue can ever hold at once.
    TooLarge {
        /// What would be right.
        limit: u64,
    },
    /// The agent is stopping.
    Stopping,
}

/// One record that is not as it should be, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Its place in the hand-in, from 0.
    pub index: usize,
    /// JSON pointer to the fault, where there is one.
    pub pointer: Option<String>,
    /// In words.
    pub reason: String,
    /// `true` if it is too large, which has its own answer.
    pub too_large: bool,
    /// The record, given back.
    pub raw: RawRecord,
}

/// The door.
#[derive(Debug)]
pub struct Admission {}

impl Admission {
    /// Opens the door to these queues, by stream name.
    ///
    /// # Errors
    /// In words: a keys file that cannot be read.
    pub fn open(
        disk: SharedDisk,
        clock: Clock,
        settings: Settings,
        queues: BTreeMap<String, queue::Writer>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, String> {
        let _ = (disk, clock, settings, queues, metrics);
        todo!()
    }

    /// Recognises the caller and charges its plan with the declared bytes.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn enter(&self, knock: &Knock<'_>) -> Result<Pass, Refusal> {
        let _ = knock;
        todo!()
    }

    /// Charges bytes that were not declared.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`].
    pub fn charge_bytes(&self, pass: &Pass, bytes: u64) -> Result<(), Refusal> {
        let _ = (pass, bytes);
        todo!()
    }

    /// Checks, keys and encodes records. What is wrong comes back; the caller decides about the rest.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`] by the plan's records.
    pub fn admit(
        &self,
        pass: &Pass,
        raw: Vec<RawRecord>,
    ) -> Result<(Admitted, Vec<Rejection>), Refusal> {
        let _ = (pass, raw, &pass.source, &pass.caller, &pass.plan, &pass.stream);
        todo!()
    }

    /// Makes what was admitted durable.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Broken`], [`Refusal::TooLarge`], [`Refusal::Stopping`].
    pub async fn store(&self, admitted: Admitted) -> Result<Receipt, Refusal> {
        let _ = (&admitted.stream, &admitted.group, &admitted.first, &admitted.last);
        todo!()
    }

    /// The marks of a stream whose names begin with `prefix`.
    pub fn marks(&self, stream: &str, prefix: &str) -> Vec<(String, Bytes)> {
        let _ = (stream, prefix);
        todo!()
    }
}

impl Admitted {
    /// Adds a mark that becomes durable together with the records, or not at all.
    #[must_use]
    pub fn with_mark(mut self, name: String, value: Option<Bytes>) -> Self {
        self.group.marks.push(queue::Mark { name, value });
        self
    }

    /// Bytes of its payloads in the queue.
    pub fn bytes(&self) -> usize {
        self.group.payloads.iter().map(Bytes::len).sum()
    }
}

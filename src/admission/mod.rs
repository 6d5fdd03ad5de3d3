//! Who may hand in what: knock, get a pass; admit records; store them and get a receipt.
//!
//! Uses: base, record, queue, telemetry.
//! Always: a [`Receipt`] needs a `Durable`, an [`Admitted`] needs a [`Pass`]; a caller is known
//! before a stream is looked up.
//! Never: knows HTTP or files that are tailed.

mod settings;

mod authenticate;
mod once;
mod rate_limit;
mod store;
mod validate;

pub mod keys;
mod metrics;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use self::authenticate::Authenticator;
use self::metrics::Numbers;
use self::rate_limit::{Buckets, Plans};
use self::store::Stream;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::queue;
use crate::record::{KeyTemplate, PARTITION_KEY_CHARS_MAX, RawRecord};
use crate::telemetry::Metrics;

pub use once::{Once, check_idempotency_key};
pub use refusal::{Refusal, Rejection};
pub use settings::{AuthSettings, PlanSettings, Settings, StreamSettings};
pub use store::{Admitted, Receipt};
pub use validate::check_partition_key;

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
    buckets: Option<Arc<Buckets>>,
    stream: Arc<Stream>,
}

impl Pass {
    /// Who it is; empty at an open door.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Names of the headers that the keys of the stream's records are made from, in small letters.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.stream.partition_key.iter().flat_map(KeyTemplate::headers)
    }

    /// Most bytes that a key of the stream's own adds to a record.
    pub fn key_bytes_max(&self) -> usize {
        self.stream.partition_key.as_ref().map_or(0, |_| PARTITION_KEY_CHARS_MAX)
    }
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    clock: Clock,
    authenticator: Authenticator,
    plans: Plans,
    streams: BTreeMap<String, Arc<Stream>>,
    numbers: Numbers,
}

impl Admission {
    /// Opens the door to these queues, by stream name. Reads the keys files; one that is missing
    /// holds no keys yet.
    ///
    /// # Errors
    /// In words: a keys file that is malformed or cannot be read, a plan that makes no sense, a
    /// stream without a queue.
    pub fn open(
        disk: SharedDisk,
        clock: Clock,
        settings: Settings,
        queues: BTreeMap<String, queue::Writer>,
        metrics: &Metrics,
    ) -> Result<Arc<Self>, String> {
        let plans = Plans::new(&settings.plans)?;
        let known_plans = settings.plans.into_keys().collect();
        let authenticator = Authenticator::open(&disk, &clock, settings.auth, &known_plans)?;
        let streams = store::streams(settings.streams, queues)?;
        let numbers = metrics.shared(Numbers::register);
        Ok(Arc::new(Self { clock, authenticator, plans, streams, numbers }))
    }

    /// Recognises the caller and charges its plan with the declared bytes. An open door (no auth
    /// blocks) lets everybody in, without a name and without a plan.
    ///
    /// # Errors
    /// [`Refusal`]. Only a known caller is told that a stream does not exist.
    pub fn enter(&self, knock: &Knock<'_>) -> Result<Pass, Refusal> {
        self.recognise(knock).inspect_err(|refusal| self.numbers.refused(knock.source, refusal))
    }

    fn recognise(&self, knock: &Knock<'_>) -> Result<Pass, Refusal> {
        let caller = self.authenticator.identify(knock)?;
        let stream = self.streams.get(knock.stream).ok_or(Refusal::UnknownStream)?;
        let buckets = caller.plan.and_then(|plan| self.plans.buckets(&plan, &caller.name));
        if let (Some(buckets), Some(bytes)) = (&buckets, knock.declared_bytes) {
            buckets.take_bytes(bytes)?;
        }
        let source = knock.source.to_owned();
        Ok(Pass { source, caller: caller.name, buckets, stream: stream.clone() })
    }

    /// Charges bytes that were not declared.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`].
    pub fn charge_bytes(&self, pass: &Pass, bytes: u64) -> Result<(), Refusal> {
        let Some(buckets) = &pass.buckets else { return Ok(()) };
        buckets.take_bytes(bytes).inspect_err(|refusal| self.numbers.refused(&pass.source, refusal))
    }

    /// Checks, keys and encodes records. What is wrong comes back; the caller decides about the
    /// rest. The plan is charged for all of them, also for those that are wrong.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`] by the plan's records.
    pub fn admit(
        &self,
        pass: &Pass,
        raw: Vec<RawRecord>,
    ) -> Result<(Admitted, Vec<Rejection>), Refusal> {
        if let Some(buckets) = &pass.buckets {
            buckets
                .take_records(raw.len() as u64)
                .inspect_err(|refusal| self.numbers.refused(&pass.source, refusal))?;
        }
        let (admitted, rejections) = validate::admit(pass, raw, self.clock.unix_ms());
        self.numbers.rejected(&pass.stream.name, &pass.source, rejections.len());
        Ok((admitted, rejections))
    }

    /// Makes what was admitted durable. Dropping the future does not undo it.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Broken`], [`Refusal::TooLarge`], [`Refusal::Stopping`],
    /// [`Refusal::KeyReused`].
    pub async fn store(&self, admitted: Admitted) -> Result<Receipt, Refusal> {
        let (stream, source) = (admitted.stream.clone(), admitted.source.clone());
        let bytes = admitted.payload_bytes;
        match admitted.store().await {
            Ok(receipt) => {
                if !receipt.is_repeated {
                    self.numbers.accepted(&stream.name, &source, receipt.accepted, bytes);
                }
                Ok(receipt)
            }
            Err(refusal) => {
                self.numbers.refused(&source, &refusal);
                Err(refusal)
            }
        }
    }

    /// The marks of a stream whose names begin with `prefix`.
    pub fn marks(&self, stream: &str, prefix: &str) -> Vec<(String, Bytes)> {
        self.streams.get(stream).map(|stream| stream.marks(prefix)).unwrap_or_default()
    }

    /// The place of the newest record in the queue of a stream; 0 while there is none.
    pub fn last_place(&self, stream: &str) -> u64 {
        self.streams.get(stream).map_or(0, |stream| stream.last_place())
    }

    /// Why records of some stream would be refused now, one sentence per stream; empty when all
    /// is well. For readiness.
    pub fn unready(&self) -> Vec<String> {
        self.streams.values().filter_map(|stream| stream.unready()).collect()
    }
}

//! Who may hand in what: knock, get a pass; admit records; store them and get a receipt.
//!
//! Uses: base, record, queue, telemetry.
//! Always: a [`Receipt`] needs a `Durable`, an [`Admitted`] needs a [`Pass`]; a caller is known
//! before a stream is looked up.
//! Never: knows HTTP or files that are tailed.

mod knock;
mod settings;

mod callers;
mod guest;
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

use self::callers::{Caller, Callers, Ground, Proof};
use self::metrics::Numbers;
use self::rate_limit::{Buckets, Plans};
use self::store::Stream;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::queue;
use crate::record::{KeyTemplate, PARTITION_KEY_CHARS_MAX, RawRecord};
use crate::telemetry::Metrics;

pub use guest::Guest;
pub use knock::{Knock, Shown};
pub use once::{Once, check_idempotency_key};
pub use refusal::{Refusal, Rejection, SignatureFault};
pub use settings::{
    AuthSettings, PlanSettings, Settings, SigV4Settings, SignatureMode, StreamSettings,
};
pub use store::{Admitted, Receipt};
pub use validate::check_partition_key;

/// Proof of a known caller within its plan.
#[derive(Debug)]
pub struct Pass {
    source: String,
    caller: String,
    /// The auth block that knows the caller.
    block: String,
    /// What the caller still has to show; nothing is taken from it before.
    proof: Option<Box<dyn Proof>>,
    declared_bytes: Option<u64>,
    buckets: Option<Arc<Buckets>>,
    stream: Arc<Stream>,
}

impl Pass {
    /// Who it is; empty at an open door.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    fn take_declared(&self) -> Result<(), Refusal> {
        match (&self.buckets, self.declared_bytes) {
            (Some(buckets), Some(bytes)) => buckets.take_bytes(bytes),
            _ => Ok(()),
        }
    }

    /// Names of the headers that the keys of the stream's records are made from, in small letters.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.stream.partition_key.iter().flat_map(KeyTemplate::headers)
    }

    /// Largest payload of one record that the stream takes.
    pub fn max_record_bytes(&self) -> u64 {
        self.stream.max_record_bytes
    }

    /// The stream by its own name.
    pub fn stream(&self) -> &str {
        &self.stream.name
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
    callers: Callers,
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
        let known_plans = Arc::new(settings.plans.into_keys().collect());
        let ground = Ground { disk, clock: clock.clone(), plans: known_plans };
        let callers = Callers::open(&ground, settings.auth)?;
        let streams = store::streams(settings.streams, queues)?;
        let numbers = metrics.shared(Numbers::register);
        Ok(Arc::new(Self { clock, callers, plans, streams, numbers }))
    }

    /// Recognises the caller and charges its plan with the declared bytes. An open door (no auth
    /// blocks) lets everybody in, without a name and without a plan.
    ///
    /// # Errors
    /// [`Refusal`]. Only a known caller is told that a stream does not exist.
    pub async fn enter(&self, knock: &Knock<'_>) -> Result<Pass, Refusal> {
        let refused = |refusal: &Refusal| self.numbers.refused(knock.source, refusal);
        let caller = self.callers.identify(knock).await.inspect_err(refused)?;
        self.let_in(knock, caller).inspect_err(refused)
    }

    /// The way in for sources on this host: nobody is asked.
    ///
    /// # Errors
    /// [`Refusal::UnknownStream`].
    pub fn enter_openly(&self, source: &str, stream: &str) -> Result<Pass, Refusal> {
        let (auth, shown) = (&[], Shown::default());
        let knock = Knock { source, auth, stream, declared_bytes: None, shown };
        let refused = |refusal: &Refusal| self.numbers.refused(source, refusal);
        self.let_in(&knock, Caller::default()).inspect_err(refused)
    }

    fn let_in(&self, knock: &Knock<'_>, caller: Caller) -> Result<Pass, Refusal> {
        let stream = self.streams.get(knock.stream);
        let name = stream.map_or(knock.stream, |stream| &stream.name);
        if caller.streams.as_ref().is_some_and(|all| all.iter().all(|one| one != name)) {
            return Err(Refusal::NotAllowed);
        }
        let stream = stream.ok_or(Refusal::UnknownStream)?;
        let pass = Pass {
            source: knock.source.to_owned(),
            buckets: caller.plan.and_then(|plan| self.plans.buckets(&plan, &caller.name)),
            caller: caller.name,
            block: caller.block,
            declared_bytes: knock.declared_bytes,
            stream: stream.clone(),
            proof: caller.proof,
        };
        // Whoever only says to be that caller must not use up its plan.
        if pass.proof.is_none() {
            pass.take_declared()?;
        }
        Ok(pass)
    }

    /// Judges what covers the body (a signature), if this caller has to show it: the body as it
    /// came in, before anything else is done with it.
    ///
    /// # Errors
    /// [`Refusal`]; the pass is worth nothing then.
    pub fn prove(&self, pass: &mut Pass, body: &[u8]) -> Result<(), Refusal> {
        let Some(proof) = &pass.proof else { return Ok(()) };
        let judged = proof.judge(body).and_then(|()| pass.take_declared());
        judged.inspect_err(|refusal| self.numbers.refused(&pass.source, refusal))?;
        pass.proof = None;
        Ok(())
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
        // A body that nobody judged is nobody's.
        if pass.proof.is_some() {
            return Err(Refusal::UnknownCaller);
        }
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

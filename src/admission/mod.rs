//! Who may hand in what: knock, get a pass; admit records; store them and get a receipt.
//!
//! Uses: base, record, queue, sink, state, telemetry.
//! Always: a [`Receipt`] needs a `Durable`, an [`Admitted`] needs a [`Pass`]; a caller is known
//! before a stream is looked up.
//! Never: knows HTTP or files that are tailed.

mod knock;
mod settings;

mod callers;
mod guesses;
mod guest;
mod house;
mod once;
mod pass;
mod plans;
mod quota;
mod room;
mod store;
mod treatment;
mod validate;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
pub mod keys;
mod metrics;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use self::callers::Caller;
use self::guesses::Guesses;
use self::house::House;
use self::metrics::Numbers;
use self::plans::{Holder, Meter};
use self::quota::Quotas;
use self::room::Rooms;
use self::store::Stream;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::shutdown::Stopping;
use crate::queue;
use crate::record::RawRecord;
use crate::sink::Lambda;
use crate::state::Area;
use crate::telemetry::{Metrics, Tracer};

pub use callers::{Algorithm, Operators, Pattern, PeerRule, SubjectField, SubjectRule};
pub use guest::Guest;
pub use house::Renewal;
pub use knock::{AsSent, Bounds, Knock, Shown};
pub use once::{Once, check_idempotency_key};
pub use pass::Pass;
pub use quota::{Period, Quota};
pub use refusal::{Flaw, Refusal, Rejection, SignatureFault};
pub use room::Room;
pub use settings::{
    AuthKind, AuthSettings, AuthorizerSettings, AuthorizerTo, EventKind, Identity, JwtSettings,
    KeysFrom, PlanSettings, Settings, SigV4Settings, SignatureMode, StreamSettings,
};
pub use store::{Admitted, Receipt};
pub use treatment::{BadProgram, BadSchema, Outlets, Schema, Transform, Treatment, WhenWrong};
pub use validate::check_partition_key;

/// How often what was used of quotas is handed to the state store.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What the door stands on.
pub struct Below {
    /// Where keys are read.
    pub disk: SharedDisk,
    /// The time.
    pub clock: Clock,
    /// By the name of the stream.
    pub queues: BTreeMap<String, queue::Writer>,
    /// The functions that authorizers ask, by the name of their auth block.
    pub lambdas: BTreeMap<String, Lambda>,
    /// Where quotas are kept across restarts.
    pub quotas: Option<Area>,
}

impl fmt::Debug for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Below").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// The door.
#[derive(Debug)]
pub struct Admission {
    clock: Clock,
    quotas: Arc<Quotas>,
    guesses: Guesses,
    numbers: Numbers,
    rooms: Rooms,
    /// What the configuration says. Whoever is inside goes by what it was when it came in.
    house: RwLock<Arc<House>>,
}

impl Admission {
    /// Opens the door to these queues, by stream name. Reads the keys files; one that is missing
    /// holds no keys yet.
    ///
    /// # Errors
    /// In words: a keys file that is malformed or cannot be read, a plan that makes no sense, a
    /// stream without a queue.
    pub fn open(below: Below, settings: Settings, metrics: &Metrics) -> Result<Arc<Self>, String> {
        let clock = below.clock.clone();
        let quotas = Quotas::new(clock.clone(), below.quotas.clone());
        let house = House::open(below, settings, &quotas, None)?;
        let mut numbers = metrics.shared(Numbers::register);
        numbers.tracer = Tracer::of(metrics);
        let house = RwLock::new(Arc::new(house));
        let (guesses, rooms) = (Guesses::default(), Rooms::default());
        Ok(Arc::new(Self { clock, quotas, guesses, numbers, rooms, house }))
    }

    /// Prepares for another configuration: reads the keys files, changes nothing yet. Quotas, and
    /// what is left of plans that stay the same, are kept.
    ///
    /// # Errors
    /// As for [`Admission::open`].
    pub fn prepare(&self, below: Below, settings: Settings) -> Result<Renewal, String> {
        House::open(below, settings, &self.quotas, Some(&self.house())).map(Renewal)
    }

    /// Goes by another configuration from now on; whoever is inside finishes by the one before.
    pub fn renew(&self, renewal: Renewal) {
        *self.house.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewal.0);
    }

    fn house(&self) -> Arc<House> {
        self.house.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stream(&self, name: &str) -> Option<Arc<Stream>> {
        self.house().streams.get(name).cloned()
    }

    /// Recognises the caller and charges its plan with the declared bytes. An open door (no auth
    /// blocks) lets everybody in, without a name and without a plan.
    ///
    /// # Errors
    /// [`Refusal`]. Only a known caller is told that a stream does not exist.
    pub async fn enter(&self, knock: &Knock<'_>) -> Result<Pass, Refusal> {
        let refused = |refusal: &Refusal| self.numbers.refused(knock.source, refusal);
        let caller = self.meet(knock).await.inspect_err(refused)?;
        self.let_in(knock, caller).inspect_err(refused)
    }

    /// Charges the address with a request, whoever it is; then asks who.
    async fn meet(&self, knock: &Knock<'_>) -> Result<Caller, Refusal> {
        let address = self.address_meter(knock);
        address.iter().try_for_each(|meter| meter.take_request())?;
        self.identify(knock).await
    }

    fn address_meter(&self, knock: &Knock<'_>) -> Option<Arc<Meter>> {
        let (plan, address) = knock.bounds.address_plan.zip(knock.shown.address)?;
        self.house().plans.meter(plan, Holder::Address(address))
    }

    /// Who it is. An address that guesses is not listened to for a while, right or wrong: else the
    /// answer would tell when it was right.
    async fn identify(&self, knock: &Knock<'_>) -> Result<Caller, Refusal> {
        let house = self.house();
        if let Some((address, _)) = knock.guesser() {
            self.guesses.check(knock.source, address)?;
        }
        house.callers.identify(knock).await.map_err(|no| {
            if no.is_guess {
                self.guessed(knock.source, knock.guesser());
            }
            no.refusal
        })
    }

    /// The way in for sources on this host: nobody is asked.
    ///
    /// # Errors
    /// [`Refusal::UnknownStream`].
    pub fn enter_openly(&self, source: &str, stream: &str) -> Result<Pass, Refusal> {
        let (auth, shown) = (&[], Shown::default());
        let bounds = Bounds::default();
        let knock = Knock { source, auth, bounds, stream, declared_bytes: None, shown };
        let refused = |refusal: &Refusal| self.numbers.refused(source, refusal);
        self.let_in(&knock, Caller::default()).inspect_err(refused)
    }

    fn let_in(&self, knock: &Knock<'_>, caller: Caller) -> Result<Pass, Refusal> {
        let house = self.house();
        let (stream, withheld) = match (house.stream_for(knock.stream, &caller), &caller.proof) {
            (Ok(stream), _) => (stream, None),
            // Any stream will do: nothing gets as far as that.
            (Err(refusal), Some(_)) => match house.streams.values().next() {
                Some(any) => (any, Some(refusal)),
                None => return Err(refusal),
            },
            (Err(refusal), None) => return Err(refusal),
        };
        let pass = Pass {
            source: knock.source.into(),
            address: self.address_meter(knock),
            meters: house.meters(knock, &caller, Some(stream)),
            caller: caller.name.into(),
            block: caller.block,
            guesser: knock.guesser(),
            declared_bytes: knock.declared_bytes,
            stream: stream.clone(),
            route: None,
            may_repeat: false,
            proof: caller.proof,
            withheld,
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
        let refused = |refusal: &Refusal| self.numbers.refused(&pass.source, refusal);
        let judged = proof.judge(body).inspect_err(|_| self.guessed(&pass.source, pass.guesser));
        let told = judged.and_then(|()| pass.withheld.clone().map_or(Ok(()), Err));
        told.and_then(|()| pass.take_declared()).inspect_err(refused)?;
        pass.proof = None;
        Ok(())
    }

    /// Charges bytes that were not declared.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`].
    pub fn charge_bytes(&self, pass: &Pass, bytes: u64) -> Result<(), Refusal> {
        let taken = pass.take(|meter| meter.take_bytes(bytes));
        taken.inspect_err(|refusal| self.numbers.refused(&pass.source, refusal))
    }

    /// Waits for room to look into records, of which the largest has so many bytes, and keeps it
    /// until it is dropped: whoever has them looked into away from the async threads, where as many
    /// are at work as there are cores, takes it first.
    pub async fn room(&self, bytes: u64) -> Room {
        self.rooms.take(bytes).await
    }

    /// Checks, keys and encodes records. What is wrong comes back; the caller decides about the
    /// rest. The plan is charged for all of them, also for those that are wrong.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::OverBurst`] by the plan's records; [`Refusal::OverQuota`],
    /// which a hand-in with a key meets when it is stored.
    pub fn admit(
        &self,
        pass: &Pass,
        raw: impl AsRef<[RawRecord]>,
    ) -> Result<(Admitted, Vec<Rejection>), Refusal> {
        let raw = raw.as_ref();
        // A body that nobody judged is nobody's.
        if pass.proof.is_some() {
            return Err(Refusal::UnknownCaller);
        }
        let refused = |refusal: &Refusal| self.numbers.refused(&pass.source, refusal);
        let count = raw.len() as u64;
        pass.take(|meter| meter.take_records(count)).inspect_err(refused)?;
        let (mut admitted, rejections) =
            validate::admit(pass, &self.house().streams, raw, self.clock.unix_ms());
        admitted.book(pass).inspect_err(refused)?;
        self.numbers.rejected(&pass.stream.name, &pass.source, rejections.len());
        Ok((admitted, rejections))
    }

    /// Makes what was admitted durable. Dropping the future does not undo it.
    ///
    /// # Errors
    /// [`Refusal::Full`], [`Refusal::Broken`], [`Refusal::TooLarge`], [`Refusal::Stopping`],
    /// [`Refusal::KeyReused`], [`Refusal::OverQuota`].
    pub async fn store(&self, mut admitted: Admitted) -> Result<Receipt, Refusal> {
        let stored = admitted.store(&self.numbers, self.clock.unix_ms()).await;
        stored.inspect_err(|refusal| self.numbers.refused(admitted.source(), refusal))
    }

    /// Records that transforms of a stream, or of routes to it, dropped since the start.
    pub fn dropped(&self, stream: &str) -> u64 {
        self.stream(stream).map_or(0, |stream| stream.dropped())
    }

    /// Hands what was used of quotas to the state store, about once a second and once more when
    /// asked to stop.
    pub async fn keep_quotas(self: Arc<Self>, mut stopping: Stopping) -> Result<(), String> {
        loop {
            let is_over = timeout(SAVE_EVERY, stopping.asked()).await.is_ok();
            self.quotas.save();
            if is_over {
                return Ok(());
            }
        }
    }

    /// The same at once, when nothing will be stored any more.
    pub fn save_quotas(&self) {
        self.quotas.save();
    }

    /// The marks of a stream whose names begin with `prefix`.
    pub fn marks(&self, stream: &str, prefix: &str) -> Vec<(String, Bytes)> {
        self.stream(stream).map(|stream| stream.marks(prefix)).unwrap_or_default()
    }

    /// The place of the newest record in the queue of a stream; 0 while there is none.
    pub fn last_place(&self, stream: &str) -> u64 {
        self.stream(stream).map_or(0, |stream| stream.last_place())
    }

    /// The place up to which every destination of a stream is done with all records.
    pub fn settled_place(&self, stream: &str) -> u64 {
        self.stream(stream).map_or(0, |stream| stream.settled_place())
    }

    /// Why records of some stream would be refused now, one sentence per stream; empty when all
    /// is well. For readiness.
    pub fn unready(&self) -> Vec<String> {
        self.house().streams.values().filter_map(|stream| stream.unready()).collect()
    }
}

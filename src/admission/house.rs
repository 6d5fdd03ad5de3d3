//! What the configuration says of who comes in and of what: exchanged as a whole when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::callers::{Caller, Callers, Ground};
use super::plans::{Holder, Meter, Plans};
use super::quota::Quotas;
use super::store::{self, Stream};
use super::treatment::Treatment;
use super::{Below, Knock, Refusal, Settings};

/// Callers, plans and streams.
#[derive(Debug)]
pub(super) struct House {
    pub(super) callers: Callers,
    pub(super) plans: Plans,
    /// By their names and aliases.
    pub(super) streams: BTreeMap<String, Arc<Stream>>,
    /// The largest record of those streams that look into theirs.
    pub(super) looked_into_bytes: Option<u64>,
}

/// Another configuration, whole and ready, that [`super::Admission::renew`] takes over.
#[derive(Debug)]
pub struct Renewal(pub(super) House);

impl House {
    /// What is counted goes on from the house `before`, where it is about the same thing.
    pub(super) fn open(
        below: Below,
        settings: Settings,
        quotas: &Arc<Quotas>,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let Below { disk, clock, queues, lambdas, quotas: _ } = below;
        let plans = Plans::new(&settings.plans, quotas, before.map(|house| &house.plans))?;
        let known_plans = Arc::new(settings.plans.into_keys().collect());
        let ground = Ground { disk, clock, plans: known_plans };
        let callers = Callers::open(&ground, settings.auth, lambdas)?;
        let streams = store::streams(settings.streams, queues, before.map(|house| &house.streams))?;
        let treated = streams.values().filter(|stream| stream.treatment != Treatment::default());
        let looked_into_bytes = treated.map(|stream| stream.max_record_bytes).max();
        Ok(Self { callers, plans, streams, looked_into_bytes })
    }

    /// The stream of a name, if this caller may hand in to it.
    pub(super) fn stream_for(&self, name: &str, caller: &Caller) -> Result<&Arc<Stream>, Refusal> {
        let stream = self.streams.get(name);
        let name = stream.map_or(name, |stream| &stream.name);
        if caller.streams.as_ref().is_some_and(|all| all.iter().all(|one| one != name)) {
            return Err(Refusal::NotAllowed);
        }
        stream.ok_or(Refusal::UnknownStream)
    }

    /// What holds a caller, in the order in which it is asked: the narrowest first.
    pub(super) fn meters(
        &self,
        knock: &Knock<'_>,
        caller: &Caller,
        stream: Option<&Arc<Stream>>,
    ) -> Vec<Arc<Meter>> {
        let bounds = knock.bounds;
        let own = Holder::Caller { block: &caller.block, name: &caller.name };
        let held = [
            caller.plan.as_deref().map(|plan| (plan, own)),
            bounds.plan.map(|(plan, name)| (plan, Holder::Listener(name))),
            stream.and_then(|stream| Some((stream.plan.as_deref()?, Holder::Stream(&stream.name)))),
        ];
        held.into_iter()
            .flatten()
            .filter_map(|(plan, holder)| self.plans.meter(plan, holder))
            .collect()
    }
}

//! Every part, in order, once: from the configuration to parts that are ready to run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};

use tracing::{info, warn};

use super::feeders::{Deliveries, Fed};
use super::reloads::Reloads;
use super::state_dir::{Addresses, StateDir, StateDirError};
use super::status::{Picture, Present, TailWatch};
use super::{StartError, queue_keys};
use crate::admin;
use crate::admission::{self, Admission, AuthKind, AuthorizerTo};
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::tasks::blocking;
use crate::config::{Config, Stream};
use crate::delivery::Uplink;
use crate::queue::{self, Writer};
use crate::sink::Lambda;
use crate::source::http;
use crate::source::stdin::Stdin;
use crate::source::tail::{self, Tail};
use crate::state::State;
use crate::telemetry::Metrics;

/// What every part is built with.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) disk: SharedDisk,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
}

/// The agent, every part in place, none running.
pub(super) struct Parts {
    pub(super) state_dir: StateDir,
    pub(super) state: State,
    pub(super) picture: Arc<Picture>,
    pub(super) admission: Arc<Admission>,
    pub(super) listeners: Vec<(String, http::Bound)>,
    pub(super) tails: Vec<(String, Tail)>,
    pub(super) stdin: Option<Stdin>,
    pub(super) deliveries: Deliveries,
    pub(super) uplink: Uplink,
    /// By destination.
    pub(super) fed: BTreeMap<String, Fed>,
    pub(super) admin: admin::Bound,
    pub(super) addresses: Addresses,
}

/// Builds every part, from the ground up. Nothing is accepted yet.
///
/// # Errors
/// [`StartError`]; what was opened is closed again.
pub(super) async fn assemble(config: &Config, ground: &Ground) -> Result<Parts, StartError> {
    let state_dir = open_state_dir(config, ground).await?;
    let state = open_state(config, ground).await;
    let mut queues = BTreeMap::new();
    for (name, stream) in &config.streams {
        queues.insert(name.clone(), open_queue(stream, ground).await?);
    }
    let (deliveries, uplink) = (Deliveries::new(&state, ground), Uplink::new(&config.uplink));
    let (mut fed, mut present) = (BTreeMap::new(), Present::default());
    for destination in config.used_destinations() {
        let connected = deliveries.connect(config, destination).await?;
        let workers = deliveries.employ(connected, &queues, &uplink).await?;
        present.see(&workers);
        fed.insert(destination.to_owned(), workers);
    }
    let below = below(config, &queues, &state, ground).await?;
    let admission = Admission::open(below, config.admission.clone(), &ground.metrics)
        .map_err(StartError::Setting)?;

    let mut tails = Vec::new();
    for settings in &config.tail {
        let (tail, watch) = tail(config, settings, ground, &admission, &state);
        present.tails.insert(settings.name.clone(), (settings.stream.clone(), watch));
        tails.push((settings.name.clone(), tail));
    }
    let stdin = config.stdin.as_ref().map(|settings| {
        let (disk, clock) = (ground.disk.clone(), ground.clock.clone());
        Stdin::new(settings, disk, clock, admission.clone(), &ground.metrics)
    });
    let mut listeners = Vec::new();
    let mut addresses = Addresses { pid: std::process::id(), ..Addresses::default() };
    for settings in &config.http {
        let bound = bind(settings, ground, &deliveries).await?;
        addresses.http.insert(settings.name.clone(), bound.addresses());
        listeners.push((settings.name.clone(), bound));
    }
    let (disk, clock) = (ground.disk.clone(), ground.clock.clone());
    let admin = admin::bind(config.admin.clone(), disk, clock).await.map_err(|why| match why {
        admin::Unopened::Listen(error) => StartError::Listen(error),
        admin::Unopened::Keys(words) => StartError::Setting(words),
    })?;
    addresses.admin = admin.address().to_string();

    present.reloads = Reloads::new(&ground.clock, &ground.metrics);
    let picture = Arc::new(Picture {
        clock: ground.clock.clone(),
        started_unix_ms: ground.clock.unix_ms(),
        admission: admission.clone(),
        state: state.clone(),
        stopping: AtomicBool::new(false),
        present: RwLock::new(Present { queues, ..present }),
    });
    Ok(Parts {
        state_dir,
        state,
        picture,
        admission,
        listeners,
        tails,
        stdin,
        deliveries,
        uplink,
        fed,
        admin,
        addresses,
    })
}

/// Binds the sockets of a listener.
pub(super) async fn bind(
    settings: &http::Settings,
    ground: &Ground,
    deliveries: &Deliveries,
) -> Result<http::Bound, StartError> {
    let bound = http::bind(ground.disk.clone(), settings.clone()).await;
    Ok(bound.map_err(StartError::Listen)?.with_shards(deliveries.shards()))
}

/// A tail, and the look at its files.
pub(super) fn tail(
    config: &Config,
    settings: &tail::Settings,
    ground: &Ground,
    admission: &Arc<Admission>,
    state: &State,
) -> (Tail, TailWatch) {
    let settings = tail::Settings { is_once: config.is_once, ..settings.clone() };
    let below = tail::Ground {
        disk: ground.disk.clone(),
        clock: ground.clock.clone(),
        admission: admission.clone(),
        registry: state.tail(),
    };
    let tail = Tail::new(settings, below, &ground.metrics);
    let watch = tail.watch();
    (tail, watch)
}

/// Takes the state directory; what lies there and is not configured any more is named, not touched.
async fn open_state_dir(config: &Config, ground: &Ground) -> Result<StateDir, StartError> {
    let (disk, path) = (ground.disk.clone(), config.state_dir.clone());
    let streams: BTreeSet<String> = config.streams.keys().cloned().collect();
    let (state_dir, left) = blocking(move || {
        let state_dir = StateDir::open(disk, &path)?;
        let left = state_dir.left_queues(|name| streams.contains(name));
        Ok::<_, StateDirError>((state_dir, left))
    })
    .await?;
    for stream in left {
        warn!(
            stream,
            "a queue is here whose stream is not configured any more; what waits in it is kept, \
             but goes nowhere until the stream is back"
        );
    }
    Ok(state_dir)
}

/// Opens the small keyed state; nothing that may be wrong with it keeps the agent from starting.
async fn open_state(config: &Config, ground: &Ground) -> State {
    let (ground, path) = (ground.clone(), config.state_dir.clone());
    blocking(move || State::open(ground.disk, ground.clock, &path, &ground.metrics)).await
}

/// Opens the queue of a stream, with a cursor for each of its destinations.
pub(super) async fn open_queue(stream: &Stream, ground: &Ground) -> Result<Writer, StartError> {
    let destinations: Vec<String> =
        stream.delivery.iter().map(|delivery| delivery.destination.clone()).collect();
    let (mut settings, ground) = (stream.queue.clone(), ground.clone());
    settings.keys = queue_keys::ready(stream, &ground.disk, &ground.clock).await?;
    if let Some(key) = settings.keys.current() {
        info!(stream = settings.stream, key = %key.id(), "what the queue writes is sealed");
    }
    let opened =
        blocking(move || queue::open(ground.disk, settings, &destinations, &ground.metrics));
    // Workers take their readers when they start.
    Ok(opened.await?.writer)
}

/// What admission stands on.
pub(super) async fn below(
    config: &Config,
    queues: &BTreeMap<String, Writer>,
    state: &State,
    ground: &Ground,
) -> Result<admission::Below, StartError> {
    Ok(admission::Below {
        disk: ground.disk.clone(),
        clock: ground.clock.clone(),
        queues: queues.clone(),
        lambdas: lambdas(config).await?,
        quotas: Some(state.quota()),
    })
}

/// The functions that authorizers ask.
pub(super) async fn lambdas(config: &Config) -> Result<BTreeMap<String, Lambda>, StartError> {
    let mut lambdas = BTreeMap::new();
    for (name, auth) in &config.admission.auth {
        let AuthKind::Authorizer(asked) = &auth.kind else { continue };
        let AuthorizerTo::Lambda(settings) = &asked.to else { continue };
        let lambda = Lambda::connect(settings).await;
        let lambda = lambda.map_err(|why| StartError::Setting(format!("auth `{name}`: {why}")))?;
        lambdas.insert(name.clone(), lambda);
    }
    Ok(lambdas)
}

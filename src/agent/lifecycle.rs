//! The life of the process: start order and stop order, as lists one can read aloud.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::assemble::{Ground, Parts, assemble};
use super::crew::{Crew, Group};
use super::emf::Emf;
use super::ending::{End, Ending, Patience, drained};
use super::feeders::{Deliveries, Fed};
use super::reload::{Next, Reread, Watcher};
use super::signals::{Signal, Signals};
use super::state_dir::Addresses;
use super::status::Picture;
use super::supervisor::{self, Watchdog};
use super::traces::Exporter;
use super::{StartError, letters, replay};
use crate::admin::{self, Views};
use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::tasks::{Tasks, blocking};
use crate::config::Config;
use crate::delivery::Uplink;
use crate::source::http::{self, Hatch};
use crate::source::tail::Tail;
use crate::state::State;
use crate::telemetry::{Metrics, Tracer};

/// Longest time for sources to finish what they are doing once they are asked to stop; a little
/// more than the listeners give their requests, so that these end in order.
const SOURCES_GRACE: Duration = Duration::from_secs(11);
/// Longest time for requests to an upstream that are under way when the grace ends.
const REQUESTS_GRACE: Duration = Duration::from_secs(5);

/// Runs the agent until a signal asks it to stop, or until everything was read and delivered, if
/// that is what it is for. `announce` is called once it is ready.
///
/// # Errors
/// [`StartError`], when it did not even start.
pub async fn run(
    config: Config,
    disk: SharedDisk,
    reread: Option<Reread>,
    announce: impl FnOnce(&Addresses),
) -> Result<Ending, StartError> {
    let mut signals = Signals::listen().map_err(|error| StartError::Setting(error.to_string()))?;
    let ground = Ground { disk, clock: Clock::real(), metrics: Metrics::default() };
    let mut watcher = Watcher::new(reread.as_ref(), config.reload_on_change);
    let parts = assemble(&config, &ground).await?;
    let addresses = parts.addresses.clone();
    let mut running = Running::start(parts, config, ground)?;
    announce(&addresses);
    supervisor::ready();

    let end = running.live(&mut signals, &mut watcher, reread.as_ref()).await;
    if let End::AskedTwice(signal) = end {
        running.cut_off(signal);
    }
    let patience = end.patience(running.config.grace);
    supervisor::stopping();
    let waiting = running.stop(patience, &mut signals).await;
    Ok(end.told(waiting))
}

/// The agent at work: three storeys of tasks that stop one after the other.
pub(super) struct Running {
    /// What it goes by.
    pub(super) config: Config,
    pub(super) ground: Ground,
    pub(super) state_dir: super::StateDir,
    pub(super) addresses: Addresses,
    pub(super) state: State,
    pub(super) picture: Arc<Picture>,
    pub(super) admission: Arc<Admission>,
    pub(super) deliveries: Deliveries,
    pub(super) uplink: Uplink,
    /// Sources that come to an end by themselves.
    inputs: Group,
    /// `http.NAME`, `tail.NAME`, and what belongs to all of them.
    pub(super) sources: Crew,
    /// Where what listeners do is exchanged.
    pub(super) hatches: BTreeMap<String, Hatch>,
    /// By destination.
    pub(super) feeding: Crew,
    admin: Group,
}

impl Running {
    /// Word of where it listens, while a failure still means that nothing was accepted; then
    /// delivery, the operator's door, the sources.
    fn start(parts: Parts, config: Config, ground: Ground) -> Result<Self, StartError> {
        parts.state_dir.publish(&parts.addresses).map_err(|error| {
            let words = format!("addresses.json cannot be written: {error}");
            StartError::Disk(io::Error::new(error.kind(), words))
        })?;
        let views = views(&parts.picture, &config, &ground);
        let mut running = Self {
            config,
            ground,
            state_dir: parts.state_dir,
            addresses: parts.addresses,
            state: parts.state,
            picture: parts.picture,
            admission: parts.admission,
            deliveries: parts.deliveries,
            uplink: parts.uplink,
            inputs: Group::new(),
            sources: Crew::default(),
            hatches: BTreeMap::new(),
            feeding: Crew::default(),
            admin: Group::new(),
        };
        for (destination, fed) in parts.fed {
            running.feed(&destination, fed);
        }
        running.open_desk(parts.admin, views);
        running.tell_elsewhere()?;
        if let Some(stdin) = parts.stdin {
            let stopping = running.inputs.stopping();
            running.inputs.tasks.spawn("stdin", stdin.run(tokio::io::stdin(), stopping));
        }
        for (name, tail) in parts.tails {
            running.follow(&name, tail);
        }
        for (name, bound) in parts.listeners {
            running.serve(&name, bound);
        }
        let quotas = running.sources.group("quotas");
        let stopping = quotas.stopping();
        quotas.tasks.spawn("quotas", running.admission.clone().keep_quotas(stopping));
        info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "ready");
        Ok(running)
    }

    fn open_desk(&mut self, desk: admin::Bound, views: Views) {
        let stopping = self.admin.stopping();
        let metrics = self.ground.metrics.clone();
        self.admin.tasks.spawn("admin", desk.serve(views, metrics, stopping.clone()));
        if let Some(watchdog) = Watchdog::asked_for(&self.picture) {
            self.admin.tasks.spawn("watchdog", watchdog.run(stopping));
        }
    }

    /// Traces and lines for CloudWatch, where they are asked for. They end last, as they tell of all
    /// others.
    fn tell_elsewhere(&mut self) -> Result<(), StartError> {
        if let Some(settings) = &self.config.traces {
            let tracer = Tracer::of(&self.ground.metrics);
            let exporter = Exporter::new(settings, tracer, self.ground.disk.clone());
            if let Some(exporter) = exporter.map_err(StartError::Setting)? {
                let stopping = self.admin.stopping();
                self.admin.tasks.spawn("traces", exporter.run(stopping));
            }
        }
        if let Some(settings) = self.config.emf.clone() {
            let emf = Emf::new(settings, self.picture.clone(), &self.ground.metrics);
            let (emf, stopping) = (emf.map_err(StartError::Disk)?, self.admin.stopping());
            self.admin.tasks.spawn("emf", emf.run(stopping));
        }
        Ok(())
    }

    /// Starts the workers of a destination.
    pub(super) fn feed(&mut self, destination: &str, fed: Fed) {
        let group = self.feeding.group(destination);
        let stopping = group.stopping();
        for feeder in fed.workers {
            feeder(&mut group.tasks, stopping.clone());
        }
    }

    /// Starts following the files of a block.
    pub(super) fn follow(&mut self, name: &str, tail: Tail) {
        let name = format!("tail.{name}");
        let group = match self.config.is_once {
            true => &mut self.inputs,
            false => self.sources.group(&name),
        };
        let stopping = group.stopping();
        group.tasks.spawn(name, tail.run(stopping));
    }

    /// Starts serving at a listener.
    pub(super) fn serve(&mut self, name: &str, bound: http::Bound) {
        self.hatches.insert(name.to_owned(), bound.hatch());
        let (door, metrics) = (self.admission.clone(), self.ground.metrics.clone());
        let (addresses, picture) = (bound.addresses().join(" "), self.picture.clone());
        let bound = bound.with_readiness(Arc::new(move || picture.unready()));
        let group = self.sources.group(&format!("http.{name}"));
        let stopping = group.stopping();
        group.tasks.spawn(addresses, bound.serve(door, metrics, stopping));
    }

    /// Lives until there is a reason to stop; takes over other configurations meanwhile.
    async fn live(
        &mut self,
        signals: &mut Signals,
        watcher: &mut Watcher,
        reread: Option<&Reread>,
    ) -> End {
        loop {
            let why = tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Reload => {
                        watcher.pass_over().await;
                        "SIGHUP"
                    }
                    Signal::Stop(signal) => return End::asked(signal),
                },
                () = watcher.changed() => "the file changed",
                end = self.end() => return end,
            };
            let next = tokio::select! {
                next = self.prepare_reload(reread, why) => next,
                signal = signals.stop() => return End::asked(signal),
            };
            let Some(next) = next else { continue };
            if let Some(end) = self.exchange(next, signals).await {
                return end;
            }
        }
    }

    /// Goes by another configuration, and gives back why the agent stops then, if it does. What is half
    /// exchanged would cut off requests and deliver no more, so who asks to stop meanwhile waits for the
    /// other half, which has an end; who asks twice does not.
    async fn exchange(&mut self, next: Next, signals: &mut Signals) -> Option<End> {
        let mut asked = None;
        let mut going = pin!(self.go_by(next));
        loop {
            tokio::select! {
                done = &mut going => return match done {
                    Err(failed) => Some(End::failed(failed)),
                    Ok(()) => asked,
                },
                signal = signals.stop() => match asked {
                    None => asked = Some(End::asked(signal)),
                    Some(_) => return Some(End::AskedTwice(signal)),
                },
            }
        }
    }

    /// Returns when a task ends that should run for ever, or when all inputs came to their end.
    async fn end(&mut self) -> End {
        let failed = tokio::select! {
            read = self.inputs.end() => match read {
                Ok(()) => {
                    info!("everything was read; delivering what waits");
                    return End::Read;
                }
                Err(failed) => failed,
            },
            failed = self.sources.failure() => failed,
            failed = self.feeding.failure() => failed,
            failed = self.admin.failure() => failed,
        };
        End::failed(failed)
    }

    /// Unready; wind down, unless a second signal cuts that short; save; close the door.
    async fn stop(mut self, patience: Patience, signals: &mut Signals) -> u64 {
        self.picture.stopping.store(true, Ordering::Relaxed);
        self.state_dir.withdraw();

        tokio::select! {
            () = self.wind_down(patience) => {}
            signal = signals.stop() => self.cut_off(signal),
        }
        self.save().await;
        tokio::select! {
            () = self.admin.finish("admin", Instant::now() + REQUESTS_GRACE) => {}
            signal = signals.stop() => self.cut_off(signal),
        }

        let (waiting, queues) = self.picture.waiting();
        info!(waiting, queues, "stopped; {waiting} records wait on disk");
        waiting
    }

    /// Not cut short: it takes no longer than the disk, and saves duplicates.
    async fn save(&self) {
        for (stream, queue) in &self.picture.queues() {
            if let Err(why) = queue.close().await {
                warn!(stream, why, "the queue was not closed cleanly; some records may go again");
            }
        }
        // Last of what is saved: everybody above may have learned something while stopping.
        self.admission.save_quotas();
        let state = self.state.clone();
        blocking(move || state.close()).await;
    }

    /// No more records in; deliver until there are none, or patience ends.
    async fn wind_down(&mut self, patience: Patience) {
        let sources_end = Instant::now() + SOURCES_GRACE;
        let sources_end = match patience {
            Patience::Until(end) => sources_end.min(end),
            Patience::WhileItMoves(_) => sources_end,
        };
        self.inputs.finish("inputs", sources_end).await;
        self.sources.finish(sources_end).await;
        tokio::select! {
            () = drained(&self.picture, patience) => {}
            _ = self.feeding.failure() => {}
        }
        self.feeding.finish(Instant::now() + REQUESTS_GRACE).await;
    }

    /// Lets go of whatever is still under way: requests to upstreams, callers, the operator.
    fn cut_off(&mut self, signal: &str) {
        warn!(signal, "stopping at once; requests under way are cut off and may go again");
        for group in [&mut self.inputs, &mut self.admin] {
            group.tasks = Tasks::new();
        }
        self.sources.cut_off();
        self.feeding.cut_off();
    }
}

fn views(picture: &Arc<Picture>, config: &Config, ground: &Ground) -> Views {
    let (drawn, judged, queues) = (picture.clone(), picture.clone(), picture.clone());
    let watched = picture.clone();
    let (disk, shelves) = (ground.disk.clone(), config.dead_letters.clone());
    let (shown, removed) = (letters::Room::new(ground, config), letters::Room::new(ground, config));
    Views {
        status: Arc::new(move || drawn.draw()),
        unready: Arc::new(move || judged.unready()),
        held: Arc::new(move || watched.held()),
        letters: Arc::new(move |asked, content| Box::pin(shown.clone().list(asked, content))),
        replay: Arc::new(move |filter| {
            Box::pin(replay::answer(queues.clone(), disk.clone(), shelves.clone(), filter))
        }),
        purge: Arc::new(move |filter| Box::pin(removed.clone().purge(filter))),
    }
}

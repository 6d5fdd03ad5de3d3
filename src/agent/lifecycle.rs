//! The life of the process: start order and stop order, as lists one can read aloud.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::assemble::{Ground, Parts, assemble};
use super::feeders::Feeder;
use super::signals::Signals;
use super::state_dir::Addresses;
use super::status::Picture;
use super::supervisor::{self, Watchdog};
use super::{StartError, letters, replay};
use crate::admin::Views;
use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::shutdown::{self, Stop};
use crate::base::tasks::{Failed, Tasks, blocking};
use crate::config::Config;
use crate::state::State;
use crate::telemetry::Metrics;

/// How a run ended that had started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As asked.
    Asked {
        /// Records that still wait on disk.
        waiting: u64,
    },
    /// Everything there was to read was read.
    Read {
        /// Records that still wait on disk, because nothing was delivered for as long as the grace.
        waiting: u64,
    },
    /// A part failed that must not.
    Failed(Failed),
}

/// Longest time for sources to finish what they are doing once they are asked to stop; a little
/// more than the listeners give their requests, so that these end in order.
const SOURCES_GRACE: Duration = Duration::from_secs(11);
/// Longest time for requests to an upstream that are under way when the grace ends.
const REQUESTS_GRACE: Duration = Duration::from_secs(5);
/// How often the books are looked at while draining.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// Runs the agent until a signal asks it to stop, or until everything was read and delivered, if
/// that is what it is for. `announce` is called once it is ready.
///
/// # Errors
/// [`StartError`], when it did not even start.
pub async fn run(
    config: Config,
    disk: SharedDisk,
    announce: impl FnOnce(&Addresses),
) -> Result<Ending, StartError> {
    let mut signals = Signals::listen().map_err(|error| StartError::Setting(error.to_string()))?;
    let ground = Ground { disk, clock: Clock::real(), metrics: Metrics::default() };
    let parts = assemble(&config, &ground).await?;
    let addresses = parts.addresses.clone();
    let mut running = Running::start(parts, &config, &ground)?;
    announce(&addresses);
    supervisor::ready();

    let end = tokio::select! {
        signal = signals.next() => {
            info!(signal, "stopping");
            End::Asked
        }
        end = running.end() => end,
    };
    let patience = match end {
        End::Read => Patience::WhileItMoves(config.grace),
        End::Asked | End::Failed(_) => Patience::Until(Instant::now() + config.grace),
    };
    supervisor::stopping();
    let waiting = running.stop(patience, &mut signals).await;
    Ok(match end {
        End::Asked => Ending::Asked { waiting },
        End::Read => Ending::Read { waiting },
        End::Failed(failed) => Ending::Failed(failed),
    })
}

/// Why the agent stops.
enum End {
    Asked,
    Read,
    Failed(Failed),
}

/// How long delivery may go on.
#[derive(Clone, Copy)]
enum Patience {
    Until(Instant),
    /// Until nothing was delivered for so long.
    WhileItMoves(Duration),
}

/// The agent at work: three groups of tasks that stop one after the other.
struct Running {
    state_dir: super::StateDir,
    state: State,
    picture: Arc<Picture>,
    admission: Arc<Admission>,
    /// Sources that come to an end by themselves.
    inputs: Group,
    sources: Group,
    delivery: Group,
    admin: Group,
}

/// Tasks that are asked to stop together.
struct Group {
    tasks: Tasks,
    stop: Stop,
}

impl Running {
    /// Word of where it listens, while a failure still means that nothing was accepted; then
    /// delivery, the operator's door, the sources.
    fn start(parts: Parts, config: &Config, ground: &Ground) -> Result<Self, StartError> {
        parts.state_dir.publish(&parts.addresses).map_err(|error| {
            let words = format!("addresses.json cannot be written: {error}");
            StartError::Disk(io::Error::new(error.kind(), words))
        })?;
        let delivery = start_delivery(parts.workers);
        let views = views(&parts.picture, config, ground);
        let (mut admin, stopping) = Group::new();
        admin
            .tasks
            .spawn("admin", parts.admin.serve(views, ground.metrics.clone(), stopping.clone()));

        if let Some(watchdog) = Watchdog::asked_for(&parts.picture) {
            admin.tasks.spawn("watchdog", watchdog.run(stopping));
        }

        let (mut inputs, inputs_stopping) = Group::new();
        let (mut sources, stopping) = Group::new();
        if let Some(stdin) = parts.stdin {
            inputs.tasks.spawn("stdin", stdin.run(tokio::io::stdin(), inputs_stopping.clone()));
        }
        for (name, tail) in parts.tails {
            let (group, stopping) = match config.is_once {
                true => (&mut inputs, &inputs_stopping),
                false => (&mut sources, &stopping),
            };
            group.tasks.spawn(format!("tail.{name}"), tail.run(stopping.clone()));
        }
        for listener in parts.listeners {
            let (door, metrics) = (parts.admission.clone(), ground.metrics.clone());
            let name = listener.addresses().join(" ");
            let picture = parts.picture.clone();
            let listener = listener.with_readiness(Arc::new(move || picture.unready()));
            sources.tasks.spawn(name, listener.serve(door, metrics, stopping.clone()));
        }
        let admission = parts.admission;
        sources.tasks.spawn("quotas", admission.clone().keep_quotas(stopping));
        info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "ready");
        let (state_dir, state, picture) = (parts.state_dir, parts.state, parts.picture);
        Ok(Self { state_dir, state, picture, admission, inputs, sources, delivery, admin })
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
            failed = self.delivery.failure() => failed,
            failed = self.admin.failure() => failed,
        };
        error!(task = failed.task, why = failed.why, "stopping, as a part of the agent failed");
        End::Failed(failed)
    }

    /// Unready; wind down, unless a second signal cuts that short; save; close the door.
    async fn stop(mut self, patience: Patience, signals: &mut Signals) -> u64 {
        self.picture.stopping.store(true, Ordering::Relaxed);
        self.state_dir.withdraw();

        tokio::select! {
            () = self.wind_down(patience) => {}
            signal = signals.next() => self.cut_off(signal),
        }
        self.save().await;
        tokio::select! {
            () = self.admin.finish("admin", Instant::now() + REQUESTS_GRACE) => {}
            signal = signals.next() => self.cut_off(signal),
        }

        let (waiting, queues) = self.picture.waiting();
        info!(waiting, queues, "stopped; {waiting} records wait on disk");
        waiting
    }

    /// Not cut short: it takes no longer than the disk, and saves duplicates.
    async fn save(&self) {
        for (stream, queue) in &self.picture.queues {
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
        self.sources.finish("sources", sources_end).await;
        tokio::select! {
            () = drained(&self.picture, patience) => {}
            _ = self.delivery.failure() => {}
        }
        self.delivery.finish("delivery", Instant::now() + REQUESTS_GRACE).await;
    }

    /// Lets go of whatever is still under way: requests to upstreams, callers, the operator.
    fn cut_off(&mut self, signal: &str) {
        warn!(signal, "stopping at once; requests under way are cut off and may go again");
        for group in [&mut self.inputs, &mut self.sources, &mut self.delivery, &mut self.admin] {
            group.tasks = Tasks::new();
        }
    }
}

impl Group {
    fn new() -> (Self, shutdown::Stopping) {
        let (stop, stopping) = shutdown::channel();
        (Self { tasks: Tasks::new(), stop }, stopping)
    }

    /// An end of any of these tasks is a failure as long as nobody asked; none at all is not.
    async fn failure(&mut self) -> Failed {
        match self.tasks.next_end().await {
            Some(Err(failed)) => failed,
            Some(Ok(task)) => Failed { task, why: "it ended by itself".into() },
            None => std::future::pending().await,
        }
    }

    /// The end of all of them, or the first failure; never, if there are none.
    async fn end(&mut self) -> Result<(), Failed> {
        let first = self.tasks.next_end().await;
        match first {
            Some(first) => first?,
            None => return std::future::pending().await,
        };
        self.tasks.finish().await
    }

    async fn finish(&mut self, what: &str, until: Instant) {
        self.stop.ask();
        match timeout_at(until, self.tasks.finish()).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => {
                error!(task = failed.task, why = failed.why, "failed while stopping")
            }
            Err(_) => warn!(what, "did not stop in time and were cut off"),
        }
        self.tasks = Tasks::new();
    }
}

fn start_delivery(workers: Vec<Feeder>) -> Group {
    let (mut delivery, stopping) = Group::new();
    for feeder in workers {
        feeder(&mut delivery.tasks, stopping.clone());
    }
    delivery
}

/// Returns when nothing waits any more, or patience has ended.
async fn drained(picture: &Picture, patience: Patience) {
    let (mut waiting, mut moved) = (picture.waiting().0, Instant::now());
    while waiting > 0 {
        let end = match patience {
            Patience::Until(end) => end,
            Patience::WhileItMoves(grace) => moved + grace,
        };
        if Instant::now() >= end {
            return;
        }
        sleep(DRAIN_LOOK).await;
        let now = picture.waiting().0;
        if now < waiting {
            moved = Instant::now();
        }
        waiting = now;
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

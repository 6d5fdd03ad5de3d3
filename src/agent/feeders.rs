//! The worker of every stream and destination, connected to its sink.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::StartError;
use super::assemble::Ground;
use super::clocks::Clocks;
use super::shards::ShardSources;
use super::sights::{Sight, SightOf};
use super::stream_facts::StreamMemory;
use super::suspicions::Suspicions;
use crate::base::shutdown::Stopping;
use crate::base::tasks::{Tasks, blocking};
use crate::config::{Config, Destination};
use crate::dead_letter::{self, Shelf};
use crate::delivery::{Settings, Uplink, Watch, Worker};
use crate::queue::{Reader, Writer};
use crate::sink::{Directory, Firehose, Kinesis, KinesisSettings, Sink};
use crate::source::http::ShardsOf;
use crate::state::State;

/// A task of delivery whose kind no longer matters.
pub(super) type Feeder = Box<dyn FnOnce(&mut Tasks, Stopping) + Send>;

/// A stream and a destination.
pub(super) type Route = (String, String);

/// Makes deliveries, one destination at a time.
pub(super) struct Deliveries {
    ground: Ground,
    clocks: Arc<Clocks>,
    streams: Arc<StreamMemory>,
    suspicions: Arc<Suspicions>,
    shards: Arc<ShardSources>,
}

/// A destination whose sinks are made, one for each stream that leads there.
pub(super) struct Connected {
    destination: String,
    letters: dead_letter::Settings,
    ways: Vec<(Settings, Way)>,
}

impl Connected {
    pub(super) fn destination(&self) -> &str {
        &self.destination
    }
}

/// A sink, by its kind.
enum Way {
    Kinesis(Arc<Kinesis>, Box<KinesisSettings>),
    Firehose(Arc<Firehose>),
    Directory(Arc<Directory>),
}

/// The workers of one destination, none running.
#[derive(Default)]
pub(super) struct Fed {
    pub(super) workers: Vec<Feeder>,
    pub(super) watches: BTreeMap<Route, Watch>,
    /// Of those that have an upstream in the cloud.
    pub(super) sights: BTreeMap<Route, SightOf>,
}

/// What a worker needs beside its sink.
struct Bench<'a> {
    settings: Settings,
    reader: Reader,
    writer: Writer,
    shelf: Shelf,
    uplink: &'a Uplink,
}

impl Deliveries {
    pub(super) fn new(state: &State, ground: &Ground) -> Self {
        Self {
            ground: ground.clone(),
            clocks: Clocks::new(state.cloud(), ground),
            streams: StreamMemory::new(state.cloud(), ground.clock.clone()),
            suspicions: Suspicions::new(state.cloud(), ground.clock.clone()),
            shards: Arc::default(),
        }
    }

    /// What is known of the shards behind streams.
    pub(super) fn shards(&self) -> ShardsOf {
        self.shards.clone().view()
    }

    /// Makes the sinks of one destination; the only place that tells the kinds apart. Whoever feeds it
    /// now goes on.
    pub(super) async fn connect(
        &self,
        config: &Config,
        destination: &str,
    ) -> Result<Connected, StartError> {
        let settings = config
            .destinations
            .get(destination)
            .expect("config checks that streams name destinations that exist");
        let mut ways = Vec::new();
        for delivery in config.deliveries_to(destination) {
            let way = match settings {
                Destination::Kinesis(kinesis) => self.kinesis(destination, kinesis).await?,
                Destination::Firehose(firehose) => {
                    let clock = self.clocks.of(destination);
                    let sink = Firehose::connect(firehose, &clock).await;
                    Way::Firehose(Arc::new(sink.map_err(|why| wrong(destination, &why))?))
                }
                Destination::Directory(directory) => {
                    let (disk, clock) = (self.ground.disk.clone(), self.ground.clock.clone());
                    let directory = directory.clone();
                    let opened = blocking(move || Directory::open(disk, clock, &directory)).await;
                    Way::Directory(Arc::new(opened.map_err(|error| failed(destination, &error))?))
                }
            };
            ways.push((delivery.clone(), way));
        }
        let letters = config.dead_letters.clone();
        Ok(Connected { destination: destination.to_owned(), letters, ways })
    }

    async fn kinesis(
        &self,
        destination: &str,
        kinesis: &KinesisSettings,
    ) -> Result<Way, StartError> {
        let clock = self.clocks.of(destination);
        let sink = Kinesis::connect(kinesis, &clock).await;
        let sink = sink.map_err(|why| wrong(destination, &why))?;
        if let Some((facts, age)) = self.streams.of(destination, kinesis) {
            sink.recall(facts, age);
        }
        Ok(Way::Kinesis(Arc::new(sink), Box::new(kinesis.clone())))
    }

    /// Makes the workers of a destination. Those before them must be gone: both would send the same.
    pub(super) async fn employ(
        &self,
        connected: Connected,
        queues: &BTreeMap<String, Writer>,
        uplink: &Uplink,
    ) -> Result<Fed, StartError> {
        let Connected { destination, letters, ways } = connected;
        let mut fed = Fed::default();
        for (settings, way) in ways {
            let shelf = open_shelf(&letters, &settings, &self.ground).await?;
            let (reader, writer) = queues
                .get(&settings.stream)
                .and_then(|queue| Some((queue.reader(&destination)?, queue.clone())))
                .expect("queues are opened with the destinations of their stream");
            let bench = Bench { settings, reader, writer, shelf, uplink };
            let clock = self.clocks.of(&destination);
            match way {
                Way::Kinesis(sink, kinesis) => {
                    fed.sights.insert(bench.route(), Sight::of_kinesis(&sink, &clock));
                    fed.workers.push(self.follow(bench.route(), *kinesis, &sink));
                    self.hire(bench, sink, &mut fed);
                }
                Way::Firehose(sink) => {
                    fed.sights.insert(bench.route(), Sight::of_firehose(&sink, &clock));
                    self.hire(bench, sink, &mut fed);
                }
                Way::Directory(sink) => self.hire(bench, sink, &mut fed),
            }
        }
        if !fed.sights.is_empty() {
            let clocks = self.clocks.clone();
            fed.workers.push(Box::new(move |tasks, stopping| {
                let task = format!("clock of {destination}");
                tasks.spawn(task, clocks.follow(destination, stopping));
            }));
        }
        Ok(fed)
    }

    /// Forgets what was made for a destination all of whose workers are gone.
    pub(super) fn retire(&self, destination: &str, uplink: &Uplink) {
        uplink.forget(destination);
        self.shards.forget(destination);
    }

    /// Shows the shards of a stream to callers, and remembers what is learned of it.
    fn follow(
        &self,
        (stream, destination): Route,
        kinesis: KinesisSettings,
        sink: &Arc<Kinesis>,
    ) -> Feeder {
        let (news, seen) = (sink.news(), sink.clone());
        self.shards.add((&stream, &destination), Arc::new(move || seen.shards()));
        let streams = self.streams.clone();
        Box::new(move |tasks, stopping| {
            let task = format!("memory of {stream} at {destination}");
            tasks.spawn(task, streams.follow((destination, kinesis), news, stopping));
        })
    }

    fn hire<S: Sink>(&self, bench: Bench<'_>, sink: Arc<S>, fed: &mut Fed) {
        let route = bench.route();
        let task = format!("delivery of {} to {}", route.0, route.1);
        let Bench { settings, reader, writer, shelf, uplink } = bench;
        let (clock, metrics) = (self.ground.clock.clone(), &self.ground.metrics);
        let ends = (reader, writer);
        let worker = Worker::new(settings, clock, ends, shelf, sink, metrics).over(uplink);
        let (watch, suspicions) = (worker.watch(), self.suspicions.clone());
        watch.recall(suspicions.of(&route.0, &route.1));
        let news = watch.suspicions();
        fed.watches.insert(route.clone(), watch);
        fed.workers.push(Box::new(move |tasks, stopping| {
            let name = format!("suspicion of {} to {}", route.0, route.1);
            tasks.spawn(name, suspicions.follow(route, news, stopping));
        }));
        let start = |tasks: &mut Tasks, stopping| tasks.spawn(task, worker.run(stopping));
        fed.workers.push(Box::new(start));
    }
}

impl Bench<'_> {
    fn route(&self) -> Route {
        (self.settings.stream.clone(), self.settings.destination.clone())
    }
}

fn wrong(destination: &str, why: &str) -> StartError {
    StartError::Setting(format!("destination `{destination}`: {why}"))
}

fn failed(destination: &str, error: &io::Error) -> StartError {
    StartError::Disk(io::Error::new(error.kind(), format!("destination `{destination}`: {error}")))
}

async fn open_shelf(
    letters: &dead_letter::Settings,
    settings: &Settings,
    ground: &Ground,
) -> Result<Shelf, StartError> {
    let (disk, letters) = (ground.disk.clone(), letters.clone());
    let (stream, destination) = (settings.stream.clone(), settings.destination.clone());
    let folder = letters.folder.clone();
    let opened = blocking(move || Shelf::open(disk, &letters, &stream, &destination)).await;
    opened.map_err(|error| {
        let folder = folder.display();
        let words = format!("the dead letters in {folder} cannot be opened: {error}");
        StartError::Disk(io::Error::new(error.kind(), words))
    })
}

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
use crate::queue::Reader;
use crate::sink::{
    Directory, DirectorySettings, Firehose, FirehoseSettings, Kinesis, KinesisSettings, Sink,
};
use crate::state::State;

/// A task of delivery whose kind no longer matters.
pub(super) type Feeder = Box<dyn FnOnce(&mut Tasks, Stopping) + Send>;

/// A stream and a destination.
type Route = (String, String);

/// Everything that was built, none running.
#[derive(Default)]
pub(super) struct Fed {
    pub(super) workers: Vec<Feeder>,
    pub(super) watches: BTreeMap<Route, Watch>,
    /// Of those that have an upstream in the cloud.
    pub(super) sights: BTreeMap<Route, SightOf>,
    pub(super) shards: ShardSources,
}

/// What workers are built with, and those that are.
pub(super) struct Deliveries<'a> {
    config: &'a Config,
    ground: &'a Ground,
    clocks: Arc<Clocks>,
    streams: Arc<StreamMemory>,
    suspicions: Arc<Suspicions>,
    /// The link that leads there.
    uplink: Uplink,
    fed: Fed,
}

/// What a worker needs beside its sink.
struct Bench {
    settings: Settings,
    reader: Reader,
    shelf: Shelf,
}

impl<'a> Deliveries<'a> {
    pub(super) fn new(config: &'a Config, state: &State, ground: &'a Ground) -> Self {
        Self {
            config,
            ground,
            clocks: Clocks::new(state.cloud(), ground),
            streams: StreamMemory::new(state.cloud(), ground.clock.clone()),
            suspicions: Suspicions::new(state.cloud(), ground.clock.clone()),
            uplink: Uplink::new(&config.uplink),
            fed: Fed::default(),
        }
    }

    /// Connects the sink of one destination; the only place that tells the kinds apart.
    pub(super) async fn add(
        &mut self,
        settings: &Settings,
        reader: Reader,
    ) -> Result<(), StartError> {
        let name = &settings.destination;
        let destinations = &self.config.destinations;
        let destination = destinations
            .get(name)
            .expect("config checks that streams name destinations that exist");
        let shelf = open_shelf(&self.config.dead_letters, settings, self.ground).await?;
        let bench = Bench { settings: settings.clone(), reader, shelf };
        match destination {
            Destination::Kinesis(kinesis) => self.add_kinesis(bench, kinesis).await,
            Destination::Firehose(firehose) => self.add_firehose(bench, firehose).await,
            Destination::Directory(directory) => self.add_directory(bench, directory).await,
        }
    }

    async fn add_kinesis(
        &mut self,
        bench: Bench,
        kinesis: &KinesisSettings,
    ) -> Result<(), StartError> {
        let Settings { stream, destination, .. } = bench.settings.clone();
        let clock = self.clocks.of(&destination);
        let sink = Kinesis::connect(kinesis, &clock).await;
        let sink = sink.map_err(|why| wrong(&destination, &why))?;
        if let Some((facts, age)) = self.streams.of(&destination, kinesis) {
            sink.recall(facts, age);
        }
        let sink = Arc::new(sink);
        let (news, seen) = (sink.news(), sink.clone());
        self.fed.shards.add(&stream, Arc::new(move || seen.shards()));
        self.see(&bench, Sight::of_kinesis(&sink, &clock));
        self.employ(bench, sink);
        let (streams, kinesis) = (self.streams.clone(), kinesis.clone());
        self.fed.workers.push(Box::new(move |tasks, stopping| {
            let task = format!("memory of {stream} at {destination}");
            tasks.spawn(task, streams.follow((destination, kinesis), news, stopping));
        }));
        Ok(())
    }

    async fn add_firehose(
        &mut self,
        bench: Bench,
        firehose: &FirehoseSettings,
    ) -> Result<(), StartError> {
        let clock = self.clocks.of(&bench.settings.destination);
        let sink = Firehose::connect(firehose, &clock).await;
        let sink = sink.map_err(|why| wrong(&bench.settings.destination, &why))?;
        let sink = Arc::new(sink);
        self.see(&bench, Sight::of_firehose(&sink, &clock));
        self.employ(bench, sink);
        Ok(())
    }

    async fn add_directory(
        &mut self,
        bench: Bench,
        directory: &DirectorySettings,
    ) -> Result<(), StartError> {
        let (disk, clock) = (self.ground.disk.clone(), self.ground.clock.clone());
        let directory = directory.clone();
        let opened = blocking(move || Directory::open(disk, clock, &directory)).await;
        let name = bench.settings.destination.clone();
        let opened = opened.map_err(|error| {
            let words = format!("destination `{name}`: {error}");
            StartError::Disk(io::Error::new(error.kind(), words))
        })?;
        self.employ(bench, Arc::new(opened));
        Ok(())
    }

    fn see(&mut self, bench: &Bench, sight: SightOf) {
        self.fed.sights.insert(bench.route(), sight);
    }

    fn employ<S: Sink>(&mut self, bench: Bench, sink: Arc<S>) {
        let route = bench.route();
        let task = format!("delivery of {} to {}", route.0, route.1);
        let Bench { settings, reader, shelf } = bench;
        let (clock, metrics) = (self.ground.clock.clone(), &self.ground.metrics);
        let worker = Worker::new(settings, clock, reader, shelf, sink, metrics);
        let worker = worker.over(&self.uplink);
        let (watch, suspicions) = (worker.watch(), self.suspicions.clone());
        watch.recall(suspicions.of(&route.0, &route.1));
        let news = watch.suspicions();
        self.fed.watches.insert(route.clone(), watch);
        self.fed.workers.push(Box::new(move |tasks, stopping| {
            let name = format!("suspicion of {} to {}", route.0, route.1);
            tasks.spawn(name, suspicions.follow(route, news, stopping));
        }));
        let start = |tasks: &mut Tasks, stopping| tasks.spawn(task, worker.run(stopping));
        self.fed.workers.push(Box::new(start));
    }

    /// All of it, and what follows the clocks of their upstreams.
    pub(super) fn end(self) -> Fed {
        let Self { clocks, mut fed, .. } = self;
        for destination in clocks.names() {
            let clocks = clocks.clone();
            fed.workers.push(Box::new(move |tasks, stopping| {
                let task = format!("clock of {destination}");
                tasks.spawn(task, clocks.follow(destination, stopping));
            }));
        }
        fed
    }
}

impl Bench {
    fn route(&self) -> Route {
        (self.settings.stream.clone(), self.settings.destination.clone())
    }
}

fn wrong(destination: &str, why: &str) -> StartError {
    StartError::Setting(format!("destination `{destination}`: {why}"))
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

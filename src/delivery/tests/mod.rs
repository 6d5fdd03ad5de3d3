//! The worker with a queue of the test's own, against sinks that do what they are told.

mod books;
mod busy;
mod elsewhere;
mod held;
mod link;
mod machines;
mod ordered;
mod outbox;
mod pace;
mod replays;
mod resharded;
mod script;
mod shards;
mod shelved;
mod upstream;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::feed::Feed;
use super::metrics::WorkerMetrics;
use super::parcel::Parcel;
use super::parts::Parts;
use super::runner::Runner;
use super::uplink::Uplink;
use super::watch::Watch;
use super::{Ordering, PaceSettings, Settings};
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::base::shutdown::{self, Stop};
use crate::base::tasks::Tasks;
use crate::dead_letter::{self, Letter, Shelf, letters, shelves};
use crate::queue::{Again, AppendError, Budget, Lapse, Lapsed, Position, Settled, Stored};
use crate::record::{Record, RecordId, encode};
use crate::sink::Sink;
use crate::telemetry::Metrics;

pub(super) use script::ScriptSink;

/// 2026-11-22T06:05:19Z.
const NOW: u64 = 1_795_327_519_000;

/// A queue in memory that remembers what became of each payload.
#[derive(Clone, Default)]
struct TestQueue {
    inner: Arc<Mutex<Inner>>,
    pushed: Arc<Notify>,
    has_settled: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    unread: VecDeque<Stored>,
    count: u64,
    settled: BTreeMap<Position, Settled>,
    is_closed: bool,
    /// Whether nothing can be put back.
    is_full: bool,
    largest_budget: usize,
    /// Everything that was given.
    given: BTreeMap<Position, Bytes>,
    lapsed_below: u64,
    lapsed: Lapsed,
}

impl TestQueue {
    fn push(&self, payload: Bytes) {
        let mut inner = self.inner.lock().unwrap();
        inner.count += 1;
        let position = Position(inner.count);
        inner.unread.push_back(Stored { position, payload });
        self.pushed.notify_one();
    }

    /// What a policy does: everything below lapses, and is settled at once if nobody wants it.
    fn lapse(&self, below: u64, lapsed: Lapsed) {
        let mut inner = self.inner.lock().unwrap();
        (inner.lapsed_below, inner.lapsed) = (below, lapsed);
        if lapsed == Lapsed::Discard {
            inner.unread.retain(|one| one.position.0 >= below);
        }
        self.pushed.notify_one();
    }

    fn push_record(&self, payload: &str) {
        self.push(encode(&a_record(payload)));
    }

    fn push_records(&self, count: usize) {
        (0..count).for_each(|number| self.push_record(&format!("record {number}")));
    }

    fn close(&self) {
        self.inner.lock().unwrap().is_closed = true;
        self.pushed.notify_one();
    }

    /// How many were read.
    fn given(&self) -> usize {
        self.inner.lock().unwrap().given.len()
    }

    fn settled(&self, how: Settled) -> usize {
        self.inner.lock().unwrap().settled.values().filter(|is| **is == how).count()
    }

    fn owed(&self) -> usize {
        let inner = self.inner.lock().unwrap();
        usize::try_from(inner.count).unwrap() - inner.settled.len()
    }

    /// As it is after a restart: what was not settled is given again.
    fn begin_again(&self) -> Self {
        let queue = Self::default();
        let inner = self.inner.lock().unwrap();
        let unread = inner.unread.iter().map(|one| (one.position, one.payload.clone()));
        let all: BTreeMap<_, _> = inner.given.clone().into_iter().chain(unread).collect();
        let left = all.into_iter().filter(|(position, _)| !inner.settled.contains_key(position));
        left.for_each(|(_, payload)| queue.push(payload));
        queue
    }

    /// Returns once everything is settled.
    async fn settled_all(&self) {
        while self.owed() > 0 {
            self.has_settled.notified().await;
        }
    }
}

impl Feed for TestQueue {
    async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        loop {
            {
                let mut inner = self.inner.lock().unwrap();
                inner.largest_budget = inner.largest_budget.max(budget.bytes);
                let mut given: Vec<Stored> = Vec::new();
                let mut bytes = 0;
                while let Some(next) = inner.unread.front() {
                    bytes += next.payload.len();
                    let fits = given.len() < budget.count && bytes <= budget.bytes;
                    if !fits && !given.is_empty() {
                        break;
                    }
                    given.extend(inner.unread.pop_front());
                }
                if !given.is_empty() {
                    let copies = given.iter().map(|one| (one.position, one.payload.clone()));
                    inner.given.extend(copies);
                    return Ok(given);
                }
                if inner.is_closed {
                    return Err(AppendError::Closed);
                }
            }
            self.pushed.notified().await;
        }
    }

    fn again(
        &self,
        wanted: Vec<Position>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Again, AppendError>> + Send + 'static {
        let queue = self.clone();
        async move {
            let inner = queue.inner.lock().unwrap();
            let (mut again, mut bytes) = (Again::default(), 0);
            for position in wanted {
                if bytes >= bytes_max {
                    break;
                }
                assert!(!inner.settled.contains_key(&position), "{position:?} is settled");
                let payload = inner.given[&position].clone();
                bytes += payload.len();
                again.found.push(Stored { position, payload });
            }
            Ok(again)
        }
    }

    fn settle(&self, positions: &[Position], how: Settled) {
        let mut inner = self.inner.lock().unwrap();
        for position in positions {
            let before = inner.settled.insert(*position, how);
            assert_eq!(before, None, "{position:?} was settled twice");
        }
        self.has_settled.notify_one();
    }

    fn lapsed_below(&self) -> Position {
        Position(self.inner.lock().unwrap().lapsed_below)
    }

    fn lapse_of(&self, position: Position) -> Option<(Lapse, Lapsed)> {
        let inner = self.inner.lock().unwrap();
        (position.0 < inner.lapsed_below).then_some((Lapse::TooOld, inner.lapsed))
    }

    fn waiting(&self) -> u64 {
        self.owed() as u64
    }

    fn put_back(
        &self,
        payloads: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + 'static {
        let queue = self.clone();
        async move {
            if queue.inner.lock().unwrap().is_full {
                return Err(AppendError::Closed);
            }
            payloads.into_iter().for_each(|payload| queue.push(payload));
            Ok(())
        }
    }
}

fn a_record(payload: &str) -> Record {
    Record {
        id: RecordId::new(NOW),
        partition_key: Some(format!("key of {payload}").into()),
        hash_key: None,
        source: "http.local".into(),
        caller: "device-1".into(),
        only_for: None,
        payload: Bytes::from(payload.to_owned()),
    }
}

/// A parcel that was never sent.
pub(super) fn parcel_of(position: u64, key: &str) -> Parcel {
    let record = Record { partition_key: Some(key.into()), ..a_record("x") };
    let key_hash = record.routing_key().hash();
    Parcel { weight: 1, ..Parcel::new(Position(position), record, key_hash) }
}

/// A worker under way, with everything a test looks at.
struct Bench {
    queue: TestQueue,
    watch: Watch,
    stop: Option<Stop>,
    tasks: Tasks,
    folder: PathBuf,
    metrics: Metrics,
}

pub(super) fn settings() -> Settings {
    Settings {
        stream: "access".into(),
        destination: "archive".into(),
        in_flight: 4,
        in_flight_bytes: 8 << 20,
        shard_share: 100,
        ordering: Ordering::None,
        linger: Duration::from_millis(2),
        retry_first: Duration::from_millis(4),
        retry_max: Duration::from_millis(30),
        pace: PaceSettings::default(),
    }
}

/// For an outage: little memory, and the pauses that an agent makes unless told otherwise.
pub(super) fn patient() -> Settings {
    Settings {
        in_flight_bytes: 100_000,
        retry_first: Duration::from_millis(200),
        retry_max: Duration::from_secs(30),
        ..settings()
    }
}

fn letters_settings(folder: PathBuf) -> dead_letter::Settings {
    let max_age = Duration::from_secs(30 * 86_400);
    dead_letter::Settings { folder, max_bytes: 1 << 30, max_age }
}

impl Bench {
    fn start<S: Sink>(queue: TestQueue, sink: Arc<S>) -> Self {
        Self::start_with(queue, sink, settings())
    }

    fn start_with<S: Sink>(queue: TestQueue, sink: Arc<S>, settings: Settings) -> Self {
        Self::start_over(&Uplink::default(), queue, sink, settings)
    }

    fn start_over<S: Sink>(
        uplink: &Uplink,
        queue: TestQueue,
        sink: Arc<S>,
        settings: Settings,
    ) -> Self {
        Self::start_all((uplink, &Watch::default()), queue, sink, settings)
    }

    /// With what is remembered of an earlier run.
    fn start_watched<S: Sink>(watch: &Watch, queue: TestQueue, sink: Arc<S>) -> Self {
        Self::start_all((&Uplink::default(), watch), queue, sink, settings())
    }

    fn start_all<S: Sink>(
        (uplink, watch): (&Uplink, &Watch),
        queue: TestQueue,
        sink: Arc<S>,
        settings: Settings,
    ) -> Self {
        let name = format!("weir-delivery-{:032x}", crate::base::random::bits());
        let folder = std::env::temp_dir().join(name);
        let letters = letters_settings(folder.clone());
        let shelf =
            Shelf::open(Arc::new(RealDisk), &letters, &settings.stream, &settings.destination);
        let metrics = Metrics::default();
        let watch = watch.clone();
        let parts = Parts {
            clock: Clock::starting_at(NOW),
            sink,
            feed: queue.clone(),
            shelf: shelf.unwrap().counted_in(&metrics),
            uplink: uplink.clone(),
            watch: watch.clone(),
            metrics: WorkerMetrics::register(&metrics, &settings.stream, &settings.destination),
            settings,
        };
        let (stop, stopping) = shutdown::channel();
        let mut tasks = Tasks::new();
        tasks.spawn("worker", Runner::new(parts).run(stopping));
        Self { queue, watch, stop: Some(stop), tasks, folder, metrics }
    }

    /// Asks the worker to stop and waits for its end.
    async fn stop(&mut self) {
        self.stop.take().unwrap().ask();
        self.tasks.finish().await.unwrap();
    }

    /// The letters on the shelf.
    fn dead(&self) -> Vec<Letter> {
        let lying = shelves(&RealDisk, &self.folder).unwrap();
        let files = lying.into_iter().flat_map(|shelf| shelf.files);
        files
            .flat_map(|file| letters(&RealDisk, &file.path).unwrap())
            .map(|one| one.unwrap().unwrap())
            .collect()
    }

    /// The value of a metric of this worker.
    #[track_caller]
    fn number(&self, name: &str) -> f64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Stops the worker and removes its folder.
    async fn end(mut self) {
        if self.stop.is_some() {
            self.stop().await;
        }
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

//! The worker with a real queue on a disk that can be cut off: what the ledger says in the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::script::ScriptSink;
use super::{Settings, a_record, letters_settings, patient, settings};
use crate::base::clock::Clock;
use crate::base::disk::FaultyDisk;
use crate::base::shutdown::{self, Stop};
use crate::base::tasks::Tasks;
use crate::dead_letter::Shelf;
use crate::delivery::{Ordering, Watch, Worker};
use crate::queue::{self, Group, Keys, Ledger, Policy, Queue, SyncLevel, Writer};
use crate::record::{Record, encode, hash_of_key};
use crate::sink::{
    At, Entry, Fate, Fault, HashRange, Limits, Load, Outcome, Shard, ShardMap, Sink,
};
use crate::telemetry::Metrics;

const NAME: &str = "cloud";

/// A stream with one destination, under way.
struct Line {
    writer: Writer,
    watch: Watch,
    metrics: Metrics,
    stop: Stop,
    tasks: Tasks,
}

fn queue_settings() -> queue::Settings {
    queue::Settings {
        folder: "/queue/access".into(),
        stream: "access".into(),
        max_bytes: 256 << 20,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        policy: Policy::default(),
        compresses: false,
        keys: Keys::default(),
        sync: SyncLevel::Always,
    }
}

impl Line {
    fn start<S: Sink>(disk: &FaultyDisk, sink: Arc<S>, settings: Settings) -> Self {
        let settings = Settings { destination: NAME.into(), ..settings };
        let metrics = Metrics::default();
        let names = [NAME.to_owned()];
        let opened = queue::open(disk.shared(), queue_settings(), &names, &metrics).unwrap();
        let Queue { writer, mut readers } = opened;
        let letters = letters_settings("/dead".into());
        let shelf = Shelf::open(disk.shared(), &letters, "access", NAME).unwrap();
        let reader = readers.remove(0);
        let ends = (reader, writer.clone());
        let worker = Worker::new(settings, Clock::real(), ends, shelf, sink, &metrics);
        let watch = worker.watch();
        let (stop, stopping) = shutdown::channel();
        let mut tasks = Tasks::new();
        tasks.spawn("worker", worker.run(stopping));
        Self { writer, watch, metrics, stop, tasks }
    }

    /// Hands in records `<7>` under one of so many keys, a thousand at a time.
    async fn hand_in(&self, numbers: std::ops::Range<usize>, keys: usize) {
        let all: Vec<usize> = numbers.collect();
        for some in all.chunks(1_000) {
            let payloads = some.iter().map(|number| payload(*number, keys)).collect();
            self.writer.append(Group { payloads, ..Group::default() }).await.unwrap();
        }
    }

    #[track_caller]
    fn ledger(&self) -> Ledger {
        let ledger = self.writer.overview().ledgers.remove(0).1;
        let Ledger { accepted, delivered, dead, dropped, damaged, waiting, .. } = ledger;
        assert_eq!(accepted, delivered + dead + dropped + damaged + waiting, "{ledger:?}");
        ledger
    }

    /// Returns once so many are delivered.
    async fn delivered(&self, count: usize) {
        while self.ledger().delivered < count as u64 {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the process as a power cut does: nothing is saved any more.
    async fn cut(self, disk: &FaultyDisk) {
        disk.end_power_after(0);
        // Where nothing had changed there is nothing to save.
        drop(self.end().await);
        disk.crash(7);
    }

    async fn end(mut self) -> Result<(), String> {
        self.stop.ask();
        self.tasks.finish().await.unwrap();
        self.writer.close().await
    }
}

fn key(number: usize, keys: usize) -> String {
    format!("key {}", number % keys)
}

fn payload(number: usize, keys: usize) -> Bytes {
    let record = a_record(&number.to_string());
    encode(&Record { partition_key: Some(key(number, keys).into()), ..record })
}

/// A stream of four shards, of which the first may be busy.
struct Sharded {
    shards: Arc<ShardMap>,
    first_is_busy: AtomicBool,
    requests: AtomicUsize,
    /// In the order of taking.
    taken: Mutex<Vec<usize>>,
}

const QUARTER: u128 = 1 << 126;

impl Sharded {
    fn busy() -> Arc<Self> {
        let shard = |place: u128| Shard {
            id: format!("shardId-{place}").into(),
            range: HashRange { first: place * QUARTER, last: place * QUARTER + (QUARTER - 1) },
            since: 0,
        };
        let shards = ShardMap::new((0..4).map(shard).collect()).unwrap();
        Arc::new(Self {
            shards: Arc::new(shards),
            first_is_busy: true.into(),
            requests: 0.into(),
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> Vec<usize> {
        self.taken.lock().unwrap().clone()
    }
}

impl Sink for Sharded {
    fn kind(&self) -> &'static str {
        "sharded"
    }

    fn limits(&self) -> Limits {
        Limits { entries: 500, request_bytes: 10 << 20, entry_bytes: 1 << 20 }
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.key.len() + entry.data.len()
    }

    fn wire_bytes(&self, load: Load) -> u64 {
        load.weight as u64
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, payload)
    }

    fn shards(&self) -> Option<Arc<ShardMap>> {
        Some(Arc::clone(&self.shards))
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        sleep(Duration::from_millis(10)).await;
        self.requests.fetch_add(1, SeqCst);
        let is_busy = self.first_is_busy.load(SeqCst);
        let mut taken = self.taken.lock().unwrap();
        let fates = entries.into_iter().map(|entry| {
            if is_busy && hash_of_key(&entry.key) < QUARTER {
                return Fate::Failed(throttled());
            }
            taken.push(str::from_utf8(&entry.data).unwrap().parse().unwrap());
            Fate::Taken
        });
        Ok(fates.collect())
    }

    async fn close(&self) {}
}

fn throttled() -> Fault {
    let code = "ProvisionedThroughputExceededException".into();
    Fault { at: At::Entry, code, message: "Rate exceeded".into(), retry_after: None }
}

#[track_caller]
fn each_once(mut taken: Vec<usize>, right: impl Iterator<Item = usize>) {
    taken.sort_unstable();
    assert!(taken.into_iter().eq(right), "each was taken once, and no other");
}

const KEYS: usize = 200;

fn is_of_busy(number: usize) -> bool {
    hash_of_key(&key(number, KEYS)) < QUARTER
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_never_takes_anything_holds_up_no_other_whatever_waits_and_through_a_crash() {
    const RECORDS: usize = 240_000;
    let disk = FaultyDisk::new();
    let sink = Sharded::busy();
    let settings = Settings { retry_max: Duration::from_secs(5), ..settings() };
    let line = Line::start(&disk, Arc::clone(&sink), settings.clone());
    line.hand_in(0..RECORDS, KEYS).await;
    let others = (0..RECORDS).filter(|number| !is_of_busy(*number)).count();
    assert!(others > 2 * (1 << 16) && RECORDS - others > 10_000, "{others}");

    line.delivered(others).await;
    sleep(Duration::from_secs(60)).await;

    each_once(sink.taken(), (0..RECORDS).filter(|number| !is_of_busy(*number)));
    let ledger = line.ledger();
    assert_eq!((ledger.delivered, ledger.waiting), (others as u64, (RECORDS - others) as u64));
    assert!(ledger.span > (1 << 17), "{ledger:?}");
    let busy = Duration::from_secs(60).as_millis() as usize;
    assert!(sink.requests.load(SeqCst) < others / 100 + busy, "the busy shard is not hammered");

    // What the others had is on disk; what waits for the busy shard is found again.
    line.cut(&disk).await;
    let line = Line::start(&disk, Arc::clone(&sink), settings);
    assert_eq!(line.ledger().delivered, others as u64);
    line.hand_in(RECORDS..RECORDS + 5_000, KEYS).await;
    let more = (RECORDS..RECORDS + 5_000).filter(|number| !is_of_busy(*number)).count();
    line.delivered(others + more).await;
    sink.first_is_busy.store(false, SeqCst);
    line.delivered(RECORDS + 5_000).await;

    each_once(sink.taken(), 0..RECORDS + 5_000);
    let ledger = line.ledger();
    assert_eq!((ledger.accepted, ledger.waiting, ledger.span), (RECORDS as u64 + 5_000, 0, 0));
    assert_eq!(line.watch.owed(), 0);
    line.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn with_ordering_by_key_what_was_parked_is_overtaken_by_nothing_of_its_key() {
    const RECORDS: usize = 20_000;
    let disk = FaultyDisk::new();
    let sink = Sharded::busy();
    // Room for a hundredth of them, so most of the busy shard are read again.
    let settings = Settings { ordering: Ordering::Key, in_flight_bytes: 60_000, ..settings() };
    let line = Line::start(&disk, Arc::clone(&sink), settings);
    line.hand_in(0..RECORDS, KEYS).await;
    let others = (0..RECORDS).filter(|number| !is_of_busy(*number)).count();
    line.delivered(others).await;
    let parked = line.metrics.encode();
    let parked = parked.lines().find(|line| line.starts_with("weir_delivery_parked_records"));
    assert!(parked.is_some_and(|line| !line.ends_with(" 0")), "{parked:?}");

    sink.first_is_busy.store(false, SeqCst);
    line.delivered(RECORDS).await;

    each_once(sink.taken(), 0..RECORDS);
    let mut last = [None; KEYS];
    for number in sink.taken() {
        let before = last[number % KEYS].replace(number);
        assert!(before < Some(number), "{number} came after {before:?}");
    }
    line.end().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_ends_with_balanced_books_and_everything_delivered_once() {
    const GROUPS: usize = 720;
    let disk = FaultyDisk::new();
    let until = Instant::now() + Duration::from_secs(3_600);
    let sink = ScriptSink::away_until(until);
    let line = Line::start(&disk, Arc::clone(&sink), patient());

    for group in 0..GROUPS {
        line.hand_in(group * 25..(group + 1) * 25, KEYS).await;
        assert!(line.watch.owed() <= 100_000 / 256, "{} in memory", line.watch.owed());
        sleep(Duration::from_secs(5)).await;
    }
    let ledger = line.ledger();
    let all = (GROUPS * 25) as u64;
    assert_eq!((ledger.accepted, ledger.delivered, ledger.waiting), (all, 0, all));
    let probes = sink.requests();
    assert!(probes < 3_600 / 15 + 40, "{probes} requests in an hour");
    line.delivered(GROUPS * 25).await;

    let ledger = line.ledger();
    assert_eq!((ledger.delivered, ledger.dead, ledger.waiting), (all, 0, 0));
    let taken = sink.taken();
    assert!(taken.iter().all(|(_, times)| *times == 1), "probes were not taken");
    assert_eq!(taken.len() as u64, all);
    line.end().await.unwrap();
    assert!(disk.files().iter().all(|file| !file.starts_with("/dead")), "no letter");
}

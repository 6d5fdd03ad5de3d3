//! What it costs to deliver a million small records to Kinesis: aggregated against one by one.
//!
//! Aims: at least 100 times fewer PUT payload units, and less than half of the CPU per record.
//! `cargo bench --bench cost -- [--records 1000000] [--reps 2] [--only WORD]` prints Markdown. All
//! runs deliver the same queue over loopback to a fake of four shards; the CPU time of the fake's
//! thread is taken off. Bytes are counted at the fake's sockets.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

#[path = "cost/fake.rs"]
mod fake;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fake::{Fake, SHARDS, Seen};
use tokio::time::Instant;
use weir::base::clock::Clock;
use weir::base::disk::{RealDisk, SharedDisk};
use weir::base::secret::Secret;
use weir::base::shutdown;
use weir::dead_letter::{self, Shelf};
use weir::delivery::{self, Worker};
use weir::queue::{self, Group, Queue, Reader, Writer};
use weir::record::{Record, RecordId, encode};
use weir::sink::{
    AwsSettings, Kinesis, KinesisSettings, Protocol, ServiceClock, StaticCredentials,
};
use weir::telemetry::Metrics;

const RECORD_BYTES: usize = 200;
/// As weir's own default.
const AGGREGATE_BYTES: u64 = 50 << 10;
/// Each way of sending, and the size of its aggregates.
const WAYS: [(&str, Option<u64>); 2] = [("plain", None), ("aggregated", Some(AGGREGATE_BYTES))];

/// What the command line asks for.
struct Asked {
    records: u32,
    reps: usize,
    only: Option<String>,
}

fn main() {
    let asked = Asked::from_arguments();
    let folder = std::env::temp_dir().join(format!("weir-cost-{}", std::process::id()));
    let fake = Fake::start();
    let threads =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();

    println!("{} records of {RECORD_BYTES} B over {SHARDS} shards\n", asked.records);
    println!("| run | entries | requests | bytes | payload units | CPU s | CPU µs a record | s |");
    println!("|---|---|---|---|---|---|---|---|");
    let costs = threads.unwrap().block_on(measure(&asked, &fake, &folder));
    std::fs::remove_dir_all(&folder).unwrap();
    if let [plain, aggregated] = costs.as_slice() {
        println!(
            "\nplain / aggregated: {:.0} × fewer payload units, {:.1} × fewer bytes, CPU {:.2} of plain",
            ratio(plain.seen.units, aggregated.seen.units),
            ratio(plain.seen.bytes, aggregated.seen.bytes),
            aggregated.cpu.as_secs_f64() / plain.cpu.as_secs_f64(),
        );
    }
}

impl Asked {
    fn from_arguments() -> Self {
        let mut asked = Self { records: 1_000_000, reps: 2, only: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} needs a value"));
            match name.as_str() {
                "--records" => asked.records = value().parse().unwrap(),
                "--reps" => asked.reps = value().parse().unwrap(),
                "--only" => asked.only = Some(value()),
                // What cargo itself says.
                "--bench" => {}
                other => panic!("{other} is no argument of this bench"),
            }
        }
        asked
    }
}

/// The cheapest run of each way; the ways take turns, so that what else the machine does meets both.
async fn measure(asked: &Asked, fake: &Fake, folder: &Path) -> Vec<Cost> {
    let is_asked = |name: &str| asked.only.as_ref().is_none_or(|only| name.contains(only));
    let ways: Vec<_> = WAYS.into_iter().filter(|(name, _)| is_asked(name)).collect();
    let runs: Vec<_> = ways.iter().cycle().take(ways.len() * asked.reps).copied().collect();
    let (writer, readers) = fill(folder, asked.records, runs.len()).await;
    let mut costs: Vec<(&str, Cost)> = Vec::new();
    for (reader, (name, aggregate_bytes)) in readers.into_iter().zip(runs) {
        let cost = deliver(fake, folder, (reader, writer.clone()), aggregate_bytes).await;
        cost.print(name, asked.records);
        costs.push((name, cost));
    }
    let cheapest = |(name, _): &(&str, _)| {
        let of_way = costs.iter().filter(|(run, _)| run == name).map(|(_, cost)| *cost);
        of_way.min_by_key(|cost| cost.cpu)
    };
    ways.iter().filter_map(cheapest).collect()
}

/// What one delivery came to.
#[derive(Clone, Copy)]
struct Cost {
    seen: Seen,
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn print(&self, name: &str, records: u32) {
        let Seen { requests, entries, bytes, units, .. } = self.seen;
        let (cpu, wall) = (self.cpu.as_secs_f64(), self.wall.as_secs_f64());
        let each = cpu * 1e6 / f64::from(records);
        println!(
            "| {name} | {entries} | {requests} | {bytes} | {units} | {cpu:.2} | {each:.2} | {wall:.1} |"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(more: u64, less: u64) -> f64 {
    more as f64 / less as f64
}

/// A queue of so many records, and so many ways out of it.
async fn fill(folder: &Path, records: u32, ways: usize) -> (Writer, Vec<Reader>) {
    let disk: SharedDisk = Arc::new(RealDisk);
    let settings = queue::Settings {
        folder: folder.join("queue"),
        stream: "cost".into(),
        max_bytes: 16 << 30,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        compresses: false,
        keys: queue::Keys::default(),
        policy: queue::Policy::default(),
        sync: queue::SyncLevel::Always,
    };
    let destinations: Vec<_> = (0..ways).map(|way| format!("way-{way}")).collect();
    let Queue { writer, readers } =
        queue::open(disk, settings, &destinations, &Metrics::default()).unwrap();
    let first = RecordId::new(1_795_327_519_000);
    let payload = Bytes::from(vec![b'x'; RECORD_BYTES]);
    let record = |number: u32| {
        encode(&Record {
            id: first.plus(number),
            partition_key: None,
            hash_key: None,
            source: "http.local".into(),
            caller: "device-1".into(),
            only_for: None,
            payload: payload.clone(),
        })
    };
    for from in (0..records).step_by(2_000) {
        let payloads = (from..records.min(from + 2_000)).map(record).collect();
        writer.append(Group { payloads, ..Group::default() }).await.unwrap();
    }
    writer.close().await.unwrap();
    (writer, readers)
}

async fn deliver(
    fake: &Fake,
    folder: &Path,
    (reader, writer): (Reader, Writer),
    aggregate_bytes: Option<u64>,
) -> Cost {
    let upstream = KinesisSettings {
        stream_name: "cost".into(),
        max_record_bytes: 1 << 20,
        aggregate_bytes,
        protocol: Protocol::Auto,
        aws: aws(fake.address),
    };
    let clock = ServiceClock::new(Clock::real(), None);
    let sink = Arc::new(Kinesis::connect(&upstream, &clock).await.unwrap());
    let settings = settings(reader.destination());
    let metrics = Metrics::default();
    let letters = dead_letter::Settings {
        folder: folder.join("dead"),
        max_bytes: 1 << 20,
        max_age: Duration::from_secs(60),
    };
    let shelf = Shelf::open(Arc::new(RealDisk), &letters, "cost", &settings.destination).unwrap();
    let worker = Worker::new(settings, Clock::real(), (reader, writer), shelf, sink, &metrics);
    let (_stop, stopping) = shutdown::channel();
    let (seen, cpu, begun) = (fake.seen(), cpu_of_process(), Instant::now());

    worker.run(stopping).await.unwrap();

    let (cpu, wall, seen) = (cpu_of_process() - cpu, begun.elapsed(), fake.seen().since(seen));
    Cost { seen, cpu: cpu - seen.cpu, wall }
}

fn settings(destination: &str) -> delivery::Settings {
    delivery::Settings {
        stream: "cost".into(),
        destination: destination.into(),
        in_flight: 4,
        in_flight_bytes: 16 << 20,
        // The shards of the fake take everything.
        shard_share: 1_000_000,
        ordering: delivery::Ordering::None,
        linger: Duration::from_millis(100),
        retry_first: Duration::from_millis(100),
        retry_max: Duration::from_secs(30),
        pace: delivery::PaceSettings::default(),
    }
}

fn aws(address: SocketAddr) -> AwsSettings {
    AwsSettings {
        region: Some("eu-west-1".into()),
        endpoint_url: Some(format!("http://{address}")),
        credentials: Some(StaticCredentials {
            access_key_id: Secret::new("AKIAEXAMPLE"),
            secret_access_key: Secret::new("example"),
            session_token: None,
        }),
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(30),
        ..AwsSettings::default()
    }
}

/// With the threads that have ended, in hundredths of a second.
fn cpu_of_process() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind_name) = stat.rsplit_once(')').unwrap();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

//! How fast the front door is, in one run: single records on 64 connections and NDJSON batches, open
//! and behind key, plan and schema, and behind a transform; beside what the queue alone takes.
//!
//! `cargo bench --bench front_door -- [--seconds 3] [--reps 3]` prints Markdown. Clients and door share
//! the cores of this host. What it guards: key, plan and schema together cost less than a third
//! of the open door's rate; batches reach 70 % of the queue's own rate.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use weir::admission::{Admission, Below, keys};
use weir::base::clock::Clock;
use weir::base::disk::{RealDisk, SharedDisk};
use weir::base::shutdown;
use weir::base::tasks::Tasks;
use weir::config::{self, Config};
use weir::queue::{self, Group, Queue, Writer};
use weir::record::{Record, RecordId, encode};
use weir::source::http;
use weir::telemetry::Metrics;

/// Connections that send one record at a time, and those that send batches.
const SINGLES: usize = 64;
const BATCHES: usize = 8;
const BATCH: usize = 500;

/// What is let go is written over, so that the disk is the same in every round.
const CONFIG: &str = r#"
state_dir = "state"
[http.open]
listen = "127.0.0.1:0"
[http.guarded]
listen = "127.0.0.1:0"
auth = "keys"
[auth.keys]
type = "api_key"
file = "keys.toml"
plan = "wide"
[plan.wide]
rate = "100000000/s"
bytes = "100 GiB/s"
[stream.plain]
destinations = ["sink"]
queue = { max_bytes = "256 MiB", when_full = "drop_oldest", min_free_disk = "0 B" }
[stream.checked]
destinations = ["sink"]
schema = "schema.json"
queue = { max_bytes = "256 MiB", when_full = "drop_oldest", min_free_disk = "0 B" }
[stream.changed]
destinations = ["sink"]
transform = "change.vrl"
queue = { max_bytes = "256 MiB", when_full = "drop_oldest", min_free_disk = "0 B" }
[destination.sink]
type = "directory"
path = "out"
"#;
const SCHEMA: &str = r#"{
    "type": "object",
    "required": ["id", "user", "at", "level"],
    "properties": {
        "id": { "type": "integer", "minimum": 0 },
        "user": { "type": "object", "required": ["name"], "properties": { "name": { "type": "string", "maxLength": 64 } } },
        "at": { "type": "string", "format": "date-time" },
        "level": { "enum": ["debug", "info", "warn", "error"] },
        "tags": { "type": "array", "items": { "type": "string", "pattern": "^[a-z]+$" } }
    }
}"#;
const PROGRAM: &str = ".level = upcase(string!(.level))\n.user_name = del(.user.name)\n\
                       .message = redact(string!(.message), filters: [r'\\d{4}-\\d{4}'])\n";

fn main() {
    let (seconds, reps) = asked();
    let folder = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the scratch folder can be made");
    let runtime = Runtime::new().expect("threads can be started");
    runtime.block_on(measure(&folder, Duration::from_secs_f64(seconds), reps));
    runtime.shutdown_timeout(Duration::from_secs(5));
    std::fs::remove_dir_all(&folder).unwrap_or_default();
}

fn asked() -> (f64, usize) {
    let (mut seconds, mut reps) = (3.0, 3);
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match name.as_str() {
            "--seconds" => seconds = value.parse().expect("seconds are a number"),
            "--reps" => reps = value.parse().expect("repetitions are a count"),
            other => panic!("unknown {other}; known are --seconds and --reps"),
        }
    }
    (seconds, reps)
}

/// One load, and the figure it is compared with.
struct Load {
    name: &'static str,
    target: Target,
    count: usize,
    connections: usize,
    against: usize,
}

enum Target {
    /// The queue alone, with groups of so many.
    Queue,
    /// The open listener and this stream.
    Open(&'static str),
    /// The guarded listener and this stream.
    Guarded(&'static str),
}

const fn load(name: &'static str, target: Target, against: usize) -> Load {
    Load { name, target, count: 1, connections: SINGLES, against }
}

const fn batches(name: &'static str, target: Target, against: usize) -> Load {
    Load { name, target, count: BATCH, connections: BATCHES, against }
}

const LOADS: [Load; 8] = [
    load("queue alone, 64 × 1", Target::Queue, 0),
    load("open door, 64 × 1", Target::Open("plain"), 0),
    load("key, plan and schema, 64 × 1", Target::Guarded("checked"), 1),
    load("transform, 64 × 1", Target::Open("changed"), 1),
    batches("queue alone, 8 × 500", Target::Queue, 4),
    batches("open door, 8 × 500", Target::Open("plain"), 4),
    batches("key, plan and schema, 8 × 500", Target::Guarded("checked"), 5),
    batches("transform, 8 × 500", Target::Open("changed"), 5),
];

async fn measure(folder: &Path, time: Duration, reps: usize) {
    let bench = Bench::open(folder).await;
    let mut rates = vec![Vec::new(); LOADS.len()];
    for _ in 0..reps {
        // In turn, so that what else the host does meets all of them.
        for (at, load) in LOADS.iter().enumerate() {
            rates[at].push(bench.run(load, time).await);
        }
    }
    println!("| load | records/s, median | of | ratio, min/median/max |");
    println!("|---|---|---|---|");
    for (at, load) in LOADS.iter().enumerate() {
        let against = &rates[load.against];
        let mut ratios: Vec<f64> =
            rates[at].iter().zip(against).map(|(one, other)| one / other).collect();
        let mut own = rates[at].clone();
        own.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        let (rate, ratio) = (own[own.len() / 2], ratios[ratios.len() / 2]);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let of = LOADS[load.against].name;
        println!("| {} | {rate:.0} | {of} | {least:.2}/{ratio:.2}/{most:.2} |", load.name);
    }
    bench.stop.ask();
}

/// The door, open for business.
struct Bench {
    plain: Writer,
    open: String,
    guarded: String,
    secret: String,
    stop: shutdown::Stop,
    _tasks: Tasks,
}

impl Bench {
    async fn open(folder: &Path) -> Self {
        let disk: SharedDisk = Arc::new(RealDisk);
        let config = read(folder);
        let (clock, metrics) = (Clock::real(), Metrics::default());
        let new = keys::NewKey { name: "device-1".into(), ..keys::NewKey::default() };
        let secret = keys::add(disk.as_ref(), &clock, &folder.join("keys.toml"), &new);
        let secret = secret.expect("a key can be made").reveal().to_owned();
        let mut queues = BTreeMap::new();
        for (name, stream) in &config.streams {
            let (settings, names) = (stream.queue.clone(), ["sink".to_owned()]);
            let Queue { writer, .. } =
                queue::open(disk.clone(), settings, &names, &metrics).expect("a queue opens");
            queues.insert(name.clone(), writer);
        }
        let plain = queues["plain"].clone();
        let settings = config.admission.clone();
        let below =
            Below { disk: disk.clone(), clock, queues, lambdas: BTreeMap::new(), quotas: None };
        let admission = Admission::open(below, settings, &metrics);
        let admission = admission.expect("the door opens");
        let (stop, stopping) = shutdown::channel();
        let (mut tasks, mut at) = (Tasks::new(), Vec::new());
        for settings in config.http {
            let bound = http::bind(disk.clone(), settings).await.expect("loopback is free");
            at.push(bound.addresses().remove(0));
            let serving = bound.serve(admission.clone(), metrics.clone(), stopping.clone());
            tasks.spawn("listener", serving);
        }
        let [open, guarded] = at.try_into().expect("there are two, in the order of the file");
        Self { plain, open, guarded, secret, stop, _tasks: tasks }
    }

    /// Records per second.
    async fn run(&self, load: &Load, time: Duration) -> f64 {
        let until = Instant::now() + time;
        let began = Instant::now();
        let clients = (0..load.connections).map(|_| self.client(load, until));
        let sent: u64 = futures_of(clients).await.into_iter().sum();
        sent as f64 / began.elapsed().as_secs_f64()
    }

    /// One client, and how many of its records were answered.
    fn client(&self, load: &Load, until: Instant) -> tokio::task::JoinHandle<u64> {
        let count = load.count;
        let (address, stream, key) = match load.target {
            Target::Queue => return spawn(append(self.plain.clone(), count, until)),
            Target::Open(stream) => (self.open.clone(), stream, None),
            Target::Guarded(stream) => (self.guarded.clone(), stream, Some(&self.secret)),
        };
        let body = body(count);
        let kind = if count == 1 { "application/json" } else { "application/x-ndjson" };
        let key = key.map(|key| format!("x-api-key: {key}\r\n")).unwrap_or_default();
        let head = format!(
            "POST /v1/streams/{stream} HTTP/1.1\r\nhost: {address}\r\ncontent-type: {kind}\r\n{key}\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let request: Bytes = [head.as_bytes(), &body].concat().into();
        spawn(post(address, request, count, until))
    }
}

fn read(folder: &Path) -> Config {
    std::fs::write(folder.join("schema.json"), SCHEMA).expect("there is room");
    std::fs::write(folder.join("change.vrl"), PROGRAM).expect("there is room");
    let path: PathBuf = folder.join("weir.toml");
    let loaded = config::parse(CONFIG, &path, &|_| None, &RealDisk);
    loaded.unwrap_or_else(|findings| panic!("{findings}")).config
}

#[expect(clippy::disallowed_methods, reason = "it ends with the round")]
fn spawn(work: impl Future<Output = u64> + Send + 'static) -> tokio::task::JoinHandle<u64> {
    tokio::spawn(work)
}

async fn futures_of(all: impl Iterator<Item = tokio::task::JoinHandle<u64>>) -> Vec<u64> {
    let all: Vec<_> = all.collect();
    let mut ended = Vec::new();
    for one in all {
        ended.push(one.await.expect("a client does its work"));
    }
    ended
}

/// A log record of 1,000 bytes.
fn record(id: usize) -> String {
    let head = format!(
        "{{\"id\":{id},\"user\":{{\"name\":\"ann\"}},\"at\":\"2026-11-22T06:05:19Z\",\"level\":\"info\",\
         \"tags\":[\"edge\",\"http\"],\"message\":\""
    );
    let words = "the quick brown fox pays with 1234-5678 and jumps over the lazy dog ";
    let room = 1_000 - head.len() - 2;
    let message: String = words.chars().cycle().take(room).collect();
    format!("{head}{message}\"}}")
}

fn body(count: usize) -> Vec<u8> {
    let lines: Vec<String> = (0..count).map(|at| record(1_000_000 + at)).collect();
    lines.join("\n").into_bytes()
}

async fn append(queue: Writer, count: usize, until: Instant) -> u64 {
    let first = RecordId::new(Clock::real().unix_ms());
    let encoded = |at: usize| {
        encode(&Record {
            id: first.plus(u32::try_from(at).unwrap_or_default()),
            partition_key: None,
            hash_key: None,
            source: "http.open".into(),
            caller: "".into(),
            only_for: None,
            payload: record(1_000_000 + at).into(),
        })
    };
    let payloads: Vec<Bytes> = (0..count).map(encoded).collect();
    let mut sent = 0;
    while Instant::now() < until {
        let group = Group { payloads: payloads.clone(), ..Group::default() };
        queue.append(group).await.expect("the queue takes it");
        sent += count as u64;
    }
    sent
}

async fn post(address: String, request: Bytes, count: usize, until: Instant) -> u64 {
    let mut stream = TcpStream::connect(&address).await.expect("the door is open");
    stream.set_nodelay(true).expect("it is TCP");
    let (mut sent, mut answer) = (0, vec![0; 4096]);
    while Instant::now() < until {
        stream.write_all(&request).await.expect("the door reads");
        let mut filled = 0;
        loop {
            let read = stream.read(&mut answer[filled..]).await.expect("the door answers");
            assert!(read > 0, "the door closed the connection");
            filled += read;
            if is_whole(&answer[..filled]) {
                break;
            }
        }
        let said = String::from_utf8_lossy(&answer[..filled]);
        assert!(said.starts_with("HTTP/1.1 202"), "{said}");
        sent += count as u64;
    }
    sent
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length
        .and_then(|length| length.parse::<usize>().ok())
        .is_some_and(|length| body.len() >= length)
}

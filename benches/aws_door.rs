//! How fast records come in by the protocol of Kinesis, in JSON and CBOR, beside NDJSON in the same run.
//!
//! Aim: at least 60 % of the records per second of NDJSON. 500 records of 1 KiB a request, 8
//! connections, each synced before it is answered.
//! `cargo bench --bench aws_door -- [--seconds 3] [--reps 3] [--only WORD]` prints Markdown. The
//! clients run in this process, so their share of the CPU is the same for all doors.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64_simd::STANDARD;
use minicbor::Encoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use weir::admission::{self, Admission, Below};
use weir::base::clock::Clock;
use weir::base::disk::{RealDisk, SharedDisk};
use weir::base::nets::Nets;
use weir::base::shutdown;
use weir::base::tasks::Tasks;
use weir::queue;
use weir::source::http::{self, Listen, Proxies};
use weir::telemetry::Metrics;

const CONNECTIONS: usize = 8;
const RECORDS: usize = 500;
const RECORD_BYTES: usize = 1 << 10;
const STREAM: &str = "bench";
/// More than any run puts in.
const QUEUE_BYTES: u64 = 16 << 30;

/// A door and what is sent to it.
struct Door {
    name: &'static str,
    request: Vec<u8>,
}

/// One run.
struct Measured {
    records_per_second: f64,
    cpu_per_million: f64,
}

fn main() {
    let asked = Asked::from_arguments();
    let folder = std::env::temp_dir().join(format!("weir-door-{}", std::process::id()));
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let doors = doors();
    let mut all: BTreeMap<&str, Vec<Measured>> = BTreeMap::new();
    for _ in 0..asked.reps {
        for door in doors.iter().filter(|door| asked.wants(door.name)) {
            let measured = threads.block_on(measure(door, &folder, asked.seconds));
            all.entry(door.name).or_default().push(measured);
        }
    }
    println!("{RECORDS} records of {RECORD_BYTES} B a request, {CONNECTIONS} connections\n");
    println!("| door | records/s, median | of NDJSON | CPU s per million, clients included |");
    println!("|---|---|---|---|");
    let median = |name: &str| {
        let runs = all.get_mut(name)?;
        runs.sort_by(|a, b| a.records_per_second.total_cmp(&b.records_per_second));
        let middle = &runs[runs.len() / 2];
        Some((middle.records_per_second, middle.cpu_per_million))
    };
    let medians: Vec<_> = doors
        .iter()
        .map(|door| door.name)
        .zip(doors.iter().map(|door| door.name).map(median))
        .collect();
    let base = medians[0].1.map_or(f64::NAN, |(rate, _)| rate);
    for (name, found) in medians {
        if let Some((rate, cpu)) = found {
            println!("| {name} | {rate:.0} | {:.2} | {cpu:.1} |", rate / base);
        }
    }
}

/// What the command line asks for.
struct Asked {
    seconds: f64,
    reps: usize,
    only: Option<String>,
}

impl Asked {
    fn from_arguments() -> Self {
        let mut asked = Self { seconds: 3.0, reps: 3, only: None };
        let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match name.as_str() {
                "--seconds" => asked.seconds = value.parse().unwrap(),
                "--reps" => asked.reps = value.parse().unwrap(),
                "--only" => asked.only = Some(value),
                other => panic!("unknown {other}; known are --seconds, --reps, --only"),
            }
        }
        asked
    }

    fn wants(&self, door: &str) -> bool {
        self.only.as_deref().is_none_or(|only| door.contains(only))
    }
}

/// The same records for every door.
fn doors() -> [Door; 3] {
    let text: String = "0123456789abcdef".chars().cycle().take(RECORD_BYTES).collect();
    let lines = format!("{text}\n").repeat(RECORDS);
    let ndjson =
        request("/v1/streams/bench", &[("content-type", "application/x-ndjson")], lines.as_bytes());

    let packed = STANDARD.encode_to_string(&text);
    let entry = |number: usize| format!(r#"{{"Data":"{packed}","PartitionKey":"key-{number}"}}"#);
    let entries: Vec<String> = (0..RECORDS).map(entry).collect();
    let json = format!(r#"{{"StreamName":"{STREAM}","Records":[{}]}}"#, entries.join(","));

    let mut cbor = Encoder::new(Vec::new());
    cbor.begin_map().unwrap().str("StreamName").unwrap().str(STREAM).unwrap();
    cbor.str("Records").unwrap().begin_array().unwrap();
    for number in 0..RECORDS {
        cbor.begin_map().unwrap().str("Data").unwrap().bytes(text.as_bytes()).unwrap();
        cbor.str("PartitionKey").unwrap().str(&format!("key-{number}")).unwrap().end().unwrap();
    }
    cbor.end().unwrap().end().unwrap();
    let cbor = cbor.into_writer();

    let put = |kind, body: &[u8]| {
        request(
            "/",
            &[("content-type", kind), ("x-amz-target", "Kinesis_20131202.PutRecords")],
            body,
        )
    };
    [
        Door { name: "NDJSON", request: ndjson },
        Door {
            name: "PutRecords, JSON",
            request: put("application/x-amz-json-1.1", json.as_bytes()),
        },
        Door { name: "PutRecords, CBOR", request: put("application/x-amz-cbor-1.1", &cbor) },
    ]
}

fn request(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head =
        format!("POST {path} HTTP/1.1\r\nhost: weir\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    [(head + "\r\n").as_bytes(), body].concat()
}

async fn measure(door: &Door, folder: &Path, seconds: f64) -> Measured {
    let (disk, metrics): (SharedDisk, _) = (Arc::new(RealDisk), Metrics::default());
    let queue = queue::open(disk.clone(), queue_settings(folder), &[], &metrics).unwrap();
    let stream = admission::StreamSettings {
        max_record_bytes: 1 << 20,
        partition_key: None,
        aliases: Vec::new(),
        plan: None,
        treatment: admission::Treatment::default(),
    };
    let settings = admission::Settings {
        streams: BTreeMap::from([(STREAM.to_owned(), stream)]),
        ..admission::Settings::default()
    };
    let queues = BTreeMap::from([(STREAM.to_owned(), queue.writer)]);
    let below = Below {
        disk: disk.clone(),
        clock: Clock::real(),
        queues,
        lambdas: BTreeMap::new(),
        quotas: None,
    };
    let admission = Admission::open(below, settings, &metrics).unwrap();
    let bound = http::bind(disk, listener()).await.unwrap();
    let address = bound.addresses()[0].clone();
    let (stop, stopping) = shutdown::channel();
    let mut tasks = Tasks::new();
    tasks.spawn("door", bound.serve(admission, metrics, stopping));

    let (count, before, began) = (Arc::new(AtomicU64::new(0)), cpu_seconds(), Instant::now());
    let mut clients = Tasks::new();
    for _ in 0..CONNECTIONS {
        let (address, request, count) = (address.clone(), door.request.clone(), count.clone());
        clients.spawn("client", async move {
            let mut stream = TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            while began.elapsed().as_secs_f64() < seconds {
                ask(&mut stream, &request).await?;
                count.fetch_add(RECORDS as u64, Ordering::Relaxed);
            }
            Ok::<(), String>(())
        });
    }
    clients.finish().await.unwrap();
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - before);
    stop.ask();
    tasks.finish().await.unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let records = count.load(Ordering::Relaxed) as f64;
    Measured { records_per_second: records / took, cpu_per_million: cpu / records * 1e6 }
}

/// One request on a connection that stays; reads its answer to the end.
async fn ask(stream: &mut TcpStream, request: &[u8]) -> Result<(), String> {
    stream.write_all(request).await.map_err(|error| error.to_string())?;
    let mut heard = Vec::with_capacity(96 << 10);
    let mut whole = None;
    while whole.is_none_or(|whole| heard.len() < whole) {
        let read = stream.read_buf(&mut heard).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the door closed".to_owned());
        }
        if whole.is_none()
            && let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 20") {
                return Err(String::from_utf8_lossy(&heard).into_owned());
            }
            let length = head.split("content-length: ").nth(1).unwrap_or_default();
            let length: usize = length.split('\r').next().unwrap_or_default().parse().unwrap();
            whole = Some(end + 4 + length);
        }
    }
    Ok(())
}

fn queue_settings(folder: &Path) -> queue::Settings {
    queue::Settings {
        folder: folder.join("queue"),
        stream: STREAM.into(),
        max_bytes: QUEUE_BYTES,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        policy: queue::Policy::default(),
        compresses: false,
        keys: queue::Keys::default(),
        sync: queue::SyncLevel::Always,
    }
}

fn listener() -> http::Settings {
    http::Settings {
        name: "bench".into(),
        listen: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
        tls: None,
        auth: Vec::new(),
        plan: None,
        address_plan: None,
        guesses: None,
        rules: Vec::new(),
        allow: Nets::default(),
        deny: Nets::default(),
        proxies: Proxies::default(),
        native: true,
        gateway: true,
        aws: true,
        split_arrays: false,
        routes: Vec::new(),
        max_connections: 1024,
        max_per_sender: 1024,
        max_body_bytes: 16 << 20,
        max_unpacked_bytes: 64 << 20,
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        min_body_rate: None,
        idle_timeout: Duration::from_secs(75),
    }
}

/// CPU time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // The kernel counts in hundredths for everybody.
    ticks as f64 / 100.0
}

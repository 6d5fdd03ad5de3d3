//! Records from several clients and from a rotating file arrive in Kinesis and in S3, all of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use crate::support::agent::Agent;
use crate::support::books::{Books, Row, compare};
use crate::support::client::{Answer, Client, post_unix};
use crate::support::log_file::LogFile;
use crate::support::peers::{Kinesis, Moto};
use crate::support::scratch::Scratch;

const ROTATIONS: u32 = 10;
const LINES_PER_FILE: u32 = 500;

/// How a client hands in its records.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lines { per_request: usize },
    Packed { per_request: usize },
    OneByOne,
    OneByOneOverUnix,
}

/// 10 000 records in all.
const CLIENTS: [(&str, Way, usize); 6] = [
    ("lines a", Way::Lines { per_request: 250 }, 3_500),
    ("lines b", Way::Lines { per_request: 50 }, 2_500),
    ("packed a", Way::Packed { per_request: 500 }, 2_000),
    ("packed b", Way::Packed { per_request: 10 }, 1_000),
    ("single", Way::OneByOne, 500),
    ("unix", Way::OneByOneOverUnix, 500),
];

#[test]
fn everything_arrives_at_both_destinations_and_the_books_balance() {
    let scratch = Scratch::new("whole-path");
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let moto = Moto::start(&scratch);
    moto.create_delivery_stream("orders");
    let logs = scratch.folder("logs");
    let socket = scratch.join("ingest.sock");
    let agent = Agent::start(
        &scratch,
        &format!(
            r#"
            [http.local]
            listen = ["127.0.0.1:0", "unix:{socket}"]
            [tail.app]
            include = ["{glob}"]
            stream = "orders"
            start_at = "beginning"
            [stream.orders]
            destinations = ["cloud", "lake"]
            {cloud}
            {lake}
            "#,
            socket = socket.display(),
            glob = LogFile::glob(&logs),
            cloud = kinesis.destination("cloud", "orders"),
            lake = moto.destination("lake", "orders"),
        ),
    );

    let writer = thread::spawn({
        let logs = logs.clone();
        move || write_log(&logs)
    });
    let clients = CLIENTS.map(|(name, way, count)| {
        let (client, socket) = (agent.client("local"), agent.unix("local"));
        thread::spawn(move || hand_in(&client, &socket, &payloads(name, count), way))
    });
    writer.join().unwrap();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let lines = LogFile::lines(&logs);
    let sent: BTreeSet<String> = CLIENTS
        .iter()
        .flat_map(|(name, _, count)| payloads(name, *count))
        .chain(lines.iter().cloned())
        .collect();
    LogFile::wait_until_read(&agent, "app", &logs);
    let books = Books::settled(&agent);

    println!("{books}");
    assert_eq!(lines.len(), (ROTATIONS * LINES_PER_FILE) as usize);
    let all = sent.len() as u64;
    let delivered = Row { accepted: all, delivered: all, ..Row::default() };
    assert_eq!(books.row("orders", "cloud"), delivered);
    assert_eq!(books.row("orders", "lake"), delivered);
    // Nothing failed, so nothing may come twice.
    let nothing = BTreeSet::new();
    compare(&sent, &nothing, kinesis.payloads("orders")).complete("kinesis", 0);
    compare(&sent, &nothing, moto.lines("orders")).complete("firehose", 0);
    assert_eq!(unexplained(&agent.metrics()), [""; 0]);
    assert_eq!(agent.terminate().code(), Some(0));
}

fn payloads(client: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!(r#"{{"from":"{client}","number":{number}}}"#)).collect()
}

fn write_log(logs: &Path) {
    let mut log = LogFile::create(logs);
    for rotation in 0..ROTATIONS {
        if rotation > 0 {
            log.rotate();
        }
        log.write(LINES_PER_FILE);
    }
}

fn hand_in(client: &Client, socket: &Path, payloads: &[String], way: Way) {
    let per_request = match way {
        Way::Lines { per_request } | Way::Packed { per_request } => per_request,
        Way::OneByOne | Way::OneByOneOverUnix => 1,
    };
    for part in payloads.chunks(per_request) {
        let answer: Answer = match way {
            Way::Lines { .. } => client.post_lines("orders", part).unwrap(),
            Way::Packed { .. } => client.post_gzip("orders", part).unwrap(),
            Way::OneByOne => client.post("orders", part[0].as_bytes()).unwrap(),
            Way::OneByOneOverUnix => post_unix(socket, "orders", part[0].as_bytes()).unwrap(),
        };
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["accepted"], part.len());
        assert!(answer.json()["first"].is_string() && answer.json()["last"].is_string());
    }
}

/// Metrics of a running agent that docs/METRICS.md does not name, with their units.
fn unexplained(metrics: &str) -> Vec<&str> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.filter_map(|line| line.split(' ').next());
    names.filter(|name| !page.contains(*name)).collect()
}

//! Killed again and again while records come in by every door, weir loses none of them and repeats only a few.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::agent::{Agent, weir};
use crate::support::books::{Books, Row, compare};
use crate::support::client::{Answer, Client};
use crate::support::log_file::LogFile;
use crate::support::peers::{Kinesis, object_lines};
use crate::support::scratch::Scratch;
use crate::support::{number_from, seed, wait_for};

const DESTINATIONS: [&str; 2] = ["cloud", "archive"];
/// Between two requests of a client, and two writes to the log: about 2 500 records a second.
const PACE: Duration = Duration::from_millis(20);

#[test]
fn every_record_answered_202_and_every_line_arrives() {
    let kills = number_from("WEIR_TEST_KILLS").unwrap_or(5);
    let mut random = Rng::with_seed(seed());
    let scratch = Scratch::new("killed");
    scratch.write("queue.key", &"07".repeat(32));
    let kinesis = Kinesis::start();
    kinesis.create_stream("orders", 4);
    let (logs, archive) = (scratch.folder("logs"), scratch.folder("archive"));
    let kept = random.choice(KEPT).unwrap_or_default();
    println!("the queue is kept with {kept:?}");
    let config = config(&kinesis, kept, (&logs, &archive));

    let mut agent = Agent::start(&scratch, &config);
    let crowd = Crowd::start(&agent, &logs);
    let mut notes = DESTINATIONS.map(Notes::new);
    for kill in 1..=kills {
        let life = Life::watch(&agent, Duration::from_millis(random.u64(..2_000)));
        agent.kill();
        let killed = Instant::now();
        let on_disk = on_disk(&scratch);
        agent = Agent::start(&scratch, &config);
        let after = Books::check(&agent);
        crowd.turn_to(&agent);
        for note in &mut notes {
            note.after_a_kill(&life, killed, on_disk[note.destination], &after);
        }
        let repeated = notes.each_ref().map(|note| note.repeated_max);
        println!("kill {kill}: at most {repeated:?} records may come twice so far");
    }
    let stories = crowd.stop();
    let mut sent = LogFile::lines(&logs);
    sent.extend(stories.stored);
    LogFile::wait_until_read(&agent, "app", &logs);
    let books = Books::settled(&agent);
    assert_eq!(agent.terminate().code(), Some(0));

    println!("{books}\n{kills} kills");
    // A request whose answer was cut off was perhaps stored, and was handed in again.
    let accepted = books.row("orders", "cloud").accepted;
    let (least, most) = (sent.len() as u64, sent.len() as u64 + stories.unanswered);
    assert!((least..=most).contains(&accepted), "{least} <= {accepted} <= {most}");
    let twice_in = accepted - least;
    let arrived = [kinesis.payloads("orders"), object_lines(&archive)];
    for (note, arrived) in notes.iter_mut().zip(arrived) {
        note.show_ages();
        let row = books.row("orders", note.destination);
        assert_eq!((row.dead, row.dropped, row.damaged, row.waiting), (0, 0, 0, 0));
        let arrivals = compare(&sent, &BTreeSet::new(), arrived);
        arrivals.complete(note.destination, twice_in + note.repeated_max);
    }
}

/// The ways a queue may be kept; the seed chooses one.
const KEPT: [&str; 4] = [
    "",
    r#"queue.compression = "zstd""#,
    "queue.compression = \"zstd\"\nqueue.encryption = \"at-rest\"",
    r#"queue.when_full = "drop_oldest""#,
];

fn config(kinesis: &Kinesis, kept: &str, (logs, archive): (&Path, &Path)) -> String {
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [tail.app]
        include = ["{glob}"]
        stream = "orders"
        start_at = "beginning"
        [stream.orders]
        destinations = ["cloud", "archive"]
        {kept}
        [encryption.at-rest]
        type = "key"
        key = "file:queue.key"
        {cloud}
        [destination.archive]
        type = "directory"
        path = "{archive}"
        object_age = "1 s"
        "#,
        glob = LogFile::glob(logs),
        cloud = kinesis.destination("cloud", "orders"),
        archive = archive.display(),
    )
}

/// What could be seen of the books from a start to the kill.
struct Life {
    samples: Vec<(Instant, Books)>,
}

impl Life {
    /// Watches for so long, and until something was accepted.
    fn watch(agent: &Agent, time: Duration) -> Self {
        let born = Instant::now();
        let sample = || (Instant::now(), Books::check(agent));
        let accepted = |books: &Books| books.row("orders", "cloud").accepted;
        let first = sample();
        let before = accepted(&first.1);
        let mut samples = vec![first];
        wait_for("records to be accepted", || {
            let (at, books) = sample();
            let is_over = accepted(&books) > before && born.elapsed() >= time;
            samples.push((at, books));
            is_over.then_some(())
        });
        Self { samples }
    }
}

/// The ledgers as a dead agent left them.
fn on_disk(scratch: &Scratch) -> BTreeMap<String, Row> {
    let asked = ["queue", "stat", "orders", "--config", "weir.toml", "--json"];
    let stat: Value = serde_json::from_str(&weir(scratch, &asked).succeeded()).unwrap();
    let rows = stat["destinations"].as_array().unwrap().iter();
    rows.map(|row| (row["destination"].as_str().unwrap().to_owned(), Row::read(row))).collect()
}

/// What one destination must know of itself after a kill.
struct Notes {
    destination: &'static str,
    /// So much was noted on disk as delivered.
    delivered: u64,
    /// The bound of duplicates: over all kills, what was accepted and not noted as delivered.
    repeated_max: u64,
    /// How old the youngest books were, at each kill, of which the disk knew all.
    ages: Vec<Duration>,
}

impl Notes {
    fn new(destination: &'static str) -> Self {
        Self { destination, delivered: 0, repeated_max: 0, ages: Vec::new() }
    }

    fn after_a_kill(&mut self, life: &Life, killed: Instant, on_disk: Row, after: &Books) {
        let row = |books: &Books| books.row("orders", self.destination);
        let last = life.samples.last().map(|(_, books)| row(books)).unwrap_or_default();
        let now = row(after);

        assert!(now.accepted >= last.accepted, "accepted records are forgotten: {now:?}");
        let noted = on_disk.delivered;
        assert!(noted >= self.delivered, "the disk forgets: {} of {on_disk:?}", self.delivered);
        assert!(now.delivered >= noted, "deliveries are forgotten: {noted} of {now:?}");
        self.delivered = noted;
        self.repeated_max += now.accepted - noted;
        let known = life.samples.iter().rev().find(|(_, books)| row(books).delivered <= noted);
        self.ages.extend(known.map(|(at, _)| killed.duration_since(*at)));
    }

    /// For the reader, as machines that are busy take their time: `cursor_save` is 200 ms.
    fn show_ages(&mut self) {
        self.ages.sort();
        let (count, oldest) = (self.ages.len(), self.ages.last());
        let middle = self.ages.get(count / 2);
        println!(
            "{}: the disk knew what was {middle:?} old, at worst {oldest:?}",
            self.destination
        );
    }
}

/// Clients that hand in records and try again until each is answered 202, and a program that logs.
struct Crowd {
    client: Arc<RwLock<Client>>,
    stopping: Arc<AtomicBool>,
    unanswered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
    writer: JoinHandle<()>,
}

/// What became of what they handed in.
struct Stories {
    stored: Vec<String>,
    unanswered: u64,
}

impl Crowd {
    fn start(agent: &Agent, logs: &Path) -> Self {
        let client = Arc::new(RwLock::new(agent.client("local")));
        let (stopping, unanswered) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let clients = Way::ALL.into_iter().map(|way| {
            let (client, stopping) = (Arc::clone(&client), Arc::clone(&stopping));
            let unanswered: Arc<AtomicU64> = Arc::clone(&unanswered);
            thread::spawn(move || hand_in(way, &client, &stopping, &unanswered))
        });
        let clients = clients.collect();
        let writer = thread::spawn({
            let (logs, stopping) = (logs.to_owned(), Arc::clone(&stopping));
            move || write_log(&logs, &stopping)
        });
        Self { client, stopping, unanswered, clients, writer }
    }

    /// The agent has another port after each start.
    fn turn_to(&self, agent: &Agent) {
        *self.client.write().unwrap() = agent.client("local");
    }

    fn stop(self) -> Stories {
        self.stopping.store(true, Ordering::Relaxed);
        self.writer.join().unwrap();
        let stored = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        Stories { stored, unanswered: self.unanswered.load(Ordering::Relaxed) }
    }
}

/// How a client hands in.
#[derive(Clone, Copy, Debug)]
enum Way {
    Singles,
    Batches,
    PutRecords,
}

impl Way {
    const ALL: [Self; 3] = [Self::Singles, Self::Batches, Self::PutRecords];

    fn records(self) -> usize {
        if matches!(self, Self::Singles) { 1 } else { 10 }
    }

    fn hand_in(self, client: &Client, records: &[String]) -> Result<Answer, ureq::Error> {
        match self {
            Self::Singles => client.post("orders", records[0].as_bytes()),
            Self::Batches => client.post_lines("orders", records),
            Self::PutRecords => client.put_records("orders", records),
        }
    }
}

/// Whether all of it was promised: the protocol of Kinesis has 200 and a count of what it refused.
fn is_stored(answer: &Answer) -> bool {
    answer.status == 202 || answer.status == 200 && answer.json()["FailedRecordCount"] == 0
}

fn hand_in(
    way: Way,
    client: &RwLock<Client>,
    stopping: &AtomicBool,
    unanswered: &AtomicU64,
) -> Vec<String> {
    let mut stored = Vec::new();
    while !stopping.load(Ordering::Relaxed) {
        let first = stored.len();
        let lines: Vec<String> = (first..first + way.records())
            .map(|n| format!(r#"{{"way":"{way:?}","number":{n}}}"#))
            .collect();
        wait_for("records to be stored", || {
            let client = client.read().unwrap().clone();
            match way.hand_in(&client, &lines) {
                Ok(answer) if is_stored(&answer) => Some(()),
                Ok(answer) => {
                    assert!(matches!(answer.status, 500 | 503), "{answer:?}");
                    None
                }
                Err(fault) => {
                    if !is_refused(&fault) {
                        unanswered.fetch_add(lines.len() as u64, Ordering::Relaxed);
                    }
                    None
                }
            }
        });
        stored.extend(lines);
        thread::sleep(PACE);
    }
    stored
}

/// Nobody listened, so nothing can have been stored.
fn is_refused(fault: &ureq::Error) -> bool {
    match fault {
        ureq::Error::ConnectionFailed => true,
        ureq::Error::Io(fault) => fault.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// A new file every 500 lines, whether weir is alive or not.
fn write_log(logs: &Path, stopping: &AtomicBool) {
    let mut log = LogFile::create(logs);
    while !stopping.load(Ordering::Relaxed) {
        for _ in 0..25 {
            log.write(20);
            thread::sleep(PACE);
        }
        log.rotate();
    }
}

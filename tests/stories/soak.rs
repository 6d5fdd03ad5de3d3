//! Hours of everything at once, good and bad, leave weir as it was after minutes: no memory, descriptor
//! or thread more, nothing lost, balanced books. `WEIR_SOAK_MINUTES=60` says how long.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::support::agent::{Agent, configure};
use crate::support::books::Books;
use crate::support::client::{Answer as Answered, Client};
use crate::support::fake_upstream::{Answer, FakeUpstream, Request, Service};
use crate::support::log_file::LogFile;
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::tally::Tally;
use crate::support::{number_from, wait_for};

const SHORT: Duration = Duration::from_secs(15);
/// Between two requests of a client, and two writes to the log.
const PACE: Duration = Duration::from_millis(40);
/// Between two looks at everything.
const LOOK: Duration = Duration::from_millis(100);
const MOOD_MAX: Duration = Duration::from_secs(10);
/// Files of the log that stay; one has 500 lines.
const KEPT: u32 = 30;
const PLACES: [Service; 2] = [Service::Kinesis, Service::Firehose];

/// What both upstreams do for a while, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Throttled,
    Away,
    LosesAnswers,
    Slow,
}

const MOODS: [Mood; 6] =
    [Mood::Well, Mood::Throttled, Mood::Slow, Mood::Away, Mood::LosesAnswers, Mood::Well];
const THIRDS: u32 = 3;
/// Each third of the time has all of them at least once.
const TURNS: u32 = THIRDS * 6;

#[test]
fn after_hours_it_is_as_it_was_after_minutes() {
    let time = number_from("WEIR_SOAK_MINUTES").map_or(SHORT, |min| Duration::from_secs(min * 60));
    let scratch = Scratch::new("soak");
    let logs = scratch.folder("logs");
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    let agent = Agent::start(&scratch, &config(&fake, &logs, 0));
    let crowd = Crowd::start(&agent, &logs);
    let (mut books, mut samples) = (Ledgers::default(), Vec::new());
    let mood_time = (time / TURNS).min(MOOD_MAX);

    let begun = Instant::now();
    let (mut moods, unsure) = (0, Arc::new(AtomicU64::new(0)));
    while begun.elapsed() < time {
        if begun.elapsed() >= mood_time * moods {
            let mood = MOODS[moods as usize % MOODS.len()];
            fake.script(script(mood, Arc::clone(&unsure)));
            configure(&scratch, &config(&fake, &logs, moods));
            agent.hang_up();
            moods += 1;
            let done = format!("weir_config_reloads_total{{result=\"done\"}} {moods}");
            wait_for("the reload", || agent.metrics().contains(&done).then_some(()));
        }
        books.take_in(&fake);
        Books::check(&agent);
        samples.push(Sample::of(&agent));
        thread::sleep(LOOK);
    }
    fake.script(|_| Answer::Take);
    let sent = crowd.stop();
    LogFile::wait_until_read(&agent, "app", &logs);
    let settled = Books::settled(&agent);
    books.take_in(&fake);

    println!("{settled}\n{moods} moods and reloads in {:?}", begun.elapsed());
    for place in PLACES {
        let row = settled.row("orders", name(place));
        assert_eq!((row.dead, row.dropped, row.damaged, row.waiting), (0, 0, 0, 0));
    }
    books.check(&sent, unsure.load(Ordering::Relaxed));
    show_latencies(&sent.took, time);
    assert_eq!(growing(&samples), [""; 0]);
    assert_eq!(agent.terminate().code(), Some(0));
}

/// What changes with every reload changes nothing that is seen.
fn config(fake: &FakeUpstream, logs: &std::path::Path, reload: u32) -> String {
    let upstream = format!(
        "region = \"{REGION}\"\nendpoint_url = \"{}\"\nlinger = \"{} ms\"\n\
         retry_first = \"10 ms\"\nretry_max = \"500 ms\"\n",
        fake.url(),
        10 + reload % 2 * 10,
    );
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [tail.app]
        include = ["{glob}"]
        stream = "orders"
        start_at = "beginning"
        [stream.orders]
        destinations = ["kinesis", "firehose"]
        queue = {{ min_free_disk = "0 B" }}
        [destination.kinesis]
        type = "kinesis"
        stream_name = "orders"
        {upstream}
        [destination.firehose]
        type = "firehose"
        delivery_stream = "orders"
        {upstream}
        "#,
        glob = LogFile::glob(logs),
    )
}

fn name(place: Service) -> &'static str {
    match place {
        Service::Kinesis => "kinesis",
        Service::Firehose => "firehose",
    }
}

/// Records in requests that were taken and not answered are counted as `unsure`.
fn script(mood: Mood, unsure: Arc<AtomicU64>) -> impl FnMut(&Request) -> Answer + Send {
    let mut number = 0;
    move |request| {
        number += 1;
        let code = match request.service {
            Service::Kinesis => "ProvisionedThroughputExceededException",
            Service::Firehose => "ServiceUnavailableException",
        };
        match mood {
            Mood::Well => Answer::Take,
            Mood::Throttled => Answer::fail_entries(request, code, |place, _| place % 3 != 0),
            Mood::Away if number % 2 == 0 => Answer::refuse(500, "InternalFailure", "try again"),
            Mood::Away => Answer::Reset,
            Mood::LosesAnswers if number % 4 == 0 => {
                let count = request.records.iter().map(|sent| lines(&sent.data).count() as u64);
                unsure.fetch_add(count.sum(), Ordering::Relaxed);
                Answer::TakeAndReset
            }
            Mood::LosesAnswers => Answer::Take,
            Mood::Slow => Answer::After(Duration::from_millis(300), Box::new(Answer::Take)),
        }
    }
}

/// Firehose gets many records in one, a line each.
fn lines(data: &[u8]) -> impl Iterator<Item = &str> {
    str::from_utf8(data).unwrap().lines()
}

/// What arrived at one place: records by number, lines of the log by theirs.
#[derive(Clone, Debug, Default)]
struct Arrived {
    records: Tally,
    lines: Tally,
}

#[derive(Debug, Default)]
struct Ledgers([Arrived; 2]);

impl Ledgers {
    fn take_in(&mut self, fake: &FakeUpstream) {
        for taken in fake.carry_off() {
            // Only Kinesis has keys.
            let arrived = &mut self.0[usize::from(taken.key.is_empty())];
            for line in lines(&taken.data) {
                match line.strip_prefix("line ") {
                    Some(rest) => arrived.lines.arrive(number(rest.split(' ').next())),
                    None => arrived.records.arrive(number(line.strip_prefix("order "))),
                }
            }
        }
    }

    /// Nothing is missing, and only what an upstream took without an answer came again.
    fn check(&mut self, sent: &Sent, unsure: u64) {
        let mut again = 0;
        for (place, arrived) in PLACES.into_iter().zip(&mut self.0) {
            sent.records.iter().for_each(|number| arrived.records.promise(*number));
            (1..=sent.lines).for_each(|number| arrived.lines.promise(number));
            let (records, lines) = (arrived.records.promised(), arrived.lines.promised());
            println!("{}: {records} records and {lines} lines", name(place));
            assert!(records > 0 && lines > 0);
            assert_eq!(arrived.records.missing(), [0; 0], "records lost for {}", name(place));
            assert_eq!(arrived.lines.missing(), [0; 0], "lines lost for {}", name(place));
            again += arrived.records.again() + arrived.lines.again();
        }
        println!("{again} came again, of {unsure} taken without an answer");
        assert!(again <= unsure, "{again} came again, {unsure} may");
    }
}

#[track_caller]
fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number: {text:?}"))
}

/// Clients of every kind, and a program that logs and rotates.
struct Crowd {
    stopping: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
    writer: JoinHandle<u64>,
    sent: Arc<Mutex<Sent>>,
}

/// What was promised, and how long that took.
#[derive(Debug, Default)]
struct Sent {
    records: Vec<u64>,
    lines: u64,
    /// For single records: when, counted from the start, and how long.
    took: Vec<(Duration, Duration)>,
}

type HandIn = fn(&Client, &[String]) -> Result<Answered, ureq::Error>;

impl Crowd {
    fn start(agent: &Agent, logs: &std::path::Path) -> Self {
        let ways: [(u64, HandIn); 3] = [
            (1, |client, records| client.post("orders", records[0].as_bytes())),
            (10, |client, records| client.post_lines("orders", records)),
            (10, |client, records| client.put_records("orders", records)),
        ];
        let (stopping, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let clients = ways.map(|(count, hand_in)| {
            let (stopping, sent, next) = (stopping.clone(), Arc::clone(&sent), next.clone());
            let client = agent.client("local");
            thread::spawn(move || {
                while !stopping.load(Ordering::Relaxed) {
                    let first = next.fetch_add(count, Ordering::Relaxed);
                    let numbers = first..first + count;
                    let records: Vec<String> =
                        numbers.clone().map(|number| format!("order {number}")).collect();
                    let asked = Instant::now();
                    let answer = hand_in(&client, &records).unwrap();
                    let is_stored = matches!(answer.status, 200 | 202);
                    assert!(is_stored && !answer.body.contains("ErrorCode"), "{answer:?}");
                    let mut sent: std::sync::MutexGuard<'_, Sent> = sent.lock().unwrap();
                    sent.records.extend(numbers);
                    if count == 1 {
                        sent.took.push((begun.elapsed(), asked.elapsed()));
                    }
                    drop(sent);
                    thread::sleep(PACE);
                }
            })
        });
        let writer = thread::spawn({
            let (mut log, stopping) = (LogFile::create(logs), stopping.clone());
            move || write_log(&mut log, &stopping)
        });
        Self { stopping, clients: clients.into(), writer, sent }
    }

    fn stop(self) -> Sent {
        self.stopping.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let mut sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.lines = self.writer.join().unwrap();
        sent
    }
}

/// A new file every 500 lines; how many lines it wrote.
fn write_log(log: &mut LogFile, stopping: &AtomicBool) -> u64 {
    while !stopping.load(Ordering::Relaxed) {
        for _ in 0..25 {
            log.write(20);
            thread::sleep(PACE);
        }
        log.rotate();
        log.keep(KEPT);
    }
    u64::from(log.written())
}

/// What the kernel says of the process.
#[derive(Clone, Copy, Debug)]
struct Sample {
    resident_mib: f64,
    descriptors: f64,
    threads: f64,
}

impl Sample {
    fn of(agent: &Agent) -> Self {
        let count = |what: &str| {
            let entries = fs::read_dir(format!("/proc/{}/{what}", agent.pid())).unwrap();
            entries.count() as f64
        };
        Self {
            resident_mib: agent.resident_bytes() as f64 / f64::from(1 << 20),
            descriptors: count("fd"),
            threads: count("task"),
        }
    }
}

type Figure = fn(&Sample) -> f64;

/// What is more in the last third of the time than in the second; the first is for warming up.
fn growing(samples: &[Sample]) -> Vec<String> {
    let figures: [(&str, Figure, f64); 3] = [
        ("MiB", |sample| sample.resident_mib, 12.0),
        ("descriptors", |sample| sample.descriptors, 8.0),
        ("threads", |sample| sample.threads, 4.0),
    ];
    let mut growing = Vec::new();
    for (what, figure, slack) in figures {
        let values: Vec<f64> = samples.iter().map(figure).collect();
        let [first, second, last] = thirds(&values);
        println!("{what}: {first:.1}, {second:.1}, {last:.1} on average in each third");
        if last > second * 1.1 + slack {
            growing.push(format!("{what} grow from {second:.1} to {last:.1}"));
        }
    }
    growing
}

fn thirds(values: &[f64]) -> [f64; 3] {
    let third = values.len() / 3;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    [&values[..third], &values[third..2 * third], &values[2 * third..]].map(mean)
}

/// For the reader: how long a machine takes proves nothing.
fn show_latencies(took: &[(Duration, Duration)], time: Duration) {
    for third in 0..THIRDS {
        let of = |at: Duration| at >= time / THIRDS * third && at < time / THIRDS * (third + 1);
        let mut times: Vec<Duration> =
            took.iter().filter(|(at, _)| of(*at)).map(|(_, took)| *took).collect();
        times.sort();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        println!("single records in third {third}: p50 {:?}, p99 {:?}", at(50), at(99));
    }
}

#[test]
fn what_grows_is_found() {
    let sample = |mib| Sample { resident_mib: mib, descriptors: 20.0, threads: 5.0 };
    let flat: Vec<Sample> = (0..90).map(|_| sample(50.0)).collect();
    assert_eq!(growing(&flat), [""; 0]);
    let steep: Vec<Sample> = (0..90).map(|step| sample(50.0 + f64::from(step))).collect();
    assert_eq!(growing(&steep), ["MiB grow from 94.5 to 124.5"]);
}

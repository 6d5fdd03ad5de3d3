//! How fast a log that lies there is caught up with, and what ten thousand quiet files cost: the real
//! binary between generated files and an upstream in this process.
//!
//! `cargo bench --bench tail -- [--bytes "2 GiB"] [--only WORD]` prints Markdown; `--only new` tells how
//! long it takes until a new file beside ten thousand others is durable. The ten thousand take a minute and
//! a half, for most of which the bench rests. The upstream takes CPU too, on
//! another core if there is one; CPU and memory are those of weir alone.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

#[path = "tail/agent.rs"]
mod agent;
#[path = "tail/listing.rs"]
mod listing;
#[path = "tail/log.rs"]
mod log;
#[expect(clippy::unwrap_used, reason = "shared with tests")]
#[path = "../tests/support/tls_peer.rs"]
mod tls_peer;
#[path = "tail/upstream.rs"]
mod upstream;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use agent::{Agent, cpu_seconds_of_ended, wait_for};
use upstream::Upstream;
use weir::base::units::ByteSize;

/// What the command line asks for.
struct Asked {
    bytes: u64,
    only: Option<String>,
}

fn main() {
    let asked = Asked::from_arguments();
    let folder = std::env::temp_dir().join(format!("weir-bench-tail-{}", std::process::id()));
    fs::create_dir_all(folder.join("logs")).expect("a scratch folder");
    if ["queue", "clear", "tls", "plain"].iter().any(|word| asked.wants(word)) {
        catch_up(&asked, &folder);
    }
    if asked.wants("files") || asked.wants("new") {
        many_files(&asked, &folder);
    }
    fs::remove_dir_all(&folder).unwrap_or_default();
}

/// A log that is there already, into the queue alone and all the way.
fn catch_up(asked: &Asked, folder: &Path) {
    let path = folder.join("logs/access.log");
    let lines = log::write(&path, asked.bytes);
    let bytes = fs::metadata(&path).expect("it was written").len();
    println!("\n### catching up with {} in {lines} lines\n", ByteSize(bytes).rounded());
    println!(
        "| what | MB/s | records/s | CPU s per GB | peak MiB | requests | bytes sent per byte |"
    );
    println!("|---|---|---|---|---|---|---|");
    let load = Load { folder, path: &path, bytes, lines };
    if asked.wants("queue") {
        load.fill_the_queue();
    }
    if asked.wants("plain") {
        load.end_to_end("TLS, one record an entry", Some("ca.pem"), false);
    }
    if asked.wants("clear") {
        load.end_to_end("no TLS, aggregates", None, true);
    }
    if asked.wants("tls") {
        load.end_to_end("TLS, aggregates", Some("ca.pem"), true);
    }
}

struct Load<'a> {
    folder: &'a Path,
    path: &'a Path,
    bytes: u64,
    lines: u64,
}

impl Load<'_> {
    /// Until every line is durable; the upstream is away.
    fn fill_the_queue(&self) {
        let config = self.config("http://127.0.0.1:9", "");
        let begun = Instant::now();
        let mut agent = Agent::start(self.folder, &config, &[]);
        wait_for(|| {
            assert!(agent.ended().is_none(), "weir ended: {}", agent.log());
            (agent.queued() >= self.bytes).then_some(())
        });
        self.print("durable in the queue", begun.elapsed(), agent.cpu_seconds(), &agent);
        println!(" | |");
    }

    /// Until every line was delivered and weir has ended.
    fn end_to_end(&self, what: &str, ca: Option<&str>, knows_shards: bool) {
        let ca = ca.map(|name| self.folder.join(name));
        let upstream = Upstream::start(ca.as_deref(), knows_shards);
        let trust = ca.map(|path| format!("ca_bundle = {path:?}\n")).unwrap_or_default();
        let config = self.config(&upstream.url(), &trust);
        let (begun, before) = (Instant::now(), cpu_seconds_of_ended());
        let mut agent = Agent::start(self.folder, &config, &["--once"]);
        let status = wait_for(|| agent.ended());
        assert!(status.success(), "weir ended with {status}: {}", agent.log());
        let cpu = cpu_seconds_of_ended() - before;
        self.print(what, begun.elapsed(), cpu, &agent);
        let [_, sent, requests] = upstream.seen();
        println!(" {requests} | {:.2} |", sent as f64 / self.bytes as f64);
    }

    fn print(&self, what: &str, time: Duration, cpu: f64, agent: &Agent) {
        let (seconds, bytes) = (time.as_secs_f64(), self.bytes as f64);
        print!(
            "| {what} | {:.0} | {:.0} | {:.1} | {:.0} |",
            bytes / 1e6 / seconds,
            self.lines as f64 / seconds,
            cpu / (bytes / 1e9),
            agent.peak_mib(),
        );
    }

    fn config(&self, url: &str, trust: &str) -> String {
        format!(
            "[tail.access]\ninclude = [{:?}]\nstream = \"access\"\nstart_at = \"beginning\"\n\
             [stream.access]\ndestinations = [\"cloud\"]\n\
             queue = {{ max_bytes = \"8 GiB\", min_free_disk = \"1 MiB\" }}\n\
             [destination.cloud]\ntype = \"kinesis\"\nstream_name = \"access\"\n\
             region = \"eu-west-1\"\nendpoint_url = \"{url}\"\nshard_share = 1000\n{trust}",
            self.path
        )
    }
}

const FILES: usize = 10_000;
const BUSY: usize = 100;

/// New files whose delay is taken.
const NEW: usize = 200;
/// Between two of them: some come while weir still rests from the one before.
const NEW_PAUSE_MS: std::ops::Range<u64> = 10..300;

/// Ten thousand files: quiet ones, a hundred busy ones among them, and new ones.
fn many_files(asked: &Asked, folder: &Path) {
    let logs = folder.join("many");
    for number in 0..FILES {
        let path = quiet_file(&logs, number);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a scratch folder");
        fs::write(path, format!("the only line of {number}\n")).expect("a scratch file");
    }
    let config = format!(
        "[tail.many]\ninclude = [\"{}/**/*.log\"]\nstream = \"many\"\nstart_at = \"beginning\"\n\
         [stream.many]\ndestinations = [\"here\"]\n\
         [destination.here]\ntype = \"directory\"\npath = {:?}\n",
        logs.display(),
        folder.join("out"),
    );
    println!("\n### {FILES} files\n");
    println!(
        "| what | of a core | peak MiB | descriptors | durable within ms, p50 / p99 / worst |"
    );
    println!("|---|---|---|---|---|");
    let begun = Instant::now();
    let agent = Agent::start(folder, &config, &[]);
    let written = |from: usize| -> u64 {
        (from..FILES)
            .map(|number| fs::metadata(quiet_file(&logs, number)).map_or(0, |meta| meta.len()))
            .sum()
    };
    let all = written(0);
    wait_for(|| (agent.queued() >= all).then_some(()));
    row(&agent, "the first line of each", begun, 0.0, "");
    // Two rescans, so that what the start cost is behind.
    sleep(Duration::from_secs(3));

    if asked.wants("files") {
        quiet_and_busy(&agent, &logs);
    }
    let (begun, before) = (Instant::now(), agent.cpu_seconds());
    let mut random = fastrand::Rng::with_seed(7);
    let delay = |number| {
        sleep(Duration::from_millis(random.u64(NEW_PAUSE_MS)));
        delay_of_new_file(&agent, &logs, number)
    };
    let mut delays: Vec<f64> = (0..NEW).map(delay).collect();
    delays.sort_by(f64::total_cmp);
    let [p50, p99, worst] = [NEW / 2, NEW * 99 / 100, NEW - 1].map(|at| delays[at]);
    let delays = format!("{p50:.0} / {p99:.0} / {worst:.0}");
    row(&agent, "200 new files, one after the other", begun, before, &delays);
}

fn quiet_and_busy(agent: &Agent, logs: &Path) {
    let (begun, before) = (Instant::now(), agent.cpu_seconds());
    sleep(Duration::from_secs(40));
    row(agent, "all quiet, 40 s", begun, before, "");

    let (begun, before) = (Instant::now(), agent.cpu_seconds());
    while begun.elapsed() < Duration::from_secs(10) {
        for number in 0..BUSY {
            append(&quiet_file(logs, number * (FILES / BUSY)));
        }
        sleep(Duration::from_millis(100));
    }
    row(agent, "100 write ten lines a second each", begun, before, "");
}

fn row(agent: &Agent, what: &str, begun: Instant, before: f64, delays: &str) {
    let share = (agent.cpu_seconds() - before) / begun.elapsed().as_secs_f64() * 100.0;
    println!(
        "| {what} | {share:.2} % | {:.0} | {} | {delays} |",
        agent.peak_mib(),
        agent.descriptors()
    );
}

/// From the moment a file is made and has a line until that is durable, as far as asking for it can
/// tell: a question takes about a millisecond.
fn delay_of_new_file(agent: &Agent, logs: &Path, number: usize) -> f64 {
    let lines = |agent: &Agent| agent.counter("weir_tail_lines_total").unwrap_or(0);
    let before = lines(agent);
    let begun = Instant::now();
    append(&logs.join(format!("{}/new-{number}.log", number % 100)));
    while lines(agent) <= before {
        sleep(Duration::from_millis(1));
    }
    begun.elapsed().as_secs_f64() * 1e3
}

fn append(path: &Path) {
    let mut file =
        fs::File::options().append(true).create(true).open(path).expect("a scratch file");
    file.write_all(b"one more line of a program that logs\n").expect("room for a line");
}

fn quiet_file(logs: &Path, number: usize) -> PathBuf {
    logs.join(format!("{}/{number}.log", number / 100))
}

impl Asked {
    fn from_arguments() -> Self {
        let mut asked = Self { bytes: 2 << 30, only: None };
        // Cargo adds `--bench`.
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            match word.as_str() {
                "--bytes" => {
                    asked.bytes = value.parse::<ByteSize>().map_or(asked.bytes, |size| size.0)
                }
                "--only" => asked.only = Some(value),
                _ => {}
            }
        }
        asked
    }

    fn wants(&self, what: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == what)
    }
}

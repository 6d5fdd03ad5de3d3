//! Files that are followed through kills, floods of events, a full disk and thousands of neighbours:
//! each line lies in the queue once, and those of one file in their order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::disk_full::SmallDisk;
use crate::support::agent::{Agent, configure, weir};
use crate::support::fake_upstream::{Answer, FakeUpstream};
use crate::support::log_file::LogFile;
use crate::support::numbered::{Writer, line, missing};
use crate::support::peers::REGION;
use crate::support::scratch::Scratch;
use crate::support::{seed, wait_for};

/// Follows `glob`; nobody listens where the records are to go, so all of them stay in the queue.
fn to_nowhere(scratch: &Scratch, glob: &str) -> String {
    let glob = scratch.join(glob).display().to_string();
    format!(
        r#"
        [tail.app]
        include = [{glob:?}]
        stream = "s"
        start_at = "beginning"
        [stream.s]
        destinations = ["away"]
        [destination.away]
        type = "firehose"
        delivery_stream = "s"
        region = "{REGION}"
        endpoint_url = "http://127.0.0.1:1"
        "#
    )
}

/// Stops the agent and reads what lies in the queue, in its order.
#[track_caller]
fn queued(scratch: &Scratch, agent: Agent, config: &str) -> String {
    agent.kill();
    let config = configure(scratch, config).display().to_string();
    weir(scratch, &["queue", "export", "s", "--config", &config]).succeeded()
}

#[test]
fn a_writer_never_stops_and_rotates_while_weir_is_killed_again_and_again() {
    let mut random = Rng::with_seed(seed());
    let scratch = Scratch::new("tail-killed");
    let logs = scratch.folder("logs");
    let path = logs.join("app.log");
    let config = to_nowhere(&scratch, "logs/app.log");
    let writer = Writer::start(&path, 10);

    let mut agent = Agent::start(&scratch, &config);
    // Of what was rotated before it followed anything, nothing is wanted.
    let has_begun = || agent.status()["tails"]["app"][0]["queued"].as_u64() > Some(0);
    wait_for("the first lines to be queued", || has_begun().then_some(()));
    for kill in 1..=20 {
        std::thread::sleep(Duration::from_millis(random.u64(..150)));
        let is_down = random.bool();
        if is_down {
            agent.kill();
            rename_all(&path, kill);
            agent = Agent::start(&scratch, &config);
        } else {
            rename_all(&path, kill);
            std::thread::sleep(Duration::from_millis(random.u64(..20)));
            agent.kill();
            writer.wait_for_more(random.u64(..200));
            agent = Agent::start(&scratch, &config);
        }
    }
    let written = writer.stop();
    LogFile::wait_until_read(&agent, "app", &logs);

    let queued = queued(&scratch, agent, &config);
    let missing = missing(queued.lines(), &logs, written);
    assert!(missing.is_empty(), "{missing:?} of {written}");
}

/// A rotation while the writer writes.
fn rename_all(path: &Path, number: u32) {
    fs::rename(path, path.with_file_name(format!("app.log-{}", 20_260_100 + number))).unwrap();
    File::create_new(path).unwrap();
}

#[test]
fn a_flood_of_events_that_the_system_cannot_hold_costs_no_line() {
    let scratch = Scratch::new("tail-flood");
    let logs = scratch.folder("logs");
    let config = to_nowhere(&scratch, "logs/*.log");
    let agent = Agent::start(&scratch, &config);
    let mut files: Vec<File> =
        (0..3).map(|name| File::create(logs.join(format!("{name}.log"))).unwrap()).collect();
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let events = limit.trim().parse::<u64>().unwrap().min(100_000) + 1000;

    let pid = i32::try_from(agent.pid()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Events in a row about one file count as one.
    for number in 0..events {
        for file in &mut files[..2] {
            file.write_all((line(number) + "\n").as_bytes()).unwrap();
        }
    }
    files[2].write_all(b"0 the event of this line is lost\n").unwrap();
    File::create(logs.join("new.log")).unwrap().write_all(b"1 so is that of this file\n").unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    LogFile::wait_until_read(&agent, "app", &logs);

    let queued = queued(&scratch, agent, &config);
    let (mut of_ours, mut others) = (BTreeMap::<u64, u32>::new(), Vec::new());
    for got in queued.lines() {
        match crate::support::numbered::number_of(got).filter(|number| line(*number) == got) {
            Some(number) => *of_ours.entry(number).or_default() += 1,
            None => others.push(got),
        }
    }
    others.sort_unstable();
    assert_eq!(others, ["0 the event of this line is lost", "1 so is that of this file"]);
    assert_eq!(of_ours.len() as u64, events);
    assert!(of_ours.values().all(|times| *times == 2), "a line of each file");
}

#[test]
fn of_ten_thousand_files_a_hundred_are_busy_and_each_keeps_its_order() {
    const FILES: usize = 10_000;
    const BUSY: usize = 100;
    let scratch = Scratch::new("tail-many");
    let config = to_nowhere(&scratch, "logs/*/*.log");
    let path = |file: usize| scratch.join(&format!("logs/{:02}/{file}.log", file % 100));
    for folder in 0..100 {
        scratch.folder(&format!("logs/{folder:02}"));
    }
    for file in 0..FILES {
        fs::write(path(file), format!("{file} 0\n")).unwrap();
    }

    let agent = Agent::start(&scratch, &config);
    for round in 1..=50 {
        for file in (0..FILES).step_by(FILES / BUSY) {
            let mut log = File::options().append(true).open(path(file)).unwrap();
            for number in 0..10 {
                writeln!(log, "{file} {}", (round - 1) * 10 + number + 1).unwrap();
            }
        }
    }
    wait_for("every line to be queued", || {
        let metrics = agent.metrics();
        let lines = metrics.lines().find_map(|line| {
            line.strip_prefix("weir_tail_lines_total{tail=\"app\"} ")?.parse::<usize>().ok()
        });
        (lines? >= FILES + BUSY * 500).then_some(())
    });

    let queued = queued(&scratch, agent, &config);
    let mut next = vec![0_u32; FILES];
    for got in queued.lines() {
        let (file, number) = got.split_once(' ').unwrap();
        let next = &mut next[file.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*next), "of file {file}");
        *next += 1;
    }
    let expected: Vec<u32> = (0..FILES).map(|file| if file % 100 == 0 { 501 } else { 1 }).collect();
    assert_eq!(next, expected);
}

#[test]
fn while_the_disk_is_full_files_wait_where_they_are_and_then_go_on() {
    let scratch = Scratch::new("tail-full");
    let Some(_disk) = SmallDisk::mount(scratch.folder("state")) else {
        println!("skipped: to mount a small file system, root is needed");
        return;
    };
    let runtime = Runtime::new().unwrap();
    let fake = runtime.block_on(FakeUpstream::start());
    fake.script(|_| Answer::refuse(500, "InternalFailure", "try again"));
    let logs = scratch.folder("logs");
    let config = to_nowhere(&scratch, "logs/app.log*")
        .replace("http://127.0.0.1:1", &fake.url())
        .replace("destinations", "queue = { min_free_disk = \"0 B\" }\ndestinations")
        + "max_in_flight = 1\nretry_first = \"10 ms\"\nretry_max = \"200 ms\"\nlinger = \"10 ms\"\n";
    let agent = Agent::start(&scratch, &config);
    let mut written = 0;
    // Twice as much as the disk holds, over several rotations.
    for file in 0..6 {
        let mut log = File::create(logs.join("app.log")).unwrap();
        for _ in 0..80_000 {
            log.write_all((line(written) + "\n").as_bytes()).unwrap();
            written += 1;
        }
        if file < 5 {
            fs::rename(logs.join("app.log"), logs.join(format!("app.log.{file}"))).unwrap();
        }
    }
    wait_for("the queue to be full", || agent.log().contains("takes no lines now").then_some(()));

    fake.script(|_| Answer::Take);
    let arrived = || -> String {
        fake.taken().into_iter().map(|taken| String::from_utf8(taken.data).unwrap()).collect()
    };
    LogFile::wait_until_read(&agent, "app", &logs);
    crate::support::books::Books::settled(&agent);

    let missing = missing(arrived().lines(), &logs, written);
    assert!(missing.is_empty(), "{} of {written}: {:?}", missing.len(), missing.first());
}

//! A log that lies there, and a thousand that grow, on their way to Kinesis.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::bench::{Bench, Run};
use super::log;
use super::report::{Column, Table};
use super::system::{Source, System};

const CATCH_UP: [Column; 6] = [
    Column { name: "MB/s", digits: 0 },
    Column { name: "CPU s per GB", digits: 1 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "sent per byte", digits: 2 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

/// A whole log.
pub(super) fn catch_up(bench: &mut Bench) {
    let path = bench.folder.join("access.log");
    let lines = log::write(&path, bench.asked.log_bytes);
    let bytes = fs::metadata(&path).expect("it was written").len() as f64;
    let title = format!("tail to Kinesis, {:.2} GB in {lines} lines", bytes / 1e9);
    let mut table = Table::new(&title, &CATCH_UP);
    for system in bench.in_turns() {
        let begun = Instant::now();
        let pattern = path.to_str().expect("a path of this bench");
        let mut run = Run::start(bench, &system, Source::Files(pattern));
        run.ledger.acknowledge(run.ledger.draw(lines), lines);
        let balance = run.wait_for_all();
        let took = begun.elapsed().as_secs_f64();
        let cost = run.process.cost();
        let figures = [
            bytes / 1e6 / took,
            cost.cpu_s / (bytes / 1e9),
            run.process.peak_mib(),
            run.upstream.seen().bytes as f64 / bytes,
            balance.missing as f64,
            balance.again as f64,
        ];
        bench.tell(&title, &system, figures[0]);
        table.add(system.name, &figures);
        run.process.stop();
    }
    fs::remove_file(&path).unwrap_or_default();
    bench.report.add(table, &["MB/s", "CPU s per GB"]);
}

const FILES: u64 = 1_000;
/// Lines that each file gets in a second.
const PER_SECOND: u64 = 20;
const LIVE: [Column; 5] = [
    Column { name: "of a core, %", digits: 1 },
    Column { name: "last line arrived after s", digits: 2 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

/// Many files that grow at once.
pub(super) fn live(bench: &mut Bench) {
    let title = format!("tail to Kinesis, {FILES} files that get {PER_SECOND} lines a second each");
    let mut table = Table::new(&title, &LIVE);
    for system in bench.in_turns() {
        let figures = one_live(bench, &system);
        bench.tell(&title, &system, figures[0]);
        table.add(system.name, &figures);
    }
    bench.report.add(table, &["of a core, %"]);
}

fn one_live(bench: &Bench, system: &System) -> [f64; LIVE.len()] {
    let logs = bench.folder.join("live");
    fs::create_dir_all(&logs).expect("a scratch folder");
    let mut files: Vec<fs::File> = (0..FILES)
        .map(|number| fs::File::create(logs.join(format!("{number}.log"))).expect("a scratch file"))
        .collect();
    let pattern = format!("{}/*.log", logs.display());
    let mut run = Run::start(bench, system, Source::Files(&pattern));
    // What the start costs is not what growing files cost.
    std::thread::sleep(Duration::from_secs(3));
    let (before, begun) = (run.process.cost(), Instant::now());
    let rounds = (bench.asked.seconds * PER_SECOND as f64) as u64;
    for round in 0..rounds {
        let due = Duration::from_secs(1) * u32::try_from(round).unwrap_or(u32::MAX)
            / u32::try_from(PER_SECOND).unwrap_or(u32::MAX);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let first = run.ledger.draw(FILES);
        for (file, number) in files.iter_mut().zip(first..) {
            let line =
                format!("a line of a program that logs what it does now and then {number:08}\n");
            file.write_all(line.as_bytes()).expect("room for a line");
        }
        run.ledger.acknowledge(first, FILES);
    }
    let (written, cost) = (Instant::now(), run.process.cost() - before);
    let share = cost.cpu_s / begun.elapsed().as_secs_f64() * 100.0;
    let balance = run.wait_for_all();
    let figures = [
        share,
        written.elapsed().as_secs_f64(),
        run.process.peak_mib(),
        balance.missing as f64,
        balance.again as f64,
    ];
    run.process.stop();
    bench.remove(&logs);
    figures
}

//! A log that lies there, and a thousand that grow, on their way to Kinesis.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use super::bench::{Bench, Run};
use super::ledger::{Balance, Ledger};
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
        bench.tell(&title, system.name, figures[0]);
        table.add(system.name, &figures);
        run.process.stop();
    }
    fs::remove_file(&path).unwrap_or_default();
    bench.report.add(table, &["MB/s", "CPU s per GB"]);
}

const LIVE: [Column; 5] = [
    Column { name: "of a core, %", digits: 1 },
    Column { name: "last line arrived after s", digits: 2 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

/// Files that grow at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growing {
    pub(super) files: u64,
    /// Lines that each gets, so many times a second.
    pub(super) lines: u64,
    pub(super) times_a_second: u32,
}

/// What came of it.
pub(super) struct Followed {
    pub(super) lines: f64,
    pub(super) took: Duration,
    pub(super) cpu_s: f64,
    /// From the last line's writing until it had arrived.
    pub(super) behind: Duration,
    pub(super) peak_mib: f64,
    pub(super) balance: Balance,
}

/// Many files that grow at once.
pub(super) fn live(bench: &mut Bench) {
    let growing = Growing { files: 1_000, lines: 1, times_a_second: 20 };
    let title = "tail to Kinesis, 1000 files that get 20 lines a second each";
    let mut table = Table::new(title, &LIVE);
    for system in bench.in_turns() {
        let found = growing.run(bench, &system);
        let figures = [
            found.cpu_s / found.took.as_secs_f64() * 100.0,
            found.behind.as_secs_f64(),
            found.peak_mib,
            found.balance.missing as f64,
            found.balance.again as f64,
        ];
        bench.tell(title, system.name, figures[0]);
        table.add(system.name, &figures);
    }
    bench.report.add(table, &["of a core, %"]);
}

impl Growing {
    pub(super) fn run(self, bench: &Bench, system: &System) -> Followed {
        let logs = bench.folder.join("live");
        fs::create_dir_all(&logs).expect("a scratch folder");
        let log = |number| fs::File::create(logs.join(format!("{number}.log")));
        let mut files: Vec<fs::File> =
            (0..self.files).map(|number| log(number).expect("a scratch file")).collect();
        let pattern = format!("{}/*.log", logs.display());
        let mut run = Run::start(bench, system, Source::Files(&pattern));
        // What the start costs is not what growing files cost.
        std::thread::sleep(Duration::from_secs(3));
        let (before, begun) = (run.process.cost(), Instant::now());
        let rounds = (bench.asked.seconds * f64::from(self.times_a_second)) as u32;
        for round in 0..rounds {
            let due = Duration::from_secs(1) * round / self.times_a_second;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            self.write(&mut files, &run.ledger);
        }
        let (written, cost) = (Instant::now(), run.process.cost() - before);
        let took = begun.elapsed();
        let balance = run.wait_for_all();
        let followed = Followed {
            lines: f64::from(rounds) * (self.files * self.lines) as f64,
            took,
            cpu_s: cost.cpu_s,
            behind: written.elapsed(),
            peak_mib: run.process.peak_mib(),
            balance,
        };
        run.process.stop();
        bench.remove(&logs);
        followed
    }

    /// One round: each file gets its lines.
    fn write(self, files: &mut [fs::File], ledger: &Ledger) {
        for file in files {
            let first = ledger.draw(self.lines);
            let lines: String = (first..first + self.lines)
                .map(|number| {
                    format!("a line of a program that logs what it does now and then {number:08}\n")
                })
                .collect();
            file.write_all(lines.as_bytes()).expect("room for a line");
            ledger.acknowledge(first, self.lines);
        }
    }
}

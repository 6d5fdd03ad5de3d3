//! Records over HTTP on their way to Kinesis: how many, how soon answered, and what it cost.

use std::time::Duration;

use super::bench::{Bench, Run};
use super::ledger::Balance;
use super::load::{Load, Sent, Until};
use super::process::Cost;
use super::report::{Column, Table};
use super::request::Door;
use super::system::{Source, System};
use super::upstream::Seen;

/// What is measured of each run, in the order of the columns.
const COLUMNS: [Column; 13] = [
    Column { name: "records/s", digits: 0 },
    Column { name: "p50 ms", digits: 2 },
    Column { name: "p99 ms", digits: 2 },
    Column { name: "p99.9 ms", digits: 2 },
    Column { name: "CPU s per million", digits: 1 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "written per byte", digits: 2 },
    Column { name: "sent per byte", digits: 2 },
    Column { name: "records a request", digits: 0 },
    Column { name: "units per million", digits: 0 },
    Column { name: "refused", digits: 0 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

/// Single records, on more and more connections.
pub(super) fn singles(bench: &mut Bench) {
    for connections in [1, 16, 64, 256] {
        let title = format!("HTTP to Kinesis, single records of 1 kB, {connections} connections");
        let until = Until::Passed(bench.asked.time());
        measure(bench, &title, Load::new(connections, 1, until));
    }
}

/// 500 records a request.
pub(super) fn batches(bench: &mut Bench) {
    let title = "HTTP to Kinesis, 500 records of 1 kB a request, 8 connections";
    let until = Until::Passed(bench.asked.time());
    measure(bench, title, Load::new(8, 500, until));
}

/// What an AWS SDK sends, by those who take it.
pub(super) fn put_records(bench: &mut Bench) {
    let title = "PutRecords to Kinesis, 500 records of 1 kB a request, 8 connections, JSON";
    let load = Load::new(8, 500, Until::Passed(bench.asked.time()));
    let mut table = Table::new(title, &COLUMNS);
    let mut others = Vec::new();
    for system in bench.in_turns() {
        let mut run = Run::start(bench, &system, Source::Http);
        let Some(door) = system.aws_door(&run.place) else {
            if !others.contains(&system.name) {
                others.push(system.name);
            }
            continue;
        };
        let found = Outcome::of(&mut run, load, &[door]);
        bench.tell(title, system.name, found.rate());
        table.add(system.name, &found.figures());
    }
    for name in others {
        table.note(format!("{name}: not offered."));
    }
    bench.report.add(table, &["records/s"]);
}

fn measure(bench: &mut Bench, title: &str, load: Load) {
    let mut table = Table::new(title, &COLUMNS);
    let (_, disk) = bench.limits.write(load.bytes_under_way(), Duration::from_secs(1));
    for system in bench.in_turns() {
        let found = one(bench, &system, Source::Http, load);
        bench.tell(title, system.name, found.rate());
        table.add(system.name, &found.figures());
    }
    if let Some(rate) = bench.limits.bare_hyper(load) {
        table.note(format!("A bare hyper server on this machine answers {rate:.0} records/s."));
    }
    let [half, most] = [0.5, 0.99].map(|share| disk.quantile_ms(share));
    table.note(format!(
        "The disk alone writes and syncs as much as is under way at once in {half:.2} ms (p50), {most:.2} ms (p99)."
    ));
    bench.report.add(table, &["records/s", "CPU s per million"]);
}

/// One run of one system.
pub(super) fn one(bench: &Bench, system: &System, source: Source<'_>, load: Load) -> Outcome {
    let mut run = Run::start(bench, system, source);
    let doors = run.doors.clone();
    let outcome = Outcome::of(&mut run, load, &doors);
    assert_eq!(outcome.balance.strange, 0, "{} changed the records", system.name);
    outcome
}

/// What came of one run.
pub(super) struct Outcome {
    load: Load,
    pub(super) sent: Sent,
    pub(super) cost: Cost,
    pub(super) balance: Balance,
    seen: Seen,
    pub(super) peak_mib: f64,
}

impl Outcome {
    fn of(run: &mut Run, load: Load, doors: &[Door]) -> Self {
        let before = run.process.cost();
        let sent = load.run(doors, &run.ledger);
        let balance = run.wait_for_all();
        let cost = run.process.cost() - before;
        let (seen, peak_mib) = (run.upstream.seen(), run.process.peak_mib());
        run.process.stop();
        Self { load, sent, cost, balance, seen, peak_mib }
    }

    pub(super) fn rate(&self) -> f64 {
        self.sent.records as f64 / self.sent.took.as_secs_f64()
    }

    pub(super) fn cpu_per_million(&self) -> f64 {
        self.cost.cpu_s / self.sent.records as f64 * 1e6
    }

    pub(super) fn units_per_million(&self) -> f64 {
        self.seen.units as f64 / self.sent.records as f64 * 1e6
    }

    fn figures(&self) -> [f64; COLUMNS.len()] {
        let count = self.sent.records as f64;
        let bytes = self.load.bytes_of(count);
        [
            self.rate(),
            self.sent.latencies.quantile_ms(0.5),
            self.sent.latencies.quantile_ms(0.99),
            self.sent.latencies.quantile_ms(0.999),
            self.cpu_per_million(),
            self.peak_mib,
            self.cost.written / bytes,
            self.seen.bytes as f64 / bytes,
            count / self.seen.requests as f64,
            self.units_per_million(),
            self.sent.refused as f64,
            self.balance.missing as f64,
            self.balance.again as f64,
        ]
    }
}

impl super::bench::Asked {
    pub(super) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

//! Records over HTTP on their way to Kinesis: how many, how soon answered, and what it cost.

use std::time::Duration;

use super::bench::{Bench, Run};
use super::load::{Load, Until};
use super::report::{Column, Table};
use super::system::{Source, System};

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
pub(super) const RECORD_BYTES: f64 = 1_000.0;

/// Single records, on more and more connections.
pub(super) fn singles(bench: &mut Bench) {
    for connections in [1, 16, 64, 256] {
        let title = format!("HTTP to Kinesis, single records of 1 kB, {connections} connections");
        measure(bench, &title, connections, 1);
    }
}

/// 500 records a request.
pub(super) fn batches(bench: &mut Bench) {
    measure(bench, "HTTP to Kinesis, 500 records of 1 kB a request, 8 connections", 8, 500);
}

fn measure(bench: &mut Bench, title: &str, connections: usize, records: u64) {
    let load = Load { connections, records, until: Until::Passed(bench.asked.time()) };
    let mut table = Table::new(title, &COLUMNS);
    for system in bench.in_turns() {
        let figures = one(bench, &system, load);
        bench.tell(title, &system, figures[0]);
        table.add(system.name, &figures);
    }
    if let Some(rate) = bench.limits.bare_hyper(load) {
        table.note(format!("A bare hyper server on this machine answers {rate:.0} records/s."));
    }
    bench.report.add(table, &["records/s", "CPU s per million"]);
}

fn one(bench: &Bench, system: &System, load: Load) -> [f64; COLUMNS.len()] {
    let mut run = Run::start(bench, system, Source::Http);
    let before = run.process.cost();
    let sent = load.run(&system.door(&run.place), &run.ledger);
    run.wait_for_all();
    let cost = run.process.cost() - before;
    let (balance, seen) = (run.ledger.balance(), run.upstream.seen());
    let (count, bytes) = (sent.records as f64, sent.records as f64 * RECORD_BYTES);
    let figures = [
        count / sent.took.as_secs_f64(),
        sent.latencies.quantile_ms(0.5),
        sent.latencies.quantile_ms(0.99),
        sent.latencies.quantile_ms(0.999),
        cost.cpu_s / count * 1e6,
        run.process.peak_mib(),
        cost.written / bytes,
        seen.bytes as f64 / bytes,
        count / seen.requests as f64,
        seen.units as f64 / count * 1e6,
        sent.refused as f64,
        balance.missing as f64,
        balance.again as f64,
    ];
    assert_eq!(balance.strange, 0, "{} changed the records", system.name);
    run.process.stop();
    figures
}

impl super::bench::Asked {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

//! What comes in while nothing goes out: the upstream is away, so that taking records is all there is to do.

use std::time::Duration;

use super::bench::{Bench, Run};
use super::load::{Load, Until};
use super::report::{Column, Table};
use super::system::{Source, System};
use super::upstream::Mood;

const COLUMNS: [Column; 10] = [
    Column { name: "records/s", digits: 0 },
    Column { name: "of bare hyper", digits: 2 },
    Column { name: "of the raw disk", digits: 2 },
    Column { name: "p50 ms", digits: 2 },
    Column { name: "p99 ms", digits: 2 },
    Column { name: "CPU s per million", digits: 1 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "written per byte", digits: 2 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

pub(super) fn measure(bench: &mut Bench) {
    let until = Until::Passed(bench.asked.time());
    let loads = [
        ("single records of 1 kB, 64 connections", Load::new(64, 1, until)),
        ("500 records of 1 kB a request, 8 connections", Load::new(8, 500, until)),
    ];
    for (what, load) in loads {
        let title = format!("HTTP alone, the upstream is away: {what}");
        let mut table = Table::new(&title, &COLUMNS);
        for system in bench.in_turns() {
            let figures = one(bench, &system, load);
            bench.tell(&title, system.name, figures[0]);
            table.add(system.name, &figures);
        }
        table.note(
            "The bare hyper server and the raw disk (`write` and `fdatasync` of as much as is under way at once) are \
             measured right before each run. What was lost is counted when the upstream was back."
                .to_owned(),
        );
        bench.report.add(table, &["records/s"]);
    }
}

fn one(bench: &Bench, system: &System, load: Load) -> [f64; COLUMNS.len()] {
    let bare = bench.limits.bare_hyper(load).unwrap_or(f64::NAN);
    let raw = bench.limits.write(load.bytes_under_way(), Duration::from_secs(1)).0 * 1e6;

    let mut run = Run::start(bench, system, Source::Http);
    run.upstream.be(Mood::Away);
    let before = run.process.cost();
    let sent = load.run(&run.doors, &run.ledger);
    let (cost, peak) = (run.process.cost() - before, run.process.peak_mib());
    run.upstream.be(Mood::Well);
    let balance = run.wait_for_all();
    run.process.stop();

    let count = sent.records as f64;
    let rate = count / sent.took.as_secs_f64();
    [
        rate,
        rate / bare,
        load.bytes_of(rate) / raw,
        sent.latencies.quantile_ms(0.5),
        sent.latencies.quantile_ms(0.99),
        cost.cpu_s / count * 1e6,
        peak,
        cost.written / load.bytes_of(count),
        balance.missing as f64,
        balance.again as f64,
    ]
}

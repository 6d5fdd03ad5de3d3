//! Every record goes to two upstreams, one of which does badly: what the other one gets of it.

use std::time::{Duration, Instant};

use super::bench::{Bench, Run};
use super::load::{Load, Until};
use super::report::{Column, Table};
use super::system::{Source, System};
use super::upstream::Mood;

const COLUMNS: [Column; 10] = [
    Column { name: "records/s in", digits: 0 },
    Column { name: "p50 ms in", digits: 2 },
    Column { name: "p99 ms in", digits: 2 },
    Column { name: "on the way p50 ms", digits: 0 },
    Column { name: "on the way p99 ms", digits: 0 },
    Column { name: "all arrived after s", digits: 2 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "the other's share", digits: 2 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];
/// Requests a second of single records: well below what any of them can.
const PACE: f64 = 2_000.0;

pub(super) fn measure(bench: &mut Bench) {
    let title = "two upstreams, one of them in trouble: 2000 single records of 1 kB a second, 16 connections";
    let mut table = Table::new(title, &COLUMNS);
    let troubles = [
        ("both well", Mood::Well),
        ("one answers after 2 s", Mood::Late(Duration::from_secs(2))),
        ("one throttles all", Mood::Throttling),
    ];
    for _ in 0..bench.asked.reps {
        for (words, mood) in troubles {
            for system in bench.at_their_own_promise() {
                let figures = one(bench, &system, mood);
                let row = format!("{}: {words}", system.name);
                bench.tell(title, &row, figures[4]);
                table.add(&row, &figures);
            }
        }
    }
    table.note(
        "Figures of the upstream that does well: the time on the way is that of one record in 64, from its sending until it \
         was there. The other's share: what it had taken by then. Lost and twice: of both, after the other one did well again."
            .to_owned(),
    );
    bench.report.add(table, &["on the way p99 ms"]);
}

fn one(bench: &Bench, system: &System, mood: Mood) -> [f64; COLUMNS.len()] {
    let mut run = Run::start(bench, system, Source::HttpToTwo);
    if let Some((other, _)) = &run.other {
        other.be(mood);
    }
    let time = bench.asked.time().max(Duration::from_secs(3)) * 2;
    let load = Load { pace: Some(PACE), ..Load::new(16, 1, Until::Passed(time)) };
    let sent = load.run(&run.doors, &run.ledger);
    let over = Instant::now();
    let balance = run.wait_for_all();
    let after = over.elapsed();
    let share = run.other.as_ref().map_or(0, |(_, ledger)| {
        ledger.owe_as(&run.ledger);
        ledger.balance().arrived
    }) as f64;
    let peak = run.process.peak_mib();
    let other = run.wait_for_the_other();
    run.process.stop();
    [
        sent.records as f64 / sent.took.as_secs_f64(),
        sent.latencies.quantile_ms(0.5),
        sent.latencies.quantile_ms(0.99),
        run.ledger.on_the_way_ms(0.5),
        run.ledger.on_the_way_ms(0.99),
        after.as_secs_f64(),
        peak,
        share / sent.records as f64,
        (balance.missing + other.missing) as f64,
        (balance.again + other.again) as f64,
    ]
}

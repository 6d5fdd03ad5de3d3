//! The upstream is away while records come in; then the power fails; then it is back.

use std::time::{Duration, Instant};

use super::bench::{Bench, Run};
use super::load::{Load, RECORD_BYTES, Until};
use super::report::{Column, Table};
use super::system::{Source, System};
use super::upstream::Mood;

const COLUMNS: [Column; 9] = [
    Column { name: "records/s in", digits: 0 },
    Column { name: "p99 ms in", digits: 2 },
    Column { name: "peak MiB in", digits: 0 },
    Column { name: "killed; ready again after ms", digits: 0 },
    Column { name: "records/s out", digits: 0 },
    Column { name: "out : in", digits: 2 },
    Column { name: "peak MiB out", digits: 0 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

pub(super) fn measure(bench: &mut Bench) {
    let records = bench.asked.backlog_bytes / RECORD_BYTES as u64;
    let title = format!(
        "an outage: {:.1} GB wait, SIGKILL, start, and the upstream comes back",
        records as f64 * RECORD_BYTES as f64 / 1e9
    );
    let mut table = Table::new(&title, &COLUMNS);
    let mut curves = Vec::new();
    for system in bench.systems.clone() {
        let (figures, memory) = one(bench, &system, records);
        bench.tell(&title, system.name, figures[4]);
        table.add(system.name, &figures);
        let memory = memory.into_iter();
        curves.extend(memory.map(|(when, mib)| (format!("{}, {when}", system.name), mib)));
    }
    table.note("One run each. A kill loses what is in a process, not what the kernel has: only a power cut shows who synced.".to_owned());
    bench.report.add(table, &["records/s out", "peak MiB out"]);
    bench.report.add_curves(
        "an outage: MiB over its time, from the first record in to the last one out",
        &curves,
    );
}

/// What a process held, four times a second, while what happened.
type Memory = Vec<(&'static str, Vec<f64>)>;

fn one(bench: &Bench, system: &System, records: u64) -> ([f64; COLUMNS.len()], Memory) {
    let mut run = Run::start(bench, system, Source::Http);
    run.upstream.be(Mood::Away);
    let load = Load::new(8, 500, Until::Acknowledged(records));
    let coming = run.process.sample();
    let sent = load.run(&run.doors, &run.ledger);
    let (peak_in, coming) = (run.process.peak_mib(), coming.end());

    let begun = Instant::now();
    // It must be gone before the new one can listen.
    run.process.kill();
    run.process = system.start(&run.place, Source::Http);
    let ready = system.wait_until_ready(&run.place, &mut run.process, begun);
    std::thread::sleep(Duration::from_secs(2));

    let going = run.process.sample();
    run.upstream.be(Mood::Well);
    let before = run.ledger.balance().arrived;
    while run.ledger.balance().arrived == before {
        run.process.must_run();
        assert!(begun.elapsed() < Duration::from_secs(300), "{} delivers nothing", system.name);
        std::thread::sleep(Duration::from_millis(5));
    }
    let draining = Instant::now();
    let balance = run.wait_for_all();
    let out = (balance.arrived - before) as f64 / draining.elapsed().as_secs_f64();
    let rate_in = sent.records as f64 / sent.took.as_secs_f64();
    let figures = [
        rate_in,
        sent.latencies.quantile_ms(0.99),
        peak_in,
        ready.as_secs_f64() * 1e3,
        out,
        out / rate_in,
        run.process.peak_mib(),
        balance.missing as f64,
        balance.again as f64,
    ];
    let memory = vec![("coming in", coming), ("going out", going.end())];
    run.process.stop();
    (figures, memory)
}

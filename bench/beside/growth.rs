//! What becomes of each figure when there is ten, a hundred and a thousand times as much of something.

use std::sync::Arc;

use super::bench::Bench;
use super::http;
use super::load::{Load, Until};
use super::report::{Column, Table};
use super::system::{Source, System};
use super::tailing::Growing;

const TITLE: &str = "growth: ten and a hundred times as much";
const COLUMNS: [Column; 7] = [
    Column { name: "records/s", digits: 0 },
    Column { name: "p99 ms", digits: 2 },
    Column { name: "CPU s per million", digits: 1 },
    Column { name: "peak MiB", digits: 0 },
    Column { name: "units per million", digits: 0 },
    Column { name: "lost", digits: 0 },
    Column { name: "twice", digits: 0 },
];

/// One run of each system, for each thing that grows, so often as it grows.
pub(super) fn measure(bench: &mut Bench) {
    let mut table = Table::new(TITLE, &COLUMNS);
    let until = Until::Passed(bench.asked.time());
    let singles = |connections| Load::new(connections, 1, until);
    for rate in [100, 1_000, 10_000] {
        let load = Load { pace: Some(f64::from(rate)), ..singles(16) };
        add(bench, &mut table, &format!("{rate} records a second"), Source::Http, load);
    }
    for connections in [1, 10, 100, 1_000] {
        let row = format!("{connections} connections");
        add(bench, &mut table, &row, Source::Http, singles(connections));
    }
    for (words, record_bytes) in
        [("100 B", 100), ("1 kB", 1_000), ("10 kB", 10_000), ("100 kB", 100_000)]
    {
        let load = Load { record_bytes, ..singles(16) };
        add(bench, &mut table, &format!("records of {words}"), Source::Http, load);
    }
    for streams in [1, 10, 100] {
        let row = format!("{streams} streams");
        add(bench, &mut table, &row, Source::Streams(streams), singles(100));
    }
    for count in [1, 100, 10_000] {
        let keys: Arc<[String]> = (0..count).map(|number| format!("key-{number:028}")).collect();
        add(bench, &mut table, &format!("{count} keys"), Source::Keys(&keys), singles(64));
    }
    // As many lines a second in all, in more and more files.
    for (files, lines) in [(10, 50), (100, 5), (1_000, 1)] {
        follow(
            bench,
            &mut table,
            Growing { files, lines, times_a_second: 10_000 / (files * lines) as u32 },
        );
    }
    table.note(
        "One run each. Single records of 1 kB over HTTP, as fast as they are answered unless a rate is said, on 16 connections \
         (100 for streams, 64 for keys), unless something else is; files get 10,000 lines a second in all. A million \
         records of up to 25 KiB, each an entry of its own, are a million units, those of 100 kB four million."
            .to_owned(),
    );
    bench.report.add(table, &["records/s", "CPU s per million"]);
}

fn add(bench: &Bench, table: &mut Table, what: &str, source: Source<'_>, load: Load) {
    for system in asked_of(bench, source) {
        let found = http::one(bench, &system, source, load);
        let row = format!("{what}: {}", system.name);
        bench.tell(TITLE, &row, found.rate());
        let figures = [
            found.rate(),
            found.sent.latencies.quantile_ms(0.99),
            found.cpu_per_million(),
            found.peak_mib,
            found.units_per_million(),
            found.balance.missing as f64,
            found.balance.again as f64,
        ];
        table.add(&row, &figures);
    }
}

fn follow(bench: &Bench, table: &mut Table, growing: Growing) {
    for system in bench.at_their_own_promise() {
        let found = growing.run(bench, &system);
        let row = format!("{} files: {}", growing.files, system.name);
        bench.tell(TITLE, &row, found.lines / found.took.as_secs_f64());
        let figures = [
            found.lines / found.took.as_secs_f64(),
            f64::NAN,
            found.cpu_s / found.lines * 1e6,
            found.peak_mib,
            f64::NAN,
            found.balance.missing as f64,
            found.balance.again as f64,
        ];
        table.add(&row, &figures);
    }
}

/// Streams and keys are weir's own.
fn asked_of(bench: &Bench, source: Source<'_>) -> Vec<System> {
    let mut systems = bench.at_their_own_promise();
    if matches!(source, Source::Streams(_) | Source::Keys(_)) {
        systems.retain(System::is_weir);
    }
    systems
}

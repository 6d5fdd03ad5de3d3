//! weir beside its peers: the same work through each system that is found on the machine, against the
//! same upstream, in one run, in alternating order.
//!
//! `bench/run` builds and starts it. It prints Markdown; with `--write` it puts the report into
//! `docs/BENCHMARKS.md`. Every record carries a number: what is lost or comes twice is counted.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

mod aggregate;
mod bench;
mod footprint;
mod growth;
mod http;
mod intake;
mod latencies;
mod ledger;
mod limits;
#[path = "../../benches/tail/listing.rs"]
mod listing;
mod load;
#[path = "../../benches/tail/log.rs"]
mod log;
mod outage;
mod process;
mod report;
mod request;
mod slow;
mod system;
mod tailing;
#[expect(clippy::unwrap_used, reason = "shared with tests")]
#[path = "../../tests/support/tls_peer.rs"]
mod tls_peer;
mod upstream;
mod wire;

use std::path::Path;
use std::time::Duration;

use bench::{Asked, Bench};
use limits::Limits;
use report::Report;
use system::System;

/// Measures one thing of every system, and reports it.
type Work = fn(&mut Bench);

fn main() {
    let asked = Asked::from_arguments();
    let folder = std::env::temp_dir().join(format!("weir-beside-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    let weir = std::env::var_os("WEIR").unwrap_or_else(|| env!("CARGO_BIN_EXE_weir").into());
    let mut bench = Bench {
        asked,
        systems: System::all(Path::new(&weir)),
        limits: Limits::new(&folder),
        report: Report::default(),
        folder: folder.clone(),
    };
    introduce(&mut bench);
    let works: [(&str, Work); 10] = [
        ("rest", footprint::measure),
        ("singles", http::singles),
        ("batches", http::batches),
        ("put", http::put_records),
        ("intake", intake::measure),
        ("tail", tailing::catch_up),
        ("live", tailing::live),
        ("outage", outage::measure),
        ("slow", slow::measure),
        ("growth", growth::measure),
    ];
    for (name, work) in works {
        if bench.asked.wants(name) {
            work(&mut bench);
        }
    }
    if bench.asked.writes {
        bench.report.write(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    }
    bench.remove(&folder);
}

/// The machine, who is compared, and what the disk can do.
fn introduce(bench: &mut Bench) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let [groups, batches] = bench.limits.raw_disk(Duration::from_secs(2));
    let mut words = format!(
        "{cores} cores shared with the clients and the upstream, Linux {}; the disk alone, `write` and \
         `fdatasync`: {groups:.0} MB/s in pieces of 64 kB, {batches:.0} MB/s in pieces of 500 kB. \
         {} runs each, medians and how far they lie apart.\n\n| | version | when it has acknowledged |\n\
         |---|---|---|\n",
        kernel.trim(),
        bench.asked.reps,
    );
    for system in &bench.systems {
        words += &format!("| {} | {} | {} |\n", system.name, system.version(), system.promise);
    }
    bench.report.say(&words);
}

//! What a system takes when nothing happens.

use std::time::Duration;

use super::bench::{Bench, Run};
use super::report::{Column, Table};
use super::system::Source;

const COLUMNS: [Column; 4] = [
    Column { name: "ready after ms", digits: 0 },
    Column { name: "idle MiB", digits: 1 },
    Column { name: "idle, % of a core", digits: 2 },
    Column { name: "binary MB", digits: 1 },
];

pub(super) fn measure(bench: &mut Bench) {
    let title = "at rest: HTTP in, Kinesis out, nothing sent";
    let mut table = Table::new(title, &COLUMNS);
    for system in bench.in_turns() {
        let mut run = Run::start(bench, &system, Source::Http);
        std::thread::sleep(Duration::from_secs(5));
        let (before, time) =
            (run.process.cost(), Duration::from_secs_f64(bench.asked.seconds * 4.0));
        std::thread::sleep(time);
        let share = (run.process.cost() - before).cpu_s / time.as_secs_f64() * 100.0;
        let binary = std::fs::metadata(&system.program).map_or(f64::NAN, |meta| meta.len() as f64);
        let figures =
            [run.ready_after.as_secs_f64() * 1e3, run.process.resident_mib(), share, binary / 1e6];
        bench.tell(title, system.name, figures[0]);
        table.add(system.name, &figures);
        run.process.stop();
    }
    bench.report.add(table, &["idle MiB"]);
}

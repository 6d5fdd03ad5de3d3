//! How fast the queue takes and gives, beside `write` + `fdatasync` of the same bytes in the same run.
//!
//! `cargo bench --bench append -- [--seconds 2] [--reps 3] [--backlog "512 MiB"] [--only WORD]`
//! prints Markdown. Judge by the ratios: the raw disk is measured right beside each figure. As root
//! it also runs on a journaled ext4 in a loop device, whose flushes the kernel counts.
//!
//! A large backlog goes in three runs over one folder, which stays: `--folder /var/tmp/backlog
//! --backlog "10 GiB"` with `--only fill`, then `open`, then `empty`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a bench prints what it finds, and ends where it is wrong"
)]

#[path = "append/backlog.rs"]
mod backlog;
#[path = "append/disks.rs"]
mod disks;
#[path = "append/load.rs"]
mod load;
#[path = "append/meters.rs"]
mod meters;

use std::path::{Path, PathBuf};
use std::time::Duration;

use backlog::Backlog;
use disks::{Loop, Timed};
use load::{Load, Measured, produce, raw};
use meters::spread;
use weir::base::units::ByteSize;

/// What the command line asks for.
struct Asked {
    seconds: f64,
    reps: usize,
    backlog_bytes: u64,
    only: Option<String>,
    folder: Option<PathBuf>,
}

const KIB: usize = 1 << 10;
const LOADS: [(&str, Load); 6] = [
    ("1 × 1 KiB", Load { producers: 1, bytes: KIB, drains: false }),
    ("16 × 1 KiB", Load { producers: 16, bytes: KIB, drains: false }),
    ("64 × 1 KiB", Load { producers: 64, bytes: KIB, drains: false }),
    ("256 × 1 KiB", Load { producers: 256, bytes: KIB, drains: false }),
    ("64 × 200 B", Load { producers: 64, bytes: 200, drains: false }),
    ("64 × 16 KiB", Load { producers: 64, bytes: 16 * KIB, drains: false }),
];
const DRAINED: [(&str, Load); 2] = [
    ("64 × 1 KiB, drained", Load { producers: 64, bytes: KIB, drains: true }),
    ("256 × 1 KiB, drained", Load { producers: 256, bytes: KIB, drains: true }),
];

fn main() {
    let asked = Asked::from_arguments();
    let own = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
    let folder = asked.folder.clone().unwrap_or_else(|| own.clone());
    if asked.wants("plain") {
        title("this disk");
        LOADS.iter().for_each(|load| row(&asked, &folder, Timed::default(), load, None));
    }
    if asked.wants("drain") {
        title("with one reader that settles what it takes");
        DRAINED.iter().for_each(|load| row(&asked, &folder, Timed::default(), load, None));
    }
    if asked.wants("slow") {
        title("with 5 ms more for each sync");
        let slow = || Timed::slower_by(Duration::from_millis(5));
        LOADS[2..4].iter().for_each(|load| row(&asked, &folder, slow(), load, None));
    }
    if asked.wants("journal") {
        title("journaled ext4 on a loop device, drained, so that segments are written over");
        match Loop::mount(&folder) {
            Ok(mounted) => DRAINED.iter().for_each(|load| {
                row(&asked, mounted.folder(), Timed::default(), load, Some(&mounted));
            }),
            Err(why) => println!("skipped: {why}\n"),
        }
    }
    backlog_rows(&asked, &folder);
    std::fs::remove_dir_all(&own).unwrap_or_default();
}

fn title(of: &str) {
    println!("\n### {of}\n");
    println!(
        "| load | records/s | of raw, min/median/max | p50 / p99 ms | CPU s per million | peak MiB | \
         written per byte | syncs per commit | device flushes per commit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
}

/// Queue and raw disk in turn, `reps` times.
fn row(asked: &Asked, folder: &Path, disk: Timed, (name, load): &(&str, Load), on: Option<&Loop>) {
    let time = Duration::from_secs_f64(asked.seconds);
    let mut ratios = Vec::new();
    let mut all: Vec<Measured> = Vec::new();
    for _ in 0..asked.reps {
        let raw_rate = raw(folder, &disk, load, time / 2);
        let measured = produce(folder, &disk, load, time, on);
        ratios.push(measured.rate / raw_rate);
        all.push(measured);
    }
    all.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let median = &all[all.len() / 2];
    let flushes = median.flushes_per_commit.map_or_else(|| "-".into(), |one| format!("{one:.2}"));
    println!(
        "| {name} | {:.0} | {} | {:.2} / {:.2} | {:.1} | {:.0} | {:.2} | {:.2} | {flushes} |",
        median.rate,
        spread(&mut ratios),
        median.p50_ms,
        median.p99_ms,
        median.cpu_per_million,
        median.peak_mib,
        median.written_per_byte,
        median.syncs_per_commit,
    );
}

fn backlog_rows(asked: &Asked, folder: &Path) {
    let wants = |piece| asked.wants("backlog") || asked.wants(piece);
    if !["fill", "open", "empty"].into_iter().any(wants) {
        return;
    }
    let backlog = Backlog { folder, bytes: asked.backlog_bytes };
    println!("\n### a backlog of {}\n", ByteSize(asked.backlog_bytes).rounded());
    println!("| what | figure | peak MiB |");
    println!("|---|---|---|");
    if wants("fill") {
        let filled = backlog.fill();
        let rates = |of: &[f64]| {
            let rates: Vec<String> = of.iter().map(|one| format!("{one:.0}")).collect();
            rates.join(", ")
        };
        let (quarters, peak) = (rates(&filled.quarters), filled.peak_mib);
        println!("| filled, by quarters | {quarters} records/s | {peak:.0} |");
        let raw = rates(&filled.raw);
        println!("| raw disk on new blocks, behind each quarter | {raw} records/s | - |");
    }
    if wants("open") {
        let mut opened = backlog.open();
        let (waits, peak) = (spread(&mut opened.waits_ms), opened.peak_mib);
        println!("| opened and first record given, min/median/max | {waits} ms | {peak:.0} |");
    }
    if wants("empty") {
        let emptied = backlog.empty();
        let (count, rate, peak) = (emptied.count, emptied.rate, emptied.peak_mib);
        println!("| {count} drained and settled | {rate:.0} records/s | {peak:.0} |");
        println!("| segments left | {} | - |", ByteSize(emptied.left_bytes).rounded());
    }
}

impl Asked {
    fn from_arguments() -> Self {
        let mut asked =
            Self { seconds: 2.0, reps: 3, backlog_bytes: 512 << 20, only: None, folder: None };
        let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match name.as_str() {
                "--seconds" => asked.seconds = value.parse().expect("seconds are a number"),
                "--reps" => asked.reps = value.parse().expect("repetitions are a count"),
                "--backlog" => {
                    let ByteSize(bytes) = value.parse().expect("a size like \"5 GiB\"");
                    asked.backlog_bytes = bytes;
                }
                "--only" => asked.only = Some(value),
                "--folder" => asked.folder = Some(value.into()),
                other => panic!(
                    "unknown {other}; known are --seconds, --reps, --backlog, --only, --folder"
                ),
            }
        }
        asked
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

/// A folder that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Scratch {
    fn new(within: &Path, name: &str) -> Self {
        let folder = within.join(name);
        std::fs::create_dir_all(&folder).expect("the scratch folder can be made");
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is removed with the folder of the run.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

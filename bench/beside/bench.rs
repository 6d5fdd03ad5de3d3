//! The bench as a whole, and one run of one system in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir::base::units::ByteSize;

use super::ledger::{Balance, Ledger};
use super::limits::Limits;
use super::process::Process;
use super::report::Report;
use super::request::Door;
use super::system::{Place, Source, System, free_address};
use super::upstream::{Mood, Upstream};

/// What the command line asks for.
pub(crate) struct Asked {
    pub(crate) seconds: f64,
    pub(crate) reps: usize,
    pub(crate) log_bytes: u64,
    pub(crate) backlog_bytes: u64,
    pub(crate) only: Option<String>,
    /// Whether `docs/BENCHMARKS.md` gets the report.
    pub(crate) writes: bool,
}

pub(crate) struct Bench {
    pub(crate) asked: Asked,
    pub(crate) systems: Vec<System>,
    pub(crate) folder: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) report: Report,
}

impl Asked {
    pub(crate) fn from_arguments() -> Self {
        let mut asked = Self {
            seconds: 5.0,
            reps: 3,
            log_bytes: 2 << 30,
            backlog_bytes: 5 << 30,
            only: None,
            writes: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            let bytes = |text: String| {
                text.parse::<ByteSize>().unwrap_or_else(|error| panic!("{text}: {error}")).0
            };
            match word.as_str() {
                "--seconds" => asked.seconds = value().parse().expect("seconds"),
                "--reps" => asked.reps = value().parse().expect("a number of runs"),
                "--log" => asked.log_bytes = bytes(value()),
                "--backlog" => asked.backlog_bytes = bytes(value()),
                "--only" => asked.only = Some(value()),
                "--write" => asked.writes = true,
                // What cargo itself says.
                "--bench" => {}
                other => panic!("{other} is no argument of this bench; bench/run tells them"),
            }
        }
        asked
    }

    pub(crate) fn wants(&self, work: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only.split(',').any(|one| one == work))
    }
}

impl Bench {
    /// Every system so often as is asked; who begins a round ends the next.
    pub(crate) fn in_turns(&self) -> Vec<System> {
        let round = |rep: usize| {
            let mut systems = self.systems.clone();
            if rep % 2 == 1 {
                systems.reverse();
            }
            systems
        };
        (0..self.asked.reps).flat_map(round).collect()
    }

    /// Each once, weir as it comes alone: where the lines of a table are many.
    pub(crate) fn at_their_own_promise(&self) -> Vec<System> {
        self.systems.iter().filter(|system| !system.is_weaker_weir()).cloned().collect()
    }

    /// A line of progress.
    pub(crate) fn tell(&self, work: &str, row: &str, figure: f64) {
        eprintln!("{work}: {row} {figure:.0}");
    }

    pub(crate) fn remove(&self, folder: &Path) {
        fs::remove_dir_all(folder).unwrap_or_default();
    }
}

/// A system between its source and an upstream of its own.
pub(crate) struct Run {
    pub(crate) place: Place,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) upstream: Upstream,
    /// The second upstream, if there is one, and what it got.
    pub(crate) other: Option<(Upstream, Arc<Ledger>)>,
    pub(crate) process: Process,
    pub(crate) doors: Vec<Door>,
    /// From the start of the process until its door answered.
    pub(crate) ready_after: Duration,
    folder: PathBuf,
}

impl Run {
    pub(crate) fn start(bench: &Bench, system: &System, source: Source<'_>) -> Self {
        let folder = bench.folder.join("run");
        bench.remove(&folder);
        fs::create_dir_all(&folder).expect("a scratch folder");
        let ledger = Arc::new(Ledger::new());
        let ca = folder.join("ca.pem");
        let upstream = Upstream::start(&ca, Arc::clone(&ledger));
        let other_ca = folder.join("other-ca.pem");
        let other = matches!(source, Source::HttpToTwo).then(|| {
            let ledger = Arc::new(Ledger::new());
            (Upstream::start(&other_ca, Arc::clone(&ledger)), ledger)
        });
        let place = Place {
            folder: folder.join("state"),
            ca,
            upstream_port: upstream.port(),
            other_ca,
            other_port: other.as_ref().map(|(upstream, _)| upstream.port()),
            listen: free_address(),
        };
        let begun = Instant::now();
        let mut process = system.start(&place, source);
        let ready_after = match source {
            Source::Files(_) => Duration::ZERO,
            _ => system.wait_until_ready(&place, &mut process, begun),
        };
        let doors = system.doors(&place, source);
        Self { place, ledger, upstream, other, process, doors, ready_after, folder }
    }

    /// Until everything that was acknowledged has arrived, or nothing more comes.
    pub(crate) fn wait_for_all(&mut self) -> Balance {
        wait_for(&self.ledger, &mut self.process)
    }

    /// The same for the second upstream, which does well from now on.
    pub(crate) fn wait_for_the_other(&mut self) -> Balance {
        let Some((upstream, ledger)) = &self.other else { return Balance::default() };
        upstream.be(Mood::Well);
        ledger.owe_as(&self.ledger);
        wait_for(ledger, &mut self.process)
    }
}

fn wait_for(ledger: &Ledger, process: &mut Process) -> Balance {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut before = ledger.balance();
    let mut moved = Instant::now();
    while before.missing > 0 && moved.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
        process.must_run();
        let now = ledger.balance();
        if now.arrived > before.arrived {
            moved = Instant::now();
        }
        before = now;
    }
    before
}

impl Drop for Run {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}

//! A backlog: filled, opened again, emptied. Each piece finds what the one before left in a folder.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::time::Instant;
use weir::base::disk::SharedDisk;
use weir::queue::{self, Budget, Group, Queue, Writer};
use weir::telemetry::Metrics;

use crate::Scratch;
use crate::disks::Timed;
use crate::load::{Load, drain, noise, raw_on_new_blocks, settings};
use crate::meters::{forget_peak, peak_mib};

/// Where it lies, and how much it is.
pub(crate) struct Backlog<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) bytes: u64,
}

pub(crate) struct Filled {
    /// Records per second in each quarter.
    pub(crate) quarters: Vec<f64>,
    /// Of the raw disk on new blocks, right behind each quarter.
    pub(crate) raw: Vec<f64>,
    pub(crate) peak_mib: f64,
}

pub(crate) struct Opened {
    /// Until the first record is given, once per opening.
    pub(crate) waits_ms: Vec<f64>,
    pub(crate) peak_mib: f64,
}

pub(crate) struct Emptied {
    pub(crate) count: u64,
    pub(crate) rate: f64,
    pub(crate) left_bytes: u64,
    pub(crate) peak_mib: f64,
}

const FILL: Load = Load { producers: 500, bytes: 1 << 10, drains: false };
const OPENINGS: usize = 5;

impl Backlog<'_> {
    /// In groups of 500.
    pub(crate) fn fill(&self) -> Filled {
        forget_peak();
        let groups = self.bytes / 4 / (FILL.producers * FILL.bytes) as u64;
        let queue = self.open_once();
        let runtime = runtime();
        let raw = Scratch::new(self.folder, "raw");
        let mut filled = Filled { quarters: Vec::new(), raw: Vec::new(), peak_mib: 0.0 };
        for _ in 0..4 {
            filled.quarters.push(runtime.block_on(fill(&queue.writer, groups)));
            let disk = Timed::default();
            filled.raw.push(raw_on_new_blocks(&raw.0, &disk, &FILL, self.bytes / 4));
        }
        filled.peak_mib = peak_mib();
        filled
    }

    /// As after a kill: nobody closed it.
    pub(crate) fn open(&self) -> Opened {
        let runtime = runtime();
        forget_peak();
        let open = |_| {
            let started = Instant::now();
            let mut queue = self.open_once();
            let reader = queue.readers.first_mut().expect("there is one");
            let first = runtime.block_on(reader.next(Budget { count: 1, bytes: 0 }));
            assert_eq!(first.expect("there is a first").len(), 1);
            started.elapsed().as_secs_f64() * 1e3
        };
        let waits_ms = (0..OPENINGS).map(open).collect();
        Opened { waits_ms, peak_mib: peak_mib() }
    }

    /// Takes and settles everything.
    pub(crate) fn empty(&self) -> Emptied {
        forget_peak();
        let Queue { writer, mut readers } = self.open_once();
        let reader = readers.pop().expect("there is one");
        let (count, took) = runtime().block_on(async {
            let started = Instant::now();
            writer.close().await.expect("it closes");
            let count = drain(reader).await;
            let took = started.elapsed().as_secs_f64();
            writer.close().await.expect("it saves");
            (count, took)
        });
        let left_bytes = writer.overview().used_bytes;
        Emptied { count, rate: count as f64 / took, left_bytes, peak_mib: peak_mib() }
    }

    fn open_once(&self) -> Queue {
        let disk: SharedDisk = Arc::new(Timed::default());
        let settings = settings(&self.folder.join("backlog"), self.bytes * 2);
        queue::open(disk, settings, &["drain".into()], &Metrics::default()).expect("it opens")
    }
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime can be started")
}

/// So many groups; records per second.
async fn fill(writer: &Writer, groups: u64) -> f64 {
    let payload = noise(FILL.bytes);
    let started = Instant::now();
    for _ in 0..groups {
        let payloads = vec![payload.clone(); FILL.producers];
        writer.append(Group { payloads, ..Group::default() }).await.expect("it is taken");
    }
    groups as f64 * FILL.producers as f64 / started.elapsed().as_secs_f64()
}

//! The loads: producers that wait for each answer, a reader, and the raw disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use weir::base::disk::{Disk as _, Open, SharedDisk};
use weir::base::tasks::Tasks;
use weir::queue::{self, Budget, Group, Queue, Reader, Settings, Settled, SyncLevel};
use weir::telemetry::Metrics;

use crate::Scratch;
use crate::disks::{Loop, Timed};
use crate::meters::{cpu_seconds, forget_peak, peak_mib, written_bytes};

/// Who sends what.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) producers: usize,
    pub(crate) bytes: usize,
    pub(crate) drains: bool,
}

/// One run.
pub(crate) struct Measured {
    pub(crate) rate: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_per_million: f64,
    pub(crate) peak_mib: f64,
    pub(crate) written_per_byte: f64,
    pub(crate) syncs_per_commit: f64,
    pub(crate) flushes_per_commit: Option<f64>,
}

/// Segments of 64 MiB, and room for all that a load without a reader leaves; and segments of 16 MiB
/// where they are to be written over again and again.
const LARGE: u64 = 8 << 30;
const SMALL: u64 = 256 << 20;
const SOME: Budget = Budget { count: 500, bytes: 2 << 20 };
/// The raw disk writes over as much as a segment holds.
const RAW_BYTES: u64 = 64 << 20;

pub(crate) fn settings(folder: &Path, max_bytes: u64) -> Settings {
    Settings {
        folder: folder.to_owned(),
        stream: "bench".into(),
        max_bytes,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        sync: SyncLevel::Always,
        policy: queue::Policy::default(),
        compresses: false,
        keys: queue::Keys::default(),
    }
}

pub(crate) fn noise(bytes: usize) -> Bytes {
    let mut chance = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| chance.u8(..)).take(bytes).collect()
}

/// Records per second of one thread that writes over and syncs the bytes of one record per
/// producer.
pub(crate) fn raw(folder: &Path, disk: &Timed, load: &Load, time: Duration) -> f64 {
    let scratch = Scratch::new(folder, "raw");
    let file = disk.open(&scratch.0.join("raw"), Open::Create).expect("a file can be made");
    let group = noise(load.producers * load.bytes);
    let whole = noise(1 << 20);
    for at in 0..RAW_BYTES / (1 << 20) {
        file.write_all_at(&whole, at << 20).expect("there is room");
    }
    file.sync().expect("the disk works");
    let (started, mut offset, mut groups) = (Instant::now(), 0, 0_u32);
    while started.elapsed() < time {
        file.write_all_at(&group, offset).expect("there is room");
        file.sync().expect("the disk works");
        offset = (offset + group.len() as u64) % (RAW_BYTES - group.len() as u64);
        groups += 1;
    }
    f64::from(groups) * load.producers as f64 / started.elapsed().as_secs_f64()
}

/// Records per second of one thread that writes and syncs the bytes of one record per producer to
/// blocks that were never written, in files as long as a segment, which stay.
pub(crate) fn raw_on_new_blocks(folder: &Path, disk: &Timed, load: &Load, bytes: u64) -> f64 {
    let group = noise(load.producers * load.bytes);
    let groups = bytes / group.len() as u64;
    let per_file = RAW_BYTES / group.len() as u64;
    let started = Instant::now();
    let mut file = None;
    for at in 0..groups {
        let offset = at % per_file * group.len() as u64;
        let file = match &mut file {
            Some(file) if offset > 0 => file,
            file => {
                let path = folder.join(format!("raw-{}", fastrand::u64(..)));
                let made = disk.open(&path, Open::CreateNew).expect("a file can be made");
                made.reserve(RAW_BYTES).expect("there is room");
                file.insert(made)
            }
        };
        file.write_all_at(&group, offset).expect("there is room");
        file.sync().expect("the disk works");
    }
    (groups * load.producers as u64) as f64 / started.elapsed().as_secs_f64()
}

/// The queue under a load.
pub(crate) fn produce(
    folder: &Path,
    disk: &Timed,
    load: &Load,
    time: Duration,
    on: Option<&Loop>,
) -> Measured {
    let scratch = Scratch::new(folder, "queue");
    let runtime = Runtime::new().expect("a runtime can be started");
    let metrics = Metrics::default();
    let destinations = if load.drains { vec!["drain".to_owned()] } else { Vec::new() };
    let shared: SharedDisk = Arc::new(disk.clone());
    let opened = queue::open(
        shared,
        settings(&scratch.0, if on.is_some() { SMALL } else { LARGE }),
        &destinations,
        &metrics,
    )
    .expect("it opens");
    forget_peak();
    let before = (cpu_seconds(), written_bytes(), disk.syncs());
    // The first segments are new; what the later ones cost counts.
    let half = || on.map(|on| (on.flushes(), commits(&metrics)));
    let (count, mut waits, took, at_half) = runtime.block_on(run(opened, *load, time, half));
    let commits = commits(&metrics);
    waits.sort_unstable();
    let wait_ms = |share: f64| {
        let at = (waits.len() as f64 * share) as usize;
        f64::from(waits.get(at).copied().unwrap_or(0)) / 1000.0
    };
    Measured {
        rate: count / took,
        p50_ms: wait_ms(0.5),
        p99_ms: wait_ms(0.99),
        cpu_per_million: (cpu_seconds() - before.0) / count * 1e6,
        peak_mib: peak_mib(),
        written_per_byte: (written_bytes() - before.1) / count / load.bytes as f64,
        syncs_per_commit: (disk.syncs() - before.2) as f64 / commits,
        flushes_per_commit: on.zip(at_half).map(|(on, (flushes, commits_then))| {
            (on.flushes() - flushes) / (commits - commits_then)
        }),
    }
}

fn commits(metrics: &Metrics) -> f64 {
    let text = metrics.encode();
    let line = text.lines().find_map(|line| line.strip_prefix("weir_queue_frames_total{"));
    line.and_then(|line| line.rsplit(' ').next())
        .and_then(|count| count.parse().ok())
        .unwrap_or(1.0)
}

async fn run<T>(
    queue: Queue,
    load: Load,
    time: Duration,
    half: impl FnOnce() -> T,
) -> (f64, Vec<u32>, f64, T) {
    let Queue { writer, readers } = queue;
    let (mut tasks, mut drains) = (Tasks::new(), Tasks::new());
    let waits = Arc::new(std::sync::Mutex::new(Vec::new()));
    let payload = noise(load.bytes);
    let started = Instant::now();
    for _ in 0..load.producers {
        let (writer, payload, waits) = (writer.clone(), payload.clone(), Arc::clone(&waits));
        tasks.spawn("producer", async move {
            let mut own = Vec::with_capacity(1 << 16);
            while started.elapsed() < time {
                let asked = Instant::now();
                let group = Group { payloads: vec![payload.clone()], ..Group::default() };
                writer.append(group).await.map_err(|why| why.to_string())?;
                own.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            waits.lock().map_err(|why| why.to_string())?.extend(own);
            Ok::<(), String>(())
        });
    }
    for reader in readers {
        drains.spawn("reader", async move {
            drain(reader).await;
            Ok::<(), String>(())
        });
    }
    tokio::time::sleep(time / 2).await;
    let at_half = half();
    tasks.finish().await.expect("every record is taken");
    let took = started.elapsed().as_secs_f64();
    writer.close().await.expect("it closes");
    drains.finish().await.expect("every record is given");
    let waits = std::mem::take(&mut *waits.lock().expect("nobody panicked"));
    (waits.len() as f64, waits, took, at_half)
}

/// Takes and settles until the queue is closed and empty; how many.
pub(crate) async fn drain(mut reader: Reader) -> u64 {
    let mut count = 0;
    while let Ok(stored) = reader.next(SOME).await {
        let positions: Vec<_> = stored.iter().map(|one| one.position).collect();
        reader.settle(&positions, Settled::Delivered);
        count += positions.len() as u64;
    }
    count
}

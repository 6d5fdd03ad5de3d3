//! With tasks and threads: waiting, waking, closing, and many at once on a real disk.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{advance, sleep, timeout};

use super::rig::{FOLDER, assert_balanced, group, mark, settings, small};
use crate::base::clock::Clock;
use crate::base::disk::{Call, FaultyDisk, RealDisk, SharedDisk};
use crate::base::tasks::Tasks;
use crate::queue::recover::Opening;
use crate::queue::settings::Limits;
use crate::queue::{AppendError, Budget, Group, Queue, Reader, Settings, Settled, assemble, open};
use crate::telemetry::Metrics;

const SOME: Budget = Budget { count: 500, bytes: 1 << 20 };

pub(super) fn queue_of(
    disk: SharedDisk,
    settings: Settings,
    limits: Limits,
    names: &[&str],
) -> Queue {
    let destinations: Vec<String> = names.iter().map(|&name| name.into()).collect();
    let (metrics, clock) = (Metrics::default(), Clock::starting_at(5_000));
    let (destinations, metrics) = (&destinations[..], &metrics);
    assemble(Opening { disk, settings, limits, clock, destinations, metrics }).unwrap()
}

fn queue(disk: &FaultyDisk, names: &[&str]) -> Queue {
    queue_of(disk.shared(), settings(), small(), names)
}

async fn take_all(reader: &mut Reader, count: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    while all.len() < count {
        let stored = reader.next(SOME).await.unwrap();
        let positions: Vec<_> = stored.iter().map(|one| one.position).collect();
        reader.settle(&positions, Settled::Delivered);
        all.extend(stored.into_iter().map(|one| one.payload));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_reader_waits_until_something_is_durable() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);

    let nothing = timeout(Duration::from_secs(60), readers[0].next(SOME)).await;
    assert!(nothing.is_err());
    let durable = writer.append(group(&[b"one", b"two"])).await.unwrap();
    assert_eq!((durable.first().0, durable.count()), (1, 2));

    let stored = readers[0].next(SOME).await.unwrap();
    let found: Vec<_> = stored.iter().map(|one| (one.position.0, &one.payload[..])).collect();
    assert_eq!(found, [(1, &b"one"[..]), (2, b"two")]);
    let reads = disk.count(Call::Read);
    writer.append(group(&[b"three"])).await.unwrap();
    assert_eq!(readers[0].next(SOME).await.unwrap()[0].payload, "three");
    assert_eq!(disk.count(Call::Read), reads, "who keeps up never touches the disk");
}

#[tokio::test(start_paused = true)]
async fn a_group_of_nothing_returns_at_once_and_marks_alone_take_no_position() {
    let disk = FaultyDisk::new();
    let Queue { writer, readers: _readers } = queue(&disk, &["a"]);

    let before = disk.count_all();
    assert_eq!(writer.append(Group::default()).await.unwrap().count(), 0);
    assert_eq!(disk.count_all(), before);

    let marks = Group { payloads: vec![], marks: vec![mark("x", "1")], key: None };
    let durable = writer.append(marks).await.unwrap();
    assert_eq!((durable.first().0, durable.count()), (1, 0));
    assert_eq!(writer.append(group(&[b"one"])).await.unwrap().first().0, 1);
    assert_eq!(writer.marks(""), [("x".to_owned(), Bytes::from("1"))]);
}

#[tokio::test(start_paused = true)]
async fn settlements_are_saved_within_the_promised_time_and_then_it_is_quiet() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);
    writer.append(group(&[b"one", b"two", b"three"])).await.unwrap();
    take_all(&mut readers[0], 3).await;
    let before = disk.count(Call::Sync);

    sleep(Duration::from_millis(150)).await;
    assert_eq!(disk.count(Call::Sync), before);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(disk.count(Call::Sync), before + 1);

    let calls = disk.count_all();
    advance(Duration::from_secs(3600)).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(disk.count_all(), calls, "an idle queue costs no call");
    disk.crash(0);
    let queue = queue(&disk, &["a"]);
    assert_eq!(queue.readers[0].ledger().delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_is_tried_again_without_a_settlement() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);
    writer.append(group(&[b"one"])).await.unwrap();
    take_all(&mut readers[0], 1).await;
    disk.fail_all(&[Call::Sync], ErrorKind::Other);
    sleep(Duration::from_secs(10)).await;

    disk.heal();
    sleep(Duration::from_secs(10)).await;

    disk.crash(0);
    assert_eq!(queue(&disk, &["a"]).readers[0].ledger().delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn closing_commits_what_waits_saves_the_cursors_and_ends_the_readers() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);
    writer.append(group(&[b"one"])).await.unwrap();
    take_all(&mut readers[0], 1).await;
    writer.append(group(&[b"two"])).await.unwrap();

    writer.close().await.unwrap();

    assert_eq!(writer.append(group(&[b"late"])).await, Err(AppendError::Closed));
    assert_eq!(writer.health(), Err(AppendError::Closed));
    assert_eq!(take_all(&mut readers[0], 1).await, ["two"], "what is durable is still given");
    assert_eq!(readers[0].next(SOME).await, Err(AppendError::Closed));
    writer.close().await.unwrap();
    disk.crash(0);
    let ledger = queue(&disk, &["a"]).readers[0].ledger();
    assert_eq!((ledger.delivered, ledger.waiting), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_notices_the_close() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);
    let mut tasks = Tasks::new();
    let mut reader = readers.pop().unwrap();
    tasks.spawn("reader", async move {
        let end = reader.next(SOME).await;
        if end == Err(AppendError::Closed) { Ok(()) } else { Err(format!("{end:?}")) }
    });
    sleep(Duration::from_millis(1)).await;

    writer.close().await.unwrap();

    tasks.finish().await.unwrap();
}

#[tokio::test]
async fn dropping_the_future_of_an_append_undoes_nothing_and_breaks_nothing() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } = queue(&disk, &["a"]);
    for number in 0..50_u8 {
        let append = writer.append(group(&[&[number]]));
        // Polled once, so that it is handed in; then dropped.
        drop(timeout(Duration::ZERO, append).await);
    }
    writer.append(group(&[b"last"])).await.unwrap();
    writer.close().await.unwrap();

    let given = take_all(&mut readers[0], 2).await;

    assert_eq!(given.last().unwrap(), "last");
    let kept: Vec<u8> = given[..given.len() - 1].iter().map(|one| one[0]).collect();
    assert!(kept.is_sorted(), "{kept:?}");
    assert_balanced(&readers[0].ledger());
}

#[tokio::test]
async fn dropping_the_future_of_a_read_loses_nothing() {
    let disk = FaultyDisk::new();
    let Queue { writer, .. } = queue(&disk, &["a"]);
    for number in 0..60_u8 {
        writer.append(group(&[&[number; 900]])).await.unwrap();
    }
    drop(writer);
    let Queue { writer: _writer, mut readers } = queue(&disk, &["a"]);
    let mut given = Vec::new();
    while given.len() < 60 {
        if let Ok(stored) = timeout(Duration::ZERO, readers[0].next(SOME)).await {
            given.extend(stored.unwrap().into_iter().map(|one| one.payload[0]));
        }
    }
    assert_eq!(given, (0..60).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_panic_in_the_committer_answers_everybody_and_the_queue_goes_on() {
    let disk = FaultyDisk::new();
    let destinations = ["a".to_owned()];
    let metrics = Metrics::default();
    let (disk, limits, clock) = (disk.shared(), small(), Clock::real());
    let (destinations, metrics) = (&destinations[..], &metrics);
    let opening = Opening { disk, settings: settings(), limits, clock, destinations, metrics };
    let (store, newest) = opening.run().unwrap();
    let committer = crate::queue::committer::Committer::new(Arc::clone(&store), newest);
    let inflow = crate::queue::inflow::Inflow::new(store, committer);
    inflow.hand_in(group(&[b"one"]), 3).await.unwrap();

    // A name that the writer would have refused breaks the committer's invariant.
    let broken = Group { payloads: vec![], marks: vec![mark(&"n".repeat(300), "")], key: None };
    let answer = inflow.hand_in(broken, 300).await;

    assert!(
        matches!(&answer, Err(AppendError::Disk(why)) if why.contains("panicked")),
        "{answer:?}"
    );
    assert_eq!(inflow.hand_in(group(&[b"two"]), 3).await.unwrap().first().0, 2);
}

#[tokio::test(start_paused = true)]
async fn health_names_the_trouble_and_asking_heals_it() {
    let disk = FaultyDisk::new();
    let Queue { writer, readers: _readers } = queue(&disk, &["a"]);
    writer.append(group(&[b"one"])).await.unwrap();
    assert_eq!(writer.health(), Ok(()));
    disk.fail_all(&[Call::Sync], ErrorKind::Other);

    let refusal = writer.append(group(&[b"two"])).await.unwrap_err();
    assert_eq!(writer.health(), Err(refusal.clone()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(writer.health(), Err(refusal.clone()));

    disk.heal();
    for _asked in 0..2 {
        drop(writer.health());
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(writer.health(), Ok(()));
    assert_eq!(writer.append(group(&[b"two"])).await.unwrap().first().0, 2);
}

#[tokio::test]
async fn appenders_wait_when_too_much_is_handed_in_and_all_of_it_is_stored() {
    let disk = FaultyDisk::new();
    let limits = Limits { waiting_bytes: 1000, ..Limits::with_segments(4 << 20, 1 << 20, 0) };
    let Queue { writer, mut readers } = queue_of(disk.shared(), settings(), limits, &["a"]);
    let mut tasks = Tasks::new();
    for number in 0..100_u8 {
        let writer = writer.clone();
        let bytes = if number == 50 { 5000 } else { 300 };
        tasks.spawn("appender", async move {
            writer.append(group(&[&vec![number; bytes]])).await.map(drop)
        });
    }
    tasks.finish().await.unwrap();

    let mut numbers: Vec<u8> =
        take_all(&mut readers[0], 100).await.iter().map(|one| one[0]).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
}

#[tokio::test]
async fn the_numbers_are_shown_with_their_labels_once_each() {
    let metrics = Metrics::default();
    let open_one = |stream: &str| {
        let folder = PathBuf::from(FOLDER).join(stream);
        let settings = Settings { folder, stream: stream.into(), ..settings() };
        open(FaultyDisk::new().shared(), settings, &["d".into()], &metrics).unwrap()
    };
    let (first, second) = (open_one("first"), open_one("second"));
    first.writer.append(group(&[b"12345", b""])).await.unwrap();

    let text = metrics.encode();

    for line in [
        "weir_queue_committed_records_total{stream=\"first\"} 2",
        "weir_queue_committed_bytes_total{stream=\"first\"} 5",
        "weir_queue_frames_total{stream=\"first\"} 1",
        "weir_queue_sync_seconds_count{stream=\"second\"} 0",
        "weir_queue_used_bytes{stream=\"second\"} 0",
        "weir_queue_max_bytes{stream=\"first\"} 4194304",
        "weir_queue_waiting_records{stream=\"first\",destination=\"d\"} 2",
        "weir_queue_ledger_records_total{stream=\"first\",destination=\"d\",state=\"accepted\"} 2",
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE weir_queue_used_bytes "));
    assert_eq!(types.count(), 1);
    drop(second);
    assert!(!metrics.encode().contains("weir_queue_used_bytes{stream=\"second\"}"));
}

/// A folder of its own; it stays when the test fails.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let unique = format!("weir-queue-{name}-{}-{:x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(unique))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

/// Settles what it takes until everything of everybody came; how often each payload came.
async fn take_from_all(
    reader: &mut Reader,
    count: usize,
) -> Result<BTreeMap<(u16, u16), u32>, AppendError> {
    let mut seen = BTreeMap::new();
    let mut last = BTreeMap::new();
    while seen.len() < count {
        let stored = reader.next(Budget { count: 97, bytes: 64 << 10 }).await?;
        let mut positions = Vec::new();
        for one in stored {
            let number = |at: usize| u16::from_le_bytes([one.payload[at], one.payload[at + 1]]);
            let (who, what) = (number(0), number(2));
            *seen.entry((who, what)).or_default() += 1;
            let before = last.insert(who, what);
            assert!(before.is_none_or(|before| before < what), "the order of {who} was changed");
            positions.push(one.position);
        }
        reader.settle(&positions, Settled::Delivered);
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appenders_and_two_destinations_on_a_real_disk_lose_nothing_and_change_no_order() {
    const APPENDERS: u16 = 64;
    const EACH: u16 = 60;
    let scratch = Scratch::new("many");
    let settings = Settings { folder: scratch.0.join("s"), max_bytes: 64 << 20, ..settings() };
    let limits = Limits::with_segments(64 << 20, 1 << 20, 0);
    let disk: SharedDisk = Arc::new(RealDisk);
    let queue = queue_of(Arc::clone(&disk), settings.clone(), limits, &["a", "b"]);
    let mut tasks = Tasks::new();
    for who in 0..APPENDERS {
        let writer = queue.writer.clone();
        tasks.spawn("appender", async move {
            for what in 0..EACH {
                let mut payload = [who.to_le_bytes(), what.to_le_bytes()].concat();
                payload.resize(4 + usize::from(who) * 16, 0);
                writer.append(group(&[&payload])).await?;
            }
            Ok::<(), AppendError>(())
        });
    }
    let count = usize::from(APPENDERS * EACH);
    for mut reader in queue.readers {
        tasks.spawn("reader", async move {
            let seen = take_from_all(&mut reader, count).await.map_err(|why| why.to_string())?;
            assert!(seen.values().all(|times| *times == 1));
            let ledger = reader.ledger();
            assert_balanced(&ledger);
            assert_eq!((ledger.delivered, ledger.waiting), (count as u64, 0));
            Ok::<(), String>(())
        });
    }
    tasks.finish().await.unwrap();
    queue.writer.close().await.unwrap();

    let destinations = ["a".to_owned(), "b".to_owned()];
    let again = open(disk, settings, &destinations, &Metrics::default()).unwrap();
    let overview = again.writer.overview();
    assert_eq!(overview.committed, count as u64);
    assert!(overview.ledgers.iter().all(|(_, ledger)| ledger.waiting == 0), "{overview:?}");
}

#[tokio::test]
async fn a_segment_that_is_sparse_and_endless_is_not_read_to_its_end() {
    let scratch = Scratch::new("sparse");
    let settings = Settings { folder: scratch.0.join("s"), max_bytes: 1 << 30, ..settings() };
    let limits = Limits::with_segments(1 << 30, 1 << 20, 0);
    let disk: SharedDisk = Arc::new(RealDisk);
    let open = || queue_of(Arc::clone(&disk), settings.clone(), limits.clone(), &["a"]);
    let queue = open();
    queue.writer.append(group(&[b"kept"])).await.unwrap();
    queue.writer.close().await.unwrap();
    drop(queue);
    let stretch = |name: &str, how| {
        let file = disk.open(&settings.folder.join(name), how).unwrap();
        file.set_bytes(1 << 40).unwrap();
    };
    stretch("00000000000000000001.seg", crate::base::disk::Open::Write);
    stretch("00000000000000000500.seg", crate::base::disk::Open::Create);

    let mut queue = open();

    let stored = take_all(&mut queue.readers[0], 1).await;
    assert_eq!(stored, [Bytes::from_static(b"kept")]);
    queue.writer.append(group(&[b"goes on"])).await.unwrap();
    assert_eq!(take_all(&mut queue.readers[0], 1).await, [Bytes::from_static(b"goes on")]);
}

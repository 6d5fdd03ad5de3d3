//! Every bound at one less, exactly, and one more.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{advance, timeout};

use super::rig::{ALL, FOLDER, Rig, group, mark, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::base::tasks::Tasks;
use crate::queue::feed::Turn;
use crate::queue::settings::Limits;
use crate::queue::spares::Spares;
use crate::queue::{AppendError, Budget, Group, Mark, Policy, Queue, Settings, SyncLevel, open};
use crate::telemetry::Metrics;

fn queue(max_bytes: u64) -> Queue {
    queue_on(&FaultyDisk::new(), max_bytes)
}

fn queue_on(disk: &FaultyDisk, max_bytes: u64) -> Queue {
    let settings = Settings {
        folder: FOLDER.into(),
        stream: "s".into(),
        max_bytes,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        policy: Policy::default(),
        compresses: false,
        keys: crate::queue::Keys::default(),
        sync: SyncLevel::Always,
    };
    open(disk.shared(), settings, &["a".into()], &Metrics::default()).unwrap()
}

#[tokio::test]
async fn a_group_may_be_as_large_as_the_bound_and_not_a_byte_more() {
    let queue = queue(4 << 20);
    let of = |bytes: usize| Group {
        payloads: vec![Bytes::from(vec![1; bytes])],
        marks: vec![],
        key: None,
    };
    let refusal = queue.writer.append(of(4 << 20)).await.unwrap_err();
    let AppendError::TooLarge { max_bytes, .. } = refusal else { panic!("{refusal:?}") };
    // Each payload takes four bytes for its length.
    let max = usize::try_from(max_bytes).unwrap() - 4;

    for (bytes, fits) in [(max - 1, true), (max, true), (max + 1, false), (0, true)] {
        assert_eq!(queue.writer.append(of(bytes)).await.is_ok(), fits, "{bytes}");
    }

    assert!(max > 1 << 20, "a record of 1 MiB fits into the smallest queue: {max}");
    let overview = queue.writer.overview();
    assert_eq!(overview.committed, 3);
    assert!(overview.used_bytes <= overview.max_bytes);
}

/// Another beside it may be one too many, and the queue would be called full for a moment.
#[tokio::test]
async fn a_segment_that_is_being_prepared_is_waited_for_and_no_other_is_made() {
    let disk = FaultyDisk::new();
    let queue = queue_on(&disk, 4 << 20);
    let large =
        || Group { payloads: vec![Bytes::from(vec![1; 600 << 10])], marks: vec![], key: None };
    queue.writer.append(group(&[b"the first segment"])).await.unwrap();
    disk.hang(&[Call::Reserve]);
    queue.writer.append(large()).await.unwrap();
    until(|| disk.count_hanging() == 1).await;
    let mut tasks = Tasks::new();
    let writer = queue.writer.clone();
    tasks.spawn("append", async move { writer.append(large()).await.map(drop) });

    let early = timeout(Duration::from_millis(50), tasks.next_end()).await;

    assert!(early.is_err(), "it waits: {early:?}");
    assert_eq!(disk.count_hanging(), 1, "for what is being prepared");
    disk.heal();
    tasks.finish().await.unwrap();
    assert_eq!(queue.writer.overview().committed, 3);
}

#[tokio::test]
async fn a_bound_below_the_newest_segment_stops_nothing_once_that_is_settled() {
    let disk = FaultyDisk::new();
    let mut queue = queue_on(&disk, 64 << 20);
    let of = |bytes: usize| Group {
        payloads: vec![Bytes::from(vec![1; bytes])],
        marks: vec![],
        key: None,
    };
    for _ in 0..4 {
        queue.writer.append(of(900 << 10)).await.unwrap();
    }
    settle_all(&mut queue, 4).await;
    queue.writer.close().await.unwrap();
    drop(queue);

    let mut queue = queue_on(&disk, 4 << 20);
    for _ in 0..30 {
        queue.writer.append(of(400 << 10)).await.unwrap();
        settle_all(&mut queue, 1).await;
    }
    let overview = queue.writer.overview();
    assert!(overview.used_bytes <= overview.max_bytes, "{overview:?}");
}

async fn settle_all(queue: &mut Queue, mut count: usize) {
    let reader = &mut queue.readers[0];
    while count > 0 {
        let stored = reader.next(Budget { count: 10, bytes: 4 << 20 }).await.unwrap();
        let positions: Vec<_> = stored.iter().map(|one| one.position).collect();
        reader.settle(&positions, crate::queue::Settled::Delivered);
        count -= stored.len();
    }
}

/// A pool that is full runs what was asked for long after it was taken back and asked for again.
#[test]
fn one_segment_is_prepared_at_a_time_however_late_the_threads_come() {
    let disk = FaultyDisk::new();
    disk.shared().create_folders(FOLDER.as_ref()).unwrap();
    let limits = Limits::of(&Settings { max_bytes: 4 << 20, ..super::rig::settings() });
    let spares = Spares::new(disk.shared(), FOLDER.into(), &limits, vec![]);
    assert!(spares.ask_for_one(true));
    assert!(spares.take(1).unwrap().is_none(), "taken back: nobody had begun");
    assert!(spares.ask_for_one(true));
    disk.hang(&[Call::Reserve]);
    std::thread::scope(|scope| {
        scope.spawn(|| spares.prepare());
        while disk.count_hanging() == 0 {
            std::thread::yield_now();
        }
        spares.prepare();
        assert!(!spares.are_wanting(), "one is on its way");
        assert_eq!(spares.bytes(), limits.segment_bytes);
        disk.heal();
    });
    assert_eq!(spares.bytes(), limits.segment_bytes);
    assert!(spares.take(1).unwrap().is_some());
    assert_eq!(spares.bytes(), 0);
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_hangs_is_told_for_as_long_as_it_lasts() {
    let disk = FaultyDisk::new();
    let writer = queue_on(&disk, 4 << 20).writer;
    writer.append(group(&[b"quick"])).await.unwrap();
    until(|| writer.at_one_step_for().is_none()).await;

    disk.hang(&[Call::Sync]);
    let mut tasks = Tasks::new();
    let appender = writer.clone();
    tasks.spawn("append", async move { appender.append(group(&[b"slow"])).await.map(drop) });
    until(|| disk.count_hanging() == 1).await;
    advance(Duration::from_secs(90)).await;

    assert!(writer.at_one_step_for().unwrap() >= Duration::from_secs(90));
    assert_eq!(writer.overview().committed, 1);
    disk.heal();
    tasks.finish().await.unwrap();
    assert_eq!(writer.overview().committed, 2);
    until(|| writer.at_one_step_for().is_none()).await;
}

#[tokio::test]
async fn a_record_of_10_mib_goes_through_a_queue_of_32() {
    let mut queue = queue(32 << 20);
    for round in 0..5_u8 {
        let payload = Bytes::from(vec![round; 10 << 20]);
        let group = Group { payloads: vec![payload.clone()], marks: vec![], key: None };
        queue.writer.append(group).await.unwrap();
        let reader = &mut queue.readers[0];
        let stored = reader.next(Budget { count: 1, bytes: 0 }).await.unwrap();
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].payload, payload);
        reader.settle(&[stored[0].position], crate::queue::Settled::Delivered);
    }
    assert_eq!(queue.readers[0].ledger().delivered, 5);
}

#[tokio::test]
async fn a_disk_smaller_than_a_segment_takes_records_until_it_is_full() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(6 << 20));
    let queue = queue_on(&disk, 1 << 30);
    let of_a_mib =
        || Group { payloads: vec![Bytes::from(vec![1; 1 << 20])], marks: vec![], key: None };

    let mut stored = 0;
    let refusal = loop {
        match queue.writer.append(of_a_mib()).await {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
    };

    // One is left for dead letters, however little the operator wants to be free.
    assert!((3..=5).contains(&stored), "{stored} MiB of 6 could be used");
    assert!(matches!(refusal, AppendError::DiskFull { .. }), "{refusal:?}");
}

#[tokio::test]
async fn marks_have_short_names_and_small_values() {
    let queue = queue(4 << 20);
    let of = |name: usize, value: usize| {
        let value = Some(Bytes::from(vec![b'v'; value]));
        Group { payloads: vec![], marks: vec![Mark { name: "n".repeat(name), value }], key: None }
    };
    for (name, value, fits) in [
        (254, 1, true),
        (255, 1, true),
        (256, 1, false),
        (1, 4095, true),
        (2, 4096, true),
        (3, 4097, false),
    ] {
        assert_eq!(queue.writer.append(of(name, value)).await.is_ok(), fits, "{name} {value}");
    }
    assert_eq!(queue.writer.marks("").len(), 4);
    assert_eq!(queue.writer.marks("nn").len(), 3);
}

#[test]
fn the_table_of_marks_is_bounded_by_count_and_bytes() {
    let mut limits = small();
    limits.mark_count = 3;
    limits.mark_bytes = 60;
    let mut rig = Rig::with(FaultyDisk::new(), limits, &["a"]).unwrap();
    let mut put = |name: &str, value: &str| {
        let group = Group { payloads: vec![], marks: vec![mark(name, value)], key: None };
        rig.commit(vec![group]).pop().unwrap().is_ok()
    };

    assert!(put("a", "1") && put("b", "1") && put("c", "1"));
    assert!(!put("d", "1"), "a fourth name");
    assert!(put("c", "2"), "a known name");
    // Two marks of 6 bytes are there; one of 4 + 1 + 43 makes 60.
    assert!(!put("c", &"v".repeat(44)));
    assert!(put("c", &"v".repeat(43)));
    assert!(put("c", "1"));

    let groups = vec![
        Group { payloads: vec![Bytes::from_static(b"x")], marks: vec![mark("e", "1")], key: None },
        group(&[b"y"]),
    ];
    let answers = rig.commit(groups);
    assert!(matches!(answers[0], Err(AppendError::MarksFull { .. })));
    assert!(answers[1].is_ok(), "only the group with too many marks is refused");
    assert_eq!(rig.payloads_on_disk(), [(1, "y".into())]);

    let forget = Mark { name: "a".into(), value: None };
    rig.commit(vec![Group { payloads: vec![], marks: vec![forget], key: None }])[0]
        .clone()
        .unwrap();
    let group = Group { payloads: vec![], marks: vec![mark("d", "1")], key: None };
    assert!(rig.commit(vec![group])[0].is_ok(), "a forgotten name gives its room back");
}

#[test]
fn a_full_queue_refuses_and_takes_again_when_it_was_read() {
    let mut rig = Rig::new(&["a", "b"]);
    let mut stored = 0;
    let refusal = loop {
        assert!(rig.used_bytes() <= rig.limits.max_bytes);
        match rig.put(&[1; 1000]) {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, AppendError::Full { used_bytes: 128 << 10, max_bytes: 128 << 10 });
    assert!(stored >= 8 * 11, "{stored}");
    assert_eq!(rig.store.trouble(), Some(refusal.clone()));

    // One destination alone frees nothing; both free all but the newest segment.
    let end = rig.store.log().end();
    while !rig.take(0, ALL).is_empty() {}
    rig.settle(0, 1..=end);
    rig.store.save().unwrap();
    assert_eq!(rig.put(&[1; 1000]), Err(refusal));
    while !rig.take(1, ALL).is_empty() {}
    rig.settle(1, 1..=end);

    assert!(rig.put(&[1; 1000]).is_ok(), "settled segments go at once when room is needed");
    assert_eq!(rig.store.trouble(), None);
    let kept = 1 + rig.limits.settled_max as u64;
    assert!(rig.used_bytes() <= kept * rig.limits.segment_bytes);
}

#[test]
fn the_window_of_unsettled_positions_is_exact() {
    let mut limits = small();
    limits.window = 10;
    let mut rig = Rig::with(FaultyDisk::new(), limits, &["a"]).unwrap();
    for number in 0..30_u8 {
        rig.put(&[number]).unwrap();
    }

    assert_eq!(rig.take(0, ALL).len(), 10);
    assert_eq!(rig.feeds[0].turn(ALL), Turn::Wait);
    rig.settle(0, 2..=9);
    assert_eq!(rig.feeds[0].turn(ALL), Turn::Wait, "the oldest is still owed");
    rig.settle(0, [1]);
    assert_eq!(rig.take(0, ALL).len(), 9);
    rig.settle(0, [11]);
    assert_eq!(rig.take(0, ALL).len(), 0, "10 is owed");
    rig.settle(0, [10]);
    assert_eq!(rig.take(0, ALL).len(), 2);
}

#[test]
fn a_budget_is_kept_but_one_payload_is_always_given() {
    let mut rig = Rig::new(&["a"]);
    rig.commit(vec![group(&[&[0; 100], &[1; 100], &[2; 100], &[3; 1]])]);
    let lengths = |turn: Turn| match turn {
        Turn::Give(stored) => stored.iter().map(|one| one.payload.len()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };

    assert_eq!(lengths(rig.feeds[0].turn(Budget { count: 0, bytes: 0 })), [100]);
    assert_eq!(lengths(rig.feeds[0].turn(Budget { count: 5, bytes: 199 })), [100]);
    assert_eq!(lengths(rig.feeds[0].turn(Budget { count: 5, bytes: 101 })), [100, 1]);
    assert_eq!(rig.feeds[0].turn(ALL), Turn::Wait);
}

#[test]
fn free_space_below_the_operators_floor_refuses() {
    let disk = FaultyDisk::new();
    let mut limits = small();
    limits.min_free_disk = 50_000;
    disk.set_capacity(Some(1_000_000));
    let mut rig = Rig::with(disk.clone(), limits, &["a"]).unwrap();
    rig.put(b"one").unwrap();

    disk.set_capacity(Some(80_000));
    let mut rig = rig.reopened();

    let refusal = rig.put(b"two").unwrap_err();
    assert!(matches!(refusal, AppendError::DiskFull { free_bytes } if free_bytes < 50_000));
    disk.set_capacity(None);
    let mut rig = rig.reopened();
    rig.put(b"two").unwrap();
}

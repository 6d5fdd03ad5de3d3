//! What queues of other agents suffered in public: here it cannot happen.
//!
//! Each was reported more than once: Vector's disk buffer, Fluent Bit's file storage, the
//! persistent queue of Logstash, the spool of Beats, the sending queue of the OpenTelemetry
//! collector. [`ELSEWHERE`] names the tests that show the rest.

use std::io::ErrorKind;
use std::path::Path;

use super::rig::{ALL, FOLDER, Rig, group, settings};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::feed::Turn;
use crate::queue::{AppendError, Budget, Ledger, open};
use crate::telemetry::Metrics;

const LAPSES: &str = include_str!("lapses.rs");
const LIMITS: &str = include_str!("limits.rs");
const RECOVERY: &str = include_str!("recovery.rs");

/// What is shown in another place: the symptom, where, and by which test.
const ELSEWHERE: [(&str, &str, &str); 11] = [
    // Vector, Logstash: a buffer larger than its disk was taken, and died when the disk was full.
    ("larger than disk", LIMITS, "a_disk_smaller_than_a_segment_takes_records_until_it_is_full"),
    // Vector: asked for over years, a buffer that lets its oldest go, counted.
    (
        "drop oldest",
        LAPSES,
        "a_full_queue_lets_its_oldest_segment_go_and_only_the_slow_destination_loses",
    ),
    (
        "drop oldest",
        LAPSES,
        "with_dead_letters_a_full_queue_refuses_until_the_oldest_segment_lies_there",
    ),
    // Vector, Fluent Bit: a caller of a full buffer waited, or was told 201 for what was lost.
    (
        "full, and hanging",
        include_str!("../../../tests/stories/refusals.rs"),
        "a_full_queue_says_so_and_heals_when_the_upstream_returns",
    ),
    // Vector: 256 MiB is the least, too much for flash.
    (
        "too big for flash",
        include_str!("../settings.rs"),
        "segments_are_1_to_64_mib_and_at_least_four_of_them_fit",
    ),
    ("too big for flash", LIMITS, "a_group_may_be_as_large_as_the_bound_and_not_a_byte_more"),
    // Vector, Fluent Bit: nobody could look into a buffer.
    (
        "no way to look",
        include_str!("../../../tests/stories/queue_tools.rs"),
        "a_running_agent_can_be_looked_at",
    ),
    // Fluent Bit: the backlog was read into memory at the start, which ran out.
    ("backlog in memory", RECOVERY, "opening_reads_the_newest_segment_only"),
    // Collector: without a sync a restart lost the backlog.
    (
        "lost by a kill",
        include_str!("../../../tests/stories/killed.rs"),
        "every_record_answered_202_and_every_line_arrives",
    ),
    (
        "lost by a power cut",
        include_str!("faults.rs"),
        "a_power_cut_between_any_two_disk_calls_loses_nothing_promised_and_splits_no_group",
    ),
    // Elastic Agent: what lies on disk could be read by anybody.
    (
        "not encrypted",
        include_str!("sealed.rs"),
        "what_is_sealed_cannot_be_read_from_the_disk_nor_can_the_marks",
    ),
];

#[test]
fn the_tests_that_are_said_to_lie_elsewhere_are_there() {
    for (symptom, file, name) in ELSEWHERE {
        assert!(file.contains(&format!("fn {name}(")), "{symptom}: {name} is gone");
    }
}

/// Payloads of 1,000 bytes until there are so many segments; how many.
fn fill(rig: &mut Rig, segments: usize) -> u64 {
    let mut count = 0;
    while rig.segments().len() < segments {
        rig.put(&[0x11; 1000]).unwrap();
        count += 1;
    }
    count
}

/// Vector: the sync of a write came with the next one, so the last of a burst was never synced.
#[tokio::test]
async fn the_last_append_of_a_burst_is_synced_though_no_other_follows() {
    // Among eight seeds are those that lose all that was not synced.
    for seed in 0..8 {
        let disk = FaultyDisk::new();
        let again = || open(disk.shared(), settings(), &["a".into()], &Metrics::default()).unwrap();
        let queue = again();
        for payload in [b"one", b"two", b"end"] {
            queue.writer.append(group(&[payload])).await.unwrap();
        }

        disk.crash(seed);

        let mut queue = again();
        let given = queue.readers[0].next(ALL).await.unwrap();
        assert_eq!(given.last().unwrap().payload, "end", "seed {seed}");
        assert_eq!(given.len(), 3);
    }
}

/// Vector: files were made, renamed and removed, and their folder was not synced: after a power cut
/// a whole file was missing.
#[test]
fn a_power_cut_takes_no_segment_and_no_cursor_with_it() {
    for seed in 0..16 {
        let mut rig = Rig::new(&["a"]);
        let count = fill(&mut rig, 4);
        rig.take(0, Budget { count: 20, bytes: usize::MAX });
        rig.settle(0, 1..=15);
        rig.store.save().unwrap();

        let mut rig = rig.crashed(seed);

        let given: Vec<u64> = rig.take(0, ALL).iter().map(|one| one.position.0).collect();
        assert_eq!(given, (16..=count).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((rig.ledger(0).delivered, rig.ledger(0).damaged), (15, 0));
    }
}

/// All of them: bytes nobody expected in a buffer stopped it, or the agent, or every later start.
#[test]
fn a_range_of_rubbish_costs_what_lay_there_and_stops_nothing() {
    for seed in 0..24 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(&["a"]);
        let count = fill(&mut rig, 4);
        let path = rig.segments()[1].clone();
        let mut content = rig.disk.content(&path).unwrap();
        let from = chance.usize(6000..content.len() - 3000);
        let rubbish = chance.usize(1..3000);
        content[from..from + rubbish].fill_with(|| chance.u8(..));
        rig.disk.put(&path, &content);

        let mut rig = rig.reopened();
        let given = rig.take(0, ALL).len() as u64;

        let damaged = rig.ledger(0).damaged;
        assert_eq!(given + damaged, count, "seed {seed}");
        // 3,000 bytes reach into four frames of a payload each.
        assert!((1..=5).contains(&damaged), "seed {seed}: {damaged} damaged");
        rig.put(b"it goes on").unwrap();
        rig.drain();
        let mut rig = rig.reopened();
        assert_eq!((rig.ledger(0).damaged, rig.take(0, ALL).len()), (damaged, 0));
    }
}

/// Vector, Logstash: without a free byte nothing could be deleted, as that needed to write.
#[test]
fn without_a_free_byte_all_is_delivered_and_the_room_comes_back() {
    let mut rig = Rig::new(&["a"]);
    let count = fill(&mut rig, 4);
    let files = rig.disk.files().into_iter();
    let used: usize = files.map(|file| rig.disk.content(&file).unwrap().len()).sum();
    rig.disk.set_capacity(Some(used as u64));
    let mut more = 0;
    let refusal = loop {
        match rig.put(&[0x11; 1000]) {
            Ok(_) => more += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, AppendError::DiskFull { free_bytes: 0 }), "{refusal:?}");

    rig.drain();

    assert_eq!(rig.ledger(0).delivered, count + more);
    rig.put(b"there is room").unwrap();
    let rig = rig.crashed(0);
    assert_eq!((rig.ledger(0).delivered, rig.ledger(0).waiting), (count + more, 1));
}

/// A quota of the file system is its end, too: the sender comes back later, nobody looks for a
/// broken disk.
#[test]
fn a_quota_that_is_used_up_counts_as_a_full_disk() {
    for calls in [&[Call::Write, Call::Reserve][..], &[Call::Reserve], &[Call::Open]] {
        let mut rig = Rig::new(&["a"]);
        rig.put(b"one").unwrap();
        rig.disk.fail_all(calls, ErrorKind::QuotaExceeded);

        let refusal = loop {
            if let Err(refusal) = rig.put(&[0x22; 1000]) {
                break refusal;
            }
        };

        assert!(matches!(refusal, AppendError::DiskFull { .. }), "{calls:?}: {refusal:?}");
        rig.disk.heal();
        assert_eq!(rig.take(0, ALL)[0].payload, "one");
        rig.put(b"two").unwrap();
        assert_eq!(rig.store.trouble(), None);
    }
}

/// Vector, Fluent Bit: told that all is well, for what a full buffer then threw away.
#[test]
fn what_a_full_queue_refuses_it_has_not_stored_and_what_it_took_it_has() {
    let mut rig = Rig::new(&["a"]);
    let mut taken = 0;
    for _ in 0..200 {
        taken += u64::from(rig.put(&[0x33; 1000]).is_ok());
    }
    assert!(taken < 200, "it was never full");

    let mut rig = rig.crashed(1);

    assert_eq!((rig.ledger(0).accepted, rig.take(0, ALL).len() as u64), (taken, taken));
}

/// Amazon's agent, the collector's file storage: what was delivered went on taking room.
#[test]
fn what_was_delivered_takes_no_room_however_much_went_through() {
    let mut rig = Rig::new(&["a"]);
    let mut most = 0;
    for _ in 0..60 {
        for _ in 0..10 {
            rig.put(&[0x44; 1000]).unwrap();
        }
        rig.drain();
        most = most.max(rig.used_bytes());
    }

    assert!(rig.store.log().first() > 500, "600 went through");
    // The newest, and those that are kept to be written over.
    assert!(most <= 4 * rig.limits.segment_bytes, "{most}");
    let rig = rig.reopened();
    assert!(rig.used_bytes() <= most);
    assert_eq!(rig.ledger(0).waiting_bytes, 0, "what is owed is told apart from what is used");
}

/// Fluent Bit, the collector: the size was wrong after a restart, and so was the limit.
#[test]
fn after_each_restart_the_size_is_that_of_the_files_and_the_limit_holds() {
    let mut rig = Rig::new(&["a"]);
    for round in 0..12_u64 {
        while rig.put(&[0x55; 1000]).is_ok() {}
        let given: Vec<u64> = rig.take(0, ALL).iter().map(|one| one.position.0).collect();
        rig.settle(0, given.iter().copied().take(20));
        rig.store.save().unwrap();
        let before = rig.ledger(0);

        rig = if round % 2 == 0 { rig.reopened() } else { rig.crashed(round) };

        let in_folder = |path: &&std::path::PathBuf| {
            path.parent() == Some(Path::new(FOLDER)) && path.extension().is_some()
        };
        let files = rig.disk.files();
        let bytes = files.iter().filter(in_folder);
        let bytes: usize = bytes.map(|path| rig.disk.content(path).unwrap().len()).sum();
        assert_eq!(rig.used_bytes(), bytes as u64, "round {round}");
        assert!(rig.used_bytes() <= rig.limits.max_bytes);
        let after = rig.ledger(0);
        // Bytes are known to the segment, records to the last one.
        assert!(after.waiting_bytes >= 1000 * after.waiting && after.waiting_bytes <= bytes as u64);
        let after = Ledger { waiting_bytes: before.waiting_bytes, span: before.span, ..after };
        assert_eq!(after, before, "round {round}");
    }
}

/// Beats: the last file was sent again at each restart.
#[test]
fn a_restart_sends_nothing_again_that_was_settled_and_saved() {
    let mut rig = Rig::new(&["a"]);
    let count = fill(&mut rig, 3);
    let settled = |position: u64| position <= 5 || position.is_multiple_of(3);
    rig.take(0, ALL);
    rig.settle(0, (1..=count).filter(|one| settled(*one)));
    rig.store.save().unwrap();

    for seed in 0..6 {
        rig = if seed == 0 { rig.reopened() } else { rig.crashed(seed) };
        let given: Vec<u64> = rig.take(0, ALL).iter().map(|one| one.position.0).collect();
        let expected: Vec<u64> = (1..=count).filter(|one| !settled(*one)).collect();
        assert_eq!(given, expected, "start {seed}");
    }
}

/// Vector: a disk buffer cost more than half of the throughput, a sync and a read for each record.
#[test]
fn many_appenders_share_one_write_and_one_sync_and_a_reader_that_keeps_up_reads_no_disk() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"the segment is there").unwrap();
    rig.take(0, ALL);
    let count = |rig: &Rig| [Call::Write, Call::Sync, Call::Read].map(|call| rig.disk.count(call));
    let before = count(&rig);

    let answers = rig.committer.commit((0..64).map(|_| group(&[b"a small record"])).collect());
    let Turn::Give(given) = rig.feeds[0].turn(ALL) else { panic!("nothing is given") };

    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(given.len(), 64);
    let [writes, syncs, reads] = count(&rig);
    assert_eq!([writes - before[0], syncs - before[1], reads - before[2]], [1, 1, 0]);
}

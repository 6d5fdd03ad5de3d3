//! What each level of `sync` promises: to the sender, across a power cut, and when nothing happens.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use tokio::time::sleep;

use super::live::queue_of;
use super::recovery::offsets;
use super::rig::{ALL, Rig, group, mark, over_seeds, seeds, settings, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::Found;
use crate::queue::settings::Limits;
use crate::queue::{Group, Queue, Settled, SyncLevel};

const EVERY: SyncLevel = SyncLevel::Every(Duration::from_millis(100));

fn limits(level: SyncLevel) -> Limits {
    // Room for a new segment at every failure.
    Limits { max_bytes: 1 << 20, ..small() }.with_sync(level)
}

fn rig(level: SyncLevel) -> Rig {
    Rig::with(FaultyDisk::new(), limits(level), &["a", "b"]).unwrap()
}

fn payload(position: u64) -> Vec<u8> {
    position.to_le_bytes().repeat(40)
}

/// The payloads that can be read; each is the one of its place.
#[track_caller]
fn found(rig: &Rig) -> BTreeSet<u64> {
    let mut all = BTreeSet::new();
    for found in rig.on_disk() {
        let Found::Frame(frame) = found else { continue };
        for (position, found) in (frame.first..).zip(&frame.payloads) {
            assert_eq!(found[..], payload(position)[..], "at {position}");
            all.insert(position);
        }
    }
    all
}

/// One life of a queue under random faults; gives back what was promised for good, the highest
/// position that was answered, and what is saved as settled.
fn live(rig: &mut Rig, chance: &mut fastrand::Rng) -> (u64, u64, BTreeSet<u64>) {
    let mut synced = rig.store.log().end();
    let mut answered = synced;
    let (mut settled, mut saved) = (BTreeSet::new(), BTreeSet::new());
    let mut given = BTreeSet::new();
    for _ in 0..chance.usize(1..80) {
        match chance.u32(0..100) {
            0..55 => {
                let next = rig.store.log().end() + 1;
                let count = chance.u64(1..4);
                let payloads = (next..next + count).map(|one| payload(one).into()).collect();
                let marks = vec![mark("at", &(next + count - 1).to_string())];
                if rig.commit(vec![Group { payloads, marks, key: None }])[0].is_ok() {
                    answered = next + count - 1;
                }
            }
            55..65 => {
                if rig.committer.sync().is_ok() {
                    synced = rig.store.log().end();
                }
            }
            65..75 => {
                // To read is not what fails here.
                rig.disk.heal();
                given.extend(rig.take(0, ALL).into_iter().map(|one| one.position.0));
                let some: Vec<u64> = given.iter().copied().filter(|_| chance.bool()).collect();
                rig.settle(0, some.iter().copied());
                settled.extend(some);
            }
            75..85 => {
                if rig.store.save().is_ok() && rig.limits.sync == SyncLevel::System {
                    saved = settled.clone();
                }
            }
            85..93 => {
                let calls = [Call::Sync, Call::Write, Call::Rename, Call::SyncFolder, Call::Open];
                let call = calls[chance.usize(0..calls.len())];
                rig.disk.fail(&[call], chance.u64(0..3), ErrorKind::Other);
            }
            _ => rig.disk.heal(),
        }
    }
    // Reading may still meet a fault that was asked for.
    rig.disk.heal();
    (synced, answered, saved)
}

/// After a failed sync the file is not written any more, and what it owed is in memory alone.
#[test]
fn what_a_failed_sync_owes_is_written_by_the_next_one_though_nothing_comes() {
    let mut rig = rig(EVERY);
    rig.put(&payload(1)).unwrap();
    rig.put(&payload(2)).unwrap();
    rig.disk.fail(&[Call::Sync], 0, ErrorKind::Other);
    rig.disk.fail_all(&[Call::Open], ErrorKind::Other);
    assert!(rig.committer.sync().is_err());
    rig.disk.heal();
    rig.committer.sync().unwrap();

    let rig = rig.crashed(1);

    assert_eq!(found(&rig), [1, 2].into());
}

#[test]
fn at_the_level_of_the_system_a_sync_is_owed_until_it_is_made_and_one_that_fails_is_told() {
    let mut rig = rig(SyncLevel::System);
    rig.put(&payload(1)).unwrap();
    rig.put(&payload(2)).unwrap();
    assert!(!rig.committer.is_synced());
    rig.committer.sync().unwrap();
    assert!(rig.committer.is_synced());

    rig.put(&payload(3)).unwrap();
    rig.disk.fail(&[Call::Sync], 0, ErrorKind::Other);
    assert!(rig.committer.sync().is_err(), "nothing is kept that could be written anew");
}

#[test]
fn a_new_segment_takes_nothing_along_that_the_old_one_was_synced_with() {
    let mut rig = rig(EVERY);
    while rig.segments().len() < 2 {
        let next = rig.store.log().end() + 1;
        rig.put(&payload(next)).unwrap();
    }
    let firsts = rig.segments().into_iter().flat_map(|path| offsets(&rig.disk, &path));
    let newest = firsts.map(|(_, header)| header.first).filter(|first| *first > 1);
    let end = rig.store.log().end();
    assert_eq!(newest.filter(|first| *first < end).count() as u64, end - 2, "each is there once");
}

#[test]
fn a_power_cut_takes_at_most_what_the_level_allows_and_nothing_before_the_last_sync() {
    let mut taken = 0;
    for level in [SyncLevel::Always, EVERY, SyncLevel::System] {
        let lost = std::sync::atomic::AtomicU64::new(0);
        over_seeds(seeds(150), |seed| {
            let mut chance = fastrand::Rng::with_seed(seed);
            let mut rig = rig(level);
            let mut holes = BTreeSet::new();
            for _ in 0..2 {
                let (synced, answered, saved) = live(&mut rig, &mut chance);
                // Where nothing is kept, a sync that fails takes what it was about.
                let safe = match level {
                    SyncLevel::Always => answered,
                    SyncLevel::Every(_) => synced,
                    SyncLevel::System => 0,
                };
                let is_crash = chance.u8(0..4) > 0;
                let disk = rig.disk.clone();
                if is_crash {
                    disk.crash(chance.u64(..));
                }
                rig = rig.reopened();

                let (found, first) = (found(&rig), rig.store.log().first());
                let is_kept = |one: u64| found.contains(&one) || holes.contains(&one);
                assert!((first..=safe).all(is_kept), "{safe} {found:?}");
                holes =
                    (first..=rig.store.log().end()).filter(|one| !found.contains(one)).collect();
                let cursor = rig.store.books[0].open().cursor.clone();
                assert!(saved.iter().all(|one| cursor.is_settled(*one)));
                if level != SyncLevel::System {
                    let last = found.last().copied().unwrap_or(0).max(first - 1);
                    assert!(cursor.highest() <= last, "the cursor is ahead of the log");
                }
                lost.fetch_add(
                    answered.saturating_sub(found.last().copied().unwrap_or(answered)),
                    std::sync::atomic::Ordering::Relaxed,
                );
                let next = rig.store.log().end() + 1;
                assert!(next > cursor.highest(), "a known position is given again");
                let put = rig.put(&payload(next)).unwrap();
                assert_eq!(put.first().0, next);
                rig.committer.sync().unwrap();
                for at in [0, 1] {
                    rig.ledger(at);
                }
            }
            rig.drain();
            assert_eq!(rig.ledger(0).waiting + rig.ledger(1).waiting, 0);
        });
        let lost = lost.into_inner();
        assert!(level != SyncLevel::Always || lost == 0, "{lost}");
        taken += lost;
    }
    assert!(taken > 0, "the weaker levels do lose something, or this tests nothing");
}

#[test]
fn what_a_failed_sync_was_about_is_written_anew_into_another_file() {
    let mut rig = rig(EVERY);
    for position in 1..=5 {
        rig.put(&payload(position)).unwrap();
    }
    assert_eq!(rig.store.log().synced(), 1, "the first frame of a segment is synced");
    rig.disk.fail(&[Call::Sync], 0, ErrorKind::Other);

    rig.committer.sync().unwrap();

    assert_eq!(rig.segments().len(), 2);
    assert_eq!(rig.store.log().synced(), 5);
    let given: Vec<u64> = rig.take(0, ALL).into_iter().map(|one| one.position.0).collect();
    assert_eq!(given, [1, 2, 3, 4, 5]);
    for seed in 0..8 {
        rig = rig.crashed(seed);
        assert_eq!(found(&rig), (1..=5).collect());
        assert_eq!(rig.ledger(0).damaged, 0);
    }
}

#[test]
fn what_could_not_be_synced_is_tried_again_and_meanwhile_the_queue_is_not_healthy() {
    let mut rig = rig(EVERY);
    for position in 1..=3 {
        rig.put(&payload(position)).unwrap();
    }
    rig.disk.fail_all(&[Call::Sync], ErrorKind::Other);

    assert!(rig.committer.sync().is_err());
    assert!(rig.store.trouble().is_some());
    assert!(rig.put(&payload(4)).is_err());
    rig.disk.heal();
    rig.committer.mend();

    assert_eq!(rig.store.trouble(), None);
    rig.put(&payload(4)).unwrap();
    rig.committer.sync().unwrap();
    assert_eq!(found(&rig.crashed(0)), (1..=4).collect());
}

#[test]
fn bytes_that_wait_for_a_sync_are_bounded() {
    let mut rig = rig(EVERY);
    let bound = rig.limits.unsynced_bytes as u64;
    for position in 1..200 {
        rig.put(&payload(position)).unwrap();
        let unsynced = {
            let log = rig.store.log();
            log.end() - log.synced()
        };
        assert!(unsynced * 320 <= bound, "{unsynced} of 320 bytes, at most {bound}");
    }
}

#[test]
fn no_cursor_is_saved_ahead_of_what_is_synced() {
    let mut rig = rig(EVERY);
    for position in 1..=4 {
        rig.put(&payload(position)).unwrap();
    }
    rig.take(0, ALL);
    rig.settle(0, 1..=4);
    rig.store.save().unwrap();
    assert_eq!(rig.store.books[0].saved(), 0);

    rig.committer.sync().unwrap();
    rig.store.save().unwrap();

    assert_eq!(rig.store.books[0].saved(), 4);
    assert_eq!(rig.crashed(0).ledger(0).delivered, 4);
}

async fn append(queue: &Queue, count: u64) {
    for _ in 0..count {
        queue.writer.append(group(&[b"one"])).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_syncs_what_was_answered_and_an_idle_queue_is_not_synced() {
    let disk = FaultyDisk::new();
    let mut queue = queue_of(disk.shared(), settings(), limits(EVERY), &["a"]);
    append(&queue, 1).await;
    let before = disk.count(Call::Sync);

    append(&queue, 30).await;
    assert_eq!(disk.count(Call::Sync), before);
    assert_eq!(queue.writer.overview().unsynced, 30);
    sleep(Duration::from_millis(101)).await;
    assert_eq!(disk.count(Call::Sync), before + 1);
    assert_eq!(queue.writer.overview().unsynced, 0);

    let calls = disk.count_all();
    sleep(Duration::from_hours(1)).await;
    assert_eq!(disk.count_all(), calls, "an idle queue costs no call");
    append(&queue, 1).await;
    sleep(Duration::from_secs(1)).await;
    disk.crash(0);
    queue = queue_of(disk.shared(), settings(), limits(EVERY), &["a"]);
    assert_eq!(queue.writer.overview().committed, 32);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_waits_for_the_log_and_is_saved_then() {
    let disk = FaultyDisk::new();
    let mut queue = queue_of(
        disk.shared(),
        settings(),
        limits(SyncLevel::Every(Duration::from_secs(5))),
        &["a"],
    );
    append(&queue, 3).await;
    let stored = queue.readers[0].next(ALL).await.unwrap();
    let positions: Vec<_> = stored.iter().map(|one| one.position).collect();
    queue.readers[0].settle(&positions, Settled::Delivered);

    sleep(Duration::from_secs(6)).await;

    let calls = disk.count_all();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(disk.count_all(), calls);
    disk.crash(0);
    let queue = queue_of(disk.shared(), settings(), limits(EVERY), &["a"]);
    assert_eq!(queue.readers[0].ledger().delivered, 3);
}

#[tokio::test(start_paused = true)]
async fn the_system_alone_syncs_until_a_segment_is_full_or_the_queue_closes() {
    let disk = FaultyDisk::new();
    let queue = queue_of(disk.shared(), settings(), limits(SyncLevel::System), &["a"]);
    append(&queue, 1).await;
    let before = disk.count(Call::Sync);
    append(&queue, 30).await;
    sleep(Duration::from_secs(600)).await;
    assert_eq!(disk.count(Call::Sync), before);

    queue.writer.close().await.unwrap();

    disk.crash(0);
    let queue = queue_of(disk.shared(), settings(), limits(SyncLevel::System), &["a"]);
    assert_eq!(queue.writer.overview().committed, 31);
}

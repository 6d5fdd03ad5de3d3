//! Idempotency keys: a group that comes again is answered with the first, whatever lies between.

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::rig::{ALL, Rig, group, over_seeds, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::once::{Bounds, entry_bytes};
use crate::queue::{AppendError, Durable, Group, OnceKey, Policy, Position};

const REMEMBERS: Policy = Policy {
    when_full: crate::queue::WhenFull::Reject,
    max_age: None,
    lapsed: crate::queue::Lapsed::Discard,
    keys_kept: Duration::from_secs(600),
};

fn rig() -> Rig {
    Rig::under(REMEMBERS, FaultyDisk::new(), small(), &["a"]).unwrap()
}

fn key(number: u64) -> OnceKey {
    let mut print = [0; 16];
    print[..8].copy_from_slice(&number.to_le_bytes());
    OnceKey { print, note: Bytes::from(format!("the note of {number}")) }
}

fn keyed(number: u64, payloads: usize) -> Group {
    let payloads: Vec<Vec<u8>> =
        (0..payloads).map(|part| vec![u8::try_from(part).unwrap(); 300]).collect();
    let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    Group { key: Some(key(number)), ..group(&payloads) }
}

#[track_caller]
fn check_earlier(answer: Result<Durable, AppendError>, number: u64, first: u64, count: u32) {
    let durable = answer.unwrap();
    assert_eq!((durable.first(), durable.count()), (Position(first), count));
    assert_eq!(durable.note_of_earlier(), Some(&key(number).note));
}

#[test]
fn a_group_that_comes_again_is_not_stored_and_gets_the_proof_of_the_first() {
    let mut rig = rig();
    rig.put(b"before").unwrap();

    let first = rig.commit(vec![keyed(7, 3)]).pop().unwrap().unwrap();
    assert_eq!((first.first(), first.note_of_earlier()), (Position(2), None));
    let other = Group { key: Some(OnceKey { note: Bytes::new(), ..key(7) }), ..group(&[b"other"]) };
    check_earlier(rig.commit(vec![other]).pop().unwrap(), 7, 2, 3);
    let mut beside = rig.commit(vec![keyed(7, 3), keyed(8, 1), keyed(8, 1), keyed(9, 2)]);

    assert_eq!(beside.pop().unwrap().unwrap().first(), Position(6));
    check_earlier(beside.pop().unwrap(), 8, 5, 1);
    assert_eq!(beside.pop().unwrap().unwrap().note_of_earlier(), None);
    check_earlier(beside.pop().unwrap(), 7, 2, 3);
    assert_eq!(rig.store.log().end(), 7);
    assert_eq!(rig.take(0, ALL).len(), 7);
    assert_eq!(rig.store.metrics.repeated_groups.get(), 3);
}

#[test]
fn a_repetition_of_a_stored_group_costs_no_disk_and_is_answered_by_a_full_queue() {
    let mut rig = rig();
    rig.commit(vec![keyed(1, 1)]).pop().unwrap().unwrap();
    while rig.put(&[1; 3000]).is_ok() {}
    let before = rig.disk.count_all();

    check_earlier(rig.commit(vec![keyed(1, 1)]).pop().unwrap(), 1, 1, 1);
    assert_eq!(rig.disk.count_all(), before);

    // Beside a group that is refused for want of room.
    let mut answers = rig.commit(vec![group(&[&[2; 3000]]), keyed(1, 1), keyed(2, 1), keyed(2, 1)]);
    assert!(matches!(answers.pop().unwrap(), Err(AppendError::Full { .. })));
    assert!(matches!(answers.pop().unwrap(), Err(AppendError::Full { .. })));
    check_earlier(answers.pop().unwrap(), 1, 1, 1);
    assert!(matches!(answers.pop().unwrap(), Err(AppendError::Full { .. })));
}

#[test]
fn keys_are_found_again_by_opening_the_newest_segment_alone() {
    let mut rig = rig();
    for number in 0..40 {
        rig.commit(vec![keyed(number, 1)]).pop().unwrap().unwrap();
        rig.put(&[9; 1000]).unwrap();
        let given: Vec<_> = rig.take(0, ALL).into_iter().map(|one| one.position.0).collect();
        rig.settle(0, given);
        rig.store.save().unwrap();
    }
    assert!(rig.store.log().first() > 60, "the segments they came in are gone");

    let mut rig = rig.crashed(5);

    for number in 0..40 {
        let first = 2 * number + 1;
        let known = rig.store.marks().keys.iter().any(|kept| kept.key == key(number));
        if known {
            check_earlier(rig.commit(vec![keyed(number, 1)]).pop().unwrap(), number, first, 1);
        } else {
            assert!(number < 30, "{number} is forgotten, though the table has room for more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_forgotten_after_its_time_and_the_group_is_stored_again() {
    let mut rig = rig();
    rig.commit(vec![keyed(1, 1)]).pop().unwrap().unwrap();

    advance(Duration::from_millis(599_999)).await;
    check_earlier(rig.commit(vec![keyed(1, 1)]).pop().unwrap(), 1, 1, 1);
    advance(Duration::from_millis(1)).await;
    let again = rig.commit(vec![keyed(1, 1)]).pop().unwrap().unwrap();

    assert_eq!((again.first(), again.note_of_earlier()), (Position(2), None));
    check_earlier(rig.commit(vec![keyed(1, 1)]).pop().unwrap(), 1, 2, 1);
}

#[test]
fn a_queue_that_remembers_nothing_stores_every_group_and_writes_no_key() {
    let mut rig = Rig::new(&["a"]);

    for _ in 0..3 {
        let durable = rig.commit(vec![keyed(1, 1)]).pop().unwrap().unwrap();
        assert_eq!(durable.note_of_earlier(), None);
    }

    assert_eq!(rig.store.log().end(), 3);
    assert_eq!(rig.store.marks().keys.iter().count(), 0);
}

#[test]
fn the_copy_of_the_table_in_each_segment_stays_a_sixteenth_of_it() {
    let mut rig = rig();
    let limits = rig.limits.clone();
    for number in 0..500 {
        rig.commit(vec![keyed(number, 0)]).pop().unwrap().unwrap();
    }

    let held: usize = rig.store.marks().keys.iter().map(|kept| entry_bytes(&kept.key)).sum();
    assert!(held <= limits.key_bytes && held > limits.key_bytes / 2, "{held} bytes");
    assert!(limits.key_bytes as u64 <= limits.segment_bytes / 16);
    let large = crate::queue::settings::Limits::with_segments(1 << 40, 64 << 20, 0);
    let Bounds { count, bytes, .. } = large.once(&REMEMBERS);
    assert_eq!(count * entry_bytes(&OnceKey { print: [0; 16], note: vec![0; 24].into() }), bytes);
}

#[test]
fn the_note_of_a_key_is_bounded() {
    let disk = FaultyDisk::new();
    let metrics = crate::telemetry::Metrics::default();
    let settings = crate::queue::Settings { policy: REMEMBERS, ..super::rig::settings() };
    let queue = crate::queue::open(disk.shared(), settings, &[], &metrics).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (bytes, is_right) in [(63, true), (64, true), (65, false)] {
        let key =
            OnceKey { print: [u8::try_from(bytes).unwrap(); 16], note: vec![1; bytes].into() };
        let answer =
            runtime.block_on(queue.writer.append(Group { key: Some(key), ..group(&[b"x"]) }));
        assert_eq!(answer.is_ok(), is_right, "{bytes}: {answer:?}");
    }
}

#[test]
fn whatever_disk_call_is_the_last_or_fails_no_keyed_group_is_ever_stored_twice() {
    // As senders do: each group again and again until it is answered.
    let work = |rig: &mut Rig, from: u64, tries: usize| -> u64 {
        for number in from..30 {
            let stored =
                (0..tries).any(|_| rig.commit(vec![keyed(number, 3)]).pop().unwrap().is_ok());
            if !stored {
                return number;
            }
            if number % 4 == 3 {
                rig.settle(0, 1..=3 * number);
                drop(rig.take_what_can_be(0));
                rig.settle(0, 1..=3 * number);
                drop(rig.store.save());
            }
        }
        30
    };
    let mut whole = rig();
    let before = whole.disk.count_all();
    assert_eq!(work(&mut whole, 0, 1), 30);
    let calls = whole.disk.count_all() - before;
    over_seeds(calls, |call| {
        let mut cut = rig();
        cut.disk.end_power_after(call);
        let reached = work(&mut cut, 0, 1);
        let mut cut = cut.crashed(call);
        assert_eq!(work(&mut cut, reached, 1), 30);
        assert_eq!(cut.store.log().end(), 90, "3 payloads each, none twice");

        let mut faulty = rig();
        let any = [Call::Write, Call::Sync, Call::Rename, Call::SyncFolder, Call::Open];
        faulty.disk.fail(&any, call % 120, ErrorKind::Other);
        assert_eq!(work(&mut faulty, 0, 3), 30);
        assert_eq!(faulty.store.log().end(), 90);
        faulty.disk.heal();
        assert_eq!(faulty.reopened().store.log().end(), 90);
    });
}

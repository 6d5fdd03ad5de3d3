//! Every disk call can be the last one, or fail: nothing promised is lost, no group is split.

use std::io::ErrorKind;

use bytes::Bytes;

use super::rig::{ALL, Rig, group, is_disk_trouble, mark, over_seeds, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::Found;
use crate::queue::feed::Turn;
use crate::queue::settings::Limits;
use crate::queue::{AppendError, Group};

/// A group of three payloads that belong together, and a mark that counts them.
fn triple(number: u32) -> Group {
    let payload = |part: u32| {
        let mut bytes = format!("{number}.{part} ").into_bytes();
        bytes.resize(700, b'.');
        Bytes::from(bytes)
    };
    let payloads = (0..3).map(payload).collect();
    Group { payloads, marks: vec![mark("count", &number.to_string())], key: None }
}

/// Commits, settles and saves until the disk says no; the number of promised groups.
fn work(rig: &mut Rig, groups: u32) -> u32 {
    let mut promised = 0;
    for number in 0..groups {
        if rig.commit(vec![triple(number)]).pop().unwrap().is_err() {
            break;
        }
        promised = number + 1;
        if number % 5 == 4 {
            while let Turn::Read | Turn::Give(_) = rig.feeds[0].turn(ALL) {
                if rig.feeds[0].read().is_err() {
                    break;
                }
            }
            // Not all of it, so that segments go while others stay.
            rig.settle(0, 1..=u64::from(2 * number));
            drop(rig.store.save());
        }
    }
    promised
}

/// What was promised is there, whole, in order; at most one group more.
#[track_caller]
fn check(rig: &Rig, promised: u32) {
    let settled = rig.store.books[0].open().cursor.watermark();
    let mut found = Vec::new();
    for one in rig.on_disk() {
        match one {
            Found::Frame(frame) => {
                found.extend((frame.first..).zip(frame.payloads.iter().cloned()));
            }
            // Removals are not synced: a crash may bring one segment back and not the next.
            Found::Lost(_, to) => assert!(to <= settled + 1, "lost up to {to} of {settled}"),
        }
    }
    let first = found.first().map_or(1, |(position, _)| *position);
    assert!(first <= settled + 1, "{first} begins behind what is settled: {settled}");
    let end = rig.store.log().end();
    assert_eq!(end % 3, 0, "a group was split");
    let groups = u32::try_from(end / 3).unwrap();
    assert!(groups == promised || groups == promised + 1, "{groups} found, {promised} promised");
    for (position, payload) in found {
        let (number, part) = ((position - 1) / 3, (position - 1) % 3);
        assert!(payload.starts_with(format!("{number}.{part} ").as_bytes()));
    }
    let marks = rig.store.marks().with_prefix("");
    let count = marks
        .first()
        .map_or(0, |(_, value)| std::str::from_utf8(value).unwrap().parse::<u32>().unwrap() + 1);
    assert_eq!(count, groups, "the mark and its payloads are committed together");
}

#[test]
fn a_power_cut_between_any_two_disk_calls_loses_nothing_promised_and_splits_no_group() {
    let whole = {
        let mut rig = Rig::new(&["a"]);
        let before = rig.disk.count_all();
        assert_eq!(work(&mut rig, 60), 60);
        assert!(rig.store.log().first() > 1, "segments were removed");
        rig.disk.count_all() - before
    };
    assert!(whole > 150, "{whole} calls");
    over_seeds(whole, |calls| {
        for seed in 0..4 {
            let mut rig = Rig::new(&["a"]);
            rig.disk.end_power_after(calls);

            let promised = work(&mut rig, 60);

            let mut rig = rig.crashed(calls * 4 + seed);
            check(&rig, promised);
            rig.put(b"and it goes on").unwrap();
            assert_eq!(rig.ledger(0).damaged, 0);
        }
    });
}

#[test]
fn a_power_cut_while_opening_changes_nothing() {
    for calls in 0..40 {
        let mut rig = Rig::new(&["a"]);
        assert_eq!(work(&mut rig, 20), 20);
        // The last group is written but not synced.
        rig.disk.fail_all(&[Call::Sync], ErrorKind::Other);
        work(&mut rig, 1);
        rig.disk.crash(calls);
        rig.disk.end_power_after(calls);
        drop(rig.open_again());
        let rig = rig.crashed(calls + 1);

        let end = rig.store.log().end();
        assert!(end == 60 || end == 63, "{end}");
        assert!(rig.payloads_on_disk().last().unwrap().0 == end);
    }
}

#[test]
fn any_call_may_fail_once_and_nothing_promised_is_lost() {
    let kinds =
        [Call::Write, Call::Sync, Call::Open, Call::Rename, Call::SyncFolder, Call::Reserve];
    for kind in kinds {
        for error in [ErrorKind::Other, ErrorKind::StorageFull] {
            for skip in 0..80 {
                let mut rig = Rig::new(&["a"]);
                rig.disk.fail(&[kind], skip, error);

                let mut promised = Vec::new();
                for number in 0..50_u32 {
                    match rig.put(&number.to_le_bytes().repeat(200)) {
                        Ok(durable) => promised.push((durable.first().0, number)),
                        answer => assert!(is_disk_trouble(&answer), "{answer:?}"),
                    }
                }

                assert!(promised.len() >= 49, "one failure refuses at most one group");
                let rig = rig.crashed(skip);
                let found = rig.payloads_on_disk();
                assert!(found.len() == promised.len(), "{kind:?} {skip}");
                for ((position, payload), promise) in found.iter().zip(&promised) {
                    assert_eq!(
                        (*position, &payload[..4]),
                        (promise.0, &promise.1.to_le_bytes()[..])
                    );
                }
            }
        }
    }
}

#[test]
fn an_error_at_the_kth_call_of_any_kind_loses_nothing_promised_for_every_k() {
    let kinds = [
        Call::Open,
        Call::Rename,
        Call::Remove,
        Call::SyncFolder,
        Call::FreeBytes,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::Bytes,
        Call::SetBytes,
        Call::Reserve,
    ];
    let mut k = 0;
    loop {
        let mut rig = Rig::new(&["a"]);
        let before = rig.disk.count_all();
        rig.disk.fail(&kinds, k, ErrorKind::Other);
        let mut promised = 0;
        for turn in 0..60 {
            promised += u32::from(rig.commit(vec![triple(promised)])[0].is_ok());
            if turn % 5 == 4 {
                rig.take_what_can_be(0);
                rig.settle(0, 1..=u64::from(2 * promised));
                drop(rig.store.save());
            }
        }
        let calls = rig.disk.count_all() - before;
        assert!(promised >= 59, "one failure refuses at most one group");

        check(&rig.crashed(k), promised);

        if k > calls {
            break;
        }
        k += 1;
    }
    assert!(k > 200, "{k} calls");
}

#[test]
fn after_a_failed_sync_the_group_goes_to_a_new_file_and_the_old_one_is_not_touched_again() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    let old = rig.segments()[0].clone();
    rig.disk.fail(&[Call::Sync], 0, ErrorKind::Other);

    assert_eq!(rig.put(b"two").unwrap().first().0, 2);

    assert_eq!(rig.segments().len(), 2);
    let content = rig.disk.content(&old).unwrap();
    rig.put(b"three").unwrap();
    assert_eq!(rig.disk.content(&old).unwrap(), content);
    let given: Vec<_> = rig.take(0, ALL).into_iter().map(|one| one.payload).collect();
    assert_eq!(given, ["one", "two", "three"]);
    for seed in 0..8 {
        rig = rig.crashed(seed);
        let found: Vec<_> = rig.payloads_on_disk().into_iter().map(|(_, one)| one).collect();
        assert_eq!(found, ["one", "two", "three"], "a frame in an abandoned file has no say");
    }
}

#[test]
fn segments_that_a_failing_disk_ended_early_take_no_more_room_than_they_hold() {
    // Four whole segments would be all.
    let limits = Limits::with_segments(4 << 20, 1 << 20, 0);
    for call in [Call::Sync, Call::Write] {
        let mut rig = Rig::with(FaultyDisk::new(), limits.clone(), &["a"]).unwrap();
        rig.put(b"0").unwrap();
        for number in 1..100_u64 {
            rig.disk.fail(&[call], 0, ErrorKind::StorageFull);
            assert_eq!(rig.put(number.to_string().as_bytes()).unwrap().first().0, number + 1);
        }

        let segments = rig.segments().len() as u64;
        assert_eq!(segments, 100, "each failure ends one");
        let most = segments * 8192 + 2 * limits.segment_bytes;
        assert!(rig.used_bytes() <= most, "{} bytes", rig.used_bytes());
        let mut rig = rig.crashed(0);
        assert!(rig.used_bytes() <= most, "{} bytes after a crash", rig.used_bytes());
        let given: Vec<_> = rig.take(0, ALL).into_iter().map(|one| one.payload).collect();
        let put: Vec<_> = (0..100).map(|number: u64| number.to_string()).collect();
        assert_eq!(given, put);
    }
}

#[test]
fn when_the_new_file_fails_too_the_group_is_refused_and_the_next_append_tries_again() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.disk.fail_all(&[Call::Sync], ErrorKind::Other);

    assert!(matches!(rig.put(b"refused"), Err(AppendError::Disk(_))));
    assert!(matches!(rig.store.trouble(), Some(AppendError::Disk(_))));
    let files = rig.disk.files().len();
    for _ in 0..10 {
        assert!(rig.put(b"refused").is_err());
    }
    assert_eq!(rig.disk.files().len(), files, "failed files do not pile up");

    rig.disk.heal();
    assert_eq!(rig.put(b"two").unwrap().first().0, 2);
    assert_eq!(rig.store.trouble(), None);
    let found: Vec<_> = rig.reopened().payloads_on_disk();
    assert_eq!(found, [(1, "one".into()), (2, "two".into())]);
}

#[test]
fn a_full_disk_refuses_keeps_giving_out_and_heals() {
    let disk = FaultyDisk::new();
    let mut rig = Rig::with(disk.clone(), small(), &["a"]).unwrap();
    disk.set_capacity(Some(100_000));
    let mut stored = 0;
    let refusal = loop {
        match rig.put(&[7; 1500]) {
            Ok(_) => stored += 1,
            Err(refusal) => break refusal,
        }
    };
    assert!(matches!(refusal, AppendError::DiskFull { .. }), "{refusal:?}");
    assert!(stored > 20, "{stored}");

    let mut rig = rig.reopened();
    assert!(rig.put(&[7; 1500]).is_err() || rig.put(&[7; 1500]).is_err());
    rig.drain();

    rig.put(&[7; 1500]).unwrap();
    assert_eq!(rig.store.trouble(), None);
    assert!(rig.ledger(0).delivered >= stored);
}

#[test]
fn the_queue_is_mended_without_a_group_when_somebody_asks() {
    let mut rig = Rig::new(&["a"]);
    rig.disk.fail_all(&[Call::Write], ErrorKind::Other);
    assert!(rig.put(b"refused").is_err());

    rig.committer.mend();
    assert!(rig.store.trouble().is_some());
    rig.disk.heal();
    rig.committer.mend();

    assert_eq!(rig.store.trouble(), None);
    assert_eq!(rig.put(b"one").unwrap().first().0, 1);
    assert_eq!(rig.reopened().payloads_on_disk(), [(1, "one".into())]);
}

#[test]
fn a_group_refused_into_an_abandoned_file_never_takes_the_place_of_a_later_one() {
    over_seeds(64, |seed| {
        let mut rig = Rig::new(&["a"]);
        rig.put(b"one").unwrap();
        rig.disk.fail_all(&[Call::Sync], ErrorKind::Other);
        // Longer than what follows: its bytes reach beyond.
        assert!(rig.commit(vec![group(&[b"lost", b"lost", b"lost"])])[0].is_err());
        rig.disk.heal();
        rig.put(b"two").unwrap();

        let rig = if seed.is_multiple_of(2) { rig.reopened() } else { rig.crashed(seed) };

        assert_eq!(rig.payloads_on_disk(), [(1, "one".into()), (2, "two".into())]);
    });
}

#[test]
fn no_segment_goes_before_the_cursor_that_lets_it_go_is_on_disk() {
    let mut rig = Rig::new(&["a", "b"]);
    while rig.segments().len() < 3 {
        rig.put(&[1; 1000]).unwrap();
    }
    let end = rig.store.log().end();
    for at in [0, 1] {
        while !rig.take(at, ALL).is_empty() {}
        rig.settle(at, 1..=end);
    }
    // The first cursor is saved, the second is not, neither in place nor anew.
    rig.disk.fail(&[Call::Sync], 1, ErrorKind::Other);
    rig.disk.fail(&[Call::Rename], 0, ErrorKind::Other);

    let why = rig.store.save().unwrap_err();

    assert!(why.starts_with("the cursor of `b` cannot be saved"), "{why}");
    assert_eq!(rig.segments().len(), 3);
    let rig = rig.crashed(0);
    assert_eq!((rig.ledger(0).delivered, rig.ledger(1).delivered), (end, 0));
    assert_eq!((rig.ledger(0).dropped, rig.ledger(1).dropped), (0, 0));
}

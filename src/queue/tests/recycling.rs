//! Settled segments that are written over: nothing of their earlier life comes back.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::rig::{ALL, FOLDER, Rig, over_seeds, settings, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::Found;
use crate::queue::inspect::{Depth, Look, Seen, verify};
use crate::queue::store::REST_AFTER;
use crate::queue::{Queue, Settled, segment};

fn payload(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(200)
}

fn spares(rig: &Rig) -> usize {
    let files = rig.disk.files().into_iter();
    files.filter(|path| path.to_str().unwrap().contains("spare-")).count()
}

/// Puts numbered payloads and settles all but the newest few, until the disk says no; the numbers
/// that were promised.
fn work(rig: &mut Rig, numbers: std::ops::Range<u32>) -> Vec<u32> {
    let mut promised = Vec::new();
    for number in numbers {
        if rig.put(&payload(number)).is_err() {
            break;
        }
        promised.push(number);
        if number % 8 == 7 {
            rig.take(0, ALL);
            rig.settle(0, 1..rig.store.log().end() - 3);
            drop(rig.store.save());
        }
    }
    promised
}

/// Every payload on disk is the one that was put at its place.
#[track_caller]
fn check_payloads(rig: &Rig) {
    for found in rig.on_disk() {
        let Found::Frame(frame) = found else { continue };
        for (position, found) in (frame.first..).zip(&frame.payloads) {
            let number = u32::try_from(position).unwrap() - 1;
            assert_eq!(found[..], payload(number)[..], "at {position}");
        }
    }
}

#[test]
fn in_a_steady_flow_segments_are_written_over_and_none_is_made_or_removed() {
    let mut rig = Rig::new(&["a"]);
    work(&mut rig, 0..120);
    let (reserved, removed) = (rig.used_bytes(), rig.disk.count(Call::Remove));
    let opened = rig.disk.files().len();

    work(&mut rig, 120..600);

    assert_eq!(rig.disk.count(Call::Remove), removed);
    assert!(rig.disk.files().len() <= opened + 2);
    assert!(rig.used_bytes() <= reserved + 2 * rig.limits.segment_bytes);
    assert!(rig.store.log().first() > 500);
    check_payloads(&rig.reopened());
}

#[test]
fn whatever_is_flipped_or_cut_in_a_segment_written_over_its_earlier_life_stays_gone() {
    let mut rig = Rig::new(&["a"]);
    work(&mut rig, 0..205);
    let before: Vec<_> = rig.segments();
    for path in &before {
        let content = rig.disk.content(path).unwrap();
        let frames = content.windows(4).filter(|word| *word == b"wfrm").count();
        assert!(frames > 2, "{frames} frames of both lives");
        let header = (0..64_u64).map(|at| (at, (at % 8) as u8));
        let ends = (4096..content.len() as u64).step_by(97).map(|at| (at, 3));
        for (at, bit) in header.chain(ends) {
            rig.disk.flip(path, at, bit);
            let opened = rig.open_again().unwrap();
            check_payloads(&opened);
            assert!(opened.store.log().end() <= 205, "byte {at}");
            drop(opened);
            rig.disk.put(path, &content);
        }
        // Its header and any tail of it gone, as after a copy that was cut off.
        for cut in (0..content.len()).step_by(1111) {
            let mut shorter = content[..cut].to_vec();
            shorter.iter_mut().take(64).for_each(|byte| *byte = 0);
            rig.disk.put(path, &shorter);
            check_payloads(&rig.open_again().unwrap());
        }
        rig.disk.put(path, &content);
    }
}

#[test]
fn a_power_cut_or_a_failure_at_any_call_loses_nothing_and_brings_nothing_back() {
    let whole = {
        let mut rig = Rig::new(&["a"]);
        let before = rig.disk.count_all();
        assert_eq!(work(&mut rig, 0..100).len(), 100);
        rig.disk.count_all() - before
    };
    over_seeds(whole, |calls| {
        for seed in 0..3 {
            let mut rig = Rig::new(&["a"]);
            rig.disk.end_power_after(calls);
            let promised = work(&mut rig, 0..100).len() as u64;

            let mut rig = rig.crashed(calls * 3 + seed);

            let end = rig.store.log().end();
            assert!(end == promised || end == promised + 1, "{end} found, {promised} promised");
            check_payloads(&rig);
            let next = u32::try_from(end).unwrap();
            assert_eq!(work(&mut rig, next..next + 40).len(), 40);
            check_payloads(&rig);
            assert_eq!((rig.ledger(0).damaged, rig.ledger(0).dropped), (0, 0));
        }
    });
}

#[test]
fn a_name_that_comes_back_after_a_failed_sync_of_the_folder_has_its_old_content() {
    let kinds = [Call::SyncFolder, Call::Rename, Call::Open, Call::Reserve, Call::Sync];
    for kind in kinds {
        for skip in 0..30 {
            let mut rig = Rig::new(&["a"]);
            rig.disk.fail(&[kind], skip, ErrorKind::Other);
            // Half of them also cannot remove what they do not trust any more.
            if skip % 2 == 0 {
                rig.disk.fail_all(&[Call::Remove], ErrorKind::Other);
            }
            let promised = work(&mut rig, 0..60).len();
            assert!(promised == 60, "one failure refuses nobody: {kind:?} {skip}");
            rig.disk.heal();
            // The process ends; another goes on; then the power goes.
            let mut rig = rig.reopened();
            assert_eq!(work(&mut rig, 60..120).len(), 60);
            for seed in 0..4 {
                rig = rig.crashed(seed);
                assert_eq!(rig.store.log().end(), 120);
                check_payloads(&rig);
                assert_eq!((rig.ledger(0).damaged, rig.ledger(0).dropped), (0, 0));
            }
        }
    }
}

#[test]
fn opening_keeps_settled_segments_and_removes_what_else_is_called_a_spare() {
    let mut rig = Rig::new(&["a"]);
    work(&mut rig, 0..200);
    rig.drain();
    let kept = spares(&rig);
    assert!((1..=3).contains(&kept), "{kept}");
    let put = |name: &str, content: &[u8]| rig.disk.put(&Path::new(FOLDER).join(name), content);
    let old = segment::Header { first: 1, salt: 9, unix_ms: 1, ..Default::default() }.encode();
    put("spare-70.seg", &old);
    put("spare-71.seg", b"half written");
    put("spare-72.seg", &vec![0; 16 << 10]);

    let mut rig = rig.reopened();

    let names = rig.disk.files();
    let is_left = |name: &str| names.contains(&Path::new(FOLDER).join(name));
    assert!(!is_left("spare-70.seg") && !is_left("spare-71.seg") && !is_left("spare-72.seg"));
    assert!((1..=2).contains(&spares(&rig)));
    assert!(rig.used_bytes() > rig.store.log().segment_bytes());
    let made = rig.disk.files().len();
    work(&mut rig, 200..230);
    assert!(rig.disk.files().len() <= made, "they were used");
    check_payloads(&rig.crashed(1));
}

#[test]
fn spares_go_when_the_disk_or_the_queue_has_no_room_for_them() {
    let disk = FaultyDisk::new();
    let mut limits = small();
    limits.min_free_disk = 50_000;
    let mut rig = Rig::with(disk.clone(), limits, &["a"]).unwrap();
    work(&mut rig, 0..200);
    rig.drain();
    let mut rig = rig.reopened();
    assert!(spares(&rig) > 0);
    let used = rig.used_bytes();
    disk.set_capacity(Some(used + 24_576 + 50_000 - 10));

    rig.put(b"there is room when they go").unwrap();

    assert_eq!(spares(&rig), 0);
}

#[test]
fn one_who_looks_while_a_segment_is_written_over_sees_no_damage() {
    let mut rig = Rig::new(&["a"]);
    for number in 0..60 {
        rig.put(&payload(number)).unwrap();
    }
    let look = Look::at(rig.disk.shared(), Path::new(FOLDER)).unwrap();
    let half = Look::at(rig.disk.shared(), Path::new(FOLDER)).unwrap();
    let mut walk = half.walk(0, Depth::Bodies);
    walk.next().unwrap().unwrap();
    while !rig.take(0, ALL).is_empty() {}
    rig.settle(0, 1..=40);
    rig.store.save().unwrap();

    let written: Vec<u32> = work(&mut rig, 60..130);
    assert_eq!(written.len(), 70);

    for seen in walk {
        let seen = seen.unwrap();
        assert!(matches!(seen, Seen::Frame(_)), "{seen:?}");
    }
    let verdict = verify(&look, &mut |_| {}).unwrap();
    assert!(verdict.damaged.is_empty() && verdict.lost_end.is_none(), "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_queue_gives_its_spares_back_and_makes_no_new_ones() {
    let disk = FaultyDisk::new();
    let Queue { writer, mut readers } =
        super::live::queue_of(disk.shared(), settings(), small(), &["a"]);
    for number in 0..100 {
        writer.append(super::rig::group(&[&payload(number)])).await.unwrap();
        let stored = readers[0].next(ALL).await.unwrap();
        let positions: Vec<_> = stored.iter().map(|one| one.position).collect();
        readers[0].settle(&positions, Settled::Delivered);
        sleep(Duration::from_millis(100)).await;
    }
    let held = writer.overview().used_bytes;
    assert!(held >= 2 * (16 << 10), "{held}");

    sleep(3 * REST_AFTER).await;

    assert_eq!(writer.overview().used_bytes, 16 << 10);
    let calls = disk.count_all();
    sleep(10 * REST_AFTER).await;
    assert_eq!(disk.count_all(), calls, "an idle queue costs no call");
    writer.append(super::rig::group(&[b"one"])).await.unwrap();
    assert!(writer.overview().used_bytes <= 2 * (16 << 10), "nothing is prepared for a trickle");
}

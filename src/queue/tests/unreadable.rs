//! Blocks that the disk cannot read: they cost what lies in them, and nothing waits for ever.

use std::io::ErrorKind;
use std::path::Path;

use super::rig::{ALL, FOLDER, Rig, group};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::feed::Turn;
use crate::queue::inspect::{Look, verify};
use crate::queue::segment::{COPY_AT, HEADER_BYTES};

/// Three segments of frames of 2 KiB; how many payloads.
fn filled() -> (Rig, u64) {
    let mut rig = Rig::new(&["a"]);
    while rig.segments().len() < 3 {
        rig.put(&[7; 2000]).unwrap();
    }
    rig.put(&[7; 2000]).unwrap();
    let count = rig.store.log().end();
    (rig, count)
}

/// Takes what it can and settles it; how many payloads, and how often reading failed.
fn drain(rig: &mut Rig) -> (u64, u32) {
    let (mut taken, mut failures) = (0, 0);
    loop {
        match rig.feeds[0].turn(ALL) {
            Turn::Give(stored) => {
                taken += stored.len() as u64;
                rig.settle(0, stored.iter().map(|one| one.position.0));
            }
            Turn::Read if rig.feeds[0].read().is_ok() => {}
            Turn::Read if failures < 10 => failures += 1,
            _ => return (taken, failures),
        }
    }
}

fn spoil(disk: &FaultyDisk, segment: &Path, offsets: &[u64]) {
    offsets.iter().for_each(|offset| disk.spoil(segment, *offset));
}

#[test]
fn a_bad_block_costs_its_frames_once_the_disk_had_three_chances() {
    for at in 0..2 {
        let (rig, count) = filled();
        spoil(&rig.disk, &rig.segments()[at], &[HEADER_BYTES + 2500]);
        // As a new process: nothing is in memory.
        let mut rig = rig.reopened_with_everything();

        let (taken, failures) = drain(&mut rig);

        let ledger = rig.ledger(0);
        assert_eq!(failures, 3, "segment {at}");
        assert!((1..=3).contains(&ledger.damaged), "{ledger:?}");
        assert_eq!(taken + ledger.damaged, count, "segment {at}");
        assert_eq!(ledger.waiting, 0);
        assert_eq!(rig.put(b"goes on").unwrap().first().0, count + 1);
    }
}

#[test]
fn a_disk_that_reads_nothing_costs_nothing() {
    let (rig, count) = filled();
    let mut rig = rig.reopened_with_everything();
    rig.disk.fail_all(&[Call::Read], ErrorKind::Other);
    assert_eq!(drain(&mut rig).1, 10, "it is tried for ever");

    rig.disk.heal();
    assert_eq!(drain(&mut rig), (count, 0));
    assert_eq!(rig.ledger(0).damaged, 0);
}

#[test]
fn a_header_that_cannot_be_read_has_its_copy_and_without_it_the_frames_speak() {
    for offsets in [&[0][..], &[0, COPY_AT]] {
        let (rig, count) = filled();
        for segment in rig.segments() {
            spoil(&rig.disk, &segment, offsets);
        }
        let mut rig = rig.reopened_with_everything();
        assert_eq!(drain(&mut rig), (count, 0), "{offsets:?}");
    }
}

#[test]
fn verify_tells_a_bad_block_as_damage_and_goes_on() {
    let (rig, _) = filled();
    spoil(&rig.disk, &rig.segments()[1], &[HEADER_BYTES + 2500]);

    let look = Look::at(rig.disk.shared(), FOLDER.as_ref()).unwrap();
    let verdict = verify(&look, &mut |_| {}).unwrap();

    assert_eq!(verdict.damaged.len(), 1, "{verdict:?}");
    assert!(verdict.lost_end.is_none());
}

#[test]
fn a_bad_block_at_the_end_of_the_newest_segment_is_cut_and_written_over() {
    let (rig, count) = filled();
    let newest = rig.segments()[2].clone();
    let used = rig.store.log().span(count).unwrap().segment.used;
    spoil(&rig.disk, &newest, &[used - 100]);

    let mut rig = rig.reopened_with_everything();
    rig.commit(vec![group(&[&[8; 2000], &[8; 2000]])])[0].clone().unwrap();
    let mut rig = rig.reopened();

    let (taken, _) = drain(&mut rig);
    assert!((count..count + 2).contains(&taken), "{taken} of {count} and two more");
    assert_eq!(rig.ledger(0).waiting, 0);
}

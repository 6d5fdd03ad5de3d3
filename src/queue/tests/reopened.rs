//! What opening does to the newest segment before anything is promised behind its end.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::recovery::offsets;
use super::rig::{Rig, mark, small};
use crate::base::disk::{Call, Disk as _};
use crate::queue::frame::HEADER_BYTES;
use crate::queue::{Group, segment};

fn newest(rig: &Rig) -> PathBuf {
    rig.segments().pop().unwrap()
}

/// The position that a segment begins with.
fn first(path: &Path) -> u64 {
    segment::parse_name(path.file_name().unwrap().to_str().unwrap()).unwrap()
}

/// Puts records until there are so many segments; how many records.
fn fill(rig: &mut Rig, segments: usize) -> u64 {
    while rig.segments().len() < segments {
        rig.put(&[1; 900]).unwrap();
    }
    rig.store.log().end()
}

/// The record was refused, and yet it is read after the next start; the system forgot to write it.
#[test]
fn what_was_synced_in_vain_is_written_again_before_it_is_given() {
    for seed in 0..20 {
        let mut rig = Rig::new(&["a"]);
        rig.put(b"one").unwrap();
        rig.put(b"two").unwrap();
        rig.disk.fail(&[Call::Sync], 0, ErrorKind::Other);
        rig.disk.fail_all(&[Call::Open], ErrorKind::Other);
        assert!(rig.put(b"three").is_err());
        rig.disk.heal();

        let rig = rig.reopened();
        let found = rig.payloads_on_disk();
        assert_eq!(found.len(), 3, "it can be read, so it is given");
        let rig = rig.crashed(seed);

        assert_eq!(rig.payloads_on_disk(), found, "SEED={seed}");
    }
}

/// A name that was synced in vain may never reach the disk, however often its folder is synced.
#[test]
fn a_segment_that_was_named_in_vain_is_named_again_before_it_is_given() {
    for seed in 0..20 {
        let mut rig = Rig::new(&["a"]);
        rig.disk.fail_all(&[Call::SyncFolder], ErrorKind::Other);
        assert!(rig.put(b"one").is_err());
        rig.disk.heal();

        let rig = rig.reopened();
        let found = rig.payloads_on_disk();
        assert_eq!(found.len(), 1, "it can be read, so it is given");
        let rig = rig.crashed(seed);

        assert_eq!(rig.payloads_on_disk(), found, "SEED={seed}");
    }
}

/// It was cut when it ended early, or by somebody else.
#[test]
fn a_newest_segment_that_is_short_grows_as_far_as_there_is_room() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 2);
    let path = newest(&rig);
    let content = rig.disk.content(&path).unwrap();
    rig.disk.put(&path, &content[..content.len() / 2]);
    let whole = rig.limits.segment_bytes;
    for (room, used) in [(whole * 3 / 4, whole * 3 / 4), (whole, whole), (2 * whole, whole)] {
        rig.limits.max_bytes = whole + room;
        assert_eq!(rig.open_again().unwrap().used_bytes(), whole + used, "{room}");
    }
}

#[test]
fn a_newest_segment_that_somebody_cut_grows_no_longer_than_there_is_room() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 2);
    let end = rig.put(b"more").unwrap().first().0;
    let used = rig.store.log().span(end).unwrap().segment.used;
    let path = newest(&rig);
    let content = rig.disk.content(&path).unwrap();
    let cut = &content[..usize::try_from(used).unwrap()];
    rig.disk.put(&path, cut);
    rig.limits.max_bytes = rig.limits.segment_bytes + used;

    let rig = rig.reopened();

    assert!(rig.disk.content(&path).unwrap() == cut, "nothing is written behind its end");
    assert_eq!(rig.store.log().end(), end);
}

#[test]
fn an_end_is_written_over_a_half_written_frame() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.put(b"two").unwrap();
    rig.tear();
    let path = newest(&rig);
    let frames = offsets(&rig.disk, &path);
    let (offset, last) = frames.into_iter().find(|(_, header)| header.first == 2).unwrap();
    let end = usize::try_from(offset + last.total_bytes()).unwrap();
    let at_the_end = |rig: &Rig| rig.disk.content(&path).unwrap()[end..end + HEADER_BYTES].to_vec();
    assert_ne!(at_the_end(&rig), [0; HEADER_BYTES]);

    let rig = rig.reopened();

    assert_eq!(at_the_end(&rig), [0; HEADER_BYTES]);
}

/// A segment with one frame got it with its name; one with two is written once more at its end.
#[test]
fn a_full_disk_lets_a_queue_open_and_one_that_fails_does_not() {
    for records in 1..=2 {
        let mut rig = Rig::new(&["a"]);
        for _ in 0..records {
            rig.put(b"one").unwrap();
        }
        rig.disk.fail(&[Call::Write], 0, ErrorKind::Other);
        assert!(rig.open_again().is_err(), "{records}");
        rig.disk.heal();
        rig.disk.fail_all(&[Call::Write], ErrorKind::StorageFull);
        assert_eq!(rig.open_again().unwrap().payloads_on_disk().len(), records);
    }
}

#[test]
fn where_nothing_of_the_newest_segment_can_be_read_its_positions_are_given_anew() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 2);
    let path = newest(&rig);
    let head = usize::try_from(segment::HEADER_BYTES).unwrap();
    let content = rig.disk.content(&path).unwrap();
    rig.disk.put(&path, &content[..head]);

    let mut rig = rig.reopened();

    assert_eq!(rig.put(b"more").unwrap().first().0, first(&path));
}

#[test]
fn behind_a_segment_that_was_ended_the_next_position_is_the_one_it_ended_with() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 3);
    let gone = newest(&rig);
    rig.disk.remove(&gone).unwrap();

    let mut rig = rig.reopened();

    assert_eq!(rig.put(b"more").unwrap().first().0, first(&gone));
    assert_eq!(newest(&rig), gone, "what was ended is not written any more");
}

#[test]
fn of_two_damaged_copies_of_the_marks_neither_is_taken_for_the_table() {
    let mut rig = Rig::new(&["a"]);
    let marked = |name: &str| {
        let payloads = vec![Bytes::from(vec![1; 900])];
        Group { payloads, marks: vec![mark(name, "x")], key: None }
    };
    rig.commit(vec![marked("old")])[0].clone().unwrap();
    fill(&mut rig, 2);
    rig.commit(vec![marked("new")])[0].clone().unwrap();
    fill(&mut rig, 4);
    for path in &rig.segments()[2..] {
        rig.disk.flip(path, segment::HEADER_BYTES + 60, 1);
    }

    let rig = rig.reopened();

    let marks = rig.store.marks().with_prefix("");
    assert_eq!(marks.into_iter().map(|one| one.0).collect::<Vec<_>>(), ["new", "old"]);
}

/// Whatever room a frame would leave, what stands behind it is told from a frame.
#[test]
fn a_frame_that_leaves_no_room_for_an_end_begins_a_segment() {
    let put = |sizes: &[usize]| {
        let mut rig = Rig::new(&["a"]);
        sizes.iter().for_each(|size| drop(rig.put(&vec![1; *size]).unwrap()));
        let path = rig.segments().remove(0);
        let (offset, last) = offsets(&rig.disk, &path).pop().unwrap();
        (rig, usize::try_from(offset + last.total_bytes()).unwrap())
    };
    let all = usize::try_from(small().segment_bytes).unwrap();
    let room = all - put(&[2000]).1;
    for size in room - 3 * HEADER_BYTES..room {
        let (rig, used) = put(&[2000, size]);
        assert!(used + HEADER_BYTES <= all, "{size}");
        assert_eq!(rig.reopened().payloads_on_disk().len(), 2, "{size}");
    }
}

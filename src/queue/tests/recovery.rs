//! What opening finds after crashes, damage and strangers.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::rig::{ALL, FOLDER, Rig, group, mark, settings, small};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::Found;
use crate::queue::frame::{HEADER_BYTES, Header};
use crate::queue::seal::Keyed;
use crate::queue::{Group, Key, Keys, OpenError, Policy, Settings, WhenFull, segment};

/// Frames of three payloads until there are `segments` files; how many frames.
fn fill(rig: &mut Rig, segments: usize) -> u64 {
    let mut frames = 0;
    while rig.segments().len() < segments {
        let payload = |part: u8| vec![part + 1; 500];
        let parts = [payload(0), payload(1), payload(2)];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        rig.commit(vec![group(&parts)])[0].clone().unwrap();
        frames += 1;
    }
    frames
}

/// Where the frames of a segment begin.
pub(super) fn offsets(disk: &FaultyDisk, path: &Path) -> Vec<(u64, Header)> {
    let content = disk.content(path).unwrap();
    let mut at = usize::try_from(segment::HEADER_BYTES).unwrap();
    let mut all = Vec::new();
    while let Some(header) = content.get(at..at + HEADER_BYTES).and_then(Header::decode) {
        all.push((at as u64, header));
        at += usize::try_from(header.total_bytes()).unwrap();
    }
    all
}

fn positions(rig: &mut Rig, at: usize) -> Vec<u64> {
    rig.take(at, ALL).into_iter().map(|stored| stored.position.0).collect()
}

fn quarantined(rig: &Rig) -> Vec<PathBuf> {
    let folder = Path::new(FOLDER).join("quarantine");
    rig.disk.files().into_iter().filter(|path| path.starts_with(&folder)).collect()
}

#[test]
fn a_torn_tail_is_dropped_and_the_rest_kept() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.put(b"two").unwrap();
    rig.tear();

    let mut rig = rig.reopened();

    assert_eq!(rig.payloads_on_disk(), [(1, "one".into()), (2, "two".into())]);
    assert_eq!(rig.put(b"three").unwrap().first().0, 3);
    assert_eq!(rig.segments().len(), 1, "the same segment goes on");
    let mut rig = rig.reopened();
    assert_eq!(rig.payloads_on_disk().len(), 3);
    assert_eq!(positions(&mut rig, 0), [1, 2, 3]);
    assert_eq!(rig.ledger(0).damaged, 0);
}

/// Each was synced before the next was written, so only the last can be half written.
#[test]
fn of_several_bad_frames_at_the_end_only_the_last_is_cut_and_the_others_are_counted() {
    for bad in 1..=3_u8 {
        let mut rig = Rig::new(&["a"]);
        for number in 0..6 {
            rig.put(&[number; 900]).unwrap();
        }
        let path = rig.segments().pop().unwrap();
        for (offset, _) in offsets(&rig.disk, &path).into_iter().rev().take(usize::from(bad)) {
            rig.disk.flip(&path, offset + HEADER_BYTES as u64 + 100, 1);
        }

        let mut rig = rig.reopened();

        let sound = 6 - u64::from(bad);
        assert_eq!(positions(&mut rig, 0), (1..=sound).collect::<Vec<_>>());
        let ledger = rig.ledger(0);
        assert_eq!((ledger.accepted, ledger.damaged), (5, u64::from(bad) - 1));
        assert_eq!(rig.put(b"more").unwrap().first().0, 6);
        assert_eq!(rig.segments(), [path], "it goes on behind what is damaged");
        assert_eq!(positions(&mut rig, 0), [6]);
    }
}

#[test]
fn where_somebody_took_all_cursors_away_everything_is_delivered_again() {
    let mut rig = Rig::new(&["a", "b"]);
    for number in 0..5 {
        rig.put(&[number; 100]).unwrap();
    }
    assert_eq!(positions(&mut rig, 0).len(), 5);
    rig.settle(0, 1..=5);
    rig.store.save().unwrap();
    for name in ["a.cur", "b.cur"] {
        rig.disk.shared().remove(&Path::new(FOLDER).join("cursors").join(name)).unwrap();
    }

    let mut rig = rig.reopened();

    for at in [0, 1] {
        assert_eq!(positions(&mut rig, at), [1, 2, 3, 4, 5]);
        assert_eq!(rig.ledger(at).waiting, 5);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_frame_which_is_counted_and_set_aside() {
    for (within, name) in [(10_u64, "header"), (200, "body")] {
        let mut rig = Rig::new(&["a", "b"]);
        let frames = fill(&mut rig, 3);
        let path = rig.segments()[0].clone();
        let (offset, header) = offsets(&rig.disk, &path)[3];
        rig.disk.flip(&path, offset + within, 2);

        let mut rig = rig.reopened();

        let lost = header.first..header.end();
        let expected: Vec<u64> = (1..=frames * 3).filter(|one| !lost.contains(one)).collect();
        for at in [0, 1] {
            assert_eq!(positions(&mut rig, at), expected, "{name}");
            let ledger = rig.ledger(at);
            assert_eq!((ledger.damaged, ledger.waiting), (3, frames * 3 - 3));
        }
        let copy = &quarantined(&rig)[..];
        let copy_path = Path::new(FOLDER).join(format!("quarantine/{:020}-{offset}.bad", 1));
        assert_eq!(copy, std::slice::from_ref(&copy_path));
        let copied = rig.disk.content(&copy_path).unwrap();
        let content = rig.disk.content(&path).unwrap();
        let from = usize::try_from(offset).unwrap();
        assert_eq!(copied[..200], content[from..from + 200]);
        rig.drain();
        assert_eq!(rig.ledger(0).delivered, frames * 3 - 3);
        assert!(!rig.segments().contains(&path), "a damaged segment goes like any other");
    }
}

#[test]
fn whatever_byte_is_flipped_at_most_one_frame_is_lost_and_the_books_balance() {
    let mut rig = Rig::new(&["a"]);
    let frames = fill(&mut rig, 3);
    let segments = rig.segments();
    let total = frames * 3;
    for (number, path) in segments.iter().enumerate() {
        let is_newest = number + 1 == segments.len();
        let used = offsets(&rig.disk, path).last().map(|(at, header)| at + header.total_bytes());
        for at in (0..64).chain(4096..used.unwrap()).step_by(7) {
            let bit = (at % 8) as u8;
            rig.disk.flip(path, at, bit);
            let mut opened = rig.open_again().unwrap();
            let given = positions(&mut opened, 0);
            let ledger = opened.ledger(0);
            let end = opened.store.log().end();
            // At the very end it cannot be told from a frame that a crash cut off.
            assert!(end == total || is_newest && end == total - 3, "byte {at} of {number}");
            assert_eq!(given.len() as u64 + ledger.damaged, end, "byte {at} of {number}");
            assert!(ledger.damaged == 0 || ledger.damaged == 3, "byte {at} of {number}");
            drop(opened);
            rig.disk.flip(path, at, bit);
            if end != total {
                // The end was cut: put it back.
                rig = Rig::new(&["a"]);
                fill(&mut rig, 3);
            }
        }
    }
}

#[test]
fn a_segment_that_is_missing_empty_or_full_of_zeroes_costs_what_it_held() {
    let damages: [fn(&FaultyDisk, &Path); 3] = [
        |disk, path| crate::base::disk::Disk::remove(disk, path).unwrap(),
        |disk, path| disk.put(path, &[]),
        |disk, path| disk.put(path, &vec![0; 16 << 10]),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let mut rig = Rig::new(&["a"]);
        let frames = fill(&mut rig, 4);
        let paths = rig.segments();
        let first =
            |path: &Path| segment::parse_name(path.file_name().unwrap().to_str().unwrap()).unwrap();
        let lost = first(&paths[1])..first(&paths[2]);
        damage(&rig.disk, &paths[1]);

        let mut rig = rig.reopened();

        let expected: Vec<u64> = (1..=frames * 3).filter(|one| !lost.contains(one)).collect();
        assert_eq!(positions(&mut rig, 0), expected, "{number}");
        assert_eq!(rig.ledger(0).damaged, lost.end - lost.start);
        rig.put(b"more").unwrap();
        rig.drain();
    }
}

#[test]
fn a_segment_that_vanishes_while_the_queue_is_open_is_counted_too() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 4);
    let gone = rig.segments()[1].clone();
    crate::base::disk::Disk::remove(&rig.disk, &gone).unwrap();

    let given = positions(&mut rig, 0).len() as u64;

    let ledger = rig.ledger(0);
    assert!(ledger.damaged > 0);
    assert_eq!(given + ledger.damaged, ledger.accepted);
}

#[test]
fn the_marks_are_those_of_the_last_commit_whatever_segment_they_came_in() {
    let mut rig = Rig::new(&["a"]);
    let put = |rig: &mut Rig, name: &str, value: &str| {
        let payloads = vec![Bytes::from(vec![1; 900])];
        rig.commit(vec![Group { payloads, marks: vec![mark(name, value)], key: None }])[0]
            .clone()
            .unwrap();
    };
    put(&mut rig, "old", "1");
    for number in 0..60 {
        put(&mut rig, "new", &number.to_string());
        rig.drain();
    }
    assert!(rig.store.log().first() > 1, "the segment with the old mark is gone");
    let expected = vec![("new".into(), "59".into()), ("old".into(), Bytes::from("1"))];

    let rig = rig.reopened();
    assert_eq!(rig.store.marks().with_prefix(""), expected);

    let rig = rig.crashed(3);
    assert_eq!(rig.store.marks().with_prefix(""), expected);
}

#[test]
fn a_damaged_copy_of_the_marks_is_replaced_by_an_older_one_and_all_changes_since() {
    let mut rig = Rig::new(&["a"]);
    let with_mark = |value: &str| {
        let payloads = vec![Bytes::from(vec![1; 900])];
        Group { payloads, marks: vec![mark("at", value)], key: None }
    };
    rig.commit(vec![Group { payloads: vec![], marks: vec![mark("rare", "x")], key: None }]);
    let mut number = 0;
    while rig.segments().len() < 3 {
        number += 1;
        rig.commit(vec![with_mark(&number.to_string())])[0].clone().unwrap();
    }
    let newest = rig.segments()[2].clone();
    rig.disk.flip(&newest, segment::HEADER_BYTES + 60, 1);

    let mut rig = rig.reopened();

    let expected = vec![
        ("at".to_owned(), Bytes::from(number.to_string())),
        ("rare".to_owned(), Bytes::from("x")),
    ];
    assert_eq!(rig.store.marks().with_prefix(""), expected);
    rig.put(b"a new segment begins with a good copy").unwrap();
    assert_eq!(rig.segments().len(), 4);
    let rig = rig.reopened();
    assert_eq!(rig.store.marks().with_prefix(""), expected);
}

#[test]
fn a_new_destination_starts_behind_what_is_there() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"before").unwrap();
    rig.destinations.push("b".into());

    let mut rig = rig.reopened();
    rig.put(b"after").unwrap();

    assert_eq!(positions(&mut rig, 0), [1, 2]);
    assert_eq!(positions(&mut rig, 1), [2]);
    assert_eq!((rig.ledger(0).accepted, rig.ledger(1).accepted), (2, 1));
    let mut rig = rig.crashed(0);
    assert_eq!(positions(&mut rig, 1), [2], "its birth was saved before the first append");
}

#[test]
fn a_destination_that_left_holds_nothing_and_finds_what_it_missed_counted_as_dropped() {
    let mut rig = Rig::new(&["a", "b"]);
    rig.put(b"for both").unwrap();
    rig.drain();
    rig.destinations = vec!["a".into()];

    let mut rig = rig.reopened();
    let frames = fill(&mut rig, 3);
    rig.drain();
    assert_eq!(rig.segments().len(), 1);
    let first = rig.store.log().first();
    rig.destinations = vec!["a".into(), "b".into()];
    let mut rig = rig.reopened();

    let ledger = rig.ledger(1);
    assert_eq!((ledger.accepted, ledger.delivered), (1 + 3 * frames, 1));
    assert_eq!(ledger.dropped, first - 2);
    assert_eq!(positions(&mut rig, 1).first(), Some(&first));
}

#[test]
fn a_damaged_cursor_costs_duplicates_not_records() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 2);
    rig.drain();
    let (first, end) = {
        let log = rig.store.log();
        (log.first(), log.end())
    };
    let rest = end + 1 - first;
    let path = Path::new(FOLDER).join("cursors/a.cur");
    rig.disk.put(&path, &[0x55; 100]);

    let mut rig = rig.reopened();

    assert_eq!(positions(&mut rig, 0).len() as u64, rest);
    assert_eq!(rig.ledger(0).accepted, rest);
    assert_eq!(quarantined(&rig).len(), 1);
}

#[test]
fn positions_a_cursor_knows_are_not_given_to_others_when_the_log_has_lost_its_end() {
    let mut rig = Rig::new(&["a", "b"]);
    for number in 0..6_u8 {
        rig.put(&[number; 10]).unwrap();
    }
    rig.take(0, ALL);
    rig.settle(0, 1..=6);
    rig.store.save().unwrap();
    let path = rig.segments()[0].clone();
    let (offset, _) = offsets(&rig.disk, &path)[5];
    rig.disk.flip(&path, offset + 3, 0);

    // The last frames look like a torn tail now, but a cursor says they were durable.
    let content = rig.disk.content(&path).unwrap();
    rig.disk.put(&path, &content[..usize::try_from(offset).unwrap() + 20]);
    let mut rig = rig.reopened();

    assert_eq!(rig.put(b"new").unwrap().first().0, 7);
    assert_eq!(positions(&mut rig, 0), [7]);
    assert_eq!(positions(&mut rig, 1), [1, 2, 3, 4, 7]);
    assert_eq!((rig.ledger(0).damaged, rig.ledger(1).damaged), (0, 2));
}

#[test]
fn opening_reads_the_newest_segment_only() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 3);
    let reads = |rig: &Rig| {
        let before = rig.disk.count(Call::Read);
        drop(rig.open_again().unwrap());
        rig.disk.count(Call::Read) - before
    };
    let few = reads(&rig);
    fill(&mut rig, 7);

    assert!(reads(&rig) <= few + 4 + 2, "one header more for each segment");
}

#[test]
fn an_idle_queue_writes_nothing() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.drain();
    let before = rig.disk.count_all();

    rig.store.save().unwrap();
    if let Some(preparing) = rig.committer.tidy() {
        preparing.run();
    }
    assert!(rig.take(0, ALL).is_empty());

    assert_eq!(rig.disk.count_all(), before);
}

#[track_caller]
fn check_foreign(name: &str, content: &[u8], word: &str) {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.disk.put(&Path::new(FOLDER).join(name), content);
    match rig.open_again() {
        Err(OpenError::Foreign { file, why }) => {
            assert_eq!(file, Path::new(FOLDER).join(name));
            assert!(why.contains(word), "{why}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{name} was taken for ours"),
    }
}

#[test]
fn what_is_not_ours_is_refused_in_clear_words() {
    let name = "00000000000000000500.seg";
    let header = segment::Header { first: 500, salt: 1, unix_ms: 1, ..Default::default() }.encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = header;
        bytes[at] = byte;
        let crc = crc32c::crc32c(&bytes[..60]).to_le_bytes();
        bytes[60..].copy_from_slice(&crc);
        bytes
    };
    check_foreign(name, b"SQLite format 3\0", "does not begin like a segment");
    check_foreign(name, &with(8, 2), "version 2");
    check_foreign(name, &with(12, 7), "features 0x4");
    check_foreign("00000000000000000501.seg", &header, "begins with payload 500");
    check_foreign("backup.seg", &header, "20 digits");

    let rig = Rig::new(&["a"]);
    rig.disk.put_link(&Path::new(FOLDER).join(name));
    let Err(OpenError::Foreign { why, .. }) = rig.open_again() else { panic!("a link was taken") };
    assert!(why.contains("link"), "{why}");
}

#[test]
fn a_disk_that_cannot_be_written_is_an_error_and_not_a_panic() {
    let disk = FaultyDisk::new();
    disk.fail_all(&[Call::CreateFolders], ErrorKind::ReadOnlyFilesystem);
    let Err(error) = Rig::with(disk, small(), &["a"]) else { panic!("it was opened") };
    assert!(error.to_string().starts_with("the queue in /queue/s cannot be opened: read-only"));

    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.disk.fail_all(&[Call::Write], ErrorKind::ReadOnlyFilesystem);
    assert!(matches!(rig.open_again(), Err(OpenError::Io { .. })));
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    let note = Path::new(FOLDER).join("README");
    rig.disk.put(&note, b"do not touch");
    rig.disk.put(&Path::new(FOLDER).join("spare-9.seg"), b"leftover");

    let rig = rig.reopened();

    assert!(rig.disk.files().contains(&note));
    assert!(!rig.disk.files().iter().any(|path| path.ends_with("spare-9.seg")));
}

fn chance_key() -> Key {
    Key::new([9; 32])
}

#[test]
fn random_bytes_behind_a_good_header_never_panic() {
    let mut chance = fastrand::Rng::with_seed(1);
    for round in 0..60 {
        let salt = chance.u64(..);
        let keyed = [None, Some(Keyed { key: chance_key().id(), seed: [3; 12] })][round % 2];
        let header =
            segment::Header { first: 1, salt, unix_ms: 5, is_packed: round % 3 == 0, keyed };
        let mut content = header.block();
        for _ in 0..chance.usize(0..20) {
            // Headers that fit in everything but what they promise.
            let header = Header {
                flags: [0, 1, 2, 0xff][chance.usize(0..4)],
                salt,
                first: chance.u64(1..9),
                count: [0, 1, u32::MAX][chance.usize(0..3)],
                body_bytes: [0, 3, 500, 64 << 20, u32::MAX][chance.usize(0..5)],
                codec: [0, 1, 2][chance.usize(0..3)],
                cipher: [0, 1, 2][chance.usize(0..3)],
                plain_bytes: [0, 3, 1000, 64 << 20, u32::MAX][chance.usize(0..5)],
                body_crc: 0,
                unix_ms: 0,
                mark_count: [0, 1, u32::MAX][chance.usize(0..3)],
            };
            content.extend_from_slice(&header.encode());
            content.extend(std::iter::repeat_with(|| chance.u8(..)).take(round % 24));
        }
        let disk = FaultyDisk::new();
        disk.put(&Path::new(FOLDER).join(segment::name(1)), &content);
        let keys = Keys::new(None, vec![chance_key()]);
        let settings = Settings { keys, ..settings() };
        let mut rig = Rig::kept(settings, (disk, small()), &["a"]).unwrap();
        rig.put(b"it goes on").unwrap();
        let found = rig.on_disk();
        assert!(
            matches!(found.last(), Some(Found::Frame(frame)) if frame.payloads == ["it goes on"])
        );
        rig.drain();
    }
}

#[test]
fn what_a_crash_brings_back_goes_at_opening_where_the_bound_would_be_passed() {
    let policy = Policy { when_full: WhenFull::DropOldest, ..Policy::default() };
    let mut rig = Rig::under(policy, FaultyDisk::new(), small(), &["a"]).unwrap();
    while rig.ledger(0).dropped == 0 {
        rig.put(&[7; 2000]).unwrap();
    }
    let dropped = rig.ledger(0).dropped;
    rig.disk.fail(&[Call::SyncFolder], 0, ErrorKind::Other);
    while rig.ledger(0).dropped == dropped {
        rig.put(&[7; 2000]).unwrap();
    }
    let books = |rig: &Rig| {
        let ledger = rig.ledger(0);
        (ledger.accepted, ledger.dropped, ledger.waiting)
    };
    let before = books(&rig);
    rig.disk.crash(0);
    let bytes = |path: &PathBuf| rig.disk.content(path).unwrap().len() as u64;
    let there: u64 = rig.segments().iter().map(bytes).sum();
    assert!(there > rig.limits.max_bytes, "a segment came back: {there}");

    let rig = rig.reopened();

    assert!(rig.used_bytes() <= rig.limits.max_bytes, "{}", rig.used_bytes());
    assert_eq!(books(&rig), before);
}

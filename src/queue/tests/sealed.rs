//! Packed and sealed queues: keys that change, are missing, or meet what was changed on disk.

use std::path::Path;

use super::rig::{ALL, FOLDER, Rig, group, mark, over_seeds, settings, small};
use crate::base::disk::FaultyDisk;
use crate::queue::backlog::Found;
use crate::queue::frame::{HEADER_BYTES, Header, in_memory};
use crate::queue::{Group, Key, Keys, OpenError, Settings, segment};

fn key(byte: u8) -> Key {
    Key::new([byte; 32])
}

/// Kept with these keys, the first of them for what is new.
fn kept(compresses: bool, current: Option<u8>, old: &[u8]) -> Settings {
    let keys = Keys::new(current.map(key), old.iter().copied().map(key).collect());
    Settings { compresses, keys, ..settings() }
}

fn rig(settings: Settings) -> Rig {
    Rig::kept(settings, (FaultyDisk::new(), small()), &["a"]).unwrap()
}

/// The same disk, kept in another way.
fn switched(rig: Rig, settings: Settings) -> Result<Rig, OpenError> {
    Rig::kept(settings, (rig.disk, rig.limits), &["a"])
}

fn line(number: u64) -> Vec<u8> {
    let mut line = format!("{number}: a line of a log that says the same again and again; ");
    line = line.repeat(10);
    line.into_bytes()
}

fn write(rig: &mut Rig, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let marks = vec![mark("a place in a file", &number.to_string())];
        let payloads = vec![line(number).into()];
        rig.commit(vec![Group { payloads, marks, key: None }])[0].clone().unwrap();
    }
}

#[track_caller]
fn holds(rig: &mut Rig, count: u64) {
    let found = rig.payloads_on_disk();
    let right: Vec<_> = (0..count).map(|number| (number + 1, line(number).into())).collect();
    assert_eq!(found, right);
    let marks = rig.store.marks().with_prefix("");
    assert_eq!(marks, [("a place in a file".into(), (count - 1).to_string().into())]);
}

fn content(rig: &Rig) -> Vec<u8> {
    rig.segments().iter().flat_map(|path| rig.disk.content(path).unwrap()).collect()
}

fn shows(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn what_is_sealed_cannot_be_read_from_the_disk_nor_can_the_marks() {
    for compresses in [false, true] {
        let mut open = rig(kept(false, None, &[]));
        write(&mut open, 0..50);
        assert!(shows(&content(&open), "a line of a log") && shows(&content(&open), "a place in"));

        let mut rig = rig(kept(compresses, Some(1), &[]));
        write(&mut rig, 0..50);
        let mut rig = rig.reopened();
        assert!(rig.segments().len() > 1 || compresses);
        let content = content(&rig);
        for text in ["a line of a log", "same again", "a place in"] {
            assert!(!shows(&content, text), "{text}");
        }
        holds(&mut rig, 50);
    }
}

#[test]
fn a_packed_queue_takes_less_room() {
    let room = |compresses| {
        let mut rig = rig(kept(compresses, None, &[]));
        write(&mut rig, 0..50);
        holds(&mut rig, 50);
        rig.store.log().bytes_from(0, 0)
    };
    assert!(room(true) * 3 < room(false), "{} {}", room(true), room(false));
}

#[test]
fn a_new_way_of_writing_begins_a_new_segment_and_what_was_written_before_stays_readable() {
    let ways = [
        kept(false, None, &[]),
        kept(true, None, &[]),
        kept(true, Some(1), &[]),
        kept(true, Some(2), &[1]),
        kept(false, Some(2), &[1]),
        kept(false, None, &[2, 1]),
    ];
    let mut rig = rig(ways[0].clone());
    let mut count = 0;
    for (at, way) in ways.iter().enumerate() {
        rig = switched(rig, way.clone()).unwrap();
        write(&mut rig, count..count + 2);
        count += 2;
        assert_eq!(rig.segments().len(), at + 1);
        rig = rig.reopened();
        write(&mut rig, count..count + 2);
        count += 2;
        assert_eq!(rig.segments().len(), at + 1, "the same way goes on in the same segment");
        holds(&mut rig, count);
    }
    assert_eq!(rig.take(0, ALL).len() as u64, count);
    assert_eq!(rig.ledger(0).damaged, 0);
}

#[test]
fn a_missing_key_is_no_damage_and_nothing_is_touched() {
    let mut rig = rig(kept(false, Some(1), &[]));
    write(&mut rig, 0..30);
    let first = rig.segments()[0].clone();
    rig = switched(rig, kept(false, Some(2), &[1])).unwrap();
    write(&mut rig, 30..40);
    let (disk, limits) = (rig.disk.clone(), rig.limits.clone());
    drop(rig);
    let before: Vec<_> = disk.files().iter().map(|path| disk.content(path)).collect();

    for (way, missing, file) in [
        (kept(false, Some(2), &[]), key(1), first.clone()),
        (kept(false, Some(2), &[3]), key(1), first.clone()),
        (kept(false, None, &[]), key(1), first),
    ] {
        let opened = Rig::kept(way, (disk.clone(), limits.clone()), &["a"]);
        let Err(error @ OpenError::NoKey { .. }) = opened else { panic!("it was opened") };
        let told = error.to_string();
        assert!(told.contains(&missing.id().to_string()), "{told}");
        assert!(told.starts_with(&file.display().to_string()), "{told}");
        let after: Vec<_> = disk.files().iter().map(|path| disk.content(path)).collect();
        assert!(before == after, "a file was touched");
    }
    holds(&mut Rig::kept(kept(false, None, &[1, 2]), (disk, limits), &["a"]).unwrap(), 40);
}

#[test]
fn a_power_cut_at_any_disk_call_of_a_rotation_loses_nothing() {
    let begun = || {
        let mut rig = rig(kept(true, Some(1), &[]));
        write(&mut rig, 0..4);
        rig
    };
    let turn = |rig: Rig| -> (FaultyDisk, u64) {
        let disk = rig.disk.clone();
        let Ok(mut rig) = switched(rig, kept(true, Some(2), &[1])) else { return (disk, 4) };
        let mut count = 4;
        for number in 4..8 {
            if rig.put(&line(number)).is_err() {
                break;
            }
            count = number + 1;
        }
        (disk, count)
    };
    let calls = {
        let rig = begun();
        let before = rig.disk.count_all();
        turn(rig).0.count_all() - before
    };
    assert!(calls > 15, "{calls}");
    over_seeds(calls, |call| {
        let rig = begun();
        let limits = rig.limits.clone();
        rig.disk.end_power_after(call);
        let (disk, promised) = turn(rig);
        disk.crash(call);
        let rig = Rig::kept(kept(true, Some(2), &[1]), (disk, limits), &["a"]).unwrap();
        let found = rig.payloads_on_disk();
        let count = found.len() as u64;
        assert!(count == promised || count == promised + 1, "{count} found, {promised} promised");
        for (position, payload) in found {
            assert_eq!(payload, line(position - 1));
        }
    });
}

/// Two places of frames of one size in the first segment.
fn two_frames(rig: &Rig) -> (usize, usize, usize) {
    let content = rig.disk.content(&rig.segments()[0]).unwrap();
    let mut places = Vec::new();
    let mut at = in_memory(segment::HEADER_BYTES);
    while let Some(header) = content.get(at..at + HEADER_BYTES).and_then(Header::decode) {
        places.push((at, in_memory(header.total_bytes())));
        at += in_memory(header.total_bytes());
    }
    let (one, bytes) = places[2];
    let (other, _) = *places[3..].iter().find(|(_, other)| *other == bytes).unwrap();
    (one, other, bytes)
}

/// How many payloads are left when a frame was put where another was, its checksums mended.
fn left_after_a_forgery(settings: Settings) -> usize {
    let mut rig = rig(settings);
    // Frames of marks alone have the same first position: only their place tells them apart.
    for number in 0..6 {
        let marks = vec![mark("place", &number.to_string())];
        rig.commit(vec![Group { payloads: Vec::new(), marks, key: None }])[0].clone().unwrap();
    }
    rig.put(b"behind").unwrap();
    let (one, other, bytes) = two_frames(&rig);
    let path = rig.segments()[0].clone();
    let mut content = rig.disk.content(&path).unwrap();
    content.copy_within(other..other + bytes, one);
    rig.disk.put(&path, &content);
    let verdict = crate::queue::inspect::verify(
        &crate::queue::inspect::Look::at(rig.disk.shared(), Path::new(FOLDER))
            .unwrap()
            .with_keys(rig.settings.keys.clone()),
        &mut |_| {},
    );
    let damaged = verdict.unwrap().damaged_count;
    usize::try_from(damaged).unwrap()
}

#[test]
fn a_frame_that_took_the_place_of_another_is_noticed_where_it_is_sealed() {
    assert_eq!(left_after_a_forgery(kept(false, None, &[])), 0, "checksums alone do not see it");
    assert_eq!(left_after_a_forgery(kept(false, Some(1), &[])), 1);
}

#[test]
fn a_changed_frame_costs_its_records_and_is_set_aside_as_it_is() {
    let mut rig = rig(kept(true, Some(1), &[]));
    write(&mut rig, 0..6);
    let (one, _, bytes) = two_frames(&rig);
    let path = rig.segments()[0].clone();
    let mut content = rig.disk.content(&path).unwrap();
    content[one + HEADER_BYTES + 20] ^= 1;
    // Whoever changes a body can mend its checksum, not its seal.
    let mut header = Header::decode(&content[one..]).unwrap();
    let body = one + HEADER_BYTES..one + HEADER_BYTES + header.body_bytes as usize;
    header.body_crc = crc32c::crc32c(&content[body]);
    content[one..one + HEADER_BYTES].copy_from_slice(&header.encode());
    rig.disk.put(&path, &content);

    let mut rig = rig.reopened();

    let lost: Vec<_> =
        rig.on_disk().into_iter().filter(|one| matches!(one, Found::Lost(..))).collect();
    assert!(matches!(lost[..], [Found::Lost(2, 3)]), "{lost:?}");
    assert_eq!(rig.take(0, ALL).len(), 5);
    assert_eq!(rig.ledger(0).damaged, 1);
    let aside = format!("{FOLDER}/quarantine/00000000000000000001-{one}.bad");
    let copy = rig.disk.content(Path::new(&aside)).unwrap();
    assert!(content[one..one + bytes].starts_with(&copy), "it is set aside as it is");
}

#[test]
fn one_bad_sector_in_the_header_costs_a_sealed_segment_nothing() {
    let mut rig = rig(kept(false, Some(1), &[]));
    write(&mut rig, 0..6);
    let path = rig.segments()[0].clone();
    let mut content = rig.disk.content(&path).unwrap();
    content[..512].fill(0xee);
    rig.disk.put(&path, &content);
    holds(&mut rig.reopened(), 6);
}

#[test]
fn a_segment_of_another_queue_with_the_same_key_keeps_its_own_records() {
    let mut one = rig(kept(false, Some(1), &[]));
    let mut other = rig(kept(false, Some(1), &[]));
    write(&mut one, 0..6);
    write(&mut other, 0..6);
    let path = one.segments()[0].clone();
    let (mut here, there) = (one.disk.content(&path).unwrap(), other.disk.content(&path).unwrap());
    // All frames of the other one, with the header of this one.
    here.truncate(in_memory(segment::HEADER_BYTES));
    here.extend_from_slice(&there[in_memory(segment::HEADER_BYTES)..]);
    one.disk.put(&path, &here);
    let one = one.reopened();
    assert!(one.on_disk().iter().all(|found| matches!(found, Found::Lost(..))));
}

#[test]
fn an_empty_group_and_a_large_one_are_sealed_too() {
    let mut rig = rig(kept(true, Some(1), &[]));
    let noise: Vec<u8> = {
        let mut chance = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| chance.u8(..)).take(30_000).collect()
    };
    rig.commit(vec![group(&[b"", &noise, b""])])[0].clone().unwrap();
    let rig = rig.reopened();
    let found: Vec<_> = rig.payloads_on_disk().into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(found, [&b""[..], &noise, b""]);
}

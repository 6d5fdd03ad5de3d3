//! Looks at queues that the real machines wrote, whole, damaged and in the middle of a write.

use bytes::Bytes;

use super::*;
use crate::base::disk::{Call, Disk as _, FaultyDisk};
use crate::queue::frame::{self, Header};
use crate::queue::segment;
use crate::queue::settings::Limits;
use crate::queue::tests::rig::{FOLDER, Rig, group, mark, over_seeds};
use crate::queue::{Group, Ledger};

fn fill(rig: &mut Rig, segments: usize) -> u64 {
    let mut frames = 0;
    while rig.segments().len() < segments {
        let parts = [vec![1; 500], vec![2; 500], vec![3; 500]];
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        rig.commit(vec![group(&parts)])[0].clone().unwrap();
        frames += 1;
    }
    frames
}

fn look(disk: &FaultyDisk) -> Look {
    Look::at(disk.shared(), Path::new(FOLDER)).unwrap()
}

fn verdict(disk: &FaultyDisk) -> Verdict {
    verify(&look(disk), &mut |_| {}).unwrap()
}

/// Where the frames of a segment begin.
fn offsets(disk: &FaultyDisk, path: &Path) -> Vec<(u64, Header)> {
    let content = disk.content(path).unwrap();
    let mut at = segment::HEADER_BYTES;
    let header = |at: u64| Header::decode(content.get(usize::try_from(at).unwrap()..)?);
    std::iter::from_fn(|| {
        let found = header(at)?;
        at += found.total_bytes();
        Some((at - found.total_bytes(), found))
    })
    .collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().into()
}

fn keep_all(_: &Bytes, _: &str) -> bool {
    false
}

#[test]
fn a_look_changes_nothing_and_finds_everything() {
    let mut rig = Rig::new(&["a", "b"]);
    let frames = fill(&mut rig, 3);
    let marks = vec![mark("tail/1", "x"), mark("tail/2", "y")];
    rig.commit(vec![Group { payloads: vec!["end".into()], marks, key: None }])[0].clone().unwrap();
    rig.take(0, crate::queue::tests::rig::ALL);
    rig.settle(0, [1, 2, 5]);
    rig.store.save().unwrap();
    let changes = [Call::Write, Call::CreateFolders, Call::Rename, Call::Remove, Call::SetBytes];
    let before = changes.map(|call| rig.disk.count(call));

    let look = look(&rig.disk);
    let (end, verdict) = (look.end().unwrap(), verify(&look, &mut |_| {}).unwrap());
    let summaries = look.summaries().unwrap();

    let total = frames * 3 + 1;
    assert_eq!((look.first(), end, verdict.records), (Some(1), total, total));
    assert!(verdict.is_sound() && verdict.torn.is_none(), "{verdict:?}");
    let a = look.destinations()[0].standing().unwrap();
    assert_eq!((a.watermark, a.ahead, a.delivered, a.waiting(end)), (2, 1, 3, total - 3));
    assert_eq!(a.accepted(end), total);
    assert!(a.is_settled(5) && !a.is_settled(4));
    assert_eq!(look.destinations()[1].name, "b");
    assert_eq!(summaries.len(), 3);
    assert_eq!(summaries[0].end, summaries[1].first);
    assert_eq!((summaries[2].end, summaries[2].marks), (total + 1, Some(2)));
    assert!(summaries.iter().all(|one| one.used <= one.bytes && one.unix_ms.is_some()));
    assert_eq!(changes.map(|call| rig.disk.count(call)), before);
}

#[test]
fn a_walk_from_a_position_begins_in_its_segment() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 3);
    let look = look(&rig.disk);
    let second = look.segments[1].first;

    let Some(Ok(Seen::Frame(first))) = look.walk(second + 4, Depth::Bodies).next() else {
        panic!("no frame")
    };

    assert_eq!((first.first, first.is_snapshot), (second, true));
    let frames: Vec<_> = look.walk(0, Depth::Headers).map(Result::unwrap).collect();
    let Some(Seen::Frame(last)) = frames.last() else { panic!("no frame") };
    assert_eq!(last.end - 1, look.end().unwrap());
}

#[test]
fn a_flipped_bit_is_found_at_its_place_with_what_it_costs() {
    for (within, why) in [(10, "no frame begins where one should"), (200, "checksum is ")] {
        let mut rig = Rig::new(&["a"]);
        fill(&mut rig, 3);
        for _ in 0..4 {
            rig.commit(vec![group(&[&[1; 500], &[2; 500], &[3; 500]])])[0].clone().unwrap();
        }
        for path in &rig.segments() {
            let (offset, header) = offsets(&rig.disk, path)[3];
            rig.disk.flip(path, offset + within, 2);

            let verdict = verdict(&rig.disk);

            let [range] = &verdict.damaged[..] else { panic!("{verdict:?}") };
            assert!(range.why.starts_with(why), "{range:?}");
            assert_eq!((range.file.clone(), range.offset), (name(path), offset));
            assert_eq!(range.lost, header.first..header.end());
            assert_eq!((verdict.lost, verdict.is_sound()), (3, false));
            rig.disk.flip(path, offset + within, 2);
        }
    }
}

#[test]
fn whatever_byte_is_flipped_the_check_counts_what_the_agent_will_count() {
    let mut rig = Rig::new(&["a"]);
    let total = fill(&mut rig, 3) * 3;
    for path in &rig.segments() {
        let used = offsets(&rig.disk, path).last().map(|(at, last)| at + last.total_bytes());
        for at in (0..64).chain(4096..used.unwrap()).step_by(61) {
            let copy = FaultyDisk::new();
            copy.create_folders(&Path::new(FOLDER).join("cursors")).unwrap();
            for file in rig.disk.files() {
                copy.put(&file, &rig.disk.content(&file).unwrap());
            }
            copy.flip(path, at, 3);

            let verdict = verdict(&copy);
            let end = look(&copy).end().unwrap();
            let mut opened = Rig::with(copy, rig.limits.clone(), &["a"]).unwrap();
            opened.take(0, crate::queue::tests::rig::ALL);

            let place = format!("byte {at} of {}: {verdict:?}", name(path));
            let Ledger { damaged, accepted, .. } = opened.ledger(0);
            assert_eq!((verdict.lost, end), (damaged, accepted), "{place}");
            // Only zeroes between frames and footers may change unnoticed.
            let all_there = verdict.records + verdict.lost == total;
            assert!(all_there || verdict.torn.is_some(), "{place}");
        }
    }
}

#[test]
fn a_frame_that_is_not_complete_at_the_end_is_no_damage() {
    let mut rig = Rig::new(&["a"]);
    rig.put(b"one").unwrap();
    rig.put(&[2; 3000]).unwrap();
    let path = rig.segments()[0].clone();
    let whole = rig.disk.content(&path).unwrap();
    let (offset, _) = *offsets(&rig.disk, &path).last().unwrap();
    let begin = usize::try_from(offset).unwrap();
    for written in [1, 30, frame::HEADER_BYTES, 1000] {
        let mut torn = whole.clone();
        torn[begin + written..].fill(0);
        rig.disk.put(&path, &torn);

        let verdict = verdict(&rig.disk);

        assert!(verdict.is_sound(), "{verdict:?}");
        assert_eq!(verdict.torn, Some(Torn { file: name(&path), offset }), "{written}");
        assert_eq!((verdict.records, look(&rig.disk).end().unwrap()), (1, 1));
    }
}

#[test]
fn frames_that_come_while_they_are_looked_for_are_no_damage() {
    let mut rig =
        Rig::with(FaultyDisk::new(), Limits::with_segments(16 << 20, 1 << 20, 0), &["a"]).unwrap();
    for _ in 0..4 {
        rig.put(&[7; 60_000]).unwrap();
    }
    let look = look(&rig.disk);
    let mut walk = look.walk(0, Depth::Bodies);
    // The snapshot and the four: the window ends behind zeroes that are about to be overwritten.
    for _ in 0..5 {
        assert!(matches!(walk.next(), Some(Ok(Seen::Frame(_)))));
    }
    rig.put(&[8; 30_000]).unwrap();
    rig.put(b"and one behind").unwrap();

    let rest: Vec<_> = walk.map(Result::unwrap).collect();

    let is_frame = |seen: &Seen| matches!(seen, Seen::Frame(_));
    assert_eq!((rest.len(), rest.iter().all(is_frame)), (2, true), "{rest:?}");
}

#[test]
fn segments_that_the_agent_removes_meanwhile_are_passed_over() {
    let mut rig = Rig::new(&["a"]);
    fill(&mut rig, 4);
    let look = look(&rig.disk);
    rig.drain();

    let verdict = verify(&look, &mut |_| {}).unwrap();

    assert!(verdict.is_sound(), "{verdict:?}");
    assert_eq!(look.summaries().unwrap().len(), rig.segments().len());
}

#[test]
fn a_lost_end_missing_segments_and_a_bad_cursor_are_told() {
    let mut rig = Rig::new(&["a", "b"]);
    let frames = fill(&mut rig, 3);
    let segments = rig.segments();
    rig.disk.remove(&segments[1]).unwrap();
    let first = |at: usize| segment::parse_name(&name(&segments[at])).unwrap();
    let missing = verdict(&rig.disk);
    assert_eq!((missing.lost, missing.damaged_count), (first(2) - first(1), 1));
    rig.disk.remove(&segments[0]).unwrap();
    let gone = verdict(&rig.disk).gone;
    assert_eq!(gone.len(), 2);
    assert_eq!((gone[0].destination.as_str(), &gone[0].positions), ("a", &(1..first(2))));

    let mut rig = Rig::new(&["a", "b"]);
    fill(&mut rig, 3);
    rig.drain();
    rig.disk.remove(rig.segments().last().unwrap()).unwrap();
    let end = verdict(&rig.disk);
    assert_eq!(end.lost_end.map(|lost| lost.end), Some(frames * 3 + 1));
    let cursor = PathBuf::from(FOLDER).join("cursors/a.cur");
    rig.disk.put(&cursor, &[9; 100]);
    assert_eq!(verdict(&rig.disk).bad_cursors, ["a"]);
    let refused = purge(&look(&rig.disk), Some("a"), &keep_all).unwrap_err();
    assert!(matches!(refused, LookError::CursorUnreadable { .. }), "{refused}");
}

#[test]
fn strangers_are_refused_in_words() {
    let disk = FaultyDisk::new();
    disk.create_folders(Path::new("/photos")).unwrap();
    disk.put(Path::new("/photos/a.jpg"), b"jpeg");
    let refused = |folder: &str| match Look::at(disk.shared(), Path::new(folder)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{folder} was taken"),
    };

    assert!(refused("/photos").contains("neither segments nor a folder `cursors`"));
    assert!(refused("/nowhere").contains("there is nothing of that name"));
    disk.put(Path::new("/photos/00000000000000000001.seg"), &[b'x'; 5000]);
    assert!(refused("/photos").contains("does not begin like a segment"));
    disk.put(Path::new("/photos/00000000000000000001.seg"), b"");
    disk.put(Path::new("/photos/1.seg"), b"");
    assert!(refused("/photos").contains("20 digits"));
}

#[test]
fn whatever_stands_on_disk_nothing_panics() {
    over_seeds(150, |seed| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut rig = Rig::new(&["a"]);
        fill(&mut rig, 3);
        rig.drain();
        fill(&mut rig, 3);
        for _ in 0..random.usize(1..6) {
            let files = rig.disk.files();
            let path = &files[random.usize(..files.len())];
            let mut content = rig.disk.content(path).unwrap();
            let (from, to) = (random.usize(..=content.len()), random.usize(..=content.len()));
            match random.u8(..4) {
                0 => content.truncate(from),
                1 => content[from.min(to)..from.max(to)].fill(random.u8(..)),
                2 => {
                    content[from.min(to)..from.max(to)].iter_mut().for_each(|b| *b = random.u8(..))
                }
                _ => content.copy_within(from.min(to)..from.max(to), 0),
            }
            rig.disk.put(path, &content);
        }

        let Ok(look) = Look::at(rig.disk.shared(), Path::new(FOLDER)) else { return };
        let verdict = verify(&look, &mut |_| {}).unwrap();
        look.summaries().unwrap();
        assert!(verdict.records <= 1 << 20);
        drop(purge(&look, None, &keep_all));
        let rig = rig.reopened();
        rig.ledger(0);
    });
}

#[test]
fn a_purge_settles_what_waits_in_the_books_and_frees_the_space() {
    let mut rig = Rig::new(&["a", "b"]);
    let frames = fill(&mut rig, 4);
    rig.take(0, crate::queue::tests::rig::ALL);
    rig.settle(0, [1, 2, 7]);
    let (offset, _) = offsets(&rig.disk, &rig.segments()[1])[2];
    rig.disk.flip(&rig.segments()[1], offset + 100, 0);
    rig.store.save().unwrap();
    let total = frames * 3;
    let only_b = |payload: &Bytes, name: &str| name == "a" && payload[0] == 3;

    let purged = purge(&look(&rig.disk), Some("a"), &only_b).unwrap();

    let [row] = &purged.rows[..] else { panic!("{purged:?}") };
    // Settled before: 1, 2, 7; of the rest every third is for b only, and three are damaged.
    let elsewhere = frames - 1;
    assert_eq!((row.damaged, row.elsewhere), (3, elsewhere));
    assert_eq!(row.dropped, total - 3 - 3 - elsewhere);
    assert_eq!(purged.segments, 0, "b needs them");
    let rig = rig.reopened();
    assert_eq!((rig.ledger(0).waiting, rig.ledger(0).dropped), (0, row.dropped));
    assert_eq!(rig.ledger(1).waiting, total);

    let purged = purge(&look(&rig.disk), None, &keep_all).unwrap();

    assert_eq!((purged.rows[0].dropped, purged.rows[1].dropped), (0, total - 3));
    assert_eq!((purged.segments, purged.rows[1].damaged), (3, 3));
    let mut rig = rig.reopened();
    assert_eq!((rig.ledger(1).waiting, rig.segments().len()), (0, 1));
    assert_eq!(rig.put(b"more").unwrap().first().0, total + 1);
    assert_eq!((rig.ledger(0).waiting, rig.ledger(1).waiting), (1, 1));
    let unknown = purge(&look(&rig.disk), Some("c"), &keep_all).unwrap_err();
    assert!(unknown.to_string().contains("it knows `a`, `b`"), "{unknown}");
}

#[test]
fn a_crash_at_any_call_of_a_purge_keeps_the_books() {
    over_seeds(60, |seed| {
        let mut rig = Rig::new(&["a", "b"]);
        let total = fill(&mut rig, 4) * 3;
        let looked = look(&rig.disk);
        rig.disk.end_power_after(seed);
        drop(purge(&looked, None, &keep_all));

        let rig = rig.crashed(seed);

        for at in [0, 1] {
            let ledger = rig.ledger(at);
            assert_eq!(ledger.waiting + ledger.dropped, total, "{ledger:?}");
        }
    });
}

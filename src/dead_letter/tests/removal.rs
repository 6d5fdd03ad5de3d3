//! Letters that go, by age or by the operator's word, with the power cut between any two calls.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{NOW, a_letter};
use crate::base::disk::FaultyDisk;
use crate::dead_letter::{
    Filter, Letter, Purged, Settings, Shelf, aged_out, letters, purge, shelves,
};
use crate::telemetry::Metrics;

fn settings(max_bytes: u64) -> Settings {
    let max_age = Duration::from_secs(30 * 86_400);
    Settings { folder: PathBuf::from("/dead"), max_bytes, max_age }
}

fn open(disk: &FaultyDisk, max_bytes: u64) -> Shelf {
    Shelf::open(disk.shared(), &settings(max_bytes), "access", "archive").unwrap()
}

/// Letters in files of four or so, with two codes in turn.
fn filled(count: u64) -> FaultyDisk {
    let disk = FaultyDisk::new();
    let mut shelf = open(&disk, 12_000);
    for number in 0..count {
        let code = if number % 2 == 0 { "even" } else { "odd" };
        let message = format!("letter {number}");
        let letter = Letter { message, ..a_letter(code, NOW + number) };
        shelf.put(std::slice::from_ref(&letter)).unwrap();
    }
    disk
}

/// How often each letter is on the shelf, by its number; and its code.
fn lying(disk: &FaultyDisk) -> BTreeMap<String, (usize, String)> {
    let mut found = BTreeMap::new();
    for file in shelves(disk, &settings(1).folder).unwrap().into_iter().flat_map(|one| one.files) {
        for letter in letters(disk, &file.path).unwrap() {
            let letter = letter.unwrap().unwrap();
            found.entry(letter.message).or_insert((0, letter.code)).0 += 1;
        }
    }
    found
}

#[test]
fn what_ages_out_is_counted_once_whenever_the_power_fails() {
    let mut was_cut = 0;
    for calls in 0.. {
        for seed in 0..4 {
            let disk = filled(24);
            assert_eq!(lying(&disk).len(), 24);
            let mut shelf = open(&disk, 4_000);
            disk.end_power_after(calls);
            let is_done = shelf.tidy(NOW, None).is_ok();
            was_cut += u32::from(!is_done);
            disk.crash(seed);

            let mut shelf = open(&disk, 4_000);
            shelf.tidy(NOW, None).unwrap();
            let left = lying(&disk);
            assert!(left.values().all(|(times, _)| *times == 1));
            let gone = 24 - left.len() as u64;
            let counted = aged_out(&disk, &settings(1).folder, "access", "archive").unwrap();
            assert_eq!(
                (counted, shelf.aged_out().letters()),
                (gone, gone),
                "{calls} calls, {seed}"
            );
            assert!((8..20).contains(&gone), "{gone}");
            if is_done && seed == 3 {
                let metrics = Metrics::default();
                let shelf = shelf.counted_in(&metrics);
                let line = format!(
                    "weir_dead_letters_aged_out_total{{stream=\"access\",destination=\"archive\"}} {gone}"
                );
                assert!(metrics.encode().contains(&line), "a start goes on counting");
                assert!(was_cut > 20, "the power was cut {was_cut} times");
                drop(shelf);
                return;
            }
        }
    }
}

#[test]
fn a_purge_removes_what_is_meant_and_cut_off_anywhere_nothing_else() {
    let odd = Filter { code: Some("odd".into()), ..Filter::default() };
    let folder = settings(1).folder;
    let mut was_cut = 0;
    for calls in 0.. {
        for seed in 0..4 {
            let disk = filled(9);
            disk.end_power_after(calls);
            let done = purge(&disk, &folder, &odd);
            was_cut += u32::from(done.is_err());
            disk.crash(seed);

            let left = lying(&disk);
            assert!(left.values().all(|(times, _)| *times == 1), "{calls} calls, {seed}: {left:?}");
            let even = left.values().filter(|(_, code)| code == "even").count();
            assert_eq!(even, 5, "{calls} calls, {seed}: {left:?}");
            purge(&disk, &folder, &odd).unwrap();
            let left = lying(&disk);
            assert_eq!(left.len(), 5, "{left:?}");
            assert!(left.values().all(|(times, code)| *times == 1 && code == "even"));

            if let Ok(purged) = done {
                assert_eq!(purged, Purged { letters: 4, ..Purged::default() });
                assert!(was_cut > 10, "the power was cut {was_cut} times");
                // What is left can be purged in turn, and a shelf goes on beside it.
                open(&disk, 12_000).put(&[a_letter("odd", NOW + 99)]).unwrap();
                let purged = purge(&disk, &folder, &Filter::default()).unwrap();
                assert_eq!((purged.letters, lying(&disk).len()), (6, 0));
                return;
            }
        }
    }
}

#[test]
fn a_file_on_its_way_back_is_not_purged_but_named() {
    let disk = filled(2);
    let folder = settings(1).folder;
    let files = shelves(&disk, &folder).unwrap().remove(0).files;
    let taken = crate::dead_letter::take(&disk, &files[0].path).unwrap().unwrap();
    let purged = purge(&disk, &folder, &Filter::default()).unwrap();
    assert_eq!((purged.letters, purged.in_use.len()), (0, 1));
    taken.put_back(&disk).unwrap();
    assert_eq!(purge(&disk, &folder, &Filter::default()).unwrap().letters, 2);
}

#[test]
fn lines_that_are_no_letters_go_only_with_their_whole_shelf() {
    let disk = filled(1);
    let folder = settings(1).folder;
    let path = shelves(&disk, &folder).unwrap().remove(0).files.remove(0).path;
    let mut bytes = disk.content(&path).unwrap();
    bytes.extend_from_slice(b"no letter\n");
    disk.put(&path, &bytes);

    let even = Filter { code: Some("even".into()), ..Filter::default() };
    let purged = purge(&disk, &folder, &even).unwrap();
    assert_eq!((purged.letters, purged.unreadable), (1, 0));
    let purged = purge(&disk, &folder, &Filter::default()).unwrap();
    assert_eq!((purged.letters, purged.unreadable), (0, 1));
}

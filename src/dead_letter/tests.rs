//! The shelf on a real disk: what lies on it, what goes, and what comes back.

mod removal;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::advance;

use super::{BadLine, Letter, Settings, Shelf, bare, folder, letter, letters, shelves, take};
use crate::base::disk::{Call, FaultyDisk, RealDisk, SharedDisk};
use crate::record::{Record, RecordId};
use crate::telemetry::Metrics;

/// 2026-11-22T06:05:19Z.
const NOW: u64 = 1_795_327_519_000;
const DAY: u64 = 86_400_000;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("weir-letters-{:032x}", crate::base::random::bits());
        Self(std::env::temp_dir().join(name))
    }

    fn settings(&self) -> Settings {
        Settings {
            folder: self.0.clone(),
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(30 * 86_400),
        }
    }

    fn shelf(&self) -> Shelf {
        self.shelf_with(&self.settings())
    }

    fn shelf_with(&self, settings: &Settings) -> Shelf {
        Shelf::open(disk(), settings, "access", "archive").unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.0.join("access/archive")
    }

    fn files(&self) -> Vec<PathBuf> {
        let lying = shelves(&RealDisk, &self.0).unwrap();
        lying.into_iter().flat_map(|shelf| shelf.files).map(|file| file.path).collect()
    }

    /// Everything that can be read, in order.
    fn codes(&self) -> Vec<String> {
        let of = |path: PathBuf| letters(&RealDisk, &path).unwrap();
        self.files().into_iter().flat_map(of).map(|one| one.unwrap().unwrap().code).collect()
    }

    fn remove(self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn disk() -> SharedDisk {
    Arc::new(RealDisk)
}

fn a_letter(code: &str, died_unix_ms: u64) -> Letter {
    Letter {
        record: Record {
            id: RecordId::new(NOW),
            partition_key: Some("user-1".into()),
            hash_key: Some(1 << 127),
            source: "http.local".into(),
            caller: "device-1".into(),
            only_for: None,
            payload: Bytes::from_static(b"{\"a\":1}"),
        },
        stream: "access".into(),
        destination: "archive".into(),
        died_unix_ms,
        attempts: 3,
        class: "poison".into(),
        code: code.into(),
        message: "it is not valid".into(),
    }
}

#[test]
fn a_letter_is_a_line_that_people_and_programs_can_read() {
    let mut letter = a_letter("ValidationException", NOW);
    letter.record.id = "01KANC20CF0000000000000000".parse().unwrap();
    let line = String::from_utf8(letter::encode(&letter)).unwrap();
    assert_eq!(
        line,
        "{\"id\":\"01KANC20CF0000000000000000\",\"accepted_at\":\"2025-11-22T08:49:26.927Z\",\
         \"died_at\":\"2026-11-22T06:05:19.000Z\",\"stream\":\"access\",\"destination\":\"archive\",\
         \"source\":\"http.local\",\"caller\":\"device-1\",\"partition_key\":\"user-1\",\
         \"explicit_hash_key\":\"170141183460469231731687303715884105728\",\"attempts\":3,\"class\":\"poison\",\"code\":\"ValidationException\",\
         \"message\":\"it is not valid\",\"payload\":\"{\\\"a\\\":1}\"}\n"
    );

    letter.record = bare(Bytes::from_static(b"\xff\x00"));
    let line = String::from_utf8(letter::encode(&letter)).unwrap();
    assert!(line.starts_with("{\"died_at\""), "no id, no time of acceptance: {line}");
    assert!(line.ends_with("\"payload_base64\":\"/wA=\"}\n"), "{line}");
}

proptest! {
    #[test]
    fn a_letter_reads_back_as_it_was_written(
        payload in prop_oneof![any::<Vec<u8>>(), ".*".prop_map(String::into_bytes)],
        key in proptest::option::of(".{1,9}"),
        hash_key in proptest::option::of(any::<u128>()),
        words in ".*",
        died in 0..253_402_300_799_999_u64,
    ) {
        let mut letter = a_letter(&words, died);
        letter.record.payload = payload.into();
        letter.record.partition_key = key.map(Into::into);
        letter.record.hash_key = hash_key;
        letter.message = words;

        let line = letter::encode(&letter);

        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(letter::decode(&line), Ok(letter));
    }

    #[test]
    fn no_line_at_all_makes_the_reader_panic(line in any::<Vec<u8>>()) {
        drop(letter::decode(&line));
    }
}

#[test]
fn letters_of_several_puts_share_a_file_and_a_new_opening_begins_a_new_one() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW), a_letter("b", NOW)]).unwrap();
    shelf.put(&[a_letter("c", NOW + 1)]).unwrap();
    shelf.put(&[]).unwrap();
    assert_eq!(scratch.files(), [scratch.folder().join("2026-11-22T06-05-19.000Z.ndjson")]);

    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("d", NOW - 5_000)]).unwrap();

    assert_eq!(scratch.codes(), ["a", "b", "c", "d"], "a clock that went back changes no order");
    assert_eq!(scratch.files().len(), 2);
    scratch.remove();
}

#[test]
fn a_torn_last_line_is_cut_at_open_and_the_rest_kept() {
    let scratch = Scratch::new();
    scratch.shelf().put(&[a_letter("a", NOW), a_letter("b", NOW)]).unwrap();
    let path = scratch.files().remove(0);
    let whole = std::fs::read(&path).unwrap();
    for torn in [1, 40, whole.len() / 2 - 1] {
        std::fs::write(&path, &whole[..whole.len() - torn]).unwrap();
        assert_eq!(scratch.codes(), ["a"], "a reader stops before a torn line");

        drop(scratch.shelf());

        assert_eq!(std::fs::read(&path).unwrap(), whole[..whole.len() / 2]);
    }
    std::fs::write(&path, b"never a whole line").unwrap();
    drop(scratch.shelf());
    assert_eq!(std::fs::read(&path).unwrap(), b"");
    scratch.remove();
}

#[test]
fn the_oldest_files_go_when_the_shelf_is_full_and_are_counted() {
    let scratch = Scratch::new();
    let one = letter::encode(&a_letter("a", NOW)).len() as u64;
    let settings = Settings { max_bytes: one * 8, ..scratch.settings() };
    let metrics = Metrics::default();
    let mut shelf = scratch.shelf_with(&settings).counted_in(&metrics);

    for minute in 0..11 {
        shelf.put(&[a_letter("a", NOW + minute * 60_000)]).unwrap();
    }

    assert_eq!(scratch.codes().len(), 8);
    let text = metrics.encode();
    let labels = "{stream=\"access\",destination=\"archive\"}";
    assert!(text.contains(&format!("weir_dead_letters_aged_out_total{labels} 3")), "{text}");
    assert!(text.contains(&format!("weir_dead_letters_written_total{labels} 11")), "{text}");
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn letters_go_when_they_are_old_even_if_no_other_comes() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW)]).unwrap();

    advance(Duration::from_millis(30 * DAY)).await;
    shelf.tidy(NOW + 30 * DAY, None).unwrap();
    assert_eq!(scratch.codes(), ["a"]);
    advance(Duration::from_millis(DAY + 1)).await;
    shelf.tidy(NOW + 31 * DAY + 1, None).unwrap();
    assert_eq!(scratch.codes(), Vec::<String>::new());

    shelf.put(&[a_letter("b", NOW + 32 * DAY)]).unwrap();
    assert_eq!(scratch.codes(), ["b"]);
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_the_clock_removes_no_letter_and_time_that_passed_does() {
    let scratch = Scratch::new();
    scratch.shelf().put(&[a_letter("of an earlier run", NOW)]).unwrap();
    let mut shelf = scratch.shelf();
    let later = NOW + 10 * 365 * DAY;
    shelf.put(&[a_letter("before the jump", NOW + 1)]).unwrap();

    // The clock jumps by ten years, and is put right; the service knew better all the time.
    shelf.put(&[a_letter("behind it", later)]).unwrap();
    shelf.tidy(later, None).unwrap();
    shelf.tidy(later, Some(NOW + 2)).unwrap();
    advance(Duration::from_millis(DAY)).await;
    shelf.tidy(NOW + DAY, None).unwrap();
    assert_eq!(scratch.codes(), ["of an earlier run", "before the jump", "behind it"]);

    advance(Duration::from_millis(33 * DAY)).await;
    shelf.tidy(NOW, None).unwrap();
    assert_eq!(scratch.codes(), Vec::<String>::new());
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn letters_from_before_the_clock_was_set_do_not_go_when_it_is() {
    let scratch = Scratch::new();
    scratch.shelf().put(&[a_letter("a", 5_000)]).unwrap();
    let mut shelf = scratch.shelf();
    shelf.tidy(NOW, Some(NOW)).unwrap();
    advance(Duration::from_secs(3_600)).await;
    shelf.tidy(NOW, Some(NOW)).unwrap();
    assert_eq!(scratch.codes(), ["a"]);
    scratch.remove();
}

#[test]
fn after_a_failure_a_new_file_is_begun_and_no_empty_one_stays() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW)]).unwrap();
    let aside = scratch.0.join("aside");
    std::fs::rename(scratch.folder(), &aside).unwrap();
    std::fs::write(scratch.folder(), b"in the way").unwrap();

    assert!(shelf.put(&[a_letter("b", NOW)]).is_err());

    std::fs::remove_file(scratch.folder()).unwrap();
    std::fs::rename(&aside, scratch.folder()).unwrap();
    shelf.put(&[a_letter("b", NOW)]).unwrap();
    assert_eq!(scratch.codes(), ["a", "b"]);
    scratch.remove();
}

#[test]
fn a_folder_that_is_removed_while_letters_come_is_made_again() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW)]).unwrap();
    for removed in [scratch.folder(), scratch.0.join("access"), scratch.0.clone()] {
        std::fs::remove_dir_all(&removed).unwrap();

        shelf.put(&[a_letter("b", NOW)]).unwrap();
        shelf.tidy(NOW, None).unwrap();

        assert_eq!(scratch.codes(), ["b"], "{}", removed.display());
    }
    scratch.remove();
}

#[test]
fn on_a_disk_without_a_free_byte_letters_wait_and_each_lies_there_once_when_there_is_room() {
    let disk = FaultyDisk::new();
    let settings = Settings { folder: "/letters".into(), ..Scratch::new().settings() };
    let mut shelf = Shelf::open(disk.shared(), &settings, "access", "archive").unwrap();
    shelf.put(&[a_letter("before", NOW)]).unwrap();
    let used = |disk: &FaultyDisk| {
        disk.files().iter().map(|file| disk.content(file).unwrap().len() as u64).sum::<u64>()
    };
    let late = [a_letter("one", NOW + 1), a_letter("two", NOW + 1)];
    let needed: u64 = late.iter().map(|one| letter::encode(one).len() as u64).sum();
    // Without a byte, with room for one of the two, and with one byte too few.
    for free in [0, needed / 2 + 1, needed - 1] {
        disk.set_capacity(Some(used(&disk) + free));
        for _ in 0..3 {
            let error = shelf.put(&late).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        }
        assert_eq!(disk.files().len(), 1, "tries leave no files behind");
    }

    disk.set_capacity(Some(used(&disk) + needed));
    shelf.put(&late).unwrap();

    disk.crash(0);
    let lying = shelves(&disk, &settings.folder).unwrap();
    let files = lying.into_iter().flat_map(|shelf| shelf.files);
    let all = files.flat_map(|file| letters(&disk, &file.path).unwrap());
    let codes: Vec<String> = all.map(|one| one.unwrap().unwrap().code).collect();
    assert_eq!(codes, ["before", "one", "two"]);
}

#[test]
fn letters_that_are_written_count_as_put_though_no_room_can_be_made_for_more() {
    let disk = FaultyDisk::new();
    let settings = Settings { max_bytes: 8, ..Scratch::new().settings() };
    let mut shelf = Shelf::open(disk.shared(), &settings, "access", "archive").unwrap();
    shelf.put(&[a_letter("old", NOW)]).unwrap();

    disk.fail_all(&[Call::Remove], std::io::ErrorKind::PermissionDenied);
    assert!(shelf.put(&[a_letter("new", NOW + 1)]).is_ok(), "an error would have it written twice");
    assert_eq!(disk.files().len(), 2);

    disk.heal();
    shelf.tidy(NOW + 2, None).unwrap();
    assert_eq!(disk.files().len(), 2, "the new one, and how many went");
    assert_eq!(shelf.aged_out().letters(), 1);
}

#[test]
fn what_is_taken_back_is_out_of_the_shelfs_reach_until_it_is_finished_or_put_back() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW)]).unwrap();
    let path = scratch.files().remove(0);

    let taken = take(&RealDisk, &path).unwrap().unwrap();
    assert!(take(&RealDisk, &path).unwrap().is_none(), "it is taken");
    assert!(take(&RealDisk, &scratch.files()[0]).unwrap().is_none(), "by its new name too");
    shelf.put(&[a_letter("b", NOW)]).unwrap();
    let read: Vec<_> = taken.letters(&RealDisk).unwrap().map(|one| one.unwrap().unwrap()).collect();
    assert_eq!((read.len(), read[0].code.as_str()), (1, "a"));
    let name = taken.name().to_owned();
    drop(taken);

    let again = take(&RealDisk, &scratch.files()[0]).unwrap().unwrap();
    assert_eq!(again.name(), name, "it can be taken up after a crash");
    again.put_back(&RealDisk).unwrap();
    assert_eq!(scratch.codes(), ["a", "b"]);
    let again = take(&RealDisk, &path).unwrap().unwrap();
    again.finish(&RealDisk, &[]).unwrap();
    assert_eq!(scratch.codes(), ["b"]);
    scratch.remove();
}

#[test]
fn lines_that_cannot_be_taken_back_stay_when_the_rest_is_finished() {
    let scratch = Scratch::new();
    let mut shelf = scratch.shelf();
    shelf.put(&[a_letter("a", NOW), a_letter("b", NOW), a_letter("c", NOW)]).unwrap();
    let path = scratch.files().remove(0);
    let one = std::fs::metadata(&path).unwrap().len() / 3;

    let taken = take(&RealDisk, &path).unwrap().unwrap();
    taken.finish(&RealDisk, &[one]).unwrap();

    assert_eq!(scratch.codes(), ["b"]);
    assert_eq!(scratch.files(), [scratch.folder().join("2026-11-22T06-05-19.000Z.left1.ndjson")]);
    scratch.remove();
}

#[test]
fn a_line_that_is_no_letter_is_named_by_its_place_and_passed() {
    let scratch = Scratch::new();
    scratch.shelf().put(&[a_letter("a", NOW)]).unwrap();
    let path = scratch.files().remove(0);
    let good = std::fs::read(&path).unwrap();
    let mut bytes = b"no letter\n".to_vec();
    bytes.extend_from_slice(&vec![b'x'; (32 << 20) + 100_000]);
    bytes.push(b'\n');
    bytes.extend_from_slice(&good);
    std::fs::write(&path, &bytes).unwrap();

    let read: Vec<_> = letters(&RealDisk, &path).unwrap().map(Result::unwrap).collect();

    assert_eq!(read.len(), 3);
    assert!(matches!(&read[0], Err(BadLine { at: 0, .. })), "{:?}", read[0]);
    assert!(matches!(&read[1], Err(BadLine { at: 10, why }) if why.contains("longer")));
    assert_eq!(read[2].as_ref().map(|letter| letter.code.as_str()), Ok("a"));
    scratch.remove();
}

#[test]
fn names_of_files_sort_by_time_and_read_back() {
    let times = [0, 5_000, NOW, NOW + 1, 253_402_300_799_999, 253_402_300_800_000, u64::MAX];
    let names: Vec<_> = times.iter().map(|ms| folder::name(*ms)).collect();
    assert!(names.is_sorted(), "{names:?}");
    let read: Vec<_> = names.iter().filter_map(|name| folder::unix_ms(name)).collect();
    assert_eq!(read, times);
    for other in ["notes.txt", ".ndjson", "x.ndjson", "2026-11-22T06-05-19.000Z.new"] {
        assert_eq!(folder::unix_ms(other), None, "{other}");
    }
}

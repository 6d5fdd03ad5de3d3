//! Dead letters on their way back.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{NOW, a_record, letters_settings};
use crate::base::disk::{FaultyDisk, RealDisk, SharedDisk};
use crate::dead_letter::{Filter, Letter, Shelf, bare, shelves, take};
use crate::delivery::replay::{Back, Replayed, replay_into};
use crate::queue::{AppendError, Group};
use crate::record::{Record, decode};

/// A queue that keeps marks, and refuses what comes behind a number of groups.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    records: Vec<Record>,
    marks: BTreeMap<String, Bytes>,
    groups_left: Option<usize>,
}

impl Back for Queue {
    async fn append(&self, group: Group) -> Result<(), AppendError> {
        let mut kept = self.0.lock().unwrap();
        if let Some(left) = &mut kept.groups_left {
            if *left == 0 {
                return Err(AppendError::Full { used_bytes: 9, max_bytes: 9 });
            }
            *left -= 1;
        }
        kept.records.extend(group.payloads.into_iter().map(|payload| decode(payload).unwrap()));
        for mark in group.marks {
            match mark.value {
                Some(value) => drop(kept.marks.insert(mark.name, value)),
                None => drop(kept.marks.remove(&mark.name)),
            }
        }
        Ok(())
    }

    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let kept = self.0.lock().unwrap();
        let fits = kept.marks.iter().filter(|(name, _)| name.starts_with(prefix));
        fits.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn destinations(&self) -> Vec<String> {
        ["archive", "lake", "mirror"].map(str::to_owned).to_vec()
    }
}

struct Bench {
    folder: PathBuf,
    queue: Queue,
}

impl Bench {
    fn new() -> Self {
        let name = format!("weir-replay-{:032x}", crate::base::random::bits());
        Self { folder: std::env::temp_dir().join(name), queue: Queue::default() }
    }

    fn shelf(&self, destination: &str) -> Shelf {
        let settings = letters_settings(self.folder.clone());
        Shelf::open(disk(), &settings, "access", destination).unwrap()
    }

    fn put(&self, destination: &str, records: &[Record]) {
        self.shelf(destination).put(&letters(destination, records)).unwrap();
    }

    async fn replay(&self) -> Result<Replayed, String> {
        self.replay_only(&Filter::default()).await
    }

    async fn replay_only(&self, filter: &Filter) -> Result<Replayed, String> {
        let writers = BTreeMap::from([("access".to_owned(), self.queue.clone())]);
        replay_into(disk(), &self.folder, (filter, None), &writers).await
    }

    fn payloads(&self) -> Vec<String> {
        let kept = self.queue.0.lock().unwrap();
        let text = |record: &Record| String::from_utf8(record.payload.to_vec()).unwrap();
        kept.records.iter().map(text).collect()
    }

    fn files(&self) -> Vec<PathBuf> {
        let lying = shelves(&RealDisk, &self.folder).unwrap();
        lying.into_iter().flat_map(|shelf| shelf.files).map(|file| file.path).collect()
    }

    fn groups_left(&self, left: Option<usize>) {
        self.queue.0.lock().unwrap().groups_left = left;
    }

    fn marks(&self) -> Vec<String> {
        self.queue.0.lock().unwrap().marks.keys().cloned().collect()
    }

    fn end(self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn disk() -> SharedDisk {
    Arc::new(RealDisk)
}

fn letters(destination: &str, records: &[Record]) -> Vec<Letter> {
    let letter = |record: &Record| Letter {
        record: record.clone(),
        stream: "access".into(),
        destination: destination.into(),
        died_unix_ms: NOW,
        attempts: 1,
        class: "poison".into(),
        code: "ValidationException".into(),
        message: "words".into(),
    };
    records.iter().map(letter).collect()
}

fn numbered(count: usize) -> Vec<Record> {
    (0..count).map(|number| a_record(&format!("{number}"))).collect()
}

#[tokio::test]
async fn letters_go_back_with_id_key_and_source_for_their_destination_only() {
    let bench = Bench::new();
    let record = Record { hash_key: Some(7), ..a_record("one") };
    bench.put("archive", std::slice::from_ref(&record));

    let replayed = bench.replay().await.unwrap();

    assert_eq!(replayed, Replayed { records: 1, files: 1, ..Replayed::default() });
    let back = bench.queue.0.lock().unwrap().records.clone();
    assert_eq!(back, [Record { only_for: Some("archive".into()), ..record }]);
    assert_eq!((bench.files(), bench.marks()), (Vec::new(), Vec::new()));
    assert_eq!(bench.replay().await.unwrap(), Replayed::default());
    bench.end();
}

#[tokio::test]
async fn lines_that_never_got_into_the_stream_go_back_for_everybody() {
    let bench = Bench::new();
    let line = a_record("line");
    bench.put("tail.nginx", std::slice::from_ref(&line));
    bench.replay().await.unwrap();
    assert_eq!(bench.queue.0.lock().unwrap().records, [line]);
    bench.end();
}

#[tokio::test]
async fn letters_of_a_destination_that_is_gone_stay_until_somebody_says_where_they_go() {
    let bench = Bench::new();
    bench.put("archive", &numbered(1));
    bench.put("old", &numbered(3));
    let files = bench.files();
    let writers = BTreeMap::from([("access".to_owned(), bench.queue.clone())]);
    let order = async |filter: &Filter, to: Option<&str>| {
        replay_into(disk(), &bench.folder, (filter, to), &writers).await
    };
    let of_old = Filter { destination: Some("old".into()), ..Filter::default() };

    for filter in [&Filter::default(), &of_old] {
        let words = order(filter, None).await.unwrap_err();
        assert_eq!(
            words,
            "stream `access` has no destination `old` any more, so nobody would deliver its \
             letters; it has `archive`, `lake`, `mirror`. Nothing was put back; for another \
             destination: `weir dead replay --stream access --destination old --to archive`."
        );
    }
    let words = order(&of_old, Some("nowhere")).await.unwrap_err();
    assert_eq!(
        words,
        "stream `access` has no destination `nowhere`; it has `archive`, `lake`, `mirror`. \
         Nothing was put back."
    );
    assert_eq!((bench.payloads().len(), bench.files()), (0, files));

    // One that means none of them is not held up by them.
    let others = Filter { code: Some("Other".into()), ..Filter::default() };
    assert_eq!(order(&others, None).await, Ok(Replayed::default()));

    bench.groups_left(Some(0));
    order(&of_old, Some("lake")).await.unwrap_err();
    assert_eq!(bench.files().len(), 2, "what is not durable in the queue stays on the shelf");
    bench.groups_left(None);
    let replayed = order(&of_old, Some("lake")).await.unwrap();
    assert_eq!((replayed.records, replayed.files), (3, 1));
    let only_for: Vec<_> =
        bench.queue.0.lock().unwrap().records.iter().map(|one| one.only_for.clone()).collect();
    assert_eq!(only_for, vec![Some("lake".into()); 3]);
    assert_eq!(order(&Filter::default(), None).await.unwrap().records, 1);
    bench.end();
}

#[tokio::test]
async fn a_filter_leaves_the_other_letters_where_they_are() {
    let bench = Bench::new();
    bench.put("archive", &numbered(1));
    bench.put("mirror", &[a_record("m")]);
    let only = |stream: Option<&str>, destination: Option<&str>| Filter {
        stream: stream.map(str::to_owned),
        destination: destination.map(str::to_owned),
        ..Filter::default()
    };

    let none = bench.replay_only(&only(Some("other"), None)).await.unwrap();
    assert_eq!(none, Replayed::default());
    let one = bench.replay_only(&only(Some("access"), Some("mirror"))).await.unwrap();
    assert_eq!((one.records, bench.payloads()), (1, vec!["m".to_owned()]));
    assert_eq!(bench.files().len(), 1);
    bench.end();
}

#[tokio::test]
async fn a_replay_cut_off_anywhere_and_repeated_puts_each_letter_back_once() {
    let expected: Vec<_> = (0..1_700).map(|number| number.to_string()).collect();
    for groups in 0..5 {
        let bench = Bench::new();
        bench.put("archive", &numbered(1_700));
        bench.groups_left(Some(groups));

        let words = bench.replay().await.unwrap_err();
        assert!(words.contains("is full"), "{groups}: {words}");
        bench.groups_left(None);
        bench.replay().await.unwrap();

        assert_eq!(bench.payloads(), expected, "cut off behind {groups} groups");
        assert_eq!((bench.files(), bench.marks()), (Vec::new(), Vec::new()), "{groups}");
        bench.end();
    }
}

#[tokio::test]
async fn a_crash_between_the_last_group_and_the_removal_puts_nothing_back_twice() {
    let bench = Bench::new();
    bench.put("archive", &numbered(3));
    let path = bench.files().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    bench.groups_left(Some(1));
    let words = bench.replay().await.unwrap_err();
    assert!(words.contains("its mark stays"), "{words}");
    assert_eq!(bench.marks().len(), 1);
    bench.groups_left(None);

    // The file was removed, but the crash came before the folder was synced.
    let taken = path.with_extension("ndjson.taken");
    std::fs::write(&taken, &bytes).unwrap();
    let replayed = bench.replay().await.unwrap();
    assert_eq!((replayed.records, replayed.files, bench.payloads().len()), (0, 1, 3));
    assert_eq!((bench.files(), bench.marks()), (Vec::new(), Vec::new()));

    // A mark whose file is gone is forgotten by the way.
    bench.queue.0.lock().unwrap().marks.insert("replay/archive/gone".into(), Bytes::new());
    bench.replay().await.unwrap();
    assert_eq!(bench.marks(), Vec::<String>::new());
    bench.end();
}

#[tokio::test]
async fn what_is_no_record_stays_and_is_reported() {
    let bench = Bench::new();
    let broken = bare(Bytes::from_static(b"\xff"));
    bench.put("archive", &[a_record("a"), broken.clone(), a_record("b")]);

    let replayed = bench.replay().await.unwrap();
    assert_eq!((replayed.records, replayed.files, replayed.left), (2, 1, 1));
    assert_eq!(bench.payloads(), ["a", "b"]);

    let files = bench.files();
    assert_eq!(files.len(), 1);
    let replayed = bench.replay().await.unwrap();
    assert_eq!((replayed.records, replayed.files, replayed.left), (0, 0, 1));
    assert_eq!(bench.files(), files, "a file of nothing else stays as it is");
    bench.end();
}

#[tokio::test]
async fn a_file_in_use_and_a_stream_that_is_gone_are_told() {
    let bench = Bench::new();
    bench.put("archive", &numbered(1));
    let held = take(&RealDisk, &bench.files()[0]).unwrap().unwrap();

    let replayed = bench.replay().await.unwrap();
    assert!(replayed.notes[0].contains("is in use just now"), "{:?}", replayed.notes);

    drop(held);
    let none: BTreeMap<String, Queue> = BTreeMap::new();
    let replayed =
        replay_into(disk(), &bench.folder, (&Filter::default(), None), &none).await.unwrap();
    assert!(replayed.notes[0].contains("no stream `access`"), "{:?}", replayed.notes);
    assert_eq!(bench.replay().await.unwrap().records, 1);
    bench.end();
}

#[tokio::test]
async fn letters_put_on_the_shelf_during_a_replay_are_not_lost() {
    let bench = Bench::new();
    let mut shelf = bench.shelf("archive");
    for round in 0..20 {
        shelf.put(&letters("archive", &[a_record(&format!("{round} before"))])).unwrap();
        let (replayed, ()) = tokio::join!(bench.replay(), async {
            shelf.put(&letters("archive", &[a_record(&format!("{round} during"))])).unwrap();
        });
        replayed.unwrap();
    }
    bench.replay().await.unwrap();
    let mut payloads = bench.payloads();
    payloads.sort();
    payloads.dedup();
    assert_eq!((payloads.len(), bench.payloads().len()), (40, 40));
    bench.end();
}

/// Letters whose keys are `a` and `b` in turn, on a disk that will fail.
fn on_a_faulty_disk(count: usize) -> FaultyDisk {
    let disk = FaultyDisk::new();
    let folder = PathBuf::from("/dead");
    let mut shelf =
        Shelf::open(disk.shared(), &letters_settings(folder), "access", "archive").unwrap();
    let key = |number: usize| Some(if number.is_multiple_of(2) { "a" } else { "b" }.to_owned());
    let records: Vec<_> = (0..count)
        .map(|number| Record {
            partition_key: key(number).map(Into::into),
            ..a_record(&number.to_string())
        })
        .collect();
    shelf.put(&letters("archive", &records)).unwrap();
    disk
}

#[tokio::test]
async fn a_replay_of_some_letters_killed_between_any_two_calls_loses_and_repeats_none() {
    const LETTERS: usize = 1_201;
    let folder = PathBuf::from("/dead");
    let of_key = |key: &str| Filter { key: Some(key.into()), ..Filter::default() };
    let mut was_cut = 0;
    for calls in 0.. {
        let mut is_done = true;
        for seed in [calls, calls + 1] {
            let disk = on_a_faulty_disk(LETTERS);
            let queue = Queue::default();
            let writers = BTreeMap::from([("access".to_owned(), queue.clone())]);
            disk.end_power_after(calls);
            let first = replay_into(disk.shared(), &folder, (&of_key("a"), None), &writers).await;
            is_done &= first.is_ok();
            was_cut += u32::from(first.is_err());
            disk.crash(seed);

            // Others are meant now, then all of them.
            disk.end_power_after(calls / 2);
            drop(replay_into(disk.shared(), &folder, (&of_key("b"), None), &writers).await);
            disk.crash(seed + 1);
            replay_into(disk.shared(), &folder, (&Filter::default(), None), &writers)
                .await
                .unwrap();

            let mut numbers: Vec<usize> = {
                let kept = queue.0.lock().unwrap();
                let number =
                    |record: &Record| std::str::from_utf8(&record.payload).unwrap().parse();
                kept.records.iter().map(|record| number(record).unwrap()).collect()
            };
            numbers.sort_unstable();
            assert_eq!(numbers, (0..LETTERS).collect::<Vec<_>>(), "{calls} calls, seed {seed}");
            assert!(queue.0.lock().unwrap().marks.is_empty(), "{calls} calls, seed {seed}");
            let left = shelves(&disk, &folder).unwrap().remove(0).files;
            assert_eq!(left, [], "{calls} calls, seed {seed}");
        }
        if is_done {
            assert!(was_cut > 20, "the power was cut {was_cut} times");
            return;
        }
    }
}

#[tokio::test]
async fn letters_that_are_not_meant_stay_and_can_be_put_back_later() {
    let disk = on_a_faulty_disk(10);
    let folder = PathBuf::from("/dead");
    let queue = Queue::default();
    let writers = BTreeMap::from([("access".to_owned(), queue.clone())]);
    let mut replayed = Vec::new();
    for key in [Some("c"), Some("a"), Some("a"), None, None] {
        let filter = Filter { key: key.map(str::to_owned), ..Filter::default() };
        let done = replay_into(disk.shared(), &folder, (&filter, None), &writers).await.unwrap();
        assert_eq!((done.left, &done.notes), (0, &Vec::new()));
        replayed.push(done.records);
    }
    assert_eq!(replayed, [0, 5, 0, 5, 0]);
}

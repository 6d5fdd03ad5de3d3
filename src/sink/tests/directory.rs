//! Objects on a real disk, and what a crash leaves of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::entries;
use crate::base::clock::Clock;
use crate::base::disk::RealDisk;
use crate::sink::{At, Compression, Directory, DirectorySettings, Fate, Sink};

/// 2026-11-22T06:05:19Z.
const NOW: u64 = 1_795_327_519_000;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let name = format!("weir-directory-{:032x}", crate::base::random::bits());
        Self(std::env::temp_dir().join(name))
    }

    fn settings(&self, compression: Compression) -> DirectorySettings {
        DirectorySettings {
            path: self.0.clone(),
            name: "archive".into(),
            object_bytes: 1_000_000,
            object_age: Duration::from_secs(60),
            compression,
        }
    }

    fn open(&self, compression: Compression) -> Directory {
        self.open_with(&self.settings(compression))
    }

    fn open_with(&self, settings: &DirectorySettings) -> Directory {
        Directory::open(Arc::new(RealDisk), Clock::starting_at(NOW), settings).unwrap()
    }

    /// The finished objects: where they lie, and what a reader finds in them.
    fn objects(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        collect(&self.0, &mut found);
        found.retain(|path| !path.starts_with(self.0.join(".open")));
        found.sort();
        found.into_iter().map(|path| (path.clone(), unpacked(&path))).collect()
    }

    fn texts(&self) -> Vec<String> {
        self.objects().into_iter().map(|(_, text)| text).collect()
    }

    /// The hidden files.
    fn hidden(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.0.join(".open"), &mut found);
        found
    }

    fn remove(self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

fn unpacked(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|end| end.to_str()) {
        Some("gz") => {
            flate2::read::MultiGzDecoder::new(&bytes[..])
                .read_to_string(&mut text)
                .map(drop)
                .unwrap();
        }
        Some("zst") => {
            text = String::from_utf8(zstd::stream::decode_all(&bytes[..]).unwrap()).unwrap()
        }
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

#[tokio::test(start_paused = true)]
async fn objects_have_firehoses_shape_and_are_finished_by_close() {
    for (packing, end) in [
        (Compression::None, ".ndjson"),
        (Compression::Gzip, ".ndjson.gz"),
        (Compression::Zstd, ".ndjson.zst"),
    ] {
        let scratch = Scratch::new();
        let sink = scratch.open(packing);

        let first = sink.put(entries(&sink, &["one", "two\n"])).await;
        let second = sink.put(entries(&sink, &["three"])).await;
        assert_eq!(scratch.objects(), [], "an object is seen only when it is finished");
        sink.close().await;

        assert_eq!((first, second), (Ok(vec![Fate::Taken; 2]), Ok(vec![Fate::Taken])));
        let objects = scratch.objects();
        let (path, text) = &objects[0];
        assert_eq!((objects.len(), text.as_str()), (1, "one\ntwo\nthree\n"));
        assert!(path.starts_with(scratch.0.join("2026/11/22/06")), "{path:?}");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("archive-1-2026-11-22-06-05-19-") && name.ends_with(end),
            "{name}"
        );
        assert_eq!(scratch.hidden(), Vec::<PathBuf>::new());
        scratch.remove();
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_is_finished_when_it_is_full() {
    let scratch = Scratch::new();
    let settings = DirectorySettings { object_bytes: 8, ..scratch.settings(Compression::None) };
    let sink = scratch.open_with(&settings);

    for text in ["one", "two", "three"] {
        assert_eq!(sink.put(entries(&sink, &[text])).await, Ok(vec![Fate::Taken]));
    }

    assert_eq!(scratch.texts(), ["one\ntwo\n"]);
    sink.close().await;
    let mut texts = scratch.texts();
    texts.sort();
    assert_eq!(texts, ["one\ntwo\n", "three\n"]);
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn an_object_is_finished_by_its_age_without_another_put() {
    let scratch = Scratch::new();
    let sink = scratch.open(Compression::None);
    sink.put(entries(&sink, &["lonely"])).await.unwrap();

    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(scratch.texts(), Vec::<String>::new());
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The file work itself runs on another thread, which the paused clock does not wait for.
    while scratch.texts().is_empty() {
        tokio::task::yield_now().await;
    }

    assert_eq!(scratch.texts(), ["lonely\n"]);
    sink.put(entries(&sink, &["next"])).await.unwrap();
    sink.close().await;
    assert_eq!(scratch.texts().len(), 2);
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn what_a_crash_left_is_cut_to_the_last_whole_put_and_finished() {
    for packing in [Compression::None, Compression::Gzip, Compression::Zstd] {
        for torn in
            [&b""[..], &[0, 0, 0, 0], &[0x1f, 0x8b, 8], &[0x28, 0xb5, 0x2f, 0xfd, 4], b"half a rec"]
        {
            let scratch = Scratch::new();
            let sink = scratch.open(packing);
            sink.put(entries(&sink, &["one"])).await.unwrap();
            sink.put(entries(&sink, &["two"])).await.unwrap();
            drop(sink);
            let hidden = scratch.hidden();
            let mut bytes = std::fs::read(&hidden[0]).unwrap();
            bytes.extend_from_slice(torn);
            std::fs::write(&hidden[0], bytes).unwrap();

            drop(scratch.open(packing));

            assert_eq!(scratch.texts(), ["one\ntwo\n"], "{packing:?} {torn:?}");
            assert_eq!(scratch.hidden(), Vec::<PathBuf>::new());
            scratch.remove();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_destination_left_that_is_no_more_is_finished_by_any_other_of_the_folder() {
    let scratch = Scratch::new();
    let settings = scratch.settings(Compression::Gzip);
    let gone = scratch.open_with(&DirectorySettings { name: "gone".into(), ..settings });
    gone.put(entries(&gone, &["one"])).await.unwrap();
    drop(gone);

    drop(scratch.open(Compression::None));

    assert_eq!((scratch.texts(), scratch.hidden().len()), (vec!["one\n".into()], 0));
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn a_hidden_file_without_one_whole_put_is_removed() {
    for packing in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let scratch = Scratch::new();
        let sink = scratch.open(packing);
        sink.put(entries(&sink, &["one"])).await.unwrap();
        drop(sink);
        std::fs::write(&scratch.hidden()[0], b"x").unwrap();

        drop(scratch.open(packing));

        assert_eq!(scratch.objects(), []);
        assert_eq!(scratch.hidden(), Vec::<PathBuf>::new());
        scratch.remove();
    }
}

#[tokio::test(start_paused = true)]
async fn two_sinks_on_one_folder_leave_each_others_open_object_alone() {
    let scratch = Scratch::new();
    let first = scratch.open(Compression::None);
    first.put(entries(&first, &["of the first"])).await.unwrap();

    let second = scratch.open(Compression::None);
    assert_eq!(scratch.objects(), []);
    second.put(entries(&second, &["of the second"])).await.unwrap();
    first.put(entries(&first, &["of the first again"])).await.unwrap();
    first.close().await;
    second.close().await;

    let mut texts = scratch.texts();
    texts.sort();
    assert_eq!(texts, ["of the first\nof the first again\n", "of the second\n"]);
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_that_was_cut_off_left_is_finished_with_the_next_object_of_the_one_after() {
    let scratch = Scratch::new();
    let first = scratch.open(Compression::None);
    first.put(entries(&first, &["of the first"])).await.unwrap();
    let second = scratch.open(Compression::None);
    // It had not let go yet, and never closes.
    drop(first);
    assert_eq!(scratch.objects(), []);

    second.put(entries(&second, &["of the second"])).await.unwrap();

    assert_eq!((scratch.texts(), scratch.hidden().len()), (vec!["of the first\n".into()], 1));
    second.close().await;
    scratch.remove();
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_is_a_fault_of_the_disk() {
    let scratch = Scratch::new();
    let sink = scratch.open(Compression::None);
    std::fs::remove_dir_all(scratch.0.join(".open")).unwrap();

    let fault = sink.put(entries(&sink, &["one"])).await.unwrap_err();
    assert_eq!((fault.at, fault.code.as_str()), (At::Disk, "disk-failed"));

    std::fs::create_dir(scratch.0.join(".open")).unwrap();
    sink.put(entries(&sink, &["one"])).await.unwrap();
    sink.close().await;
    assert_eq!(scratch.texts(), ["one\n"]);
    scratch.remove();
}

//! A program that logs numbered lines, whatever happens to its file, and what must become of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wait_for;

/// Between two bursts.
const PACE: Duration = Duration::from_millis(5);

/// Writes until it is dropped or stopped.
#[derive(Debug)]
pub struct Writer {
    stopping: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// The number of a line.
pub fn number_of(line: &str) -> Option<u64> {
    line.split(' ').next()?.parse().ok()
}

/// Line of a number: as long as log lines are.
pub fn line(number: u64) -> String {
    let rest = "x".repeat(usize::try_from(number % 97).unwrap());
    format!("{number} GET /orders/{} HTTP/1.1 {rest}", number * 7)
}

impl Writer {
    /// Appends bursts of so many lines; opens its file anew when another one stands at the path, as
    /// well-behaved loggers do. It creates it only once.
    pub fn start(path: &Path, burst: u64) -> Self {
        let (stopping, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = thread::spawn({
            let (path, stopping, written) = (path.to_owned(), stopping.clone(), written.clone());
            move || {
                let mut file = open(&path);
                while !stopping.load(Ordering::Relaxed) {
                    let there = fs::metadata(&path).map(|meta| meta.ino()).ok();
                    if there.is_some() && there != file.metadata().map(|meta| meta.ino()).ok() {
                        file = open(&path);
                    }
                    for _ in 0..burst {
                        let number = written.load(Ordering::Relaxed);
                        file.write_all((line(number) + "\n").as_bytes()).unwrap();
                        written.store(number + 1, Ordering::Relaxed);
                    }
                    thread::sleep(PACE);
                }
            }
        });
        Self { stopping, written, thread: Some(thread) }
    }

    /// How many lines it has written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until it has written so many more.
    #[track_caller]
    pub fn wait_for_more(&self, lines: u64) {
        let enough = self.written() + lines;
        wait_for("the writer to write", || (self.written() >= enough).then_some(()));
    }

    /// Ends it; gives how many lines it wrote.
    pub fn stop(mut self) -> u64 {
        self.end();
        self.written()
    }

    fn end(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

fn open(path: &Path) -> File {
    File::options().append(true).create(true).open(path).unwrap()
}

/// Every line that stands in the files of a folder, compressed or not: what is in them counts, not
/// what was meant to be. By number, with how many files hold it.
pub fn in_files(folder: &Path) -> BTreeMap<u64, usize> {
    let mut lines = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        for line in text(&entry.unwrap().path()).lines() {
            *lines.entry(number_of(line).unwrap()).or_default() += 1;
        }
    }
    lines
}

fn text(path: &PathBuf) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|end| end.to_str()) {
        Some("gz") => {
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
        }
        Some("zst") => {
            text = String::from_utf8(zstd::decode_all(bytes.as_slice()).unwrap()).unwrap()
        }
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

/// Asserts that lines arrived as they were written: each whole, none twice, those of one file in
/// their order. Gives the numbers of those below `written` that did not arrive.
#[track_caller]
pub fn missing<'a>(
    arrived: impl IntoIterator<Item = &'a str>,
    folder: &Path,
    written: u64,
) -> Vec<u64> {
    let mut places = BTreeMap::new();
    for (place, got) in arrived.into_iter().enumerate() {
        let number = number_of(got).unwrap_or_else(|| panic!("no line of ours: {got:?}"));
        assert_eq!(got, line(number));
        assert_eq!(places.insert(number, place), None, "line {number} came twice");
    }
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = text(&path);
        let of_file = text.lines().filter_map(|line| places.get(&number_of(line)?));
        assert!(of_file.is_sorted(), "the lines of {} came out of order", path.display());
    }
    (0..written).filter(|number| !places.contains_key(number)).collect()
}

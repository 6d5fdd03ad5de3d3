//! The room as its insiders see it: a door that records, a folder to write into, one step at a time.

mod copies;
mod done;
mod events;
mod framing;
mod meeting;
mod model;
mod packed;
mod reading;
mod refusals;
mod registry;
mod restarts;
mod rotation;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::board::Board;
use super::file::Followed;
use super::files::GRACE;
use super::follower::{End, Follower, Pace};
use super::metrics::BlockNumbers;
use super::{DoneSettings, FileStatus, Settings, StartAt, mark};
use crate::admission::{Receipt, Refusal, Rejection};
use crate::base::clock::Clock;
use crate::dead_letter::{self, Letter};
use crate::record::RawRecord;
use crate::source::door::Door;
use crate::source::framing as lines;
use crate::telemetry::Metrics;

/// A folder of one's own; it stays when the test fails.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("weir-tail-{:016x}", fastrand::u64(..)));
        fs::create_dir_all(&folder).unwrap();
        Self(fs::canonicalize(folder).unwrap())
    }

    /// `""` is the folder itself.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.0.clone() } else { self.0.join(name) }
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Appends, as a program that logs does.
    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
    }

    /// As `gzip` and `zstd --rm` do: the time of the last change stays.
    pub(super) fn pack(&self, name: &str, end: &str) {
        let from = self.path(name);
        let changed = fs::metadata(&from).unwrap().modified().unwrap();
        let to = self.path(&format!("{name}{end}"));
        fs::write(&to, packed(&fs::read(&from).unwrap(), end)).unwrap();
        fs::File::options().append(true).open(to).unwrap().set_modified(changed).unwrap();
        fs::remove_file(from).unwrap();
    }

    pub(super) fn truncate(&self, name: &str) {
        fs::OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(0).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the folder stays: {}", self.0.display());
        } else {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }
}

/// Stands in for admission and the queue behind it: what it holds outlives a crash.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIn {
    store: Arc<Mutex<Store>>,
    stored: Arc<Notify>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) lines: Vec<Bytes>,
    pub(super) marks: BTreeMap<String, Bytes>,
    pub(super) letters: Vec<Letter>,
    /// The lines of each group.
    pub(super) groups: Vec<usize>,
    pub(super) refuse: Option<Refusal>,
    /// The process dies at the next hand-in: before it is stored, or after.
    pub(super) die: Option<Death>,
    /// Most bytes of lines in a group.
    pub(super) group_bytes_max: Option<usize>,
    /// Lines longer than this are rejected.
    pub(super) line_bytes_max: Option<usize>,
    pub(super) shelf_is_broken: bool,
    /// Delivered up to here.
    pub(super) settled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    BeforeStoring,
    AfterStoring,
}

impl StandIn {
    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let text = |line: &Bytes| String::from_utf8_lossy(line).into_owned();
        self.store().lines.iter().map(text).collect()
    }

    fn admit_now(&self, raw: &[RawRecord]) -> (Vec<Bytes>, Vec<Rejection>) {
        let max = self.store().line_bytes_max;
        let (mut admitted, mut rejections) = (Vec::new(), Vec::new());
        for (index, raw) in raw.iter().cloned().enumerate() {
            if max.is_some_and(|max| raw.payload.len() > max) {
                let reason = "too long".to_owned();
                rejections.push(Rejection::too_large(index, reason, raw));
            } else {
                admitted.push(raw.payload);
            }
        }
        (admitted, rejections)
    }

    fn store_now(
        &self,
        lines: Vec<Bytes>,
        marks: BTreeMap<String, Option<Bytes>>,
    ) -> Result<Receipt, Refusal> {
        let mut store = self.store();
        if let Some(refusal) = store.refuse.clone() {
            return Err(refusal);
        }
        let bytes: usize = lines.iter().map(Bytes::len).sum();
        if let Some(limit) = store.group_bytes_max.filter(|limit| bytes > *limit) {
            return Err(Refusal::TooLarge { limit: limit as u64 });
        }
        let death = store.die.take();
        if death == Some(Death::BeforeStoring) {
            return Err(Refusal::Stopping);
        }
        let accepted = lines.len();
        store.lines.extend(lines);
        store.groups.push(accepted);
        for (name, value) in marks {
            assert!(name.len() <= 255);
            match value {
                Some(value) => drop(store.marks.insert(name, value)),
                None => drop(store.marks.remove(&name)),
            }
        }
        if death.is_some() {
            return Err(Refusal::Stopping);
        }
        let mut receipt = Receipt::pretended(u32::try_from(accepted).unwrap());
        receipt.place = store.lines.len() as u64;
        Ok(receipt)
    }
}

impl Door for StandIn {
    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let store = self.store();
        let ours = store.marks.iter().filter(|(name, _)| name.starts_with(prefix));
        ours.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn settled(&self) -> u64 {
        self.store().settled
    }

    type Admitted = Vec<Bytes>;

    async fn admit(
        &self,
        raw: Arc<Vec<RawRecord>>,
    ) -> Result<(Vec<Bytes>, Vec<Rejection>), Refusal> {
        Ok(self.admit_now(&raw))
    }

    async fn store(
        &self,
        admitted: Vec<Bytes>,
        marks: BTreeMap<String, Option<Bytes>>,
    ) -> Result<Receipt, Refusal> {
        let answer = self.store_now(admitted, marks);
        self.stored.notify_one();
        answer
    }

    async fn shelve(&self, letters: Vec<Letter>) -> io::Result<()> {
        let mut store = self.store();
        if store.shelf_is_broken {
            return Err(io::Error::other("no shelf"));
        }
        store.letters.extend(letters);
        Ok(())
    }
}

/// A folder, a door, and a follower between them that can be started and killed.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) scratch: Scratch,
    pub(super) door: StandIn,
    pub(super) settings: Settings,
    board: Board,
    numbers: BlockNumbers,
    follower: Option<Follower<StandIn>>,
}

impl Room {
    /// Follows `include` below a new folder.
    pub(super) fn new(include: &[&str]) -> Self {
        let scratch = Scratch::new();
        let settings = Settings {
            name: "t".into(),
            include: include.iter().map(|glob| scratch.text(glob)).collect(),
            exclude: Vec::new(),
            stream: "s".into(),
            route: None,
            start_at: StartAt::Beginning,
            framing: lines::Settings { record_bytes_max: 1000, ..Default::default() },
            envelope: None,
            ignore_older: None,
            pinned_bytes_max: u64::MAX,
            done: DoneSettings::default(),
            is_once: false,
            rescan_every: Duration::from_secs(3600),
            dead_letters: dead_letter::Settings {
                folder: scratch.path("dead"),
                max_bytes: 1,
                max_age: Duration::from_secs(1),
            },
        };
        let numbers = BlockNumbers::register(&Metrics::default(), "t");
        let board = Board::new(numbers.clone(), None, BTreeMap::new());
        Self { scratch, door: StandIn::default(), settings, board, numbers, follower: None }
    }

    pub(super) fn start(&mut self) {
        self.numbers = BlockNumbers::register(&Metrics::default(), "t");
        self.board = Board::new(self.numbers.clone(), None, BTreeMap::new());
        let (settings, door) = (self.settings.clone(), self.door.clone());
        let (board, numbers) = (self.board.clone(), self.numbers.clone());
        let follower = Follower::new(settings, door, Clock::starting_at(1), board, numbers);
        self.follower = Some(follower.unwrap());
    }

    pub(super) fn kill(&mut self) {
        self.follower = None;
    }

    pub(super) fn is_up(&self) -> bool {
        self.follower.is_some()
    }

    pub(super) async fn restart(&mut self) {
        self.kill();
        self.start();
        self.run_dry().await;
    }

    pub(super) async fn scan(&mut self) {
        let follower = self.follower.as_ref().unwrap();
        follower.scan(follower.globs().find(&mut |_, _| {})).await;
    }

    /// Files at these names were made; `false` if only a scan can tell what some of them are.
    pub(super) async fn appeared(&self, names: &[&str]) -> bool {
        let paths = names.iter().map(|name| self.scratch.path(name)).collect();
        self.follower.as_ref().unwrap().meet(paths).await.is_empty()
    }

    pub(super) fn written(&self, name: &str) {
        self.follower.as_ref().unwrap().wake([&self.scratch.path(name)]);
    }

    /// One step; the follower is gone if it died in it.
    pub(super) async fn step(&mut self) -> Option<Pace> {
        match self.follower.as_mut()?.step().await {
            Ok(pace) => Some(pace),
            Err(End::Stopping) => {
                self.kill();
                None
            }
            Err(End::Failed(why)) => panic!("{why}"),
        }
    }

    /// Steps until there is nothing to do but wait.
    pub(super) async fn steps(&mut self) {
        for _ in 0..10_000 {
            if self.step().await != Some(Pace::Now) {
                return;
            }
        }
        panic!("it never rests");
    }

    /// Scans, and steps until there is nothing to do but wait.
    pub(super) async fn run_dry(&mut self) {
        self.scan().await;
        self.steps().await;
    }

    /// Lets everything that left its path come to its end.
    pub(super) async fn grace(&mut self) {
        for _ in 0..3 {
            self.run_dry().await;
            tokio::time::advance(GRACE + Duration::from_millis(1)).await;
        }
        self.run_dry().await;
    }

    /// What is followed, a line each, to find a fault by.
    pub(super) fn sketch(&self) -> String {
        let Some(follower) = &self.follower else { return String::new() };
        let files = follower.files.lock().unwrap();
        let one = |file: &Followed| {
            let name = file.path.file_name().unwrap_or_default().display();
            let (position, pending) = (file.progress.position, file.latest().position);
            format!(
                "\n    {name} {} {position}/{pending} of {} {:?} {:?} since {}",
                file.id.inode, file.bytes, file.stand, file.place, file.progress.changed_unix_ns
            )
        };
        files.all.values().map(one).collect()
    }

    #[track_caller]
    pub(super) fn check(&self, lines: &[&str]) {
        assert_eq!(self.door.lines(), lines);
    }

    /// The paths below the folder, with their sizes and queued positions.
    pub(super) fn status(&self) -> Vec<(String, u64, u64)> {
        let row = |row: FileStatus| {
            let name = row.path.strip_prefix(self.scratch.path("")).unwrap();
            (name.to_str().unwrap().to_owned(), row.bytes, row.queued)
        };
        self.board.read().into_iter().map(row).collect()
    }

    /// How many files are being decompressed.
    pub(super) fn unpacking(&self) -> usize {
        self.follower.as_ref().unwrap().files.lock().unwrap().unpacking().len()
    }

    pub(super) fn marks(&self) -> usize {
        self.door.marks("tail/t/").len()
    }

    pub(super) fn numbers(&self) -> &BlockNumbers {
        &self.numbers
    }
}

/// As gzip or zstd would leave it.
pub(super) fn packed(text: &[u8], end: &str) -> Vec<u8> {
    if end == ".zst" {
        return zstd::encode_all(text, 1).unwrap();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn id_of(path: &Path) -> crate::base::disk::foreign::ForeignId {
    crate::base::disk::foreign::look(path).unwrap().id
}

pub(super) fn full() -> Option<Refusal> {
    Some(Refusal::Full { retry_after: Duration::from_secs(2) })
}

pub(super) fn mark_of(door: &StandIn, path: &Path) -> Option<mark::Saved> {
    let saved = door.marks("tail/t/").into_iter().filter_map(|(_, value)| mark::decode(value).ok());
    saved.into_iter().find(|saved| saved.id == id_of(path))
}

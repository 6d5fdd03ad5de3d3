//! Follows files by glob and hands their lines over; the position is committed with the lines.
//!
//! Always: a position moves only with the receipt for its lines, and is stored in the same group;
//! a file is never held up by a long line, a failed read or another file.
//! Never: changes what a file holds, or its name unless the operator wants that; keeps lines in memory beyond one round. Start at `follower`.

mod run;

mod follower;

mod watch;

mod news;

mod aside;
mod census;
mod done;
mod generations;
mod heirs;
mod kin;
mod round;
mod unpack;

mod files;

mod body;
mod file;

mod find;

mod search;

mod handles;
mod names;
mod progress;
mod route;
mod thrift;
mod turn;
mod unsettled;

mod envelope;
mod mark;

mod registry;
mod sent;

mod board;
mod metrics;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Admission;
use crate::base::clock::Clock;
use crate::base::disk::{SharedDisk, foreign};
use crate::base::shutdown::Stopping;
use crate::base::tasks::blocking;
use crate::dead_letter;
use crate::source::framing;
use crate::state::Area;
use crate::telemetry::Metrics;

pub use done::{DoneSettings, WhenDone};
pub use envelope::Settings as EnvelopeSettings;
pub use route::Route;

use super::door::FrontDoor;
use board::Board;
use find::Globs;
use follower::Follower;
use metrics::BlockNumbers;
use registry::Registry;
use sent::Sent;
use watch::Watch;

/// One `[tail.NAME]` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `NAME`.
    pub name: String,
    /// Globs of files to follow, by shell rules: `*` passes over hidden names, `**` stands for any
    /// folders below.
    pub include: Vec<String>,
    /// Globs of files to leave out; one without a slash is about the name alone: `*.gz`.
    pub exclude: Vec<String>,
    /// The stream that gets the lines.
    pub stream: String,
    /// Only the files that it leads to that stream are followed.
    pub route: Option<Route>,
    /// Where a file begins that was never seen before and was there at the first start.
    pub start_at: StartAt,
    /// How bytes become records.
    pub framing: framing::Settings,
    /// How often folders are looked through in case an event was missed.
    pub rescan_every: Duration,
    /// What is written around each record, if anything.
    pub envelope: Option<envelope::Settings>,
    /// Of a file whose content did not change for longer when it is first seen, only what is added later
    /// is read.
    pub ignore_older: Option<Duration>,
    /// Most bytes of deleted files that are kept open until they are read.
    pub pinned_bytes_max: u64,
    /// What becomes of files that are delivered to their end.
    pub done: DoneSettings,
    /// Read everything to the end, as if nothing would ever be added, and stop.
    pub is_once: bool,
    /// Where letters about lines that admission rejects lie, under `<stream>/tail.<name>`.
    pub dead_letters: dead_letter::Settings,
}

/// Where a file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// Behind what is already there.
    #[default]
    End,
    /// At its first byte.
    Beginning,
}

/// One followed file, for `weir status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Where it was last seen.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// How far it is read.
    pub read: u64,
    /// How far its lines are durable in the queue.
    pub queued: u64,
    /// Whether it was begun behind content that nobody wanted.
    pub is_passed_over: bool,
    /// When it went, in milliseconds since 1970, if it is gone.
    pub gone_unix_ms: Option<u64>,
    /// What the system said when it, or the folder, could not be read; it is tried at every scan.
    pub trouble: Option<String>,
    /// It was written since it was last read.
    is_written: bool,
    /// Its length on the disk and when it had changed, when it was last read to its end.
    seen: Option<(u64, i128)>,
    sent: Sent,
}

impl FileStatus {
    /// A folder or file at which nobody may look.
    fn unreadable(path: &Path, why: &str) -> Self {
        Self {
            path: path.to_path_buf(),
            bytes: 0,
            read: 0,
            queued: 0,
            is_passed_over: false,
            gone_unix_ms: None,
            trouble: Some(why.to_owned()),
            is_written: false,
            seen: None,
            sent: Sent::default(),
        }
    }

    /// Looks whether what stands at its path is what was read: the event of a write may not have come
    /// yet. Asked of those alone that may be called delivered.
    fn look_again(&mut self) {
        if self.gone_unix_ms.is_none()
            && self.queued >= self.bytes
            && let Ok(look) = foreign::look(&self.path)
        {
            self.is_written |= self.seen != Some((look.bytes, look.changed_unix_ns));
        }
    }

    /// How far every destination is done with its lines, when every destination is done with all
    /// records of the stream up to the place `settled`. Never more than is true.
    pub fn delivered(&self, settled: u64) -> u64 {
        self.sent.delivered(settled).min(self.queued)
    }

    /// Whether every destination is done with all of it, from its first byte to its last, an unfinished
    /// last line included.
    pub fn is_delivered(&self, settled: u64) -> bool {
        let is_read = self.trouble.is_none() && !self.is_passed_over && !self.is_written;
        is_read && self.queued >= self.bytes && self.sent.is_settled(settled)
    }
}

/// What a block stands on.
#[derive(Clone)]
pub struct Ground {
    /// For dead letters.
    pub disk: SharedDisk,
    /// The time.
    pub clock: Clock,
    /// Where the lines go; the marks of its queue say where reading goes on.
    pub admission: Arc<Admission>,
    /// Where what is known of the files is kept for `weir status`.
    pub registry: Area,
}

/// Checks a glob of [`Settings::include`] or [`Settings::exclude`].
///
/// # Errors
/// In words, where it is none and why.
pub fn check_glob(glob: &str) -> Result<(), String> {
    Globs::new(&[glob.to_owned()], &[]).map(drop)
}

/// Follows the files of one block.
#[derive(Debug)]
pub struct Tail {
    settings: Settings,
    clock: Clock,
    door: FrontDoor,
    board: Board,
    numbers: BlockNumbers,
}

impl Tail {
    /// Prepares to follow; the marks of the queue say where.
    pub fn new(settings: Settings, ground: Ground, metrics: &Metrics) -> Self {
        let Ground { disk, clock, admission, registry } = ground;
        let prefix = mark::prefix(&settings.name);
        let marks = admission.marks(&settings.stream, &prefix);
        let marks: BTreeSet<String> = marks.into_iter().map(|(name, _)| name).collect();
        let committed = admission.last_place(&settings.stream);
        let registry = Registry::new(registry, clock.clone(), committed);
        let gone = registry.gone(&prefix, &marks);
        let numbers = BlockNumbers::register(metrics, &settings.name);
        let door = FrontDoor {
            admission,
            disk,
            dead_letters: settings.dead_letters.clone(),
            stream: settings.stream.clone(),
            source: format!("tail.{}", settings.name),
            shelf: Arc::default(),
        };
        let board = Board::new(numbers.clone(), Some(registry), gone);
        Self { settings, clock, door, board, numbers }
    }

    /// The files it follows now; cheap to call from anywhere.
    pub fn watch(&self) -> Arc<dyn Fn() -> Vec<FileStatus> + Send + Sync> {
        let board = self.board.clone();
        Arc::new(move || board.read())
    }

    /// Follows until asked to stop; reads everything to the end and returns, if that is wanted.
    ///
    /// # Errors
    /// In words, when it cannot go on: a glob that is none, a stream that does not take its lines.
    pub async fn run(self, stopping: Stopping) -> Result<(), String> {
        let (name, rescan_every) = (self.settings.name.clone(), self.settings.rescan_every);
        let (board, numbers) = (self.board.clone(), self.numbers.clone());
        let follower =
            Follower::new(self.settings, self.door, self.clock, self.board, self.numbers)?;
        let globs = follower.globs();
        let watch = blocking(move || Watch::new(&name, globs)).await;
        let ended = tokio::select! {
            ended = run::run(follower, watch, rescan_every, stopping) => ended,
            () = board.keep() => Ok(()),
        };
        board.save();
        // It follows nothing any more; the counts of what it read stay.
        numbers.files.set(0);
        numbers.lag_bytes.set(0);
        ended
    }
}

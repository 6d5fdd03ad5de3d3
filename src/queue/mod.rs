//! A durable log of byte payloads on disk: one writer, one reader per destination.
//!
//! The writer's promise is [`Durable`]; a reader gives back what is durable and forgets what is
//! settled. Marks (named positions of a source) are committed in the same atomic frame as the
//! payloads they belong to.
//!
//! Uses: base, telemetry.
//! Always: a `Durable` was synced before it existed; positions only grow; a full queue refuses.
//! Never: looks into a payload; retries a failed sync; blocks an async task.
//! Bytes: docs/DISK_FORMAT.md. Start reading at `committer`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::base::disk::SharedDisk;
use crate::telemetry::Metrics;

/// How one queue is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The queue's own folder: `state_dir/queue/<stream>`.
    pub folder: PathBuf,
    /// The stream's name, for logs and metric labels.
    pub stream: String,
    /// Most bytes its segments may take on disk; at least 4 MiB.
    pub max_bytes: u64,
    /// Bytes that must stay free on the file system.
    pub min_free_disk: u64,
    /// Longest time between a settlement and its save: the bound of duplicates after a crash.
    pub cursor_save_after: Duration,
}

/// A place in the log: the number of the payload, counted from 1 at the queue's birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A named position of a source, or any other small state that must change together with the
/// payloads of its frame. The last value written under a name is the valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// At most 255 bytes: `tail/nginx/<file id>`.
    pub name: String,
    /// At most 4 KiB; `None` forgets the name.
    pub value: Option<Bytes>,
}

/// What is committed together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Any number of payloads, in order.
    pub payloads: Vec<Bytes>,
    /// Any number of marks.
    pub marks: Vec<Mark>,
}

/// Proof that a group is on stable storage. Only the committer makes one, after a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    first: Position,
    count: u32,
}

/// One payload that a reader gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub position: Position,
    /// Its bytes.
    pub payload: Bytes,
}

/// How much a reader gives out at once. At least one payload is given, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most payloads.
    pub count: usize,
    /// Most bytes of payload.
    pub bytes: usize,
}

/// What became of a payload, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The destination took it.
    Delivered,
    /// It lies in the dead-letter directory, synced.
    Dead,
    /// It was meant for another destination only and does not count here.
    Elsewhere,
}

/// The books of one destination: `accepted = delivered + dead + dropped + damaged + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Payloads made durable since this destination joined, without those for others only.
    pub accepted: u64,
    /// Taken by the destination.
    pub delivered: u64,
    /// In the dead-letter directory, or aged out of it.
    pub dead: u64,
    /// Dropped by a policy the operator chose.
    pub dropped: u64,
    /// Unreadable on disk, set aside in `quarantine/`.
    pub damaged: u64,
    /// Still owed.
    pub waiting: u64,
    /// Bytes on disk from the first payload still owed to the end.
    pub waiting_bytes: u64,
    /// When the oldest payload still owed was committed, in milliseconds since 1970.
    pub oldest_unix_ms: Option<u64>,
}

/// The queue as a whole, for `weir status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Payloads ever made durable here.
    pub committed: u64,
    /// Bytes the segments take on disk.
    pub used_bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// One row per destination.
    pub ledgers: Vec<(String, Ledger)>,
}

/// Why a queue could not be opened. Damage alone is no reason.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The disk.
    #[error("the queue in {folder} cannot be opened: {source}", folder = folder.display())]
    Io {
        /// The queue's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of another program, or of a weir that knows more.
    #[error("{file} is not a queue file this weir can read: {why}", file = file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it says of itself, and what this weir knows.
        why: String,
    },
}

/// Why a group was not stored. Nothing of it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The bound on the queue, or the floor of free disk, is reached.
    #[error("the queue is full: {used_bytes} of {max_bytes} bytes")]
    Full {
        /// Bytes in use.
        used_bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// The disk is full, or as full as `min_free_disk` lets it become.
    #[error("the disk is full: {free_bytes} bytes are free")]
    DiskFull {
        /// Bytes left.
        free_bytes: u64,
    },
    /// The group can never fit into a segment of this queue.
    #[error("{bytes} bytes in one group are more than this queue can hold at once: {max_bytes}")]
    TooLarge {
        /// Bytes of the group.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// The disk failed; the queue tries again by itself with a new file.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// The queue was closed; the agent is stopping.
    #[error("the queue is closed")]
    Closed,
}

/// An open queue.
#[derive(Debug)]
pub struct Queue {
    /// The one way in.
    pub writer: Writer,
    /// One way out per destination, in the order they were asked for.
    pub readers: Vec<Reader>,
}

/// Opens a queue, or makes a new one. Blocks; call it away from async threads. A destination seen
/// for the first time starts behind what is already there.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    disk: SharedDisk,
    settings: Settings,
    destinations: &[String],
    metrics: &Metrics,
) -> Result<Queue, OpenError> {
    let _ = (disk, settings, destinations, metrics);
    todo!()
}

/// Puts groups into the queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {}

impl Writer {
    /// Returns once the group is synced to disk. Dropping the future does not undo the append.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the group was stored then.
    pub async fn append(&self, group: Group) -> Result<Durable, AppendError> {
        let _ = group;
        todo!()
    }

    /// The marks whose names begin with `prefix`, as of the last commit.
    pub fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        let _ = prefix;
        todo!()
    }

    /// The numbers of this queue.
    pub fn overview(&self) -> Overview {
        todo!()
    }

    /// Whether the next append can be expected to succeed; else the reason, for readiness.
    ///
    /// # Errors
    /// The reason.
    pub fn health(&self) -> Result<(), AppendError> {
        todo!()
    }

    /// Commits what waits, saves the cursors, and refuses everything from then on.
    ///
    /// # Errors
    /// In words, what could not be saved.
    pub async fn close(&self) -> Result<(), String> {
        todo!()
    }
}

/// Gives one destination what is durable and not yet settled, in order.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// The destination it reads for.
    pub fn destination(&self) -> &str {
        todo!()
    }

    /// The next payloads, each given once per opening. Waits until there is at least one, and as
    /// long as too many given ones are not settled. Damage on disk is counted, set aside and passed.
    ///
    /// # Errors
    /// [`AppendError::Disk`] when the disk cannot be read now, [`AppendError::Closed`] at the end.
    pub async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        let _ = budget;
        todo!()
    }

    /// Settles payloads that were given out, in any order. The cursor is saved later, within
    /// [`Settings::cursor_save_after`]; settling twice changes nothing.
    pub fn settle(&self, positions: &[Position], how: Settled) {
        let _ = (positions, how);
        todo!()
    }

    /// The books of this destination.
    pub fn ledger(&self) -> Ledger {
        todo!()
    }
}

impl Durable {
    /// Place of the first payload of the group.
    pub fn first(&self) -> Position {
        self.first
    }

    /// How many payloads the group had.
    pub fn count(&self) -> u32 {
        self.count
    }
}

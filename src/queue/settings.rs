//! How a queue is kept, and the bounds that follow from it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cursor::WINDOW_MAX;
use super::frame::{self, Form};
use super::once::{self, KEY_COUNT_MAX};
use super::seal::Keys;
use super::segment;
use crate::base::units::Span;

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
    /// Whether what is written is packed by zstd where that pays. What is there is read anyway.
    pub compresses: bool,
    /// What it is sealed with, and was.
    pub keys: Keys,
    /// What is let go, and what becomes of it.
    pub policy: Policy,
    /// When what comes in is synced.
    pub sync: SyncLevel,
}

/// What the operator lets go; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What a full queue does.
    pub when_full: WhenFull,
    /// What has waited longer lapses.
    pub max_age: Option<Duration>,
    /// What becomes of it.
    pub lapsed: Lapsed,
    /// How long the key of a group is remembered; by default not at all.
    pub keys_kept: Duration,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuses what comes.
    #[default]
    Reject,
    /// Lets the oldest segment go.
    DropOldest,
}

/// What becomes of what lapsed before its destination took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lapsed {
    /// It is dropped and counted.
    #[default]
    Discard,
    /// It goes to the dead letters; until it lies there, it keeps its place in the queue.
    DeadLetter,
}

impl Settings {
    /// What becomes of bodies on their way to disk.
    pub(super) fn form(&self) -> Form {
        Form { is_packed: self.compresses, is_sealed: self.keys.current().is_some() }
    }
}

/// When what comes in is synced, and so what an answer promises. No level loses anything when the
/// process alone dies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncLevel {
    /// Before the answer: a power cut takes nothing that was answered.
    #[default]
    Always,
    /// After the answer, at most this much later: a power cut takes what is younger.
    Every(Duration),
    /// When a segment is full and when the queue closes; else when the system sees fit. A power cut
    /// takes what the system has not written yet.
    System,
}

impl fmt::Display for SyncLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => f.write_str("always"),
            Self::Every(interval) => Span(*interval).fmt(f),
            Self::System => f.write_str("os"),
        }
    }
}

/// Every bound of an open queue, in one place.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// Most bytes of all segments together.
    pub(super) max_bytes: u64,
    /// Bytes that must stay free on the file system.
    pub(super) min_free_disk: u64,
    /// Size of an ordinary segment.
    pub(super) segment_bytes: u64,
    /// Settled segments kept to be written over: as many as are filled between two saves of the
    /// cursors, each of which lets several go at once.
    pub(super) settled_max: usize,
    /// A frame takes groups up to this many bytes of body; a larger group is alone in its frame.
    pub(super) frame_bytes: usize,
    /// A frame takes at most this many groups.
    pub(super) frame_groups: usize,
    /// Most bytes of body in one group.
    pub(super) group_bytes: usize,
    /// Groups of so many bytes may wait for the committer; the next appender waits before them.
    pub(super) waiting_bytes: usize,
    /// Most names in the table of marks.
    pub(super) mark_count: usize,
    /// Most bytes of the table of marks: each new segment begins with a copy of it.
    pub(super) mark_bytes: usize,
    /// Most bytes of the table of idempotency keys, which is copied likewise.
    pub(super) key_bytes: usize,
    /// Positions a destination may be given without settling the oldest.
    pub(super) window: u64,
    /// Read from disk at once.
    pub(super) read_bytes: usize,
    /// The newest frames kept in memory for destinations that keep up.
    pub(super) ring_bytes: usize,
    /// Most bytes kept in `quarantine/`; damage beyond is counted, not copied.
    pub(super) quarantine_bytes: u64,
    /// The longest a frame waits for more groups.
    pub(super) linger: Duration,
    pub(super) sync: SyncLevel,
    /// Bytes of frames that may be answered and not synced: they are kept in memory, to be written
    /// anew if the sync fails.
    pub(super) unsynced_bytes: usize,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Below this a queue has no room for four segments of the least size.
const QUEUE_BYTES_MIN: u64 = 4 * MIB;
/// Three of the largest records (10 MiB each) may come in one group.
const GROUP_BYTES_MAX: u64 = 32 * MIB;
/// 64 Ki names of the usual length and value, about 250 bytes together.
const MARK_TABLE_BYTES_MAX: u64 = 16 * MIB;

/// Left free by the queue however little `min_free_disk` is. A record that must become a dead letter
/// holds its segment until the letter is written: without room for that, none would ever come.
const HEADROOM_BYTES: u64 = MIB;
/// A fast disk takes so much between two saves of the cursors.
const SETTLED_BYTES_MAX: u64 = 128 * MIB;
/// 64 Ki keys with a note of 24 bytes: a sixteenth of the largest segment.
const KEY_TABLE_BYTES_MAX: u64 = 4 * MIB;

impl Limits {
    /// The bounds of the table of idempotency keys.
    pub(super) fn once(&self, policy: &Policy) -> once::Bounds {
        once::Bounds { count: KEY_COUNT_MAX, bytes: self.key_bytes, age: policy.keys_kept }
    }

    pub(super) fn of(settings: &Settings) -> Self {
        let max_bytes = settings.max_bytes.max(QUEUE_BYTES_MIN);
        // Sixteen segments make the share that a slow destination holds for one record small.
        let segment_bytes = (max_bytes / 16 / MIB * MIB).clamp(MIB, 64 * MIB);
        let min_free_disk = settings.min_free_disk.max(HEADROOM_BYTES);
        Self::with_segments(max_bytes, segment_bytes, min_free_disk).with_sync(settings.sync)
    }

    pub(super) fn with_sync(mut self, sync: SyncLevel) -> Self {
        if sync != SyncLevel::Always {
            // A write alone is over before others could join it.
            self.linger = Duration::ZERO;
        }
        self.sync = sync;
        self
    }

    /// The bounds that follow from the size of the queue and of its segments.
    pub(super) fn with_segments(max_bytes: u64, segment_bytes: u64, min_free_disk: u64) -> Self {
        let mark_bytes = (segment_bytes / 2).min(MARK_TABLE_BYTES_MAX);
        // Two of the largest segments must fit: the newest is never removed, and the next must be
        // possible beside it. Each holds its header, the tables of marks and keys, the frame, a footer.
        let key_bytes = (segment_bytes / 16).min(KEY_TABLE_BYTES_MAX);
        let around = segment::HEADER_BYTES
            + mark_bytes
            + key_bytes
            + 4 * frame::HEADER_BYTES as u64
            + 4 * KIB;
        let group_bytes = (max_bytes / 2).saturating_sub(around).min(GROUP_BYTES_MAX);
        Self {
            max_bytes,
            min_free_disk,
            segment_bytes,
            settled_max: frame::in_memory((max_bytes / 2).min(SETTLED_BYTES_MAX) / segment_bytes)
                .max(2),
            frame_bytes: frame::in_memory((segment_bytes / 4).min(MIB)),
            frame_groups: 1024,
            group_bytes: frame::in_memory(group_bytes),
            waiting_bytes: frame::in_memory(8 * MIB),
            mark_count: 1 << 16,
            mark_bytes: frame::in_memory(mark_bytes),
            key_bytes: frame::in_memory(key_bytes),
            window: WINDOW_MAX,
            read_bytes: frame::in_memory(256 * KIB),
            ring_bytes: frame::in_memory((max_bytes / 16).min(4 * MIB)),
            quarantine_bytes: (max_bytes / 4).max(MIB),
            linger: Duration::from_millis(1),
            sync: SyncLevel::Always,
            unsynced_bytes: frame::in_memory((segment_bytes / 4).min(4 * MIB)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(max_bytes: u64, segment_bytes: u64, group_bytes_min: u64) {
        let settings = Settings {
            folder: PathBuf::new(),
            stream: String::new(),
            max_bytes,
            min_free_disk: 0,
            cursor_save_after: Duration::ZERO,
            policy: Policy::default(),
            compresses: false,
            keys: Keys::default(),
            sync: SyncLevel::Always,
        };
        let limits = Limits::of(&settings);
        assert_eq!(limits.segment_bytes, segment_bytes);
        assert!(limits.segment_bytes * 4 <= limits.max_bytes);
        assert!(limits.group_bytes as u64 >= group_bytes_min, "{limits:?}");
    }

    #[test]
    fn segments_are_1_to_64_mib_and_at_least_four_of_them_fit() {
        check(0, MIB, MIB);
        check(4 * MIB, MIB, MIB);
        check(24 * MIB, MIB, 11 * MIB);
        check(100 * MIB, 6 * MIB, 32 * MIB);
        check(1 << 30, 64 * MIB, 32 * MIB);
        check(1 << 40, 64 * MIB, 32 * MIB);
    }
}

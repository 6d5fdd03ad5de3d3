//! Why a queue could not be opened, and why a group was not stored.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::seal::KeyId;

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
    /// A segment that can be read only with a key that was not given. Nothing was changed.
    #[error(
        "{file} is sealed with the key {key}, which is not among those of this queue; nothing was \
         changed",
        file = file.display()
    )]
    NoKey {
        /// The segment.
        file: PathBuf,
        /// The key that is missing.
        key: KeyId,
    },
}

/// Why a group was not stored. Nothing of it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// The bound on the queue is reached.
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
    /// The table of marks has no room for another name.
    #[error("the positions of sources take {bytes} bytes with these, more than {max_bytes}")]
    MarksFull {
        /// Bytes of the table with the group's marks.
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

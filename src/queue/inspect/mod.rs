//! Looking into a queue's folder from outside: read only, without a lock, on a running agent, a
//! stopped one or a rescued copy; and purging, the one change, for a stopped agent.
//!
//! A frame that is being written at the end of the newest segment is "not yet complete", never
//! damage. Start reading at `look`.

mod cursors;
mod look;
mod purge;
mod scan;
mod summary;
mod verify;
mod walkthrough;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::KeyId;

pub use cursors::{CursorState, Destination, Standing};
pub use look::Look;
pub use purge::{Purged, PurgedRow, purge};
pub use scan::{DamagedRange, Depth, Seen, SeenFrame, Torn};
pub use summary::SegmentSummary;
pub use verify::{Gone, Verdict, verify};
pub use walkthrough::Walkthrough;

/// Why a queue's folder cannot be looked into, or not be purged. After [`LookError::Io`] a purge may
/// have settled a part, counted; it can be repeated. After the others nothing was changed.
#[derive(Debug, Error)]
pub enum LookError {
    /// The disk.
    #[error("{path} cannot be used: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is a folder, but it is no queue's.
    #[error("{folder} is not a queue's folder: {why}", folder = folder.display())]
    NoQueue {
        /// The folder.
        folder: PathBuf,
        /// What is missing, or what is there instead.
        why: &'static str,
    },
    /// A file of another program, or of a weir that knows more.
    #[error("{file} is not a queue file this weir can read: {why}", file = file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
        /// What it says of itself, and what this weir knows.
        why: String,
    },
    /// A segment is sealed with a key that was not given.
    #[error("{file} is sealed with the key {key}, which is not known here", file = file.display())]
    NoKey {
        /// The segment.
        file: PathBuf,
        /// The key that is missing.
        key: KeyId,
    },
    /// What waits for a destination is not known, because its cursor cannot be read.
    #[error(
        "the cursor of `{destination}` cannot be read, so what waits for it is not known; nothing \
         was purged"
    )]
    CursorUnreadable {
        /// The destination.
        destination: String,
    },
    /// The queue has no cursor of this name.
    #[error("the queue knows no destination `{destination}`; it knows {known}; nothing was purged")]
    NoDestination {
        /// As it was asked for.
        destination: String,
        /// The others, in words.
        known: String,
    },
}

impl LookError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

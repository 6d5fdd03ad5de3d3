//! The way in, as other rooms see it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::AppendError;
use super::frame;
use super::group::{Durable, Group, OnceKey};
use super::inflow::Inflow;
use super::ledger::Overview;
use super::marks::{NAME_BYTES_MAX, VALUE_BYTES_MAX};
use super::metrics::Shown as _;
use super::once::{self, NOTE_BYTES_MAX};
use super::reader::Reader;
use crate::base::tasks;

/// Puts groups into the queue; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    inflow: Arc<Inflow>,
}

impl Writer {
    pub(super) fn new(inflow: Arc<Inflow>) -> Self {
        Self { inflow }
    }

    /// Returns once the group is stored as the `sync` of its stream asks. Dropping the future does
    /// not undo the append.
    /// A group of nothing is stored at once.
    ///
    /// # Errors
    /// [`AppendError`]; nothing of the group was stored then.
    pub async fn append(&self, group: Group) -> Result<Durable, AppendError> {
        if group.payloads.is_empty() && group.marks.is_empty() && group.key.is_none() {
            return Ok(Durable::new(self.inflow.store.log().end() + 1, 0));
        }
        let bytes = self.size(&group)?;
        self.inflow.hand_in(group, bytes).await
    }

    /// A new way out for a destination: it gives everything that is not settled. The reader before it
    /// must be gone, or both give the same. `None` if the queue was opened without this destination.
    pub fn reader(&self, destination: &str) -> Option<Reader> {
        let store = &self.inflow.store;
        let at = store.books.iter().position(|books| books.destination == destination)?;
        store.books.get(at)?.begin_again();
        Some(Reader::new(Arc::clone(store), at, destination))
    }

    /// The marks whose names begin with `prefix`, as of the last commit.
    pub fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.inflow.store.marks().with_prefix(prefix)
    }

    /// Whether a group under this key, handed in now, would be answered as a repetition.
    pub fn is_repetition(&self, key: &OnceKey, unix_ms: u64) -> bool {
        let store = &self.inflow.store;
        let bounds = store.limits.once(&store.settings.policy);
        store.marks().keys.find(&key.print, unix_ms, &bounds).is_some()
    }

    /// The numbers of this queue.
    pub fn overview(&self) -> Overview {
        self.inflow.store.overview()
    }

    /// For how long the committer has been at one write, sync or other step; `None` while nothing
    /// is to be done.
    pub fn at_one_step_for(&self) -> Option<Duration> {
        self.inflow.at_one_step_for()
    }

    /// Whether the next append can be expected to succeed; else the reason, for readiness. After
    /// a failure of the disk, asking also makes the queue try again.
    ///
    /// # Errors
    /// The reason.
    pub fn health(&self) -> Result<(), AppendError> {
        if self.inflow.is_closed() {
            return Err(AppendError::Closed);
        }
        let Some(trouble) = self.inflow.store.trouble() else { return Ok(()) };
        self.inflow.mend();
        Err(trouble)
    }

    /// Commits what waits, saves the cursors, and refuses everything from then on. Readers still
    /// give out what is durable; closing again saves what they settled since.
    ///
    /// # Errors
    /// In words, what could not be saved.
    pub async fn close(&self) -> Result<(), String> {
        self.inflow.refuse_more();
        let inflow = Arc::clone(&self.inflow);
        tasks::blocking(move || inflow.finish()).await
    }

    /// Bytes of a group in a frame, if it is within the bounds.
    fn size(&self, group: &Group) -> Result<usize, AppendError> {
        let check = |bytes: usize, max_bytes: usize| {
            let (bytes, max_bytes) = (bytes as u64, max_bytes as u64);
            if bytes > max_bytes {
                return Err(AppendError::TooLarge { bytes, max_bytes });
            }
            Ok(())
        };
        for mark in &group.marks {
            check(mark.name.len(), NAME_BYTES_MAX)?;
            check(mark.value.as_ref().map_or(0, Bytes::len), VALUE_BYTES_MAX)?;
        }
        check(group.key.as_ref().map_or(0, |key| key.note.len()), NOTE_BYTES_MAX)?;
        let payloads: usize = group.payloads.iter().map(frame::payload_bytes).sum();
        let marks = group.marks.iter();
        let marks: usize =
            marks.map(|mark| frame::mark_bytes(&mark.name, mark.value.as_ref())).sum();
        let key = group.key.as_ref().map_or(0, once::entry_bytes);
        let bytes = payloads + marks + key;
        check(bytes, self.inflow.store.limits.group_bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({})", self.inflow.store.settings.stream)
    }
}

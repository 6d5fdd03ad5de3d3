//! What `weir status` shows of the followed files; kept up to date in passing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::FileStatus;
use super::file::Followed;
use super::metrics::BlockNumbers;
use crate::base::disk::foreign::ForeignId;

/// Shared between the follower, who writes, and anybody who asks.
#[derive(Clone, Debug)]
pub(super) struct Board {
    rows: Arc<Mutex<BTreeMap<ForeignId, FileStatus>>>,
    numbers: BlockNumbers,
}

impl Board {
    pub(super) fn new(numbers: BlockNumbers) -> Self {
        Self { rows: Arc::default(), numbers }
    }

    /// Writes down where a file stands.
    pub(super) fn show(&self, file: &Followed) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = file.progress.position;
        let row = rows.entry(file.id).or_insert_with(|| {
            self.numbers.files.inc();
            FileStatus { path: file.path.clone(), bytes: 0, queued: 0 }
        });
        let before = lag(row);
        (row.bytes, row.queued) = (file.bytes, queued);
        if row.path != file.path {
            row.path.clone_from(&file.path);
        }
        self.numbers.lag_bytes.inc_by(lag(row) - before);
    }

    /// Strikes a file out.
    pub(super) fn strike(&self, id: ForeignId) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = rows.remove(&id) {
            self.numbers.files.dec();
            self.numbers.lag_bytes.dec_by(lag(&row));
        }
    }

    /// All files, sorted by path.
    pub(super) fn read(&self) -> Vec<FileStatus> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = rows.values().cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

fn lag(row: &FileStatus) -> i64 {
    i64::try_from(row.bytes.saturating_sub(row.queued)).unwrap_or(i64::MAX)
}

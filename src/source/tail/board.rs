//! What `weir status` shows of the followed files; kept up to date in passing, and written to the
//! registry about a second later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::FileStatus;
use super::file::Followed;
use super::metrics::BlockNumbers;
use super::registry::Registry;
use super::sent::Sent;

/// Changes are collected for this long before they are written to the registry.
const SAVE_AFTER: Duration = Duration::from_secs(1);

/// Shared between the follower, who writes, and anybody who asks.
#[derive(Clone, Debug)]
pub(super) struct Board {
    shared: Arc<Shared>,
    numbers: BlockNumbers,
}

#[derive(Debug)]
struct Shared {
    rows: Mutex<Rows>,
    changed: Notify,
    /// Missing only in tests of the follower alone.
    registry: Option<Registry>,
}

#[derive(Debug, Default)]
struct Rows {
    /// By the name of their mark.
    here: BTreeMap<String, Row>,
    /// By the name their mark had.
    gone: BTreeMap<String, FileStatus>,
    /// Folders and files that could not be looked at in the last scan.
    unreadable: Vec<FileStatus>,
}

#[derive(Debug)]
struct Row {
    status: FileStatus,
    is_changed: bool,
}

impl Board {
    /// With the files the registry knows to be gone.
    pub(super) fn new(
        numbers: BlockNumbers,
        registry: Option<Registry>,
        gone: BTreeMap<String, FileStatus>,
    ) -> Self {
        let rows = Rows { gone, ..Rows::default() };
        let shared = Shared { rows: Mutex::new(rows), changed: Notify::new(), registry };
        Self { shared: Arc::new(shared), numbers }
    }

    /// Writes down where a file stands.
    pub(super) fn show(&self, file: &Followed) {
        self.show_all(std::iter::once(file));
    }

    /// Writes down where files stand.
    pub(super) fn show_all<'a>(&self, files: impl Iterator<Item = &'a Followed>) {
        let mut rows = self.rows();
        let (mut is_changed, mut is_other_trouble) = (false, false);
        for file in files {
            let row = match rows.here.get_mut(&file.mark) {
                Some(row) => row,
                None => rows.here.entry(file.mark.clone()).or_insert(self.first_sight(file)),
            };
            is_other_trouble |= row.status.trouble != file.trouble;
            let before = lag(&row.status);
            row.take(file);
            self.numbers.lag_bytes.inc_by(lag(&row.status) - before);
            is_changed |= row.is_changed;
        }
        if is_changed {
            self.shared.changed.notify_one();
        }
        if is_other_trouble {
            self.count_unreadable(&rows);
        }
    }

    /// It was read to its end, as it was when it was last looked at before.
    pub(super) fn show_read_through(&self, file: &Followed) {
        self.show(file);
        if let Some(row) = self.rows().here.get_mut(&file.mark) {
            (row.status.is_written, row.status.seen) = (false, file.stamp());
        }
    }

    /// It was written, and not read since.
    pub(super) fn show_written(&self, mark: &str) {
        if let Some(row) = self.rows().here.get_mut(mark) {
            row.status.is_written = true;
        }
    }

    /// Its lines up to here are read, and on their way into the queue.
    pub(super) fn show_read(&self, mark: &str, position: u64) {
        if let Some(row) = self.rows().here.get_mut(mark) {
            row.status.read = position;
        }
    }

    /// Its lines up to its position lie in the queue, the last of them at `place` or before.
    pub(super) fn show_queued(&self, file: &Followed, place: u64) {
        if let Some(row) = self.rows().here.get_mut(&file.mark) {
            row.status.sent.note_all(place, file.shown_position(), &file.progress);
            row.is_changed = true;
        }
        self.show(file);
    }

    /// It could not be read, or can be again.
    pub(super) fn show_trouble(&self, file: &Followed) {
        let mut rows = self.rows();
        if let Some(row) = rows.here.get_mut(&file.mark) {
            row.status.trouble.clone_from(&file.trouble);
        }
        self.count_unreadable(&rows);
    }

    /// What could not be looked at in the last scan, and what the system said.
    pub(super) fn show_unreadable(&self, paths: &BTreeMap<PathBuf, String>) {
        let mut rows = self.rows();
        let row = |(path, why): (&PathBuf, &String)| FileStatus::unreadable(path, why);
        rows.unreadable = paths.iter().map(row).collect();
        self.count_unreadable(&rows);
    }

    fn count_unreadable(&self, rows: &Rows) {
        let files = rows.here.values().filter(|row| row.status.trouble.is_some()).count();
        let all = files + rows.unreadable.len();
        self.numbers.unreadable.set(i64::try_from(all).unwrap_or(i64::MAX));
    }

    fn first_sight(&self, file: &Followed) -> Row {
        self.numbers.files.inc();
        let position = file.shown_position();
        let known = self.shared.registry.as_ref();
        let sent = known.map(|known| known.sent(&file.mark, position, &file.progress));
        let status = FileStatus {
            path: file.path.clone(),
            bytes: 0,
            read: position,
            queued: 0,
            is_passed_over: false,
            gone_unix_ms: None,
            trouble: None,
            is_written: false,
            seen: None,
            sent: sent.unwrap_or_default(),
        };
        Row { status, is_changed: true }
    }

    /// Whether all of a file is delivered, when every destination is done with the queue up to `settled`.
    pub(super) fn is_delivered(&self, mark: &str, settled: u64) -> bool {
        self.rows().here.get(mark).is_some_and(|row| row.status.is_delivered(settled))
    }

    /// Strikes out a file that is gone; the registry keeps it for a while.
    pub(super) fn strike(&self, mark: &str) {
        let mut rows = self.rows();
        let Some(mut row) = rows.here.remove(mark) else { return };
        self.numbers.files.dec();
        self.numbers.lag_bytes.dec_by(lag(&row.status));
        if row.status.trouble.take().is_some() {
            self.count_unreadable(&rows);
        }
        if let Some(registry) = &self.shared.registry {
            row.status.gone_unix_ms = Some(registry.now());
            registry.write(mark, &row.status);
            rows.gone.insert(mark.to_owned(), row.status);
            registry.age_out(&mut rows.gone);
        }
    }

    /// All files, those that are gone among them, sorted by path; a look at each that seems delivered.
    pub(super) fn read(&self) -> Vec<FileStatus> {
        let mut all = self.rows_read();
        all.iter_mut().for_each(FileStatus::look_again);
        all.sort_by(|a, b| (&a.path, a.gone_unix_ms).cmp(&(&b.path, b.gone_unix_ms)));
        all
    }

    fn rows_read(&self) -> Vec<FileStatus> {
        let mut rows = self.rows();
        if let Some(registry) = &self.shared.registry {
            registry.age_out(&mut rows.gone);
        }
        let here = rows.here.values().map(|row| &row.status);
        let elsewhere = rows.gone.values().chain(&rows.unreadable);
        here.chain(elsewhere).cloned().collect()
    }

    /// Writes what changes to the registry, for ever.
    pub(super) async fn keep(&self) {
        loop {
            self.shared.changed.notified().await;
            sleep(SAVE_AFTER).await;
            self.save();
        }
    }

    /// Writes what changed to the registry. The store is in memory: nothing waits here.
    pub(super) fn save(&self) {
        let Some(registry) = &self.shared.registry else { return };
        let mut rows = self.rows();
        for (mark, row) in rows.here.iter_mut().filter(|(_, row)| row.is_changed) {
            row.is_changed = false;
            registry.write(mark, &row.status);
        }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.shared.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Row {
    fn take(&mut self, file: &Followed) {
        let (position, status) = (file.shown_position(), &mut self.status);
        if position < status.queued {
            // It was begun anew; what was delivered before was other content.
            status.sent = Sent::default();
        }
        self.is_changed |= (status.bytes, status.queued) != (file.bytes, position);
        (status.bytes, status.queued) = (file.bytes, position);
        status.is_passed_over = file.progress.is_passed_over;
        status.trouble.clone_from(&file.trouble);
        // What is read and not queued is known only while it is on its way.
        status.read = status.read.clamp(position, file.bytes.max(position));
        if status.path != file.path {
            status.path.clone_from(&file.path);
            self.is_changed = true;
        }
    }
}

fn lag(row: &FileStatus) -> i64 {
    i64::try_from(row.bytes.saturating_sub(row.queued)).unwrap_or(i64::MAX)
}

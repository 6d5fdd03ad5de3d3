//! What becomes of files whose every byte was delivered, and of those that are deleted and not read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::file::{Place, Stand};
use super::files::Files;
use super::progress::Resume;
use crate::base::disk::foreign::{self, ForeignId};

/// What becomes of a file that is delivered to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WhenDone {
    /// It stays.
    #[default]
    Keep,
    /// It is deleted.
    Delete,
    /// It goes to this folder, on the same file system.
    Move(PathBuf),
}

/// What becomes of files, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoneSettings {
    /// What.
    pub what: WhenDone,
    /// Not before it has not changed for so long.
    pub after: Duration,
}

impl Files {
    /// Deletes or moves what is delivered to its end and long quiet, where all of the queue up to the
    /// place `settled` is delivered. Blocks.
    pub(super) fn finish(&mut self, settled: u64, now_unix_ms: u64) {
        if self.done.what == WhenDone::Keep {
            return;
        }
        let after = i128::try_from(self.done.after.as_nanos()).unwrap_or(i128::MAX);
        let quiet_since = i128::from(now_unix_ms) * 1_000_000 - after;
        let done = self.all.values().filter(|file| {
            file.stand == Stand::Own
                && !matches!(file.place, Place::Gone { .. })
                && file.leaving.is_none()
                // What was noted of it is read.
                && file.pending.is_none()
                && !self.turn.is_waiting(file.id)
                && file.saved == file.revision
                && file.changed_unix_ns().is_some_and(|changed| changed <= quiet_since)
                && self.board.is_delivered(&file.mark, settled)
        });
        for id in done.map(|file| file.id).collect::<Vec<_>>() {
            match self.put_away(id) {
                Ok(true) => _ = self.numbers.finished.inc(),
                Ok(false) => {}
                Err(error) => self.complain_of_done(id, &error),
            }
        }
    }

    /// `false` if it is not what it was.
    fn put_away(&mut self, id: ForeignId) -> io::Result<bool> {
        let Some(file) = self.all.get(&id) else { return Ok(false) };
        let (path, to) = (file.real.clone(), self.place_of_done(&file.real));
        if self.globs.matches(&to) && self.done.what != WhenDone::Delete {
            return Err(io::Error::other("the folder for delivered files is followed itself"));
        }
        self.open_at(id, &path)?;
        let Some(file) = self.all.get_mut(&id) else { return Ok(false) };
        if !file.is_packed && file.recognise()? != Resume::Here {
            self.turn.wake(id);
            return Ok(false);
        }
        if !self.is_whole(id)? {
            return Ok(false);
        }
        foreign::rename(&path, &to)?;
        // Whoever wrote to it at the last moment gets it back.
        if !self.is_whole(id)? {
            foreign::rename(&to, &path)?;
            return Ok(false);
        }
        if self.done.what == WhenDone::Delete {
            foreign::remove(&to)?;
        }
        tracing::info!(
            tail = self.name,
            path = %path.display(),
            is_deleted = self.done.what == WhenDone::Delete,
            "a file is delivered to its end and put away"
        );
        self.forget(id);
        Ok(true)
    }

    /// Whether an open file is still as it was read.
    fn is_whole(&self, id: ForeignId) -> io::Result<bool> {
        let Some(file) = self.all.get(&id) else { return Ok(false) };
        let look = file.look()?;
        Ok(file.is_open() && file.is_as_noted(&look) && file.shown_position() == file.bytes)
    }

    fn place_of_done(&self, path: &Path) -> PathBuf {
        let name = path.file_name().unwrap_or_default();
        match &self.done.what {
            WhenDone::Move(folder) => folder.join(name),
            WhenDone::Keep | WhenDone::Delete => {
                let mut hidden = std::ffi::OsString::from(".");
                hidden.push(name);
                hidden.push(".delivered");
                path.with_file_name(hidden)
            }
        }
    }

    fn complain_of_done(&mut self, id: ForeignId, error: &io::Error) {
        self.close(id);
        let Some(file) = self.all.get(&id) else { return };
        if self.complained_of_done.insert(file.mark.clone()) {
            tracing::warn!(
                tail = self.name,
                path = %file.path.display(),
                %error,
                "a delivered file cannot be put away; it is tried again at every scan"
            );
        }
    }

    /// Weighs the files that have no name any more and are still open; of more than may be, those that
    /// were deleted first are let go.
    pub(super) fn weigh_deleted(&mut self) {
        let mut pinned: Vec<(Instant, ForeignId, u64)> = Vec::new();
        for id in &self.leaving {
            let Some(file) = self.all.get(id).filter(|file| file.is_open()) else { continue };
            let Ok(look) = file.look() else { continue };
            let since = file.leaving.as_ref().map(|leaving| leaving.since);
            if look.names == 0
                && let Some(since) = since
            {
                pinned.push((since, *id, look.bytes));
            }
        }
        pinned.sort();
        let mut all: u64 = pinned.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, id, bytes) in pinned {
            if all <= self.pinned_bytes_max {
                break;
            }
            all -= bytes;
            let Some(file) = self.all.get_mut(&id) else { continue };
            file.is_deleted = true;
            tracing::warn!(
                tail = self.name,
                path = %file.path.display(),
                bytes,
                limit = self.pinned_bytes_max,
                "deleted files that are not read yet take more of the disk than they may; this one \
                 is let go"
            );
            self.let_go(id);
        }
        self.numbers.pinned_bytes.set(i64::try_from(all).unwrap_or(i64::MAX));
    }
}

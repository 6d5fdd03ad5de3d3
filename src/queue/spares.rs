//! Files that wait to become the next segment: a prepared one, and settled segments to write over.
//!
//! On a journaled file system a sync of blocks that were written before costs one flush of the
//! device, a sync of new ones two. A file is written over only when its old name is gone for good:
//! no file ever stands under the name of a segment with the content of another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use tracing::debug;

use super::segment;
use super::store::lock;
use crate::base::disk::{DiskFile, Open, SharedDisk};

/// A file that can become the next segment.
pub(super) struct Spare {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A segment that lost its name and is to be kept.
pub(super) struct Retired {
    name: String,
    /// Of the failed syncs of the folder before it.
    failures: u64,
}

/// The files of one queue.
pub(super) struct Spares {
    disk: SharedDisk,
    folder: PathBuf,
    /// Of an ordinary segment; no other is kept.
    segment_bytes: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Can be written to at once.
    ready: Option<Spare>,
    /// Names of settled segments; the folder must be synced before one is written over.
    settled: Vec<String>,
    /// The number of the last name.
    number: u64,
    /// Syncs of the folder that failed: renames before them may never reach the disk.
    failures: u64,
    is_resting: bool,
}

/// Settled segments kept. Cursors are saved every 200 ms, and a fast disk fills about two segments
/// in that time.
pub(super) const SETTLED_MAX: usize = 2;

impl Spares {
    /// `found` at opening; their names are on disk, those they had before are not.
    pub(super) fn new(
        disk: SharedDisk,
        folder: PathBuf,
        segment_bytes: u64,
        found: Vec<String>,
    ) -> Self {
        let number = found.iter().filter_map(|name| segment::spare_number(name)).max().unwrap_or(0);
        let kept = Kept { settled: found, number, ..Kept::default() };
        Self { disk, folder, segment_bytes, kept: Mutex::new(kept) }
    }

    /// What they take on disk.
    pub(super) fn bytes(&self) -> u64 {
        let kept = self.kept();
        let settled = kept.settled.len() as u64 * self.segment_bytes;
        kept.ready.as_ref().map_or(0, |spare| spare.bytes) + settled
    }

    pub(super) fn has_ready(&self) -> bool {
        self.kept().ready.is_some()
    }

    /// Whether the queue is idle, and nothing is prepared until the next segment begins.
    pub(super) fn is_resting(&self) -> bool {
        self.kept().is_resting
    }

    /// Makes the names in the folder durable. After a failure no segment that lost its name before
    /// is written over: the old name may come back with the next crash.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        let synced = self.disk.sync_folder(&self.folder);
        if synced.is_err() {
            self.distrust();
        }
        synced
    }

    /// The folder could not be synced.
    pub(super) fn distrust(&self) {
        let settled = {
            let mut kept = self.kept();
            kept.failures += 1;
            std::mem::take(&mut kept.settled)
        };
        settled.iter().for_each(|name| self.remove(name));
    }

    /// Takes the name from a settled segment of `bytes`: its file is kept if there is a use for
    /// it, else removed. What is kept is handed to [`Spares::keep`] when nobody reads it any more.
    pub(super) fn retire(&self, path: &Path, bytes: u64) -> io::Result<Option<Retired>> {
        let retired = {
            let mut kept = self.kept();
            if bytes != self.segment_bytes || kept.settled.len() >= SETTLED_MAX || kept.is_resting {
                None
            } else {
                Some(Retired { name: kept.next_name(), failures: kept.failures })
            }
        };
        match &retired {
            Some(retired) => self.disk.rename(path, &self.folder.join(&retired.name))?,
            None => self.disk.remove(path)?,
        }
        Ok(retired)
    }

    /// Keeps the file of a retired segment.
    pub(super) fn keep(&self, retired: Retired) {
        let dropped = {
            let mut kept = self.kept();
            if kept.failures == retired.failures && kept.settled.len() < SETTLED_MAX {
                kept.settled.push(retired.name);
                None
            } else {
                Some(retired.name)
            }
        };
        if let Some(name) = dropped {
            self.remove(&name);
        }
    }

    /// A file of at least `needed` bytes, if one is kept.
    pub(super) fn take(&self, needed: u64) -> io::Result<Option<Spare>> {
        let settled = {
            let mut kept = self.kept();
            kept.is_resting = false;
            if let Some(ready) = kept.ready.take_if(|spare| spare.bytes >= needed) {
                return Ok(Some(ready));
            }
            if needed <= self.segment_bytes { kept.settled.pop() } else { None }
        };
        settled.map(|name| self.write_over(name)).transpose()
    }

    /// Prepares the next segment, so that a full disk is met before anybody needs it. `false` if
    /// only a new file would do, and `may_make` is.
    pub(super) fn prepare(&self, may_make: bool) -> io::Result<bool> {
        let settled = self.kept().settled.pop();
        let spare = match settled {
            Some(name) => self.write_over(name)?,
            None if may_make => {
                let spare = self.make(self.segment_bytes)?;
                let synced = spare.file.sync().and_then(|()| self.sync_folder());
                synced.inspect_err(|_| self.remove(&spare.name))?;
                spare
            }
            None => return Ok(false),
        };
        self.kept().ready = Some(spare);
        Ok(true)
    }

    /// A new file.
    pub(super) fn make(&self, bytes: u64) -> io::Result<Spare> {
        let name = self.kept().next_name();
        let file = self.disk.open(&self.folder.join(&name), Open::CreateNew)?;
        self.reserved(file, name, bytes)
    }

    /// Gives the space of all of them back; whether there were any.
    pub(super) fn give_back(&self) -> bool {
        let (ready, settled) = {
            let mut kept = self.kept();
            (kept.ready.take(), std::mem::take(&mut kept.settled))
        };
        let names: Vec<String> = ready.into_iter().map(|spare| spare.name).chain(settled).collect();
        names.iter().for_each(|name| self.remove(name));
        !names.is_empty()
    }

    /// The queue is idle: gives everything back, and keeps nothing until a segment begins.
    pub(super) fn rest(&self) {
        self.kept().is_resting = true;
        self.give_back();
    }

    /// Removes a file that does not become a segment. What stays behind is looked at by the next
    /// opening.
    pub(super) fn remove(&self, name: &str) {
        if let Err(why) = self.disk.remove(&self.folder.join(name)) {
            debug!(%why, file = name, "a spare file could not be removed");
        }
    }

    fn write_over(&self, name: String) -> io::Result<Spare> {
        let synced = self.sync_folder();
        let opened = synced.and_then(|()| self.disk.open(&self.folder.join(&name), Open::Write));
        match opened {
            Ok(file) => self.reserved(file, name, self.segment_bytes),
            Err(error) => {
                self.remove(&name);
                Err(error)
            }
        }
    }

    fn reserved(&self, file: Box<dyn DiskFile>, name: String, bytes: u64) -> io::Result<Spare> {
        match file.reserve(bytes) {
            Ok(()) => Ok(Spare { file, name, bytes }),
            Err(error) => {
                self.remove(&name);
                Err(error)
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Kept {
    fn next_name(&mut self) -> String {
        self.number += 1;
        segment::spare_name(self.number)
    }
}

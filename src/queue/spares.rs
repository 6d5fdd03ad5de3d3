//! Files that wait to become the next segment: a prepared one, and settled segments to write over.
//!
//! On a journaled file system a sync of blocks that were written before costs one flush of the
//! device, a sync of new ones two. A file is written over only when its old name is gone for good:
//! no file ever stands under the name of a segment with the content of another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::segment;
use super::settings::Limits;
use super::store::lock;
use crate::base::disk::{DiskFile, Open, SharedDisk};

/// A file that can become the next segment.
pub(super) struct Spare {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// A settled segment that can be written over.
struct Settled {
    name: String,
    /// Syncs of the folder that had begun when it lost its old name: the next is the first that
    /// makes sure of that.
    syncs_before: u64,
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
    settled_max: usize,
    kept: Mutex<Kept>,
    /// A preparation has ended.
    prepared: Condvar,
}

#[derive(Default)]
struct Kept {
    /// Can be written to at once.
    ready: Option<Spare>,
    /// Their old names must be gone for good before one is written over.
    settled: Vec<Settled>,
    /// Segments that went off the log and are not among `settled` yet.
    retired: u64,
    /// The next one is on its way; as far as one knows it takes its room already.
    preparation: Option<Preparation>,
    /// When that did not succeed.
    refused: Option<Instant>,
    /// The number of the last name.
    number: u64,
    /// Syncs of the folder that began, and the last of them that succeeded.
    syncs: u64,
    synced: u64,
    /// Syncs of the folder that failed: renames before them may never reach the disk.
    failures: u64,
    is_resting: bool,
}

/// How far the next segment is that another thread prepares.
enum Preparation {
    /// Nobody has begun. It is made of a settled segment, or of nothing.
    Asked(Option<Settled>),
    Running,
}

/// A spare that could not be prepared is tried again at most this often.
const PREPARE_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Spares {
    /// `found` at opening; their names are on disk, those they had before are not.
    pub(super) fn new(
        disk: SharedDisk,
        folder: PathBuf,
        limits: &Limits,
        found: Vec<String>,
    ) -> Self {
        let number = found.iter().filter_map(|name| segment::spare_number(name)).max().unwrap_or(0);
        let settled = found.into_iter().map(|name| Settled { name, syncs_before: 0 }).collect();
        let kept = Kept { settled, number, ..Kept::default() };
        let Limits { segment_bytes, settled_max, .. } = *limits;
        let (kept, prepared) = (Mutex::new(kept), Condvar::new());
        Self { disk, folder, segment_bytes, settled_max, kept, prepared }
    }

    /// What they take on disk.
    pub(super) fn bytes(&self) -> u64 {
        let kept = self.kept();
        let others =
            kept.settled.len() as u64 + u64::from(kept.preparation.is_some()) + kept.retired;
        kept.ready.as_ref().map_or(0, |spare| spare.bytes) + others * self.segment_bytes
    }

    /// Whether the next segment is to be prepared: none is ready or on its way, and the queue is
    /// not idle.
    pub(super) fn are_wanting(&self) -> bool {
        let kept = self.kept();
        let refused = kept.refused.is_some_and(|at| at.elapsed() < PREPARE_AGAIN_AFTER);
        kept.ready.is_none() && kept.preparation.is_none() && !kept.is_resting && !refused
    }

    /// Sets aside what the next segment is made of; whether the caller shall see to it that
    /// [`Spares::prepare`] is called. A new file takes room, so that is asked first.
    pub(super) fn ask_for_one(&self, has_room: bool) -> bool {
        let mut kept = self.kept();
        let settled = kept.settled.pop();
        let is_possible = settled.is_some() || has_room;
        if is_possible {
            kept.preparation = Some(Preparation::Asked(settled));
        } else {
            kept.refused = Some(Instant::now());
        }
        is_possible
    }

    /// Makes the names in the folder durable. After a failure no segment that lost its name before
    /// is written over: the old name may come back with the next crash.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        let number = {
            let mut kept = self.kept();
            kept.syncs += 1;
            kept.syncs
        };
        let synced = self.disk.sync_folder(&self.folder);
        match &synced {
            Ok(()) => {
                let mut kept = self.kept();
                kept.synced = kept.synced.max(number);
            }
            Err(_) => self.distrust(),
        }
        synced
    }

    /// The folder could not be synced.
    pub(super) fn distrust(&self) {
        let settled = {
            let mut kept = self.kept();
            kept.failures += 1;
            kept.take_back();
            std::mem::take(&mut kept.settled)
        };
        settled.iter().for_each(|one| self.remove(&one.name));
    }

    /// Takes the name from a settled segment of `bytes`: its file is kept if there is a use for
    /// it, else removed. What is kept is handed to [`Spares::keep`] when nobody reads it any more.
    pub(super) fn retire(&self, path: &Path, bytes: u64) -> io::Result<Option<Retired>> {
        let retired = {
            let mut kept = self.kept();
            let is_enough = kept.settled.len() >= self.settled_max;
            if bytes != self.segment_bytes || is_enough || kept.is_resting {
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

    /// A segment went off the log: its file, if it is kept, counts here from now on.
    pub(super) fn count_retired(&self, retired: Option<&Retired>) {
        self.kept().retired += u64::from(retired.is_some());
    }

    /// Keeps the file of a retired segment, which was counted.
    pub(super) fn keep(&self, retired: Retired) {
        let dropped = {
            let mut kept = self.kept();
            kept.retired -= 1;
            if kept.failures == retired.failures && kept.settled.len() < self.settled_max {
                let syncs_before = kept.syncs;
                kept.settled.push(Settled { name: retired.name, syncs_before });
                None
            } else {
                Some(retired.name)
            }
        };
        if let Some(name) = dropped {
            self.remove(&name);
        }
    }

    /// A file of at least `needed` bytes, if one is kept. One that is being prepared is waited for:
    /// to make another takes longer, and room that there may not be. One that nobody has begun to
    /// prepare is not: every thread may be waiting like this.
    pub(super) fn take(&self, needed: u64) -> io::Result<Option<Spare>> {
        let settled = {
            let is_running =
                |kept: &mut Kept| matches!(kept.preparation, Some(Preparation::Running));
            let kept = self.prepared.wait_while(self.kept(), is_running);
            let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
            kept.is_resting = false;
            kept.take_back();
            if let Some(ready) = kept.ready.take_if(|spare| spare.bytes >= needed) {
                return Ok(Some(ready));
            }
            if needed <= self.segment_bytes { kept.settled.pop() } else { None }
        };
        settled.map(|settled| self.write_over(settled)).transpose()
    }

    /// Prepares the next segment that was asked for, so that a full disk is met before anybody
    /// needs it.
    pub(super) fn prepare(&self) {
        let settled = {
            let mut kept = self.kept();
            let asked = kept.preparation.take_if(|one| matches!(one, Preparation::Asked(_)));
            // It was taken back; or that of a later call runs already, or it ran, for an earlier one.
            let Some(Preparation::Asked(settled)) = asked else { return };
            kept.preparation = Some(Preparation::Running);
            settled
        };
        let prepared = match settled {
            Some(settled) => self.write_over(settled),
            None => self.make_and_sync(),
        };
        let late = {
            let mut kept = self.kept();
            (kept.preparation, kept.refused) = (None, None);
            match prepared {
                Ok(spare) if !kept.is_resting => kept.ready.replace(spare),
                Ok(late) => Some(late),
                Err(why) => {
                    kept.refused = Some(Instant::now());
                    debug!(%why, "the next segment could not be prepared; it is tried again");
                    None
                }
            }
        };
        self.prepared.notify_all();
        if let Some(late) = late {
            self.remove(&late.name);
        }
    }

    fn make_and_sync(&self) -> io::Result<Spare> {
        let spare = self.make(self.segment_bytes)?;
        let synced = spare.file.sync().and_then(|()| self.sync_folder());
        synced.inspect_err(|_| self.remove(&spare.name))?;
        Ok(spare)
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
            kept.take_back();
            (kept.ready.take(), std::mem::take(&mut kept.settled))
        };
        let settled = settled.into_iter().map(|settled| settled.name);
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

    fn write_over(&self, Settled { name, syncs_before }: Settled) -> io::Result<Spare> {
        // In a steady flow the sync that named the last segment made sure of it.
        let is_sure = self.kept().synced > syncs_before;
        let synced = if is_sure { Ok(()) } else { self.sync_folder() };
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
    /// A preparation that nobody has begun is none.
    fn take_back(&mut self) {
        let asked = self.preparation.take_if(|one| matches!(one, Preparation::Asked(_)));
        if let Some(Preparation::Asked(settled)) = asked {
            self.settled.extend(settled);
        }
    }

    fn next_name(&mut self) -> String {
        self.number += 1;
        segment::spare_name(self.number)
    }
}

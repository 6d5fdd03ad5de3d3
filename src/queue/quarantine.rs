//! Setting damaged ranges aside: copied once, said once, bounded.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::{debug, warn};

use super::frame;
use crate::base::disk::{Disk, DiskFile, Open, read_full_at};

/// A range of a segment that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// First position of its segment.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// Positions lost with it: from the first to before the second.
    pub(super) lost: (u64, u64),
    pub(super) why: &'static str,
}

/// The folder, and what was said already: every destination meets the same damage.
#[derive(Debug)]
pub(super) struct Quarantine {
    folder: PathBuf,
    stream: String,
    bytes_max: u64,
    seen: Mutex<BTreeSet<(u64, u64)>>,
}

/// Places remembered; beyond, damage is still counted but may be said twice.
const SEEN_MAX: usize = 10_000;
const COPY_BYTES: usize = 256 << 10;

impl Quarantine {
    pub(super) fn new(folder: PathBuf, stream: String, bytes_max: u64) -> Self {
        Self { folder, stream, bytes_max, seen: Mutex::default() }
    }

    /// Copies and reports; `false` if this damage was met before.
    pub(super) fn take(&self, disk: &dyn Disk, file: &dyn DiskFile, damage: &Damage) -> bool {
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if !seen.insert((damage.segment, damage.offset)) {
                return false;
            }
            if seen.len() > SEEN_MAX {
                seen.pop_first();
            }
        }
        let name = format!("{:020}-{}.bad", damage.segment, damage.offset);
        let path = self.folder.join(name);
        let copied = self.copy(disk, file, damage, &path);
        warn!(
            problem = "queue-damaged",
            stream = %self.stream,
            segment = %super::segment::name(damage.segment),
            offset = damage.offset,
            bytes = damage.bytes,
            lost = damage.lost.1.saturating_sub(damage.lost.0),
            why = damage.why,
            copy = %copied.as_ref().map_or_else(|why| why.clone(), |()| path.display().to_string()),
            "a part of the queue is damaged; it was passed, and the rest is delivered"
        );
        true
    }

    fn copy(
        &self,
        disk: &dyn Disk,
        file: &dyn DiskFile,
        damage: &Damage,
        path: &Path,
    ) -> Result<(), String> {
        let words = |error: io::Error| format!("not copied: {error}");
        disk.create_folders(&self.folder).map_err(words)?;
        let listed = disk.list(&self.folder).map_err(words)?;
        let held: u64 = listed.iter().map(|one| one.bytes).sum();
        if held.saturating_add(damage.bytes) > self.bytes_max {
            return Err(format!("not copied: the folder may hold {} bytes", self.bytes_max));
        }
        let copy = match disk.open(path, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            answer => answer.map_err(words)?,
        };
        let written = write_range(file, copy.as_ref(), damage.offset, damage.bytes)
            .and_then(|()| copy.sync())
            .and_then(|()| disk.sync_folder(&self.folder));
        written.map_err(|error| {
            // Half a copy is of no use; that it stays behind is of no harm.
            if let Err(why) = disk.remove(path) {
                debug!(%why, "half a copy of a damaged range could not be removed");
            }
            words(error)
        })
    }
}

/// Copies a range, without the zeroes at its end, by a fixed budget.
fn write_range(from: &dyn DiskFile, to: &dyn DiskFile, offset: u64, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    while done < bytes {
        let wanted = frame::in_memory(bytes - done).min(COPY_BYTES);
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let read = read_full_at(from, room, offset + done)?;
        let content = room.get(..read).unwrap_or_default();
        let end = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if let Some(content) = content.get(..end).filter(|content| !content.is_empty()) {
            to.write_all_at(content, done)?;
        }
        if read < wanted {
            break;
        }
        done += read as u64;
    }
    Ok(())
}

//! The engine: sled, with what it lacks for durability on Linux done around it.
//!
//! Its `flush` writes without a sync, so each commit syncs sled's file itself. It syncs neither the
//! names of its files nor what an earlier process wrote, so opening does. Pages above a quarter of
//! a segment (128 KiB) go to files of their own that are never synced; a leaf holds 17 entries at
//! most, so values within [`VALUE_BYTES_MAX`](super::view::VALUE_BYTES_MAX) stay far below.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::engine::{Change, Engine};
use crate::base::disk::{DiskFile, Kind, Open, SharedDisk, parent};

/// The least that sled works well with; reads come from weir's own view.
const CACHE_BYTES: u64 = 1 << 20;
/// Looks at a file that somebody has open, and the pause behind each: two seconds.
const LOOKS_MAX: usize = 400;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// An open sled.
struct OnSled {
    db: sled::Db,
    disk: SharedDisk,
    folder: PathBuf,
    file: Box<dyn DiskFile>,
}

/// Opens or makes the store in `folder`.
///
/// # Errors
/// `InvalidData` if what lies there is not whole, or no store of this kind; `WouldBlock` if somebody
/// else has it open; what the disk says.
pub(super) fn open(disk: &SharedDisk, folder: &Path) -> io::Result<Box<dyn Engine>> {
    prepare(disk, folder)?;
    let db = sled::Config::new()
        .path(folder)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .open()
        .map_err(io_error)?;
    let file = disk.open(&folder.join("db"), Open::Write)?;
    file.sync()?;
    disk.open(&folder.join("conf"), Open::Read)?.sync()?;
    disk.sync_folder(folder)?;
    disk.sync_folder(parent(folder))?;
    Ok(Box::new(OnSled { db, disk: disk.clone(), folder: folder.to_owned(), file }))
}

/// Refuses what is not a store's, takes away what a crash may leave, and makes durable what an
/// earlier process wrote: sled syncs a summary of its file at opening, which must not outlive the
/// file's own bytes.
fn prepare(disk: &SharedDisk, folder: &Path) -> io::Result<()> {
    for entry in disk.list(folder)? {
        let path = folder.join(&entry.name);
        match (entry.kind, entry.name.as_str()) {
            // Half a summary, which sled would take for the newest.
            (Kind::File, name) if name.ends_with(".generating") => disk.remove(&path)?,
            (Kind::File, "db") => {
                let file = disk.open(&path, Open::Write)?;
                wait_for(file.as_ref())?;
                file.sync()?;
            }
            (Kind::Other, name) | (Kind::Folder, name @ ("db" | "conf")) => {
                return Err(damage(format!("`{name}` is not a file")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Waits until nobody holds the file: sled's threads let go of a store a moment after it was closed.
fn wait_for(file: &dyn DiskFile) -> io::Result<()> {
    for _ in 0..LOOKS_MAX {
        if file.try_lock()? {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another process has it open"))
}

impl Engine for OnSled {
    fn entries(&self) -> io::Result<Vec<(String, Bytes)>> {
        let mut all = Vec::with_capacity(self.db.len());
        for entry in &*self.db {
            let (key, value) = entry.map_err(io_error)?;
            let key = String::from_utf8(key.to_vec())
                .map_err(|_| damage("a key is not UTF-8".to_owned()))?;
            all.push((key, Bytes::copy_from_slice(&value)));
        }
        Ok(all)
    }

    fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(key.as_bytes(), value.as_ref()),
                None => batch.remove(key.as_bytes()),
            }
        }
        self.db.apply_batch(batch).map_err(io_error)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.db.flush().map(drop).map_err(io_error)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    fn disk_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.list(&self.folder)?.iter().map(|entry| entry.bytes).sum())
    }

    fn close(self: Box<Self>) {}
}

fn io_error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => damage(other.to_string()),
    }
}

fn damage(words: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

//! Opening the store, however badly it lies there: the fence around the engine's first moment.
//!
//! An engine that panics is caught; one that takes the whole process with it is noticed by the file
//! `state.opening`, which holds how often opening was begun and not ended.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tracing::warn;

use super::ballast::Ballast;
use super::engine::{Engine, Opener, fenced};
use crate::base::clock::Clock;
use crate::base::disk::{Kind, Listed, Open, SharedDisk, is_full, read_file};

/// How many stores that were set aside are kept for a look.
const KEPT_MAX: usize = 3;
/// A store whose opening did not end this often is set aside.
const ATTEMPTS_MAX: u8 = 2;
/// What a folder of the engine's may be deep; it has one folder in it.
const DEPTH_MAX: usize = 4;

/// Opens the store of one state directory.
pub(super) struct Opening {
    opener: Opener,
    disk: SharedDisk,
    clock: Clock,
    state_dir: PathBuf,
    ballast: Ballast,
    set_aside: Counter,
}

/// An open engine, and every entry it has.
pub(super) type Opened = (Box<dyn Engine>, Vec<(String, Bytes)>);

impl Opening {
    pub(super) fn new(
        opener: Opener,
        disk: SharedDisk,
        clock: Clock,
        state_dir: &Path,
        set_aside: Counter,
    ) -> Self {
        let ballast = Ballast::new(disk.clone(), state_dir);
        Self { opener, disk, clock, state_dir: state_dir.to_owned(), ballast, set_aside }
    }

    /// Opens it: as it lies there, else with the room of the ballast, else anew.
    ///
    /// # Errors
    /// What stands in the way of a new one too: a full disk, no permission.
    pub(super) fn open(&mut self) -> io::Result<Opened> {
        let attempts = self.attempts();
        if attempts >= ATTEMPTS_MAX {
            self.set_aside("opening it ended the process")?;
        }
        self.note_attempt(if attempts >= ATTEMPTS_MAX { 1 } else { attempts + 1 });
        let opened = self.open_or_begin_anew();
        self.forget_attempts();
        opened
    }

    pub(super) fn hold_ballast(&mut self) {
        self.ballast.hold();
    }

    pub(super) fn release_ballast(&mut self) -> bool {
        self.ballast.release()
    }

    fn open_or_begin_anew(&mut self) -> io::Result<Opened> {
        let mut error = match self.try_open() {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if is_full(&error) && self.ballast.release() {
            match self.try_open() {
                Ok(opened) => return Ok(opened),
                Err(again) => error = again,
            }
        }
        if is_full(&error) || is_out_of_reach(&error) {
            return Err(error);
        }
        self.set_aside(&error.to_string())?;
        self.try_open()
    }

    fn try_open(&mut self) -> io::Result<Opened> {
        let folder = self.folder();
        let standing = self.disk.list(&self.state_dir)?;
        if standing.iter().any(|entry| entry.name == "state" && entry.kind != Kind::Folder) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a folder"));
        }
        self.disk.create_folders(&folder)?;
        let engine = fenced(|| (self.opener)(&folder))?;
        match fenced(|| engine.entries()) {
            Ok(entries) => Ok((engine, entries)),
            Err(error) => {
                drop(fenced(|| {
                    engine.close();
                    Ok(())
                }));
                Err(error)
            }
        }
    }

    /// Puts the store out of the way; the next opening makes a new one.
    ///
    /// # Errors
    /// What the disk says; it is then still in the way.
    pub(super) fn set_aside(&mut self, why: &str) -> io::Result<()> {
        let kept = format!("{DAMAGED}{:020}", self.clock.unix_ms());
        match self.disk.rename(&self.folder(), &self.state_dir.join(&kept)) {
            // Somebody did it already.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        self.disk.sync_folder(&self.state_dir)?;
        self.set_aside.inc();
        warn!(
            problem = "state-damaged",
            why,
            kept,
            "the state store is damaged and was set aside; a new one is begun, and what it should \
             know is learned again. No record was in it"
        );
        // Only for room: what can't be removed now is tried again the next time.
        self.remove_oldest().ok();
        Ok(())
    }

    /// Keeps the newest of those that were set aside.
    fn remove_oldest(&self) -> io::Result<()> {
        let mut kept = self.disk.list(&self.state_dir)?;
        kept.retain(|entry| entry.name.starts_with(DAMAGED));
        let surplus = kept.len().saturating_sub(KEPT_MAX);
        kept.iter().take(surplus).try_for_each(|entry| self.remove(&self.state_dir, entry, 0))
    }

    fn remove(&self, folder: &Path, entry: &Listed, depth: usize) -> io::Result<()> {
        let path = folder.join(&entry.name);
        if entry.kind != Kind::Folder {
            return self.disk.remove(&path);
        }
        if depth == DEPTH_MAX {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        for below in self.disk.list(&path)? {
            self.remove(&path, &below, depth + 1)?;
        }
        self.disk.remove_folder(&path)
    }

    fn attempts(&self) -> u8 {
        let noted = read_file(self.disk.as_ref(), &self.notice(), 1).unwrap_or_default();
        noted.first().map_or(0, |digit| digit.saturating_sub(b'0'))
    }

    /// Not synced: it is to outlive the process, and may go with the host.
    fn note_attempt(&self, attempts: u8) {
        let noted = self.disk.open(&self.notice(), Open::Create);
        // On a full or read-only disk this fence is missing; the others stand.
        noted.and_then(|file| file.write_all_at(&[b'0' + attempts.min(9)], 0)).ok();
    }

    fn forget_attempts(&self) {
        // Left behind it would count one attempt that ended well.
        self.disk.remove(&self.notice()).ok();
    }

    fn folder(&self) -> PathBuf {
        self.state_dir.join("state")
    }

    fn notice(&self) -> PathBuf {
        self.state_dir.join("state.opening")
    }
}

const DAMAGED: &str = "state.damaged-";

/// Nothing is wrong with the store: it may not be touched, or not now.
fn is_out_of_reach(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, WouldBlock};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | WouldBlock)
}

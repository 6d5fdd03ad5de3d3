//! Room on disk that is held back, because the engine can't even be opened on a full one.

use std::io;
use std::path::{Path, PathBuf};

use tracing::info;

use crate::base::disk::{Open, SharedDisk};

/// Sixteen of the engine's segments: enough to open it, to work through its log and to commit.
pub(super) const BALLAST_BYTES: u64 = 8 << 20;
/// It is made only where it takes at most this part of what is free.
const SHARE: u64 = 16;

/// The file.
pub(super) struct Ballast {
    disk: SharedDisk,
    path: PathBuf,
    held: bool,
}

impl Ballast {
    pub(super) fn new(disk: SharedDisk, state_dir: &Path) -> Self {
        let path = state_dir.join("state.ballast");
        let length = disk.open(&path, Open::Read).and_then(|file| file.bytes());
        let held = length.is_ok_and(|bytes| bytes == BALLAST_BYTES);
        Self { disk, path, held }
    }

    /// Makes it, if it is missing and the disk has room; nothing depends on it now.
    pub(super) fn hold(&mut self) {
        if self.held || !self.has_room() {
            return;
        }
        self.held = self.make().unwrap_or(false);
        if !self.held {
            // Missing is what we want then: no half of it takes room for nothing.
            drop(self.disk.remove(&self.path));
        }
    }

    /// Gives its room to the engine; `false` if there was none to give.
    pub(super) fn release(&mut self) -> bool {
        let released = self.disk.remove(&self.path).is_ok() && self.held;
        self.held = false;
        if released {
            info!(bytes = BALLAST_BYTES, "the disk is full; room kept for the state store is used");
        }
        released
    }

    fn has_room(&self) -> bool {
        self.disk
            .free_bytes(&self.path.with_file_name(""))
            .is_ok_and(|free| free / SHARE >= BALLAST_BYTES)
    }

    /// `false` on a file system that reserves nothing: zeroes would do there, if it does not pack
    /// them; such systems are those of bare flash, where every byte written counts.
    fn make(&self) -> io::Result<bool> {
        let file = self.disk.open(&self.path, Open::Create)?;
        file.reserve(BALLAST_BYTES)?;
        file.sync()?;
        Ok(file.bytes()? == BALLAST_BYTES)
    }
}

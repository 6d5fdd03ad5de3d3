//! One object while it grows, and how it gets its place.

use std::io;
use std::path::Path;

use super::name::Name;
use crate::base::disk::{Disk, DiskFile, Open, parent};

/// An open file whose first `synced` bytes are on stable storage.
pub(super) struct Object {
    file: Box<dyn DiskFile>,
    name: Name,
    part: std::path::PathBuf,
    synced: u64,
    /// The name of the file is durable too.
    is_listed: bool,
}

impl Object {
    /// Makes the hidden file and takes its lock, so that nobody else takes it for a leftover.
    pub(super) fn create(disk: &dyn Disk, path: &Path, name: Name) -> io::Result<Self> {
        let part = name.part(path);
        let file = disk.open(&part, Open::CreateNew)?;
        // Somebody who looks for leftovers may have been quicker: then it is gone, or theirs.
        if !file.try_lock()? || disk.open(&part, Open::Write).is_err() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Self { file, name, part, synced: 0, is_listed: false })
    }

    /// A hidden file that was found, whole up to `bytes`.
    pub(super) fn found(
        file: Box<dyn DiskFile>,
        name: Name,
        part: std::path::PathBuf,
        bytes: u64,
    ) -> Self {
        Self { file, name, part, synced: bytes, is_listed: true }
    }

    /// Writes behind what is there and syncs it.
    pub(super) fn append(&mut self, disk: &dyn Disk, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.synced)?;
        self.file.sync()?;
        if !self.is_listed {
            disk.sync_folder(parent(&self.part))?;
            self.is_listed = true;
        }
        self.synced += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.synced
    }

    pub(super) fn begun_unix_ms(&self) -> u64 {
        self.name.unix_ms()
    }

    /// Moves the file to its place. The new name is made durable before the old one is forgotten;
    /// repeating it after an error is harmless.
    pub(super) fn finish(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let place = self.name.place(path);
        disk.create_folders(parent(&place))?;
        match disk.rename(&self.part, &place) {
            Ok(()) => {}
            // An earlier try renamed it and failed behind that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        disk.sync_folder(parent(&place))?;
        disk.sync_folder(parent(&self.part))
    }

    /// Ends an object whose last write or sync failed: what was synced before gets its place.
    pub(super) fn give_up(self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        if self.synced == 0 {
            return disk.remove(&self.part);
        }
        self.file.set_bytes(self.synced)?;
        self.file.sync()?;
        self.finish(disk, path)
    }
}

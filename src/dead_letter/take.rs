//! Taking a file of letters back: nobody writes to it or removes it any more, and it can be left
//! half done and taken up again after a crash.

use std::io;
use std::path::{Path, PathBuf};

use super::browse::{Letters, letters};
use super::folder::{self, TAKEN};
use crate::base::disk::{Disk, DiskFile, Open, parent, replace_durably};

/// A file of letters that is out of the shelf's reach until it is dropped or finished.
pub struct TakenBack {
    /// Its lock keeps everybody else away.
    _file: Box<dyn DiskFile>,
    path: PathBuf,
}

/// Takes a file, or takes up one that was left half done; `None` if somebody else writes to it or
/// has it just now. Blocks.
///
/// # Errors
/// What the disk says.
pub fn take(disk: &dyn Disk, path: &Path) -> io::Result<Option<TakenBack>> {
    let file = match disk.open(path, Open::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.try_lock()? {
        return Ok(None);
    }
    let taken = if named(path).ends_with(TAKEN) {
        path.to_path_buf()
    } else {
        path.with_file_name(format!("{}{TAKEN}", named(path)))
    };
    if taken == path {
        // Somebody else may have finished it between the opening and the lock.
        let is_there = disk.list(parent(path))?.iter().any(|file| file.name == named(path));
        return Ok(is_there.then(|| TakenBack { _file: file, path: taken }));
    }
    match disk.rename(path, &taken) {
        Ok(()) => disk.sync_folder(parent(path))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(TakenBack { _file: file, path: taken }))
}

impl TakenBack {
    /// The name of the file, the same however often it is taken up.
    pub fn name(&self) -> &str {
        let name = named(&self.path);
        name.strip_suffix(TAKEN).unwrap_or(name)
    }

    /// Reads it. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn letters(&self, disk: &dyn Disk) -> io::Result<Letters> {
        letters(disk, &self.path)
    }

    /// Puts it back as it was. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn put_back(self, disk: &dyn Disk) -> io::Result<()> {
        disk.rename(&self.path, &self.path.with_file_name(self.name()))?;
        disk.sync_folder(parent(&self.path))
    }

    /// Removes it, all but the lines that begin at these offsets: they stay in a file of their
    /// own. Repeating it after a crash changes nothing. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish(self, disk: &dyn Disk, left: &[u64]) -> io::Result<()> {
        let place = self.path.with_file_name(folder::leftover(self.name()));
        if !left.is_empty() {
            let mut kept = Vec::new();
            let mut letters = self.letters(disk)?;
            let mut left = left.iter().peekable();
            while left.peek().is_some() {
                let at = letters.offset();
                let Some(line) = letters.next_line()? else { break };
                if left.next_if_eq(&&at).is_some() {
                    kept.extend(line.into_iter().flatten());
                }
            }
            replace_durably(disk, &place, &kept)?;
        } else if remove_if_there(disk, &place)? {
            // Of a removal that was cut off; it must not outlive the file.
            disk.sync_folder(parent(&self.path))?;
        }
        disk.remove(&self.path)?;
        disk.sync_folder(parent(&self.path))
    }
}

/// Whether it was there.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps everybody else away from a file that is not taken, without a trace on disk; `None` if
/// somebody has it just now. Blocks.
pub(super) fn hold(disk: &dyn Disk, path: &Path) -> io::Result<Option<TakenBack>> {
    let file = match disk.open(path, Open::Write) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.try_lock()? {
        return Ok(None);
    }
    // Somebody else may have taken or removed it between the opening and the lock.
    let is_there = disk.list(parent(path))?.iter().any(|file| file.name == named(path));
    Ok(is_there.then(|| TakenBack { _file: file, path: path.to_path_buf() }))
}

fn named(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

impl std::fmt::Debug for TakenBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TakenBack").field("path", &self.path).finish_non_exhaustive()
    }
}

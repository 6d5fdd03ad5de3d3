//! The only door to the file system: a narrow trait, one real disk, one faulty one for tests.
//!
//! Everything weir keeps on disk goes through [`Disk`], so that tests can run the same code on a
//! disk that loses unsynced bytes, tears writes, fills up, fails syncs and flips bits.

#[cfg(any(test, feature = "testing"))]
mod faulty;
pub mod foreign;
mod real;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(any(test, feature = "testing"))]
pub use faulty::{Call, FaultyDisk};
pub use real::RealDisk;

/// A disk shared by every room that keeps files.
pub type SharedDisk = Arc<dyn Disk>;

/// How [`Disk::open`] treats a file that is or is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading only; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; made empty if it is missing.
    Create,
    /// For reading and writing; it must not exist yet.
    CreateNew,
}

/// One line of a folder listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name within its folder.
    pub name: String,
    /// Length in bytes; 0 for folders.
    pub bytes: u64,
    /// Bytes it takes on the disk: fewer than its length where it has holes or is packed.
    pub taken_bytes: u64,
    /// What it is; a symbolic link is never followed.
    pub kind: Kind,
}

/// What a listed name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, socket, pipe or device.
    Other,
}

/// Folders and names. A change of a name is durable only after [`Disk::sync_folder`].
pub trait Disk: Send + Sync + 'static {
    /// Opens one file. A symbolic link as the last part of the path is refused (`ELOOP`).
    ///
    /// # Errors
    /// What the system says: `NotFound`, `AlreadyExists`, `PermissionDenied`, `StorageFull`, …
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder and its missing parents, readable by the owner and group only, and syncs
    /// the parents of those it made.
    ///
    /// # Errors
    /// What the system says.
    fn create_folders(&self, path: &Path) -> io::Result<()>;

    /// Lists a folder, sorted by name.
    ///
    /// # Errors
    /// `NotFound` if there is no such folder, and what the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Renames within one file system, replacing what stood there.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, and what the system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives `to` the owner and the mode of `from`, as far as this process may; a disk without
    /// owners does nothing.
    ///
    /// # Errors
    /// `NotFound` if there is no `from`, and what the system says about the mode.
    fn keep_owner(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _ = (from, to);
        Ok(())
    }

    /// Whether everybody on the machine may read a file; `false` on a disk without owners.
    ///
    /// # Errors
    /// What the system says.
    fn is_open_to_all(&self, path: &Path) -> io::Result<bool> {
        let _ = path;
        Ok(false)
    }

    /// The path behind all symbolic links; the path itself on a disk that has none.
    ///
    /// # Errors
    /// `NotFound`, and what the system says.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }

    /// Bytes an unprivileged process may still write on the file system that holds `path`.
    ///
    /// # Errors
    /// What the system says.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Whether what lies there is only in memory, and gone with the next start of the machine.
    ///
    /// # Errors
    /// What the system says.
    fn is_in_memory(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }

    /// Size of the file system that holds `path`.
    ///
    /// # Errors
    /// What the system says; `Unsupported` on a disk that has no size.
    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let _ = path;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One open file. Reads and writes carry their own offset; there is no shared position.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads what is there at `offset`, at most `buffer.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. On an error any part of them may have been written.
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded`, and what the system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the bytes written so far, and the length, durable (`fdatasync`).
    ///
    /// # Errors
    /// What the system says. After an error nothing written since the last success may be trusted.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Cuts or extends with zeroes.
    ///
    /// # Errors
    /// What the system says.
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;

    /// Reserves room for `bytes` bytes, so that a later write cannot meet a full disk; the file
    /// then has at least that length. Falls back to doing nothing where the file system can't.
    ///
    /// # Errors
    /// `StorageFull`, `QuotaExceeded`, and what the system says.
    fn reserve(&self, bytes: u64) -> io::Result<()>;

    /// Takes the lock that goes with this open file; `false` if another process holds it.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self) -> io::Result<bool>;
}

/// Reads as many bytes as there are, up to `buffer.len()`; fewer only at the end of the file.
///
/// # Errors
/// What [`DiskFile::read_at`] says.
pub fn read_full_at(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Reads a whole file of at most `max` bytes.
///
/// # Errors
/// `FileTooLarge` above `max`, and what the disk says.
pub fn read_file(disk: &dyn Disk, path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, Open::Read)?;
    let length = file.bytes()?;
    let fits = usize::try_from(length).ok().filter(|_| length <= max);
    let Some(length) = fits else {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("over {max} bytes")));
    };
    let mut bytes = vec![0; length];
    let read = read_full_at(file.as_ref(), &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Reads a file that the operator named, of at most `max` bytes. Unlike weir's own files it may be
/// a symbolic link, as everything is that Kubernetes mounts from a `ConfigMap` or `Secret`.
///
/// # Errors
/// `FileTooLarge` above `max`, and what the disk says.
pub fn read_named_file(disk: &dyn Disk, path: &Path, max: u64) -> io::Result<Vec<u8>> {
    read_file(disk, &disk.resolve(path)?, max)
}

/// Replaces a file so that after a crash either the old or the new content is there, whole:
/// writes beside it, syncs, renames, syncs the folder. Owner and mode stay as they were, so that
/// what an administrator replaces can still be read by the agent.
///
/// # Errors
/// What the disk says; the old content is then still in place.
pub fn replace_durably(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, ".new");
    let file = disk.open(&beside, Open::Create)?;
    file.set_bytes(0)?;
    file.write_all_at(bytes, 0)?;
    match disk.keep_owner(path, &beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    file.sync()?;
    disk.rename(&beside, path)?;
    disk.sync_folder(parent(path))
}

/// A hidden name in the same folder: `.keys.toml.new`.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}

/// The folder that holds `path`; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether an error says that the disk, or the owner's share of it, is full.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

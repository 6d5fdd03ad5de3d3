//! Files of other programs: links are followed, identity is told. Nothing is changed but names, and
//! those only where the operator wants files to go once they are delivered; and nothing is written
//! but papers that the operator asked for.
//!
//! They are not weir's own, so they do not go through [`super::Disk`]: what matters about them is
//! device, inode and what stands at a path right now.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::{Errno, pread};

/// What a file is called by the system, whatever its path. Reused once the file is deleted and
/// nobody has it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForeignId {
    /// The file system; may change when the host boots.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
}

/// What stands at a path, or behind an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Which file.
    pub id: ForeignId,
    /// What it is.
    pub kind: ForeignKind,
    /// Its length in bytes.
    pub bytes: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub changed_unix_ns: i128,
    /// How many names it has; 0 once it is deleted.
    pub names: u64,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link; only in listings, everything else follows it.
    Link,
    /// A pipe, socket or device.
    Other,
}

/// One line of a folder listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignEntry {
    /// The name within its folder, as its bytes are.
    pub name: OsString,
    /// What it is, a link not followed.
    pub kind: ForeignKind,
    /// Its inode, a link not followed.
    pub inode: u64,
}

/// A regular file open for reading.
#[derive(Debug)]
pub struct ForeignFile(File);

/// Looks at what stands at `path`, following links.
///
/// # Errors
/// What the system says.
pub fn look(path: &Path) -> io::Result<Look> {
    std::fs::metadata(path).map(|meta| Look::of(&meta))
}

/// Where a symbolic link leads when all links are followed; `None` for what is no link, or leads nowhere.
pub fn led_by_link(path: &Path) -> Option<PathBuf> {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    is_link.then(|| resolve(path).ok()).flatten()
}

/// Where a path leads when all links are followed.
///
/// # Errors
/// What the system says.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// Lists a folder, sorted by name.
///
/// # Errors
/// What the system says.
pub fn list(folder: &Path) -> io::Result<Vec<ForeignEntry>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) => ForeignKind::of(kind),
            // Somebody removed it between the listing and the look.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        all.push(ForeignEntry { name: entry.file_name(), kind, inode: entry.ino() });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// What kind of file system a folder is on, if files there may change without an event: elsewhere on
/// a network, or below the one that is looked at.
///
/// # Errors
/// What the system says.
pub fn without_events(folder: &Path) -> io::Result<Option<&'static str>> {
    let kind = rustix::fs::statfs(folder)?.f_type;
    // Its width and sign differ between machines; the numbers have 32 bits (statfs(2), linux/magic.h).
    let kind = u32::try_from(i128::from(kind) & 0xffff_ffff).unwrap_or_default();
    Ok(match kind {
        0x6969 => Some("nfs"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("cifs"),
        0x6573_5546 => Some("fuse"),
        0x794c_7630 => Some("overlay"),
        0x0102_1997 => Some("9p"),
        0x00c3_6400 => Some("ceph"),
        0x0bd0_0bd0 => Some("lustre"),
        0x5346_414f | 0x6b41_4653 => Some("afs"),
        0x0116_1970 => Some("gfs2"),
        0x7461_636f => Some("ocfs2"),
        0x786f_4256 => Some("vboxsf"),
        _ => None,
    })
}

/// Gives a file another name on the same file system; never the name of another file.
///
/// # Errors
/// `AlreadyExists`, and what the system says.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let flags = RenameFlags::NOREPLACE;
    match renameat_with(CWD, from, CWD, to, flags) {
        // Not every file system can tell.
        Err(Errno::INVAL | Errno::NOSYS) if std::fs::symlink_metadata(to).is_err() => {
            std::fs::rename(from, to)
        }
        done => Ok(done?),
    }
}

/// Writes a paper that everybody may read (as far as the umask allows), over what stood there.
///
/// # Errors
/// What the system says.
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::write(path, bytes)
}

/// Takes a name away.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Opens anything that can be read from front to back: a file, a pipe, a device.
///
/// # Errors
/// What the system says.
pub fn reader(path: &Path) -> io::Result<impl io::Read + use<>> {
    File::open(path)
}

impl ForeignFile {
    /// Opens a regular file, following links. Never waits for the writer of a pipe.
    ///
    /// # Errors
    /// `InvalidInput` if it is no regular file, and what the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        if file.metadata()?.is_file() {
            Ok(Self(file))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }

    /// Looks at the open file.
    ///
    /// # Errors
    /// What the system says.
    pub fn look(&self) -> io::Result<Look> {
        self.0.metadata().map(|meta| Look::of(&meta))
    }

    /// Reads as many bytes as there are at `offset`, at most `bytes`.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(bytes);
        while buffer.len() < bytes {
            // The memory may be larger than what was asked for.
            let room = bytes - buffer.len();
            let at = offset + buffer.len() as u64;
            match pread(&self.0, spare_capacity(&mut buffer), at) {
                Ok(0) => break,
                Ok(read) if read > room => buffer.truncate(bytes),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(buffer)
    }
}

impl Look {
    fn of(meta: &Metadata) -> Self {
        Self {
            id: ForeignId { device: meta.dev(), inode: meta.ino() },
            kind: ForeignKind::of(meta.file_type()),
            bytes: meta.len(),
            changed_unix_ns: i128::from(meta.mtime()) * 1_000_000_000
                + i128::from(meta.mtime_nsec()),
            names: meta.nlink(),
        }
    }
}

impl ForeignKind {
    fn of(kind: std::fs::FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_symlink() => Self::Link,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_file_and_pipes_are_refused_without_waiting() {
        let folder = std::env::temp_dir().join(format!("weir-foreign-{}", fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, link, pipe) = (folder.join("a.log"), folder.join("l"), folder.join("p"));
        std::fs::write(&file, b"0123456789").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();

        let open = ForeignFile::open(&link).unwrap();
        assert_eq!(open.look().unwrap(), look(&file).unwrap());
        assert_eq!(open.read_at(8, 100).unwrap(), b"89");
        assert_eq!(open.read_at(99, 100).unwrap(), b"");
        assert_eq!(ForeignFile::open(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let kinds: Vec<_> = list(&folder).unwrap().into_iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [ForeignKind::File, ForeignKind::Link, ForeignKind::Other]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(open.look().unwrap().names, 0);

        std::fs::remove_dir_all(&folder).unwrap();
    }
}

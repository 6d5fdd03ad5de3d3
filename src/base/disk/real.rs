//! [`Disk`] on the real file system.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Disk, DiskFile, Kind, Listed, Open, parent};

/// The file system of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// Payloads and keys are nobody's business but the owner's and the operator group's.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;
/// What the system counts the blocks of a file in, whatever those of the file system are.
const STAT_BLOCK_BYTES: u64 = 512;

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).mode(FILE_MODE);
        // What somebody put in the place of a file must not hold us up: a pipe waits for its writer.
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
        match how {
            Open::Read => {}
            Open::Write => _ = options.write(true),
            Open::Create => _ = options.write(true).create(true),
            Open::CreateNew => _ = options.write(true).create_new(true),
        }
        Ok(Box::new(options.open(path)?))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let above = parent(path);
        self.create_folders(above)?;
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Ok(()) => self.sync_folder(above),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // Somebody removed it between the listing and the look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let kind = match meta.file_type() {
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Folder,
                _ => Kind::Other,
            };
            let of_file = |bytes| if kind == Kind::File { bytes } else { 0 };
            all.push(Listed {
                name: entry.file_name().to_string_lossy().into_owned(),
                bytes: of_file(meta.len()),
                taken_bytes: of_file(meta.blocks().saturating_mul(STAT_BLOCK_BYTES)),
                kind,
            });
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_dir(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn keep_owner(&self, from: &Path, to: &Path) -> io::Result<()> {
        let kept = std::fs::symlink_metadata(from)?;
        // Only root may give a file away; a member of the group may at least keep the group.
        if chown(to, Some(kept.uid()), Some(kept.gid())).is_err() {
            drop(chown(to, None, Some(kept.gid())));
        }
        std::fs::set_permissions(to, kept.permissions())
    }

    fn is_open_to_all(&self, path: &Path) -> io::Result<bool> {
        Ok(std::fs::metadata(path)?.permissions().mode() & 0o004 != 0)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn is_in_memory(&self, path: &Path) -> io::Result<bool> {
        /// tmpfs and ramfs, as `statfs` numbers them.
        const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
        let kind = u64::try_from(rustix::fs::statfs(path)?.f_type).unwrap_or_default();
        Ok(IN_MEMORY.contains(&(kind & 0xffff_ffff)))
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            answer => Ok(answer?),
        }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match File::try_lock(self) {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

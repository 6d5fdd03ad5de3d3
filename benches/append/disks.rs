//! The disks of the bench: the real one with counted and delayed syncs, and a journaled one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir::base::disk::{Disk, DiskFile, Listed, Open, RealDisk};

/// The real disk; each sync of a file is counted and may take longer.
#[derive(Clone, Default)]
pub(crate) struct Timed {
    more: Duration,
    syncs: Arc<AtomicU64>,
}

impl Timed {
    pub(crate) fn slower_by(more: Duration) -> Self {
        Self { more, ..Self::default() }
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

impl Disk for Timed {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(TimedFile { file: RealDisk.open(path, how)?, disk: self.clone() }))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_folders(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        RealDisk.list(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_folder(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync_folder(folder)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

struct TimedFile {
    file: Box<dyn DiskFile>,
    disk: Timed,
}

impl DiskFile for TimedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        if !self.disk.more.is_zero() {
            std::thread::sleep(self.disk.more);
        }
        self.file.sync()
    }

    fn bytes(&self) -> io::Result<u64> {
        self.file.bytes()
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.file.set_bytes(bytes)
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.file.reserve(bytes)
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.file.try_lock()
    }
}

/// A journaled ext4 in a file, mounted by a loop device.
pub(crate) struct Loop {
    mounted: PathBuf,
    device: PathBuf,
}

const IMAGE_BYTES: &str = "3G";

impl Loop {
    /// Only root can; in words why not.
    pub(crate) fn mount(within: &Path) -> Result<Self, String> {
        let (image, mounted) = (within.join("ext4.img"), within.join("ext4"));
        std::fs::create_dir_all(&mounted).map_err(|why| why.to_string())?;
        let (image, target) = (image.to_string_lossy(), mounted.to_string_lossy());
        run("truncate", &["-s", IMAGE_BYTES, &image])?;
        run("mkfs.ext4", &["-q", "-F", "-E", "lazy_itable_init=0", &image])?;
        run("mount", &["-o", "loop", &image, &target])?;
        let source = run("findmnt", &["-n", "-o", "SOURCE", &target])?;
        let name = source.trim().trim_start_matches("/dev/");
        let device = Path::new("/sys/block").join(name);
        Ok(Self { mounted, device })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.mounted
    }

    pub(crate) fn flushes(&self) -> f64 {
        crate::meters::flushes(&self.device)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        if let Err(why) = run("umount", &[&self.mounted.to_string_lossy()]) {
            eprintln!("{} is still mounted: {why}", self.mounted.display());
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let ended = Command::new(program).args(arguments).output();
    let ended = ended.map_err(|why| format!("{program}: {why}"))?;
    if ended.status.success() {
        return Ok(String::from_utf8_lossy(&ended.stdout).into_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&ended.stderr).trim()))
}

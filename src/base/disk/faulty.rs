//! A disk in memory that does what real ones do on bad days: loses what was not synced, tears
//! writes, fills up, fails calls, flips bits. The same calls and seeds give the same answers.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

mod calls;
mod image;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SharedDisk;
use image::{Content, Image, Rule, index};

/// The calls that are counted and can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Disk::open`].
    Open,
    /// [`Disk::create_folders`].
    CreateFolders,
    /// [`Disk::list`].
    List,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove`].
    Remove,
    /// [`Disk::sync_folder`]; when it fails, the changes of names it should have saved never are.
    SyncFolder,
    /// [`Disk::free_bytes`].
    FreeBytes,
    /// [`DiskFile::read_at`].
    Read,
    /// [`DiskFile::write_all_at`]; when it fails, the first half is written.
    Write,
    /// [`DiskFile::sync`]; when it fails, what it should have saved stays readable until the next
    /// crash but never reaches the disk, as Linux does it.
    Sync,
    /// [`DiskFile::bytes`].
    Bytes,
    /// [`DiskFile::set_bytes`].
    SetBytes,
    /// [`DiskFile::reserve`].
    Reserve,
    /// [`DiskFile::try_lock`].
    Lock,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct FaultyDisk(Arc<Mutex<Image>>);

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyDisk {
    /// An empty disk without bounds or faults.
    pub fn new() -> Self {
        let image = Image { folders: ["/".into(), ".".into()].into(), ..Image::default() };
        Self(Arc::new(Mutex::new(image)))
    }

    /// The same disk, as the rooms take it.
    pub fn shared(&self) -> SharedDisk {
        Arc::new(self.clone())
    }

    /// Lets one call of these kinds fail: the next after `skip` others of them.
    pub fn fail(&self, calls: &[Call], skip: u64, error: io::ErrorKind) {
        self.image().rules.push(Rule { calls: calls.to_vec(), skip, once: true, error });
    }

    /// Lets all calls of these kinds fail until [`Self::heal`].
    pub fn fail_all(&self, calls: &[Call], error: io::ErrorKind) {
        self.image().rules.push(Rule { calls: calls.to_vec(), skip: 0, once: false, error });
    }

    /// Forgets every fault that was asked for, the end of power too.
    pub fn heal(&self) {
        let mut image = self.image();
        image.rules.clear();
        image.power_ends_at = None;
    }

    /// After `calls` more calls, of any kind, nothing has an effect any more until
    /// [`Self::crash`]; every call fails.
    pub fn end_power_after(&self, calls: u64) {
        let mut image = self.image();
        image.power_ends_at = Some(image.calls + calls);
    }

    /// Bounds the bytes of all files together; `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.image().capacity = bytes;
    }

    /// A power cut and the start after it. What was synced stays; of the rest, some sectors and
    /// some changes of names stay, as `seed` chooses. Faults are forgotten, open files are dead.
    pub fn crash(&self, seed: u64) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut image = self.image();
        // Every fourth seed loses all of it, every fourth keeps all of it.
        let odds = [0.0, 0.5, 0.8, 1.0][chance.usize(0..4)];
        for change in std::mem::take(&mut image.names_dirty) {
            if chance.f64() < odds {
                change.apply(&mut image.names_safe);
            }
        }
        for content in image.files.values_mut() {
            for change in std::mem::take(&mut content.dirty) {
                change.tear(&mut content.safe, &mut chance, odds);
            }
            content.live.clone_from(&content.safe);
            content.locked = false;
        }
        image.names = image.names_safe.clone();
        image.forget_unnamed();
        image.rules.clear();
        image.power_ends_at = None;
        image.age += 1;
    }

    /// Turns one bit over, on the medium itself.
    pub fn flip(&self, path: &Path, offset: u64, bit: u8) {
        let mut image = self.image();
        let file = image.names[path];
        let content = image.files.get_mut(&file).expect("a name has a file");
        for bytes in [&mut content.live, &mut content.safe] {
            if let Some(byte) = bytes.get_mut(index(offset)) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Places a file as if it had always been there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut image = self.image();
        let file = image.new_file();
        let content = Content { live: bytes.into(), safe: bytes.into(), ..Content::default() };
        image.files.insert(file, content);
        image.names.insert(path.into(), file);
        image.names_safe.insert(path.into(), file);
        for above in path.ancestors().skip(1) {
            image.folders.insert(above.into());
        }
    }

    /// Places a symbolic link.
    pub fn put_link(&self, path: &Path) {
        self.image().links.insert(path.into());
    }

    /// What a file holds now, synced or not; `None` if there is no such file.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let image = self.image();
        image.names.get(path).map(|file| image.files[file].live.clone())
    }

    /// The files there are now, sorted.
    pub fn files(&self) -> Vec<PathBuf> {
        self.image().names.keys().cloned().collect()
    }

    /// How many calls of a kind were made.
    pub fn count(&self, call: Call) -> u64 {
        self.image().counts.get(&call).copied().unwrap_or(0)
    }

    /// How many calls of all kinds were made.
    pub fn count_all(&self) -> u64 {
        self.image().calls
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, call: Call) -> io::Result<MutexGuard<'_, Image>> {
        let mut image = self.image();
        image.called(call)?;
        Ok(image)
    }
}

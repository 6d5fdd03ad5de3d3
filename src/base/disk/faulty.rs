//! A disk in memory that does what real ones do on bad days: loses what was not synced, tears
//! writes, fills up, fails calls, flips bits. The same calls and seeds give the same answers.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

mod calls;
mod image;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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
    /// [`Disk::remove`] and [`Disk::remove_folder`].
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
pub struct FaultyDisk {
    image: Arc<Mutex<Image>>,
    /// Calls that hung go on.
    healed: Arc<Condvar>,
}

impl Default for FaultyDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl FaultyDisk {
    /// An empty disk without bounds or faults.
    pub fn new() -> Self {
        let image = Image { folders: ["/".into(), ".".into()].into(), ..Image::default() };
        Self { image: Arc::new(Mutex::new(image)), healed: Arc::default() }
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

    /// Lets all calls of these kinds hang until [`Self::heal`].
    pub fn hang(&self, calls: &[Call]) {
        self.image().hanging.extend(calls);
    }

    /// How many calls hang.
    pub fn count_hanging(&self) -> usize {
        self.image().hung
    }

    /// Forgets every fault that was asked for, the end of power too.
    pub fn heal(&self) {
        let mut image = self.image();
        image.rules.clear();
        image.hanging.clear();
        image.power_ends_at = None;
        self.healed.notify_all();
    }

    /// After `calls` more calls, of any kind, nothing has an effect any more until
    /// [`Self::crash`]; every call fails.
    pub fn end_power_after(&self, calls: u64) {
        let mut image = self.image();
        image.power_ends_at = Some(image.calls + calls);
    }

    /// From now on syncs of files succeed and save nothing, as with a drive that ignores flushes.
    pub fn lie_about_syncs(&self) {
        self.image().lies = true;
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

    /// Lets the sector there be unreadable (EIO) until it is written whole.
    pub fn spoil(&self, path: &Path, offset: u64) {
        let mut image = self.image();
        let file = image.names[path];
        image.files.get_mut(&file).expect("a name has a file").spoil(offset);
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
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, when calls of that kind do not hang.
    fn image_for(&self, call: Call) -> MutexGuard<'_, Image> {
        let mut image = self.image();
        image.hung += 1;
        let image = self.healed.wait_while(image, |image| image.hanging.contains(&call));
        let mut image = image.unwrap_or_else(PoisonError::into_inner);
        image.hung -= 1;
        image
    }

    fn called(&self, call: Call) -> io::Result<MutexGuard<'_, Image>> {
        let mut image = self.image_for(call);
        image.called(call)?;
        Ok(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::{Disk as _, DiskFile, Open};

    fn file(disk: &FaultyDisk) -> Box<dyn DiskFile> {
        disk.create_folders(Path::new("/d")).unwrap();
        disk.open(Path::new("/d/f"), Open::Create).unwrap()
    }

    fn content(disk: &FaultyDisk) -> Option<Vec<u8>> {
        disk.content(Path::new("/d/f"))
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_sectors_of_the_rest() {
        let mut torn = 0;
        for seed in 0..100 {
            let disk = FaultyDisk::new();
            let one = file(&disk);
            one.write_all_at(&[1; 2048], 0).unwrap();
            one.sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            one.write_all_at(&[2; 2048], 0).unwrap();
            disk.crash(seed);

            let found = content(&disk).unwrap();
            assert!(found.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]));
            torn += u32::from(found.contains(&1) && found.contains(&2));
            assert!(one.sync().is_err(), "files opened before the crash are dead");
        }
        assert!(torn > 20, "{torn} of 100 seeds tear");
    }

    #[test]
    fn a_crash_may_keep_a_later_write_of_a_file_and_lose_an_earlier_one() {
        let (mut orders, zero, one_and_two) = ([0; 4], [0; 512], ([1; 512], [2; 512]));
        for seed in 0..100 {
            let disk = FaultyDisk::new();
            let one = file(&disk);
            one.write_all_at(&[0; 1024], 0).unwrap();
            one.sync().unwrap();
            disk.sync_folder(Path::new("/d")).unwrap();
            one.write_all_at(&one_and_two.0, 0).unwrap();
            one.write_all_at(&one_and_two.1, 512).unwrap();
            disk.crash(seed);

            let found = content(&disk).unwrap();
            orders[usize::from(found[..512] != zero) + 2 * usize::from(found[512..] != zero)] += 1;
        }
        assert!(orders.iter().all(|count| *count > 5), "{orders:?}");
    }

    #[test]
    fn a_disk_that_lies_about_syncs_loses_what_it_said_was_safe() {
        let lost = (0..40).filter(|seed| {
            let disk = FaultyDisk::new();
            let one = file(&disk);
            disk.sync_folder(Path::new("/d")).unwrap();
            disk.lie_about_syncs();
            one.write_all_at(b"lost", 0).unwrap();
            one.sync().unwrap();
            disk.crash(*seed);
            content(&disk).unwrap().is_empty()
        });
        assert!(lost.count() > 5);
    }

    #[test]
    fn a_name_is_durable_only_after_its_folder_was_synced() {
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..40 {
            let disk = FaultyDisk::new();
            file(&disk).sync().unwrap();
            disk.crash(seed);
            if content(&disk).is_some() { kept += 1 } else { lost += 1 }
        }
        assert!(kept > 0 && lost > 0);
    }

    #[test]
    fn what_a_failed_sync_should_have_saved_is_readable_until_the_next_crash_and_then_gone() {
        let disk = FaultyDisk::new();
        let one = file(&disk);
        disk.sync_folder(Path::new("/d")).unwrap();
        one.write_all_at(b"lost", 0).unwrap();
        disk.fail(&[Call::Sync], 0, io::ErrorKind::Other);

        assert!(one.sync().is_err());
        one.sync().unwrap();

        assert_eq!(content(&disk).unwrap(), b"lost");
        disk.crash(3);
        assert_eq!(content(&disk).unwrap(), b"");
    }

    #[test]
    fn a_full_disk_takes_what_overwrites_and_refuses_what_grows() {
        let disk = FaultyDisk::new();
        let one = file(&disk);
        disk.set_capacity(Some(1000));
        one.reserve(900).unwrap();
        assert_eq!(disk.free_bytes(Path::new("/d")).unwrap(), 100);

        one.write_all_at(&[1; 200], 700).unwrap();
        let full = one.write_all_at(&[1; 200], 850).unwrap_err();

        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        disk.set_capacity(None);
        one.write_all_at(&[1; 200], 850).unwrap();
    }

    #[test]
    fn calls_fail_when_asked_and_nothing_has_an_effect_without_power() {
        let disk = FaultyDisk::new();
        let one = file(&disk);
        disk.fail(&[Call::Write], 1, io::ErrorKind::StorageFull);
        one.write_all_at(b"12", 0).unwrap();
        assert!(one.write_all_at(b"34", 0).is_err());
        one.write_all_at(b"56", 0).unwrap();
        assert_eq!(disk.count(Call::Write), 3);
        disk.flip(Path::new("/d/f"), 0, 0);
        assert_eq!(content(&disk).unwrap(), b"46");

        disk.end_power_after(1);
        one.write_all_at(b"78", 0).unwrap();
        assert!(one.write_all_at(b"90", 0).is_err());
        assert!(disk.open(Path::new("/d/f"), Open::Read).is_err());
        assert_eq!(content(&disk).unwrap(), b"78");
    }

    #[test]
    fn a_spoilt_sector_cannot_be_read_until_it_is_written() {
        let disk = FaultyDisk::new();
        let one = file(&disk);
        one.write_all_at(&[1; 2048], 0).unwrap();
        disk.spoil(Path::new("/d/f"), 700);
        let read =
            |offset| one.read_at(&mut [0; 512], offset).map_err(|error| error.raw_os_error());
        assert_eq!((read(0), read(1024)), (Ok(512), Ok(512)));
        assert_eq!(read(400), Err(Some(rustix::io::Errno::IO.raw_os_error())));
        one.write_all_at(&[1; 512], 600).unwrap();
        assert!(read(512).is_err(), "half of it was written");
        one.write_all_at(&[1; 512], 512).unwrap();
        assert_eq!(read(512), Ok(512));
    }

    #[test]
    fn calls_hang_until_the_disk_heals_and_the_others_go_on() {
        let disk = FaultyDisk::new();
        let one = file(&disk);
        disk.hang(&[Call::Sync]);
        let syncing = std::thread::spawn(move || one.sync());
        while disk.count_hanging() == 0 {
            std::thread::yield_now();
        }
        assert_eq!(disk.free_bytes(Path::new("/d")).unwrap(), 1 << 50);
        disk.heal();
        syncing.join().unwrap().unwrap();
        assert_eq!(disk.count_hanging(), 0);
    }

    #[test]
    fn a_lock_is_held_until_its_file_is_closed() {
        let disk = FaultyDisk::new();
        let (one, other) = (file(&disk), file(&disk));
        assert!(one.try_lock().unwrap());
        assert!(!other.try_lock().unwrap());
        drop(one);
        assert!(other.try_lock().unwrap());
    }
}

//! A power cut at any commit: what was synced is found again. The disk is the real one, and of
//! sled's file only what was covered by a sync survives, and some sectors of the rest.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{all, on_sled, real, standing};
use crate::base::disk::{Disk, DiskFile, Listed, Open, RealDisk, SharedDisk};
use crate::base::scratch::Scratch;

/// Of four lives each.
const ROUNDS: u64 = 1;

/// What `state/db` holds on the medium.
#[derive(Clone, Default)]
struct Medium(Arc<Mutex<Vec<u8>>>);

struct Watched(Medium);

struct WatchedFile {
    file: Box<dyn DiskFile>,
    path: std::path::PathBuf,
    medium: Option<Medium>,
}

impl Disk for Watched {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.open(path, how)?;
        let medium = path.ends_with("state/db").then(|| self.0.clone());
        Ok(Box::new(WatchedFile { file, path: path.to_owned(), medium }))
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

impl DiskFile for WatchedFile {
    fn sync(&self) -> io::Result<()> {
        if let Some(Medium(medium)) = &self.medium {
            *medium.lock().unwrap() = std::fs::read(&self.path)?;
        }
        self.file.sync()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
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

/// Some changes, all of them synced at the end; gives what is promised.
fn work(state: &super::State, chance: &mut fastrand::Rng) -> BTreeMap<String, Bytes> {
    for _ in 0..chance.usize(1..40) {
        let key = format!("nginx/{}", chance.u8(0..60));
        if chance.u8(..) < 40 {
            state.tail().remove(&key);
        } else {
            let value = vec![chance.u8(..); chance.usize(0..2000)];
            state.tail().put(&key, value).unwrap();
        }
    }
    assert!(state.settle());
    all(state)
}

/// The folder as a host finds it after the cut: the synced bytes, and sectors of what came later.
fn cut(from: &Scratch, synced: &[u8], chance: &mut fastrand::Rng) -> Scratch {
    let after = Scratch::new();
    std::fs::create_dir_all(after.join("state")).unwrap();
    for entry in std::fs::read_dir(from.join("state")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), after.join("state").join(entry.file_name())).unwrap();
        }
    }
    let written = std::fs::read(from.join("state/db")).unwrap();
    let mut found = synced.to_vec();
    for (at, sector) in written.chunks(512).enumerate() {
        let start = at * 512;
        if chance.bool() && start + sector.len() <= found.len() {
            found[start..start + sector.len()].copy_from_slice(sector);
        }
    }
    std::fs::write(after.join("state/db"), found).unwrap();
    after
}

#[test]
fn what_was_synced_is_found_after_a_power_cut() {
    let seed = fastrand::u64(..1 << 32);
    for round in 0..ROUNDS {
        let mut chance = fastrand::Rng::with_seed(seed + round);
        let medium = Medium::default();
        let disk: SharedDisk = Arc::new(Watched(medium.clone()));
        let mut scratch = Scratch::new();
        for life in 0..4 {
            let state = on_sled(disk.clone(), &scratch);
            let mut promised = all(&state);
            for _ in 0..chance.usize(1..6) {
                promised = work(&state, &mut chance);
            }
            let synced = medium.0.lock().unwrap().clone();
            let after = cut(&scratch, &synced, &mut chance);
            state.close();

            let found = on_sled(real(), &after);
            assert_eq!(all(&found), promised, "seed {seed}, round {round}, life {life}");
            found.close();
            assert!(standing(&after, "state.damaged-").is_empty(), "seed {seed}, round {round}");
            scratch = after;
        }
    }
}

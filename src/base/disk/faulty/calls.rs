//! The disk's calls, each counted and asked whether it shall fail.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::image::{Change, Image, NameChange, index};
use super::{Call, FaultyDisk};
use crate::base::disk::{Disk, DiskFile, Kind, Listed, Open, parent};

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut image = self.called(Call::Open)?;
        if image.links.contains(path) {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let file = match (image.names.get(path).copied(), how) {
            (Some(_), Open::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(file), _) => file,
            (None, Open::Read | Open::Write) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) if !image.folders.contains(parent(path)) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            (None, _) => {
                let file = image.new_file();
                image.change_names(NameChange { gone: None, come: Some((path.into(), file)) });
                file
            }
        };
        let (age, writable) = (image.age, how != Open::Read);
        Ok(Box::new(FaultyFile { disk: self.clone(), file, age, writable, holds: false.into() }))
    }

    fn create_folders(&self, path: &Path) -> io::Result<()> {
        let mut image = self.called(Call::CreateFolders)?;
        image.folders.extend(path.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let image = self.called(Call::List)?;
        if !image.folders.contains(folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = |path: &&PathBuf| parent(path) == folder && path.file_name().is_some();
        let listed = |path: &PathBuf, bytes, kind| Listed {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes,
            taken_bytes: bytes,
            kind,
        };
        let files = image.names.iter().filter(|(path, _)| inside(path));
        let mut all: Vec<_> = files
            .map(|(path, file)| listed(path, image.files[file].live.len() as u64, Kind::File))
            .collect();
        let folders = image.folders.iter().filter(inside);
        all.extend(folders.map(|path| listed(path, 0, Kind::Folder)));
        all.extend(image.links.iter().filter(inside).map(|path| listed(path, 0, Kind::Other)));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut image = self.called(Call::Rename)?;
        let file = *image.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        image.change_names(NameChange { gone: Some(from.into()), come: Some((to.into(), file)) });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut image = self.called(Call::Remove)?;
        image.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        image.change_names(NameChange { gone: Some(path.into()), come: None });
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let mut image = self.called(Call::Remove)?;
        let inside = |other: &PathBuf| other != path && other.starts_with(path);
        if image.names.keys().chain(&image.folders).any(inside) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if image.folders.remove(path) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut image = self.image_for(Call::SyncFolder);
        let answer = image.called(Call::SyncFolder);
        if image.power_ends_at.is_some_and(|end| image.calls > end) {
            return answer;
        }
        let (now, later) = std::mem::take(&mut image.names_dirty)
            .into_iter()
            .partition(|change: &NameChange| change.touches(folder));
        image.names_dirty = later;
        if answer.is_ok() {
            now.iter().for_each(|change| change.apply(&mut image.names_safe));
        }
        answer
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let image = self.called(Call::FreeBytes)?;
        Ok(image.capacity.unwrap_or(1 << 50).saturating_sub(image.used()))
    }
}

/// One open file of a [`FaultyDisk`].
struct FaultyFile {
    disk: FaultyDisk,
    file: u64,
    age: u64,
    writable: bool,
    holds: AtomicBool,
}

impl FaultyFile {
    /// Runs one call on the content; `work` is told whether the call shall fail.
    fn call<T>(
        &self,
        call: Call,
        work: impl FnOnce(&mut Image, io::Result<()>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut image = self.disk.image_for(call);
        let answer = image.called(call);
        let off = image.power_ends_at.is_some_and(|end| image.calls > end);
        if off || image.age != self.age {
            return Err(io::Error::other("the power was cut"));
        }
        work(&mut image, answer)
    }

    fn change(&self, image: &mut Image, change: Change) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let content = image.files.entry(self.file).or_default();
        let length = content.live.len() as u64;
        let needed = match &change {
            Change::Length(length) => *length,
            Change::Write(offset, bytes) => offset + bytes.len() as u64,
        };
        image.take_room(needed.saturating_sub(length))?;
        let content = image.files.entry(self.file).or_default();
        if let Change::Write(offset, bytes) = &change {
            content.mend(*offset, bytes.len() as u64);
        }
        change.apply(&mut content.live);
        content.dirty.push(change);
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(Call::Read, |image, answer| {
            answer?;
            let content = image.files.entry(self.file).or_default();
            let rest = content.live.get(index(offset)..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            if read > 0 && !content.is_readable(offset, read as u64) {
                return Err(rustix::io::Errno::IO.into());
            }
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(Call::Write, |image, answer| {
            let bytes = if answer.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
            self.change(image, Change::Write(offset, bytes.into()))?;
            answer
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::Sync, |image, answer| {
            if image.lies {
                return answer;
            }
            let content = image.files.entry(self.file).or_default();
            let changes = std::mem::take(&mut content.dirty);
            if answer.is_ok() {
                changes.iter().for_each(|change| change.apply(&mut content.safe));
            }
            answer
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.call(Call::Bytes, |image, answer| {
            answer?;
            Ok(image.files.entry(self.file).or_default().live.len() as u64)
        })
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.call(Call::SetBytes, |image, answer| {
            answer?;
            self.change(image, Change::Length(bytes))
        })
    }

    fn reserve(&self, bytes: u64) -> io::Result<()> {
        self.call(Call::Reserve, |image, answer| {
            answer?;
            let length = image.files.entry(self.file).or_default().live.len() as u64;
            if bytes > length { self.change(image, Change::Length(bytes)) } else { Ok(()) }
        })
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.call(Call::Lock, |image, answer| {
            answer?;
            let content = image.files.entry(self.file).or_default();
            let mine = self.holds.load(Ordering::Relaxed);
            if content.locked && !mine {
                return Ok(false);
            }
            content.locked = true;
            self.holds.store(true, Ordering::Relaxed);
            Ok(true)
        })
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        let mut image = self.disk.image();
        if image.age == self.age && self.holds.load(Ordering::Relaxed) {
            image.files.entry(self.file).or_default().locked = false;
        }
    }
}

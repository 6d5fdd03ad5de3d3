//! A cursor on disk: two slots written in turn, so that one is always whole.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::cursor::{Cursor, SLOT_BYTES, Slot};
use crate::base::disk::{Disk, DiskFile, Open, is_full, read_full_at, replace_durably};

/// The file of one destination's cursor.
pub(super) struct CursorFile {
    path: PathBuf,
    /// `None` after a failed write or sync: that file is not written again, a new one replaces it.
    file: Option<Box<dyn DiskFile>>,
    /// The file was written in place after it got its name, so the name is on disk. Before, the
    /// sync of the folder may have failed, and then the name may be lost in the next crash.
    is_name_sure: bool,
    generation: u64,
}

/// What was found under a cursor's name.
pub(super) enum Found {
    Nothing,
    Cursor(Cursor, CursorFile),
    /// Both slots are unreadable.
    Damaged,
    /// Written by a weir that knows more; its version.
    Foreign(u16),
}

impl CursorFile {
    /// Looks a cursor up.
    pub(super) fn find(disk: &dyn Disk, path: &Path) -> io::Result<Found> {
        let file = match disk.open(path, Open::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        read_full_at(file.as_ref(), &mut bytes, 0)?;
        let (first, second) = bytes.split_at(SLOT_BYTES);
        let (first, second) = (Slot::decode(first), Slot::decode(second));
        let is_name_sure = matches!((&first, &second), (Slot::Good(..), Slot::Good(..)));
        Ok(match newer(first, second) {
            Slot::Good(cursor, generation) => {
                let path = path.to_owned();
                Found::Cursor(cursor, Self { path, file: Some(file), is_name_sure, generation })
            }
            Slot::Damaged => Found::Damaged,
            Slot::Foreign(version) => Found::Foreign(version),
        })
    }

    /// Makes the file, with room for both slots, so that no later save needs free space.
    pub(super) fn create(disk: &dyn Disk, path: &Path, cursor: &Cursor) -> io::Result<Self> {
        let path = path.to_owned();
        let mut file = Self { path, file: None, is_name_sure: true, generation: 0 };
        file.replace(disk, cursor)?;
        Ok(file)
    }

    /// Sees to it that the cursor, as it was found, outlives a crash. A full disk is no reason to
    /// refuse: then it stays as it is, and the next save tries again.
    pub(super) fn make_sure(&mut self, disk: &dyn Disk, cursor: &Cursor) -> io::Result<()> {
        if self.is_name_sure {
            return Ok(());
        }
        match self.replace(disk, cursor) {
            Err(error) if is_full(&error) => {
                // Whether the old file or the new one stands there, its next save goes over the slot
                // that is not the newest.
                if let Found::Cursor(_, Self { file, generation, .. }) =
                    Self::find(disk, &self.path)?
                {
                    (self.file, self.generation) = (file, generation);
                }
                Ok(())
            }
            answer => answer,
        }
    }

    /// Saves; returns once it is synced.
    pub(super) fn save(&mut self, disk: &dyn Disk, cursor: &Cursor) -> io::Result<()> {
        self.make_sure(disk, cursor)?;
        let Some(file) = &self.file else { return self.replace(disk, cursor) };
        let generation = self.generation + 1;
        let offset = if generation.is_multiple_of(2) { 0 } else { SLOT_BYTES as u64 };
        let bytes = Slot::encode(cursor, generation);
        if file.write_all_at(&bytes, offset).and_then(|()| file.sync()).is_ok() {
            self.generation = generation;
            return Ok(());
        }
        self.file = None;
        self.replace(disk, cursor)
    }

    /// Puts a new file in the place of the old one.
    fn replace(&mut self, disk: &dyn Disk, cursor: &Cursor) -> io::Result<()> {
        // The first slot takes even generations, so an odd one here would be overwritten next.
        let generation = (self.generation + 1).next_multiple_of(2);
        let mut whole = Slot::encode(cursor, generation);
        whole.resize(2 * SLOT_BYTES, 0);
        replace_durably(disk, &self.path, &whole)?;
        self.file = Some(disk.open(&self.path, Open::Write)?);
        self.is_name_sure = true;
        self.generation = generation;
        Ok(())
    }
}

pub(super) fn newer(first: Slot, second: Slot) -> Slot {
    match (first, second) {
        (Slot::Good(a, old), Slot::Good(b, new)) => {
            if new > old {
                Slot::Good(b, new)
            } else {
                Slot::Good(a, old)
            }
        }
        (Slot::Foreign(version), _) | (_, Slot::Foreign(version)) => Slot::Foreign(version),
        (Slot::Damaged, other) | (other, Slot::Damaged) => other,
    }
}

/// The file name of a destination's cursor: every byte that is not a letter, digit, `-`, `_` or
/// `.` is written as `%` and two hex digits, and so is a leading dot.
pub(super) fn name(destination: &str) -> String {
    let mut name = String::with_capacity(destination.len() + 4);
    for (at, byte) in destination.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if at > 0 => name.push('.'),
            // Writing to a String cannot fail.
            other => _ = write!(name, "%{other:02x}"),
        }
    }
    name.push_str(SUFFIX);
    name
}

/// How the names of cursors end.
pub(super) const SUFFIX: &str = ".cur";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::{Call, FaultyDisk};
    use crate::queue::cursor::How;

    fn rig() -> (FaultyDisk, PathBuf) {
        let disk = FaultyDisk::new();
        disk.create_folders(Path::new("/c")).unwrap();
        (disk, PathBuf::from("/c").join(name("cloud")))
    }

    #[track_caller]
    fn watermark(disk: &FaultyDisk, path: &Path) -> u64 {
        match CursorFile::find(disk, path).unwrap() {
            Found::Cursor(cursor, _) => cursor.watermark(),
            _ => panic!("no cursor"),
        }
    }

    #[test]
    fn a_crash_at_any_call_of_a_save_leaves_the_old_cursor_or_the_new_one() {
        for seed in 0..200 {
            let (disk, path) = rig();
            let mut cursor = Cursor::new(5);
            let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
            let mut saved = 5;
            disk.end_power_after(seed % 9);
            for _ in 0..3 {
                cursor.settle(cursor.watermark() + 1, How::Dropped);
                if file.save(&disk, &cursor).is_err() {
                    break;
                }
                saved = cursor.watermark();
            }

            disk.crash(seed);

            let found = watermark(&disk, &path);
            assert!(found == saved || found == saved + 1, "seed {seed}: {found}, saved {saved}");
        }
    }

    #[test]
    fn after_a_failed_sync_a_new_file_takes_over() {
        let (disk, path) = rig();
        let mut cursor = Cursor::new(0);
        let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
        for call in [Call::Sync, Call::Write] {
            file.make_sure(&disk, &cursor).unwrap();
            cursor.settle(cursor.watermark() + 1, How::Dropped);
            disk.fail(&[call], 0, io::ErrorKind::Other);
            file.save(&disk, &cursor).unwrap();
            disk.crash(0);
            assert_eq!(watermark(&disk, &path), cursor.watermark());
            let Found::Cursor(_, found) = CursorFile::find(&disk, &path).unwrap() else { panic!() };
            file = found;
        }
    }

    #[test]
    fn on_a_full_disk_the_only_good_slot_is_not_written_over() {
        for saves in [1, 2] {
            let (disk, path) = rig();
            let mut cursor = Cursor::new(0);
            let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
            for _ in 0..saves {
                cursor.settle(cursor.watermark() + 1, How::Dropped);
                file.save(&disk, &cursor).unwrap();
            }
            // A power cut tore the save after that, in the other slot.
            let torn = if saves == 1 { 0 } else { SLOT_BYTES as u64 };
            disk.flip(&path, torn + 40, 3);
            let Found::Cursor(_, mut file) = CursorFile::find(&disk, &path).unwrap() else {
                panic!()
            };
            disk.set_capacity(Some(0));
            file.make_sure(&disk, &cursor).unwrap();
            let good = disk.content(&path).unwrap();

            cursor.settle(cursor.watermark() + 1, How::Dropped);
            file.save(&disk, &cursor).unwrap();

            let kept = SLOT_BYTES - usize::try_from(torn).unwrap();
            let now = disk.content(&path).unwrap();
            assert_eq!(now[kept..kept + SLOT_BYTES], good[kept..kept + SLOT_BYTES], "{saves}");
            assert_eq!(watermark(&disk, &path), cursor.watermark());
        }
    }

    #[test]
    fn names_of_destinations_cannot_leave_the_folder() {
        assert_eq!(name("access-kinesis"), "access-kinesis.cur");
        assert_eq!(name("../a/b"), "%2e.%2fa%2fb.cur");
        assert_eq!(name("é.x"), "%c3%a9.x.cur");
    }
}

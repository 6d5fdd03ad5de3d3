//! A cursor on disk: what changed is written beside what is valid, so that one is always whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::cursor::{Cursor, Draft};
use super::cursor_slots::{self as slots, HEAD_ROOM, Layout, PLACES_MAX, Slots};
use crate::base::disk::{
    Disk, DiskFile, Open, beside, is_full, parent, read_full_at, replace_durably,
};

/// The file of one destination's cursor.
pub(super) struct CursorFile {
    path: PathBuf,
    /// `None` after a failed write or sync: that file is not written again, a new one replaces it.
    file: Option<Box<dyn DiskFile>>,
    /// The file was written in place after it got its name, so the name is on disk. Before, the
    /// sync of the folder may have failed, and then the name may be lost in the next crash.
    is_name_sure: bool,
    /// An earlier process wrote what is there. Its last sync may have failed: then its pages can be
    /// read until the next crash and no longer, so all of them are written once more.
    is_anothers: bool,
    layout: Layout,
}

/// What was found under a cursor's name.
pub(super) enum Found {
    Nothing,
    Cursor(Cursor, CursorFile),
    /// Both heads are unreadable.
    Damaged,
    /// Written by a weir that knows more; its version.
    Foreign(u16),
}

/// Pages, by their number, for which a full disk had no room: they are to be drafted again.
pub(super) type Unsaved = Vec<u64>;

impl CursorFile {
    /// Looks a cursor up.
    pub(super) fn find(disk: &dyn Disk, path: &Path) -> io::Result<Found> {
        let file = match disk.open(path, Open::Write) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error),
        };
        Ok(match read(file.as_ref(), path)? {
            Slots::Good(cursor, layout) => {
                let is_name_sure = layout.has_both_heads;
                let path = path.to_owned();
                let file = Self { path, file: Some(file), is_name_sure, is_anothers: true, layout };
                Found::Cursor(cursor, file)
            }
            Slots::Damaged => Found::Damaged,
            Slots::Foreign(version) => Found::Foreign(version),
        })
    }

    /// Makes the file, with room for the pages of what is usually under way, so that saving needs no
    /// free space.
    pub(super) fn create(disk: &dyn Disk, path: &Path, cursor: &Cursor) -> io::Result<Self> {
        let path = path.to_owned();
        let layout = Layout::default();
        let mut file = Self { path, file: None, is_name_sure: true, is_anothers: false, layout };
        file.replace(disk, &cursor.whole())?;
        Ok(file)
    }

    /// Sees to it that the cursor, as it was found, outlives a crash. A full disk is no reason to
    /// refuse: then it stays as it is, and the next save tries again.
    pub(super) fn make_sure(&mut self, disk: &dyn Disk, whole: &Draft) -> io::Result<()> {
        if self.is_name_sure {
            return Ok(());
        }
        match self.replace(disk, whole) {
            Err(error) if is_full(&error) => {
                // Whether the old file or the new one stands there, its next save goes over nothing
                // that is valid.
                if let Found::Cursor(_, Self { file, layout, .. }) = Self::find(disk, &self.path)? {
                    (self.file, self.layout) = (file, layout);
                }
                self.name_again(disk)
            }
            answer => answer,
        }
    }

    /// Renames the file to and fro, which needs no space: a name that a failed sync of the folder may
    /// have lost is written down once more. In vain, it stays unsure, and the next save tries again.
    fn name_again(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let aside = beside(&self.path, ".again");
        if disk.rename(&self.path, &aside).is_ok() {
            disk.rename(&aside, &self.path)?;
            self.is_name_sure = disk.sync_folder(parent(&self.path)).is_ok();
        }
        Ok(())
    }

    /// Whether the next save takes a whole draft, and not only what changed.
    pub(super) fn wants_whole(&self) -> bool {
        self.file.is_none() || !self.is_name_sure || self.is_anothers
    }

    /// Saves; returns once it is synced, with what was left out because the disk is full. After a
    /// failure a whole draft is wanted, and written into a new file.
    pub(super) fn save(&mut self, disk: &dyn Disk, draft: &Draft) -> io::Result<Unsaved> {
        if draft.is_whole {
            self.make_sure(disk, draft)?;
        }
        let Some(file) = &self.file else {
            return self.replace(disk, draft).map(|()| Unsaved::new());
        };
        let error = match write(file.as_ref(), &self.layout, draft, owner(&self.path)) {
            Ok((layout, unsaved)) => {
                self.layout = layout;
                self.is_anothers &= !draft.is_whole;
                return Ok(unsaved);
            }
            Err(error) => error,
        };
        self.file = None;
        if !draft.is_whole {
            return Err(error);
        }
        self.replace(disk, draft).map(|()| Unsaved::new())
    }

    /// Puts a new file in the place of the old one.
    fn replace(&mut self, disk: &dyn Disk, draft: &Draft) -> io::Result<()> {
        if !draft.is_whole {
            return Err(io::Error::other("a part of a cursor makes no file"));
        }
        let (bytes, layout) = slots::whole(draft, self.layout.generation + 1, owner(&self.path));
        replace_durably(disk, &self.path, &bytes)?;
        self.file = Some(disk.open(&self.path, Open::Write)?);
        (self.is_name_sure, self.is_anothers) = (true, false);
        self.layout = layout;
        Ok(())
    }
}

/// Writes pages and head beside those that are valid, under one sync: a crash leaves any mixture of
/// them, and each is sound.
fn write(
    file: &dyn DiskFile,
    old: &Layout,
    draft: &Draft,
    owner: u32,
) -> io::Result<(Layout, Unsaved)> {
    let mut length = file.bytes()?;
    let mut new = Layout {
        generation: old.generation + 1,
        head: 1 - old.head.min(1),
        has_both_heads: true,
        pages: old.pages.clone(),
    };
    let mut taken: BTreeSet<usize> = old.pages.values().map(|(place, _)| *place).collect();
    let mut unsaved = Unsaved::new();
    for (number, page) in &draft.pages {
        let known = old.pages.get(number).map(|(place, half)| (*place, 1 - *half));
        let free = || (0..PLACES_MAX).find(|place| !taken.contains(place)).map(|place| (place, 0));
        let Some((place, half)) = known.or_else(free) else {
            unsaved.push(*number);
            continue;
        };
        let mut bytes = slots::page(*number, page, new.generation);
        let end = slots::page_at(place + 1, 0);
        if end > length {
            // Both halves, or the second save would find no room on a disk that is full by then.
            bytes.resize(slots::PLACE_BYTES, 0);
        }
        match file.write_all_at(&bytes, slots::page_at(place, half)) {
            Err(error) if is_full(&error) && known.is_none() => unsaved.push(*number),
            written => {
                written?;
                length = length.max(end);
                taken.insert(place);
                new.pages.insert(*number, (place, half));
            }
        }
    }
    let head = slots::head(draft, new.generation, owner);
    file.write_all_at(&head, new.head as u64 * HEAD_ROOM)?;
    file.sync()?;
    // Only now are these places free: the head that is on disk is past their pages.
    new.pages.retain(|number, _| *number >= draft.base);
    Ok((new, unsaved))
}

/// Reads a whole file. A running agent may be writing it: what is read is of one save, or of none.
pub(super) fn read(file: &dyn DiskFile, path: &Path) -> io::Result<Slots> {
    const TRIES: usize = 3;
    let mut read = Slots::Damaged;
    for _ in 0..TRIES {
        let most = slots::file_bytes(PLACES_MAX);
        let length = usize::try_from(file.bytes()?.min(most)).unwrap_or_default();
        let mut bytes = vec![0; length];
        let count = read_full_at(file, &mut bytes, 0)?;
        bytes.truncate(count);
        read = slots::read(&bytes, owner(path));
        let heads = usize::try_from(2 * HEAD_ROOM).unwrap_or_default().min(bytes.len());
        let mut again = vec![0; heads];
        read_full_at(file, &mut again, 0)?;
        if bytes.get(..heads) == Some(&again) && read != Slots::Damaged {
            break;
        }
    }
    Ok(read)
}

/// What stands in a cursor of whose it is: a checksum of its file's name, which is the destination's.
fn owner(path: &Path) -> u32 {
    let name = path.file_name().unwrap_or_default();
    crc32c::crc32c(name.as_encoded_bytes())
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
    use crate::queue::page::PAGE_POSITIONS;

    fn rig() -> (FaultyDisk, PathBuf) {
        let disk = FaultyDisk::new();
        disk.create_folders(Path::new("/c")).unwrap();
        (disk, PathBuf::from("/c").join(name("cloud")))
    }

    #[track_caller]
    fn found(disk: &FaultyDisk, path: &Path) -> (Cursor, CursorFile) {
        match CursorFile::find(disk, path).unwrap() {
            Found::Cursor(cursor, file) => (cursor, file),
            _ => panic!("no cursor"),
        }
    }

    #[track_caller]
    fn watermark(disk: &FaultyDisk, path: &Path) -> u64 {
        found(disk, path).0.watermark()
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
                if file.save(&disk, &cursor.whole()).is_err() {
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
            file.make_sure(&disk, &cursor.whole()).unwrap();
            cursor.settle(cursor.watermark() + 1, How::Dropped);
            disk.fail(&[call], 0, io::ErrorKind::Other);
            file.save(&disk, &cursor.whole()).unwrap();
            disk.crash(0);
            assert_eq!(watermark(&disk, &path), cursor.watermark());
            file = found(&disk, &path).1;
        }
    }

    #[test]
    fn a_crash_in_the_middle_of_a_save_of_many_pages_settles_nothing_more_and_what_was_saved() {
        for seed in 0..300 {
            let (disk, path) = rig();
            let mut cursor = Cursor::new(5);
            let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
            let mut saved = cursor.clone();
            disk.end_power_after(10 + seed % 60);
            for round in 1..12 {
                // The others settle what is beyond what a busy shard owes, which goes in leaps.
                let page = round * PAGE_POSITIONS;
                cursor.settle_range(page, page + 700, How::Dropped);
                cursor.settle(page + 1_000 + seed, How::Damaged);
                if round % 4 == 0 {
                    cursor.settle_range(1, page - PAGE_POSITIONS / 2, How::Dropped);
                }
                let draft = cursor.draft(file.wants_whole());
                if file.save(&disk, &draft).is_err() {
                    break;
                }
                saved = cursor.clone();
            }

            disk.crash(seed);

            let (found, mut file) = found(&disk, &path);
            for position in (1..13 * PAGE_POSITIONS).step_by(50) {
                let is_settled = found.is_settled(position);
                assert!(is_settled || !saved.is_settled(position), "seed {seed}: {position} lost");
                assert!(!is_settled || cursor.is_settled(position), "seed {seed}: {position}");
            }
            assert_eq!(found.counts().sum(), found.watermark() - 5 + found.ahead());
            file.save(&disk, &cursor.whole()).unwrap();
            assert_eq!(self::found(&disk, &path).0, cursor, "seed {seed}");
        }
    }

    #[test]
    fn places_are_used_again_so_the_file_stays_as_small_as_its_window() {
        let (disk, path) = rig();
        let mut cursor = Cursor::new(0);
        let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
        let length = disk.content(&path).unwrap().len();
        for page in 1..40 {
            cursor.settle_range(1, page * PAGE_POSITIONS + 9, How::Dropped);
            cursor.settle(page * PAGE_POSITIONS + 20, How::Dropped);
            let draft = cursor.draft(file.wants_whole());
            assert_eq!(file.save(&disk, &draft).unwrap(), [0; 0]);
            assert_eq!(found(&disk, &path).0, cursor);
        }
        assert_eq!(disk.content(&path).unwrap().len(), length);
    }

    #[test]
    fn a_full_disk_keeps_no_watermark_from_being_saved() {
        let (disk, path) = rig();
        let mut cursor = Cursor::new(0);
        let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
        for page in 0..7 {
            cursor.settle(page * PAGE_POSITIONS + 2, How::Dropped);
        }
        cursor.settle(1, How::Dropped);
        disk.set_capacity(Some(0));

        let unsaved = file.save(&disk, &cursor.draft(false)).unwrap();

        assert_eq!(unsaved, [4, 5, 6]);
        assert_eq!(cursor.whole().saved_upto(&unsaved), 2);
        assert_eq!(found(&disk, &path).0.counts().dropped, 5);
        assert_eq!(watermark(&disk, &path), 2);
        disk.set_capacity(None);
        cursor.draft_again(unsaved.into_iter());
        assert_eq!(file.save(&disk, &cursor.draft(false)).unwrap(), [0; 0]);
        assert_eq!(found(&disk, &path).0, cursor);
    }

    #[test]
    fn a_watermark_in_a_page_that_a_full_disk_left_out_is_not_taken_for_saved() {
        let (disk, path) = rig();
        let mut cursor = Cursor::new(0);
        let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
        // All the places that a new file has room for are taken by what is further on.
        for page in 5..9 {
            cursor.settle(page * PAGE_POSITIONS, How::Dropped);
        }
        assert_eq!(file.save(&disk, &cursor.draft(false)).unwrap(), [0; 0]);
        cursor.settle_range(1, PAGE_POSITIONS + 3, How::Dropped);
        disk.set_capacity(Some(0));

        let draft = cursor.draft(false);
        let unsaved = file.save(&disk, &draft).unwrap();

        assert_eq!(unsaved, [1]);
        assert_eq!(draft.saved_upto(&unsaved), PAGE_POSITIONS - 1);
        assert_eq!(watermark(&disk, &path), PAGE_POSITIONS - 1);
        assert_eq!(draft.saved_upto(&[]), PAGE_POSITIONS + 2);
    }

    #[test]
    fn a_page_that_has_a_place_is_saved_on_a_full_disk_too() {
        let (disk, path) = rig();
        let mut cursor = Cursor::new(0);
        let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
        for page in 0..7 {
            cursor.settle(page * PAGE_POSITIONS + 2, How::Dropped);
        }
        assert_eq!(file.save(&disk, &cursor.draft(false)).unwrap(), [0; 0]);
        disk.set_capacity(Some(0));

        for round in 3..6 {
            for page in 0..7 {
                cursor.settle(page * PAGE_POSITIONS + round, How::Dropped);
            }
            assert_eq!(file.save(&disk, &cursor.draft(false)).unwrap(), [0; 0]);
            assert_eq!(found(&disk, &path).0, cursor);
        }
    }

    #[test]
    fn on_a_full_disk_the_only_good_head_is_not_written_over() {
        let room = usize::try_from(HEAD_ROOM).unwrap();
        for saves in [1, 2] {
            let (disk, path) = rig();
            let mut cursor = Cursor::new(0);
            let mut file = CursorFile::create(&disk, &path, &cursor).unwrap();
            for _ in 0..saves {
                cursor.settle(cursor.watermark() + 1, How::Dropped);
                file.save(&disk, &cursor.whole()).unwrap();
            }
            // A power cut tore the save after that, in the other head.
            let torn = if saves == 1 { 0 } else { HEAD_ROOM };
            disk.flip(&path, torn + 40, 3);
            let mut file = found(&disk, &path).1;
            disk.set_capacity(Some(0));
            file.make_sure(&disk, &cursor.whole()).unwrap();
            let good = disk.content(&path).unwrap();

            cursor.settle(cursor.watermark() + 1, How::Dropped);
            file.save(&disk, &cursor.whole()).unwrap();

            let kept = room - usize::try_from(torn).unwrap();
            let now = disk.content(&path).unwrap();
            assert_eq!(now[kept..kept + room], good[kept..kept + room], "{saves}");
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

//! From one segment to the next: a file gets a segment's name only when its header, the table of
//! marks and its first frame are synced. What has no such name is never read.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::active::{Active, BLOCK_BYTES};
use super::error::AppendError;
use super::frame::{self, Builder, SNAPSHOT};
use super::log::{Place, Segment};
use super::seal::{Cipher, Keyed};
use super::segment;
use super::spares::Spare;
use super::store::Store;
use crate::base::disk::{Disk, DiskFile, Open, is_full, read_full_at};
use crate::base::random;

/// What becomes of the newest segment that was found at opening.
pub(super) enum Newest {
    /// It takes more frames.
    GoesOn(Active),
    /// It may have got its name by a sync of the folder that failed, and there was no room to name
    /// it again: that comes before the next segment.
    Unsure(Segment),
    /// There is none, or it takes no more.
    Ended,
}

/// A segment that takes no more frames.
struct Ended {
    active: Active,
    /// The position that follows, for its footer; `None` after a failure: what is not written any
    /// more gets none.
    next: Option<u64>,
}

/// What a segment begins with, and what seals it.
struct Content<'a> {
    header: &'a segment::Header,
    /// The header as it lies on disk, and the table of marks.
    start: &'a [u8],
    cipher: Option<&'a Cipher>,
}

/// Makes segments.
pub(super) struct Rolls {
    store: Arc<Store>,
    /// Its name may not be on disk.
    unsure: Option<Segment>,
    /// Take no more frames; what is left to do with them waits until nobody does.
    ended: Vec<Ended>,
    /// When free space was looked up, and what it was.
    free: Option<(Instant, u64)>,
}

/// The next segment is to be prepared: work that nobody waits for.
pub(super) struct Preparing(Arc<Store>);

impl Preparing {
    /// Does it. Blocks.
    pub(super) fn run(self) {
        self.0.spares.prepare();
    }
}

/// Free space is looked up at most this often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// On a disk that is nearly full segments are made as short as this, so that what is left can be
/// used; shorter ones would cost more in names and headers than they hold.
const SEGMENT_BYTES_LEAST: u64 = 1 << 20;

impl Rolls {
    pub(super) fn new(store: Arc<Store>, unsure: Option<Segment>) -> Self {
        Self { store, unsure, ended: Vec::new(), free: None }
    }

    /// Begins a new segment with built frames; the place is the last one's. The outer refusal is
    /// about room and final; the inner error is about one file, and another may do.
    pub(super) fn roll(
        &mut self,
        active: &mut Option<Active>,
        frames: &mut [Builder],
    ) -> Result<io::Result<Place>, AppendError> {
        // A file among them may be settled by now, and would be taken as a spare.
        self.finish_ended();
        if let Some(segment) = &self.unsure {
            let folder = &self.store.settings.folder;
            if let Err(error) = name_again(self.store.disk.as_ref(), folder, segment) {
                self.store.spares.distrust();
                return Ok(Err(error));
            }
            self.unsure = None;
        }
        let (first, unix_ms) =
            frames.first().map_or((1, 0), |frame| (frame.header().first, frame.header().unix_ms));
        let settings = &self.store.settings;
        let header = segment::Header {
            first,
            salt: new_salt(),
            unix_ms,
            is_packed: settings.compresses,
            keyed: settings.keys.current().map(Keyed::new),
        };
        let cipher = settings.keys.cipher(Some(header.salt), header.keyed);
        let start = self.start_of(&header, cipher.as_ref());
        let frame_bytes: u64 = frames.iter().map(|frame| frame.header().total_bytes()).sum();
        let used = start.len() as u64 + frame_bytes;
        let needed = (used + frame::HEADER_BYTES as u64).next_multiple_of(BLOCK_BYTES);
        let spare = match self.take_spare(needed)? {
            Ok(spare) => spare,
            Err(error) => return Ok(Err(error)),
        };
        let content = Content { header: &header, start: &start, cipher: cipher.as_ref() };
        if let Err(error) = self.fill_and_name(&spare, &content, frames) {
            return Ok(Err(error));
        }
        let segment = Segment { used, ..Segment::of(first, Some(header), spare.bytes) };
        self.store.log().add(segment);
        let before = active.replace(Active::new(spare.file, segment, cipher));
        self.store.keep_within_bound();
        let next = Some(header.first);
        self.ended.extend(before.map(|active| Ended { active, next }));
        let bytes = frames.last().map_or(0, |frame| frame.header().total_bytes());
        Ok(Ok(Place { segment: first, salt: header.salt, offset: used - bytes, bytes }))
    }

    /// Leaves a segment behind after a failed write or sync.
    pub(super) fn abandon(&mut self, active: Active) {
        self.ended.push(Ended { active, next: None });
    }

    /// Refuses when the disk is fuller than the operator wants it.
    pub(super) fn check_floor(&mut self) -> Result<(), AppendError> {
        self.check_free(0, LOOK_AGAIN_AFTER)
    }

    /// What was known of free space does not hold any more.
    pub(super) fn room_was_made(&mut self) {
        self.free = None;
    }

    /// An error of the disk as those who append are told.
    pub(super) fn in_words(&self, error: &io::Error) -> AppendError {
        if is_full(error) {
            let folder = &self.store.settings.folder;
            AppendError::DiskFull { free_bytes: self.store.disk.free_bytes(folder).unwrap_or(0) }
        } else {
            AppendError::Disk(error.to_string())
        }
    }

    /// What can be done while nobody waits: ends of segments. And what somebody else should do, as
    /// it takes longer: the next segment prepared, so that a full disk is met before anybody needs
    /// it.
    pub(super) fn tidy(&mut self, active: Option<&Active>) -> Option<Preparing> {
        self.finish_ended();
        let half_full = active.is_some_and(Active::is_half_full);
        if !half_full || !self.store.spares.are_wanting() {
            return None;
        }
        let bytes = self.store.limits.segment_bytes;
        let fits = self.store.used_bytes() + bytes <= self.store.limits.max_bytes;
        let has_room = fits && self.has_free(bytes, LOOK_AGAIN_AFTER).is_ok();
        self.store.spares.ask_for_one(has_room).then(|| Preparing(Arc::clone(&self.store)))
    }

    fn finish_ended(&mut self) {
        for Ended { active, next } in self.ended.drain(..) {
            match active.finish(next, self.store.clock.unix_ms()) {
                Ok(Some(bytes)) => self.store.log().cut(active.segment(), bytes),
                Ok(None) => {}
                Err(why) => debug!(%why, "a segment that ended got no footer and keeps its length"),
            }
        }
    }

    /// A file of at least `needed` bytes: a spare, or a new one.
    fn take_spare(&mut self, needed: u64) -> Result<io::Result<Spare>, AppendError> {
        if let Some(spare) = self.store.spares.take(needed).transpose() {
            return Ok(spare);
        }
        let mut bytes = needed.max(self.store.limits.segment_bytes);
        self.make_room(bytes)?;
        // To make room may have settled a segment.
        if let Some(spare) = self.store.spares.take(needed).transpose() {
            return Ok(spare);
        }
        // A disk that has no room for a whole segment still has some for a shorter one.
        let least = needed.max(SEGMENT_BYTES_LEAST);
        while bytes > least && self.has_free(bytes, Duration::ZERO).is_err() {
            bytes = (bytes / 2).next_multiple_of(BLOCK_BYTES).max(least);
        }
        self.check_free(bytes, Duration::ZERO)?;
        let made = self.store.spares.make(bytes);
        if made.as_ref().is_err_and(is_full) {
            // For the next try: a quota may count what is kept, and tells nobody of it.
            self.store.spares.give_back();
        }
        Ok(made)
    }

    /// Sees to it that `bytes` more stay within the bound.
    fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        let max_bytes = self.store.limits.max_bytes;
        let fits = |store: &Store| store.used_bytes() + bytes <= max_bytes;
        if fits(&self.store) || self.store.spares.give_back() && fits(&self.store) {
            return Ok(());
        }
        if let Err(why) = self.store.save() {
            debug!(%why, "cursors could not be saved to make room");
        }
        if fits(&self.store) || self.store.spares.give_back() && fits(&self.store) {
            return Ok(());
        }
        // The operator may have lowered the bound below one segment; that goes when another follows.
        if self.store.is_spent() {
            return Ok(());
        }
        Err(AppendError::Full { used_bytes: self.store.used_bytes(), max_bytes })
    }

    /// Refuses if `bytes` more would leave less free than the operator wants, even without spares.
    fn check_free(&mut self, bytes: u64, age: Duration) -> Result<(), AppendError> {
        let refusal = match self.has_free(bytes, age) {
            Err(refusal) if self.store.spares.give_back() => refusal,
            answer => return answer,
        };
        debug!(why = %refusal, "spare segments were given back");
        self.has_free(bytes, Duration::ZERO)
    }

    /// Refuses if `bytes` more would leave less free than the operator wants. What was looked up
    /// within `age` is believed.
    fn has_free(&mut self, bytes: u64, age: Duration) -> Result<(), AppendError> {
        let known = self.free.filter(|(at, _)| at.elapsed() < age).map(|(_, free)| free);
        let free_bytes = known.or_else(|| {
            // A file system that cannot tell is believed to have room; the write will show.
            let free = self.store.disk.free_bytes(&self.store.settings.folder).ok()?;
            self.free = Some((Instant::now(), free));
            Some(free)
        });
        match free_bytes {
            Some(free_bytes)
                if free_bytes < self.store.limits.min_free_disk.saturating_add(bytes) =>
            {
                Err(AppendError::DiskFull { free_bytes })
            }
            _ => Ok(()),
        }
    }

    /// A segment's header, and the table of marks as its first frame.
    fn start_of(&self, header: &segment::Header, cipher: Option<&Cipher>) -> Vec<u8> {
        let mut snapshot = Builder::new(header.form());
        snapshot.begin(header.first, header.unix_ms, SNAPSHOT);
        let marks = self.store.marks();
        for (name, value) in marks.iter() {
            snapshot.mark(name, Some(value));
        }
        marks.keys.iter().for_each(|kept| snapshot.key(kept));
        drop(marks);
        snapshot.finish();
        let mut start = header.block();
        let offset = start.len() as u64;
        start.extend_from_slice(snapshot.sealed_for(header.salt, cipher, offset));
        start.truncate(start.len() - frame::HEADER_BYTES);
        start
    }

    /// Writes everything, syncs it, and only then gives it the name of a segment. If there is one
    /// of that name, it holds no payload, and its marks stand in the new one: it is replaced in
    /// one step. After an error behind the renaming the name stays, for the same reason; what is
    /// under it has no durable payload, and the next attempt replaces it.
    fn fill_and_name(
        &self,
        spare: &Spare,
        content: &Content<'_>,
        frames: &mut [Builder],
    ) -> io::Result<()> {
        let Content { header, start, cipher } = *content;
        let (disk, folder) = (self.store.disk.as_ref(), &self.store.settings.folder);
        let path = self.store.path_of(header.first);
        let mut offset = start.len() as u64;
        let mut frames = frames.iter_mut();
        let written = spare
            .file
            .write_all_at(start, 0)
            .and_then(|()| {
                frames.try_for_each(|frame| {
                    frame.comes_with_the_name();
                    let bytes = frame.sealed_for(header.salt, cipher, offset);
                    spare.file.write_all_at(bytes, offset)?;
                    offset += frame.header().total_bytes();
                    Ok(())
                })
            })
            .and_then(|()| spare.file.sync())
            .and_then(|()| disk.rename(&folder.join(&spare.name), &path));
        if written.is_err() {
            self.store.spares.remove(&spare.name);
        }
        written.and_then(|()| self.store.spares.sync_folder())
    }
}

/// Puts a copy of a segment in its own place. After a failed sync of the folder a name may never
/// reach the disk, however often the folder is synced: this one is new. Of a segment that holds one
/// frame that is little to copy.
pub(super) fn name_again(
    disk: &dyn Disk,
    folder: &Path,
    segment: &Segment,
) -> io::Result<Box<dyn DiskFile>> {
    let path = folder.join(segment::name(segment.first));
    let mut content = vec![0; frame::in_memory(segment.used)];
    let read = read_full_at(disk.open(&path, Open::Read)?.as_ref(), &mut content, 0)?;
    content.truncate(read);
    content.resize(read + frame::HEADER_BYTES, 0);
    let spare = folder.join(segment::spare_name(0));
    let made = disk.open(&spare, Open::Create).and_then(|file| {
        file.reserve(segment.bytes)?;
        file.write_all_at(&content, 0)?;
        file.sync()?;
        disk.rename(&spare, &path)?;
        disk.sync_folder(folder)?;
        Ok(file)
    });
    if made.is_err() && disk.remove(&spare).is_err() {
        debug!("the copy of a segment could not be removed; the next opening does it");
    }
    made
}

/// Random, so that frames of another file or of another life of this one are not taken for its own.
fn new_salt() -> u64 {
    let bytes = random::bits().to_le_bytes();
    bytes.first_chunk().map_or(1, |low| u64::from_le_bytes(*low))
}

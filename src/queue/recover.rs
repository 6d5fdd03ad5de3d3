//! Opening: looks at the newest segment only, cuts what a crash left half written, and finds out
//! where each destination stands.

use std::io;
use std::sync::Arc;

use tracing::{info, warn};

use super::active::Active;
use super::cursors::Cursors;
use super::error::OpenError;
use super::folder;
use super::frame::{self, Header, NAMING, POSITION_MAX, SNAPSHOT};
use super::log::{Log, Segment};
use super::marks::MarkTable;
use super::metrics::StreamMetrics;
use super::roll::{self, Newest};
use super::seal::Key;
use super::segment;
use super::settings::{Limits, Settings, SyncLevel};
use super::store::{Parts, Store};
use super::walk::{self, Step, Window};
use crate::base::clock::Clock;
use crate::base::disk::{DiskFile, Open, SharedDisk, is_full, read_full_at};
use crate::telemetry::Metrics;

/// What opening begins with.
pub(super) struct Opening<'a> {
    pub(super) disk: SharedDisk,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) destinations: &'a [String],
    pub(super) metrics: &'a Metrics,
}

/// What a segment holds.
#[derive(Debug)]
struct Scan {
    /// Its last position that can be read; the one before its first if there is none.
    end: u64,
    /// Its good frames end here.
    used: u64,
    /// The last good frame: offset and length.
    last: Option<(u64, u64)>,
    /// A good frame was written after the segment got its name.
    has_later: bool,
    /// A footer says that nothing follows.
    is_sealed: bool,
    /// The table of marks it begins with could be read.
    has_snapshot: bool,
    /// Something stands behind the last good frame.
    is_torn: bool,
    /// The disk could not read parts of it.
    has_bad_blocks: bool,
}

impl Opening<'_> {
    /// Opens; the second value is what becomes of the newest segment.
    pub(super) fn run(self) -> Result<(Arc<Store>, Newest), OpenError> {
        let folder = self.settings.folder.clone();
        let io = |source| OpenError::Io { folder: folder.clone(), source };
        let disk = Arc::clone(&self.disk);
        let found = folder::survey(disk.as_ref(), &folder, &self.limits, &self.settings.keys)?;
        let (mut segments, spares) = (found.segments, found.spares);
        let cursors = Cursors::find(disk.as_ref(), &self.settings)?;
        let highest = cursors.highest();

        let (marks, scan) = self.scan_newest(&segments).map_err(io)?;
        let mut goes_on = Newest::Ended;
        let length = self.length_of_newest(&segments, spares.len());
        if let (Some(scan), Some(newest)) = (&scan, segments.last_mut()) {
            newest.used = scan.used;
            // Positions a cursor knows are taken, even if the log has lost them.
            if !scan.is_sealed && scan.has_snapshot && highest <= scan.end && newest.salt.is_some()
            {
                newest.bytes = newest.bytes.max(length);
                newest.taken_bytes = newest.taken_bytes.max(newest.bytes);
                goes_on = self.go_on(newest, scan).map_err(io)?;
            }
            // What follows is written in another way, which a segment says in its header.
            if matches!(goes_on, Newest::GoesOn(_)) && !self.is_as_written_now(newest) {
                goes_on = Newest::Ended;
            }
        }
        let end = scan.map_or(0, |scan| scan.end).max(highest);
        let log = Log::new(segments, end);
        let books = cursors.books(self.destinations, &log)?;
        let Self { disk, settings, limits, clock, metrics, .. } = self;
        let metrics = StreamMetrics::new(metrics, &settings.stream);
        let parts = Parts { disk, settings, limits, clock, books, log, marks, metrics, spares };
        let store = Store::new(parts);
        store.keep_within_bound();
        Ok((store, goes_on))
    }

    /// How long the newest segment may grow: it may be one that was cut when it ended early.
    fn length_of_newest(&self, segments: &[Segment], spares: usize) -> u64 {
        let older = segments.iter().rev().skip(1).map(|one| one.taken_bytes).sum::<u64>();
        let spares = spares as u64 * self.limits.segment_bytes;
        let room = self.limits.max_bytes.saturating_sub(older + spares);
        self.limits.segment_bytes.min(room)
    }

    fn is_as_written_now(&self, segment: &Segment) -> bool {
        let key = self.settings.keys.current().map(Key::id);
        segment.is_packed == self.settings.compresses && segment.keyed.map(|keyed| keyed.key) == key
    }

    /// The table of marks, and what the newest segment holds.
    fn scan_newest(&self, segments: &[Segment]) -> io::Result<(MarkTable, Option<Scan>)> {
        let mut table = MarkTable::default();
        let Some((newest, older)) = segments.split_last() else { return Ok((table, None)) };
        let scan = self.scan(newest, POSITION_MAX, &mut table)?;
        if scan.has_snapshot {
            return Ok((table, Some(scan)));
        }
        // The copy of the table is damaged: the last good one, and every change since. What was
        // in the damaged frame is missing; a source that finds an older mark sends again.
        let mut begin = older.len();
        while begin > 0 {
            begin -= 1;
            table = MarkTable::default();
            let mut has_snapshot = false;
            for (at, segment) in segments.iter().enumerate().skip(begin) {
                let until = segments.get(at + 1).map_or(POSITION_MAX, |next| next.first);
                let scan = self.scan(segment, until, &mut table)?;
                has_snapshot |= at == begin && scan.has_snapshot;
            }
            if has_snapshot {
                break;
            }
        }
        Ok((table, Some(scan)))
    }

    fn scan(&self, segment: &Segment, until: u64, table: &mut MarkTable) -> io::Result<Scan> {
        let path = self.settings.folder.join(segment::name(segment.first));
        let file = self.disk.open(&path, Open::Read)?;
        let window = Window::new(file, self.limits.read_bytes, segment.bytes).past_bad_blocks(true);
        let cipher = self.settings.keys.cipher(segment.salt, segment.keyed);
        let mut walk = walk::from_start(window, segment).opened_by(cipher);
        let mut scan = Scan {
            end: segment.first - 1,
            used: segment::HEADER_BYTES.min(segment.bytes),
            last: None,
            has_later: false,
            is_sealed: false,
            has_snapshot: false,
            is_torn: false,
            has_bad_blocks: false,
        };
        let mut bad: Option<(Header, u64)> = None;
        loop {
            scan.has_bad_blocks |= walk.window.has_bad_blocks();
            match walk.step(until)? {
                Step::Frame { header, offset } => {
                    let body = walk.body(&header, offset)?;
                    let marks = body.ok().and_then(|body| frame::marks(&header, &body));
                    let Some((marks, keys)) = marks else {
                        scan.is_torn = true;
                        // Where each frame is synced before the next is written, only the last can be
                        // half written: one before it is damage, to be found and counted by readers.
                        if let Some((known, at)) = bad.replace((header, offset))
                            && self.limits.sync == SyncLevel::Always
                        {
                            scan.end = known.end() - 1;
                            scan.used = at + known.total_bytes();
                            scan.has_later = true;
                        }
                        continue;
                    };
                    bad = None;
                    if header.has(SNAPSHOT) {
                        *table = MarkTable::default();
                        scan.has_snapshot = true;
                    }
                    table.apply_within(marks, self.limits.mark_bytes.max(MARK_BYTES_KEPT));
                    let bounds = self.limits.once(&self.settings.policy);
                    keys.into_iter().for_each(|key| table.keys.keep(key, &bounds));
                    scan.end = header.end() - 1;
                    scan.used = offset + header.total_bytes();
                    scan.last = Some((offset, header.total_bytes()));
                    scan.has_later |= !header.has(SNAPSHOT) && !header.has(NAMING);
                    scan.is_torn = false;
                }
                Step::Damage { .. } => scan.is_torn = true,
                Step::Footer => {
                    scan.is_sealed = true;
                    scan.end = scan.end.max(walk.expect - 1);
                    return Ok(scan);
                }
                Step::End { blank } => {
                    scan.is_torn |= !blank;
                    return Ok(scan);
                }
            }
        }
    }

    /// Prepares the newest segment for more. What is at its end can be unsynced, or synced in vain
    /// before the process ended: its last frame, and where answers come before the sync as much as
    /// may be owed then. It is written once more, with an end behind it, and synced.
    fn go_on(&self, segment: &Segment, scan: &Scan) -> io::Result<Newest> {
        if scan.has_bad_blocks {
            warn!(problem = "queue-damaged", stream = %self.settings.stream,
                segment = %segment::name(segment.first), goes_on_at = scan.used,
                "the disk cannot read parts of the newest segment; what stood at its end may be lost");
        } else if scan.is_torn {
            info!(stream = %self.settings.stream, segment = %segment::name(segment.first),
                offset = scan.used, "the newest segment ends in a half written frame, which is cut");
        }
        let path = self.settings.folder.join(segment::name(segment.first));
        if !scan.has_later {
            return self.name_again(segment);
        }
        let ready = self.disk.open(&path, Open::Write).and_then(|file| {
            let owed = match self.limits.sync {
                SyncLevel::Always => 0,
                SyncLevel::Every(_) | SyncLevel::System => self.limits.unsynced_bytes as u64,
            };
            rewrite_end(file.as_ref(), segment, scan, owed)?;
            self.disk.sync_folder(&self.settings.folder)?;
            Ok(file)
        });
        match ready {
            Ok(file) => Ok(Newest::GoesOn(self.active(file, segment))),
            // Reading must go on, or room will never come: a new segment begins when there is.
            Err(error) if is_full(&error) => Ok(Newest::Ended),
            Err(error) => Err(error),
        }
    }

    fn active(&self, file: Box<dyn DiskFile>, segment: &Segment) -> Active {
        let cipher = self.settings.keys.cipher(segment.salt, segment.keyed);
        Active::new(file, *segment, cipher)
    }

    /// A segment that holds no more than it got with its name may have got that by a sync of the
    /// folder that failed.
    fn name_again(&self, segment: &Segment) -> io::Result<Newest> {
        match roll::name_again(self.disk.as_ref(), &self.settings.folder, segment) {
            Ok(file) => Ok(Newest::GoesOn(self.active(file, segment))),
            Err(error) if is_full(&error) => Ok(Newest::Unsure(*segment)),
            Err(error) => Err(error),
        }
    }
}

/// However small the queue has become, a table of marks of this size is taken over whole; beyond it
/// only a file that was made to do harm can be.
const MARK_BYTES_KEPT: usize = 16 << 20;
/// From the last good frame on, and at least `bytes` of what stands before its end.
fn rewrite_end(file: &dyn DiskFile, segment: &Segment, scan: &Scan, bytes: u64) -> io::Result<()> {
    let last = scan.last.map_or(scan.used, |(offset, _)| offset);
    let before = scan.used.saturating_sub(bytes).max(segment::HEADER_BYTES);
    // Where a block before it cannot be read, the last frame must do.
    let (offset, mut end) = read_from(file, last.min(before), scan.used)
        .or_else(|_| read_from(file, last, scan.used))?;
    if scan.used + frame::HEADER_BYTES as u64 <= segment.bytes {
        end.resize(end.len() + frame::HEADER_BYTES, 0);
    }
    file.write_all_at(&end, offset)?;
    file.sync()
}

fn read_from(file: &dyn DiskFile, offset: u64, end: u64) -> io::Result<(u64, Vec<u8>)> {
    let mut bytes = vec![0; frame::in_memory(end.saturating_sub(offset))];
    let read = read_full_at(file, &mut bytes, offset)?;
    bytes.truncate(read);
    Ok((offset, bytes))
}

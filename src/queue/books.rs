//! The books of one destination: its cursor in memory and on disk, and where its oldest debt lies.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::cursor::{Cursor, How};
use super::cursor_file::CursorFile;
use super::ledger::Ledger;
use super::log::{Frame, Log, Place};
use crate::base::disk::Disk;

/// The books.
pub(super) struct Books {
    pub(super) destination: String,
    open: Mutex<Open>,
    file: Mutex<CursorFile>,
    /// The watermark as it is on disk: segments below it may go.
    saved: AtomicU64,
    /// Everything up to this position was given out since the opening.
    given: AtomicU64,
    /// Wakes the reader: something is durable, something was settled, or the queue was closed.
    pub(super) wake: Notify,
}

/// What changes with every batch.
pub(super) struct Open {
    pub(super) cursor: Cursor,
    trail: Trail,
    is_changed: bool,
}

/// The frames given out, thinned: it says where the oldest debt lies and how old it is.
#[derive(Debug, Default)]
struct Trail(VecDeque<Footprint>);

#[derive(Clone, Copy, Debug)]
struct Footprint {
    first: u64,
    end: u64,
    segment: u64,
    salt: u64,
    offset: u64,
    bytes: u64,
    unix_ms: u64,
}

/// Frames closer than this in time and place share a footprint.
const SAME_MS: u64 = 1000;
const SAME_BYTES: u64 = 64 << 10;
/// Footprints kept; beyond, the newest stands for all that follows.
const FOOTPRINTS_MAX: usize = 4096;

impl Books {
    /// Books with a cursor as it was found. It counts as saved only after the next save: what was
    /// read may never have reached the disk, if a sync failed before the process ended.
    pub(super) fn new(destination: String, cursor: Cursor, file: CursorFile) -> Self {
        Self {
            destination,
            saved: 0.into(),
            given: cursor.watermark().into(),
            open: Mutex::new(Open { cursor, trail: Trail::default(), is_changed: true }),
            file: Mutex::new(file),
            wake: Notify::new(),
        }
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn given(&self) -> u64 {
        self.given.load(Ordering::Acquire)
    }

    pub(super) fn give(&self, upto: u64) {
        self.given.store(upto, Ordering::Release);
    }

    /// What was given and is not settled is given once more.
    pub(super) fn begin_again(&self) {
        let mut open = self.open();
        open.trail = Trail::default();
        self.give(open.cursor.watermark());
    }

    pub(super) fn saved(&self) -> u64 {
        self.saved.load(Ordering::Acquire)
    }

    /// Settles positions that were given out; how many were still open.
    pub(super) fn settle(&self, positions: impl IntoIterator<Item = u64>, how: How) -> u64 {
        let mut open = self.open();
        let mut settled = 0;
        for position in positions {
            if position <= self.given() && open.cursor.settle(position, how) {
                settled += 1;
            }
        }
        open.is_changed |= settled > 0;
        open.forget_settled();
        settled
    }

    /// Settles what is still open below a position as dropped; how much that was.
    pub(super) fn discard(&self, below: u64) -> u64 {
        let mut open = self.open();
        let before = open.cursor.counts().dropped;
        let from = open.cursor.watermark() + 1;
        if from < below {
            open.settle_range(from, below, How::Dropped);
            open.forget_settled();
        }
        open.cursor.counts().dropped - before
    }

    /// Saves the cursor if it changed since the last save, and says nothing of positions behind
    /// `durable`, which a power cut can take; `false` if it must be saved again later.
    pub(super) fn save(&self, disk: &dyn Disk, durable: u64) -> io::Result<bool> {
        // Taken first, so that an older draft is never written over a newer one.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let is_whole = file.wants_whole();
            let draft = {
                let mut open = self.open();
                if !open.is_changed {
                    return Ok(true);
                }
                if open.cursor.highest() > durable {
                    return Ok(false);
                }
                open.is_changed = false;
                open.cursor.draft(is_whole)
            };
            let saved = file.save(disk, &draft);
            let unsaved = match &saved {
                Ok(unsaved) => {
                    self.saved.store(draft.saved_upto(unsaved), Ordering::Release);
                    unsaved.as_slice()
                }
                Err(_) => &[],
            };
            let is_all = saved.is_ok() && unsaved.is_empty();
            if !is_all {
                let mut open = self.open();
                open.cursor.draft_again(unsaved.iter().copied());
                open.is_changed = true;
            }
            match saved {
                // That file is not trusted any more; a new one takes all there is.
                Err(_) if !is_whole => {}
                saved => return saved.map(|_| is_all),
            }
        }
    }

    pub(super) fn ledger(&self, log: &Mutex<Log>) -> Ledger {
        let open = self.open();
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let (cursor, counts) = (&open.cursor, open.cursor.counts());
        let end = log.end();
        let oldest = cursor.watermark() + 1;
        let waiting = end.saturating_sub(cursor.watermark()).saturating_sub(cursor.ahead());
        let (waiting_bytes, oldest_unix_ms) =
            if waiting == 0 { (0, None) } else { open.debt(oldest, &log) };
        Ledger {
            accepted: end.saturating_sub(cursor.birth()).saturating_sub(counts.elsewhere),
            delivered: counts.delivered,
            dead: counts.dead,
            dropped: counts.dropped,
            damaged: counts.damaged,
            waiting,
            waiting_bytes,
            oldest_unix_ms,
            span: self.given().saturating_sub(cursor.watermark()),
        }
    }
}

impl Open {
    /// Settles a range that will not be given out, as far as the window reaches; where it stopped.
    pub(super) fn settle_range(&mut self, from: u64, to: u64, how: How) -> u64 {
        self.is_changed = true;
        self.cursor.settle_range(from, to, how)
    }

    /// Remembers where a frame lies that is about to be given out.
    pub(super) fn follow(&mut self, frame: &Frame) {
        let (place, end) = (&frame.place, frame.end());
        let full = self.trail.0.len() >= FOOTPRINTS_MAX;
        match self.trail.0.back_mut() {
            Some(last)
                if full
                    || last.segment == place.segment
                        && frame.unix_ms.abs_diff(last.unix_ms) < SAME_MS
                        && place.offset.saturating_sub(last.offset) < SAME_BYTES =>
            {
                last.end = end;
                last.bytes = (place.offset + place.bytes).saturating_sub(last.offset);
            }
            _ => self.trail.0.push_back(Footprint {
                first: frame.first,
                end,
                segment: place.segment,
                salt: place.salt,
                offset: place.offset,
                bytes: place.bytes,
                unix_ms: frame.unix_ms,
            }),
        }
    }

    /// A frame that was given out, at this position or not far before it: its place, and its first
    /// position.
    pub(super) fn place_near(&self, position: u64) -> Option<(Place, u64)> {
        let after = self.trail.0.partition_point(|one| one.first <= position);
        let one = self.trail.0.get(after.checked_sub(1)?)?;
        let Footprint { first, segment, salt, offset, bytes, .. } = *one;
        Some((Place { segment, salt, offset, bytes }, first))
    }

    fn forget_settled(&mut self) {
        let oldest = self.cursor.watermark() + 1;
        // The last footprint stays: what comes next lies right behind it.
        while self.trail.0.len() > 1 && self.trail.0.front().is_some_and(|one| one.end <= oldest) {
            self.trail.0.pop_front();
        }
    }

    /// Bytes from the oldest debt to the end, and its time.
    fn debt(&self, oldest: u64, log: &Log) -> (u64, Option<u64>) {
        let footprint = self.trail.0.front().filter(|one| one.first <= oldest);
        if let Some(one) = footprint.filter(|one| oldest < one.end) {
            return (log.bytes_from(one.segment, one.offset), Some(one.unix_ms));
        }
        let recent = log.recent_unix_ms(oldest);
        if let Some(one) = footprint {
            let offset = one.offset + one.bytes;
            return (log.bytes_from(one.segment, offset), recent.or(Some(one.unix_ms)));
        }
        match log.guess(oldest) {
            Some((segment, offset, unix_ms)) => {
                (log.bytes_from(segment, offset), recent.or(unix_ms))
            }
            None => (0, recent),
        }
    }
}

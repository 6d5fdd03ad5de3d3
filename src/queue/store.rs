//! What the writer and the readers of one queue share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, warn};

use super::books::Books;
use super::cursor::How;
use super::lapse::Lapses;
use super::ledger::Overview;
use super::log::Log;
use super::marks::MarkTable;
use super::metrics::{Shown, StreamMetrics};
use super::quarantine::Quarantine;
use super::segment;
use super::settings::{Limits, Settings, SyncLevel};
use super::spares::Spares;
use super::trouble::Trouble;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::base::tasks;

/// The shared part of a queue.
pub(super) struct Store {
    pub(super) disk: SharedDisk,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) books: Vec<Books>,
    pub(super) quarantine: Quarantine,
    pub(super) spares: Spares,
    pub(super) metrics: StreamMetrics,
    pub(super) lapses: Lapses,
    log: Mutex<Log>,
    marks: Mutex<MarkTable>,
    pub(super) trouble: Mutex<Option<Trouble>>,
    removing: Mutex<()>,
    is_closed: AtomicBool,
    save_is_due: AtomicBool,
    save_awaits_sync: AtomicBool,
    rest_is_due: AtomicBool,
}

/// What a store begins with.
pub(super) struct Parts {
    pub(super) disk: SharedDisk,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) books: Vec<Books>,
    pub(super) log: Log,
    pub(super) marks: MarkTable,
    pub(super) metrics: StreamMetrics,
    /// Names of files that can be written over.
    pub(super) spares: Vec<String>,
}

/// A queue that took nothing for so long needs no spare segments.
pub(super) const REST_AFTER: Duration = Duration::from_mins(1);
/// A failed save of cursors is tried again after this, on top of the usual wait.
const SAVE_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Store {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { disk, settings, limits, clock, books, log, marks, metrics, spares } = parts;
        let quarantine = Quarantine::new(
            settings.folder.join(QUARANTINE),
            settings.stream.clone(),
            limits.quarantine_bytes,
        );
        let folder = settings.folder.clone();
        let spares = Spares::new(Arc::clone(&disk), folder, &limits, spares);
        let lapses = Lapses::new(&settings.policy, clock.unix_ms(), log.end());
        Arc::new(Self {
            disk,
            settings,
            limits,
            clock,
            books,
            quarantine,
            spares,
            metrics,
            lapses,
            log: Mutex::new(log),
            marks: Mutex::new(marks),
            trouble: Mutex::default(),
            removing: Mutex::default(),
            is_closed: false.into(),
            save_is_due: false.into(),
            save_awaits_sync: false.into(),
            rest_is_due: false.into(),
        })
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }

    pub(super) fn marks(&self) -> MutexGuard<'_, MarkTable> {
        lock(&self.marks)
    }

    /// What the queue takes on disk.
    pub(super) fn used_bytes(&self) -> u64 {
        // Together: what goes from one to the other must be seen in one of them.
        let log = self.log();
        log.segment_bytes() + self.spares.bytes()
    }

    /// Whether every saved cursor is past all there is.
    pub(super) fn is_spent(&self) -> bool {
        let saved = self.books.iter().map(Books::saved).min();
        saved.is_some_and(|saved| saved >= self.log().end())
    }

    /// Returns when a segment that is being removed is off the log.
    pub(super) fn await_removal(&self) {
        drop(lock(&self.removing));
    }

    pub(super) fn path_of(&self, first: u64) -> PathBuf {
        self.settings.folder.join(segment::name(first))
    }

    pub(super) fn ledger_of(&self, books: &Books) -> super::Ledger {
        books.ledger(&self.log)
    }

    /// Everything up to here was given to every reader.
    pub(super) fn given_to_all(&self) -> u64 {
        self.books.iter().map(Books::given).min().unwrap_or(u64::MAX)
    }

    /// The lowest position that some destination is still owed.
    pub(super) fn oldest_owed(&self) -> Option<u64> {
        let watermarks = self.books.iter().map(|books| books.open().cursor.watermark());
        let oldest = watermarks.min()? + 1;
        (oldest <= self.log().end()).then_some(oldest)
    }

    /// Up to here the reader that is furthest was given; `None` without readers.
    pub(super) fn given_to_one(&self) -> Option<u64> {
        self.books.iter().map(Books::given).max()
    }

    pub(super) fn wake_readers(&self) {
        self.books.iter().for_each(|books| books.wake.notify_one());
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.wake_readers();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Settles positions of one destination and sees to it that this is saved in time.
    pub(super) fn settle(
        self: &Arc<Self>,
        books: &Books,
        positions: impl IntoIterator<Item = u64>,
        how: How,
    ) {
        if books.settle(positions, how) > 0 {
            books.wake.notify_one();
            self.save_later(self.settings.cursor_save_after);
        }
    }

    /// Saves the cursors after a while, once for all that change until then. Where no runtime
    /// runs, nothing is saved before the next call or the close.
    pub(super) fn save_later(self: &Arc<Self>, after: Duration) {
        if self.save_is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = Arc::downgrade(self);
        let started = tasks::detached(async move {
            sleep(after).await;
            let Some(store) = store.upgrade() else { return };
            tasks::blocking(move || store.save_now()).await;
        });
        if !started {
            self.save_is_due.store(false, Ordering::Release);
        }
    }

    fn save_now(self: Arc<Self>) {
        self.save_is_due.store(false, Ordering::Release);
        match self.save_what_is_durable() {
            Ok(true) => {}
            Ok(false) => {
                self.save_awaits_sync.store(true, Ordering::Release);
                self.save_later(self.settings.cursor_save_after);
            }
            Err(why) => {
                warn!(problem = "queue-cursor-unsaved", stream = %self.settings.stream, %why,
                    "cursors could not be saved; what they settle would be delivered again after a crash");
                self.save_later(self.settings.cursor_save_after + SAVE_AGAIN_AFTER);
            }
        }
    }

    /// Gives the space of spare segments back once nothing was committed for a while: one look per
    /// while, and none when there is nothing to give.
    pub(super) fn rest_later(self: &Arc<Self>) {
        if self.spares.bytes() == 0 || self.rest_is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let store = Arc::downgrade(self);
        let started = tasks::detached(async move {
            loop {
                let Some(before) = store.upgrade().map(|store| store.metrics.frames.get()) else {
                    return;
                };
                sleep(REST_AFTER).await;
                let Some(store) = store.upgrade() else { return };
                if store.metrics.frames.get() == before {
                    store.rest_is_due.store(false, Ordering::Release);
                    tasks::blocking(move || store.spares.rest()).await;
                    return;
                }
            }
        });
        if !started {
            self.rest_is_due.store(false, Ordering::Release);
        }
    }

    /// Everything was synced just now: cursors that were ahead of that can be saved. In a steady flow
    /// they are ahead at any other moment.
    pub(super) fn save_what_waited_for_a_sync(&self) {
        if self.save_awaits_sync.swap(false, Ordering::AcqRel)
            && let Err(why) = self.save()
        {
            debug!(%why, "cursors could not be saved behind a sync; they are tried again");
        }
    }

    /// Saves the cursors that changed, and removes the segments nobody needs any more.
    ///
    /// # Errors
    /// In words, what could not be saved; the others were.
    pub(super) fn save(&self) -> Result<(), String> {
        self.save_what_is_durable().map(drop)
    }

    /// The same; `false` if a cursor knows positions that are not synced yet, and waits for them.
    fn save_what_is_durable(&self) -> Result<bool, String> {
        let mut faults = Vec::new();
        let mut is_all = true;
        // Where the system syncs when it sees fit, nobody knows what is. Positions that a cursor
        // knows are never given to others, so one that is ahead of the log is told from it.
        let durable = match self.limits.sync {
            SyncLevel::System => u64::MAX,
            SyncLevel::Always | SyncLevel::Every(_) => self.log().synced(),
        };
        for books in &self.books {
            match books.save(self.disk.as_ref(), durable) {
                Ok(is_saved) => is_all &= is_saved,
                Err(error) => {
                    let destination = &books.destination;
                    faults.push(format!("the cursor of `{destination}` cannot be saved: {error}"));
                }
            }
        }
        self.remove_settled();
        if faults.is_empty() { Ok(is_all) } else { Err(faults.join("; ")) }
    }

    /// Removes the segments that every saved cursor is past. Without destinations nothing goes:
    /// nobody has taken anything then. That the names are gone is not synced: a segment that
    /// comes back after a crash is settled as well, and goes again.
    fn remove_settled(&self) {
        let Some(watermark) = self.books.iter().map(Books::saved).min() else { return };
        let _one_at_a_time = lock(&self.removing);
        loop {
            let Some(oldest) = self.log().removable(watermark) else { return };
            let retired = match self.spares.retire(&self.path_of(oldest.first), oldest.bytes) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    warn!(stream = %self.settings.stream, segment = %segment::name(oldest.first),
                        why = %error, "a settled segment cannot be removed; it is tried again");
                    return;
                }
                answer => answer.unwrap_or_default(),
            };
            {
                let mut log = self.log();
                log.forget(&oldest);
                // Only now: who finds damage in it asks the log whether it is still part of it.
                self.spares.count_retired(retired.as_ref());
            }
            retired.into_iter().for_each(|retired| self.spares.keep(retired));
            self.segment_went(oldest.first);
            self.room_was_made();
        }
    }

    /// After a crash the queue can be over its bound, which brings back what was removed and not
    /// synced, and after the operator lowered the bound. What is settled goes, then the spares.
    pub(super) fn keep_within_bound(&self) {
        let is_over = || self.used_bytes() > self.limits.max_bytes;
        if is_over()
            && let Err(why) = self.save()
        {
            debug!(%why, "cursors could not be saved to make room");
        }
        if is_over() {
            self.spares.give_back();
        }
    }
}

/// Where damaged ranges are copied to.
pub(super) const QUARANTINE: &str = "quarantine";
/// Where the cursors lie.
pub(super) const CURSORS: &str = "cursors";

impl Shown for Store {
    fn stream(&self) -> &str {
        &self.settings.stream
    }

    fn overview(&self) -> Overview {
        let ledgers = self
            .books
            .iter()
            .map(|books| (books.destination.clone(), books.ledger(&self.log)))
            .collect();
        let settled = self.books.iter().map(|books| books.open().cursor.watermark()).min();
        let log = self.log();
        Overview {
            committed: log.end(),
            settled: settled.unwrap_or_else(|| log.end()),
            used_bytes: log.segment_bytes() + self.spares.bytes(),
            max_bytes: self.limits.max_bytes,
            is_dropping: self.is_dropping(),
            sync: self.limits.sync,
            unsynced: log.end() - log.synced(),
            ledgers,
        }
    }
}

/// Takes a lock; what a panicking holder left is whole, as every change is one assignment.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

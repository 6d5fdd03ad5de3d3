//! What the operator's policy lets go: the oldest segment of a full queue, and what has waited
//! too long.
//!
//! Everything below one position has lapsed. What a destination had not settled of it is settled
//! here as dropped, or handed over to be put with the dead letters; the files go as always, when
//! the saved cursors are past them. So a crash between any two steps leaves the books balanced.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::age::Ages;
use super::backlog::{Backlog, Found};
use super::error::AppendError;
use super::settings::{Lapsed, Policy, WhenFull};
use super::store::{Store, lock};
use crate::base::tasks;

/// Why a payload is not kept for its destination any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapse {
    /// It waited longer than the queue's `max_age`.
    TooOld,
    /// It was among the oldest in a full queue.
    MadeRoom,
}

/// The places up to which everything has lapsed, and what was said of it.
#[derive(Debug)]
pub(super) struct Lapses {
    too_old: AtomicU64,
    made_room: AtomicU64,
    ages: Mutex<Ages>,
    told: Mutex<Option<Told>>,
}

/// A time in which records are dropped.
#[derive(Debug)]
struct Told {
    since: Instant,
    said: Instant,
    dropped: u64,
}

/// What is dropped is told of at most this often.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// What was there at the opening may be too old only after this (or after `max_age`, if that is
/// less): a host without a clock of its own has asked the network by then.
const PATIENCE: Duration = Duration::from_secs(600);
/// Ages are looked at every tenth of `max_age`, within these bounds.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

impl Lapses {
    pub(super) fn new(policy: &Policy, unix_ms: u64, end: u64) -> Self {
        let patience = policy.max_age.unwrap_or_default().min(PATIENCE);
        Self {
            too_old: 0.into(),
            made_room: 0.into(),
            ages: Mutex::new(Ages::new(unix_ms, end, patience)),
            told: Mutex::default(),
        }
    }

    /// Everything below has lapsed.
    pub(super) fn below(&self) -> u64 {
        self.too_old.load(Ordering::Acquire).max(self.made_room.load(Ordering::Acquire))
    }

    /// Why a position has lapsed; `None` if it has not.
    pub(super) fn of(&self, position: u64) -> Option<Lapse> {
        if position < self.too_old.load(Ordering::Acquire) {
            return Some(Lapse::TooOld);
        }
        (position < self.made_room.load(Ordering::Acquire)).then_some(Lapse::MadeRoom)
    }
}

impl Store {
    /// Notes the wall clock before `next` is committed, so that a jump of it is known.
    pub(super) fn note_clock(&self, unix_ms: u64, next: u64) {
        if self.settings.policy.max_age.is_some() {
            lock(&self.lapses.ages).look(unix_ms, next);
        }
    }

    /// Lets the oldest segment go because a group found no room; whether there is more room now.
    /// The newest never goes.
    pub(super) fn let_oldest_go(&self, why: &AppendError) -> bool {
        let is_full = matches!(why, AppendError::Full { .. } | AppendError::DiskFull { .. });
        let drops = self.settings.policy.when_full == WhenFull::DropOldest;
        if !is_full || !drops || self.books.is_empty() {
            return false;
        }
        let (first, second) = {
            let log = self.log();
            (log.first(), log.second())
        };
        let Some(second) = second else { return false };
        self.lapses.made_room.fetch_max(second, Ordering::AcqRel);
        if !self.discard(second, "queue-full") {
            // The dead letters come first; who is refused now sends again.
            return false;
        }
        if let Err(why) = self.save() {
            debug!(%why, "cursors could not be saved to make room");
        }
        self.log().first() > first
    }

    /// Settles what lies below a position as dropped, for every destination; `false` if the policy
    /// wants it with the dead letters instead.
    fn discard(&self, below: u64, reason: &'static str) -> bool {
        if self.settings.policy.lapsed == Lapsed::DeadLetter {
            self.wake_readers();
            return false;
        }
        for books in &self.books {
            let dropped = books.discard(below);
            if dropped > 0 {
                self.metrics.dropped(&books.destination, reason, dropped);
                self.tell(&books.destination, reason, dropped);
                books.wake.notify_one();
            }
        }
        true
    }

    fn tell(&self, destination: &str, reason: &'static str, dropped: u64) {
        let mut told = lock(&self.lapses.told);
        let now = Instant::now();
        let is_first = told.is_none();
        let told = told.get_or_insert(Told { since: now, said: now, dropped: 0 });
        told.dropped += dropped;
        if is_first || now.duration_since(told.said) >= TELL_AGAIN_AFTER {
            told.said = now;
            warn!(problem = "records-dropped", stream = %self.settings.stream, destination, reason,
                dropped = told.dropped,
                "the oldest records are dropped, as the queue's settings say");
        }
    }

    /// The oldest segment went: if it was settled and not let go, destinations keep up again.
    pub(super) fn segment_went(&self, first: u64) {
        if first < self.lapses.below() {
            return;
        }
        if let Some(Told { since, dropped, .. }) = lock(&self.lapses.told).take() {
            let lasted = since.elapsed();
            info!(problem = "records-dropped", stream = %self.settings.stream, dropped, ?lasted,
                "records are not dropped any more: destinations keep up");
        }
    }

    /// Whether records were dropped, and no destination has caught up since.
    pub(super) fn is_dropping(&self) -> bool {
        lock(&self.lapses.told).is_some()
    }
}

/// The machine that looks for what has waited too long.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The oldest payload that is owed, and when it is worth a look again.
    known: Option<(u64, Instant)>,
}

impl Sweep {
    /// Looks once. Reads what may be too old and nothing else.
    pub(super) fn step(&mut self, store: &Arc<Store>) -> io::Result<()> {
        let Some(max_age) = store.settings.policy.max_age else { return Ok(()) };
        store.note_clock(store.clock.unix_ms(), store.log().end() + 1);
        let Some(oldest) = store.oldest_owed() else { return Ok(()) };
        if self.known.is_some_and(|(known, due)| known == oldest && Instant::now() < due) {
            return Ok(());
        }
        let age = |position, unix_ms| lock(&store.lapses.ages).least(position, unix_ms);
        // Whole segments are known by the time the next one was begun.
        let is_past = |first, unix_ms| age(first, unix_ms) >= max_age;
        let mut below = store.log().begun_after(oldest, is_past).unwrap_or(oldest);
        let (mut next, mut found) = (below, VecDeque::new());
        let mut backlog = Backlog::new(Arc::clone(store));
        'reading: while next <= store.log().end() {
            backlog.read(next, &mut found)?;
            if found.is_empty() {
                break;
            }
            for one in found.drain(..) {
                let frame = match one {
                    // Damage is passed by those who read; it lapses with what stands behind it.
                    Found::Lost(_, to) => {
                        next = to;
                        continue;
                    }
                    Found::Frame(frame) => frame,
                };
                let waited = age(frame.first, frame.unix_ms);
                if waited < max_age {
                    self.known = Some((below, Instant::now() + (max_age - waited)));
                    break 'reading;
                }
                next = frame.end();
                below = next;
            }
        }
        if below > oldest {
            store.lapses.too_old.fetch_max(below, Ordering::AcqRel);
            if store.discard(below, "max-age") {
                store.save_later(store.settings.cursor_save_after);
            }
        }
        Ok(())
    }

    /// Looks now and then, as long as the queue is open. Where no runtime runs, nobody looks.
    pub(super) fn start(store: &Arc<Store>) {
        let Some(max_age) = store.settings.policy.max_age else { return };
        let every = (max_age / 10).clamp(LOOK_EVERY.0, LOOK_EVERY.1);
        let weak: Weak<Store> = Arc::downgrade(store);
        let mut sweep = Self::default();
        tasks::detached(async move {
            loop {
                let Some(store) = weak.upgrade() else { return };
                let looked;
                (sweep, looked) = tasks::blocking(move || {
                    let looked = sweep.step(&store);
                    (sweep, looked)
                })
                .await;
                if let Err(why) = looked {
                    debug!(%why, "ages could not be read; they are looked at again");
                }
                sleep(every).await;
            }
        });
    }
}

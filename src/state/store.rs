//! The store as its users hold it, and what they share with the thread that writes.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::area::Area;
use super::committer::Committer;
use super::engine::{Change, Opener};
use super::metrics::Numbers;
use super::on_sled;
use super::opening::Opening;
use super::view::View;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::telemetry::Metrics;

/// Most keys of each area; together they are the most of the store.
const TAIL_KEYS_MAX: usize = 8000;
const QUOTA_KEYS_MAX: usize = 1000;
const CLOUD_KEYS_MAX: usize = 1000;

/// Changes are collected for this long before they are written.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for the disk, at the start and at the stop; the store never holds up either for long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store; cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    shared: Arc<Shared>,
}

/// Where what changes goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is being opened; what changes waits in memory.
    Opening,
    /// To disk.
    OnDisk,
    /// To memory only; it is tried again by itself.
    InMemory {
        /// In words.
        why: String,
        /// Since when, in milliseconds since 1970.
        since_unix_ms: u64,
    },
    /// The store was closed.
    Closed,
}

/// The store at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// How many there are.
    pub keys: u64,
    /// Keys and values together.
    pub bytes: u64,
    /// What its files take.
    pub disk_bytes: u64,
    /// Where what changes goes.
    pub health: Health,
}

impl State {
    /// Opens the store of a state directory, or makes it. Blocks, for a few seconds at most, and
    /// never fails: what can't be opened is set aside, and if that does not help, the store lives
    /// in memory until it does.
    pub fn open(disk: SharedDisk, clock: Clock, state_dir: &Path, metrics: &Metrics) -> Self {
        let shelf = disk.clone();
        let opener: Opener = Box::new(move |folder| on_sled::open(&shelf, folder));
        let ground = Ground { disk, clock, commit_after: COMMIT_AFTER };
        Self::open_with(opener, ground, state_dir, metrics)
    }

    pub(super) fn open_with(
        opener: Opener,
        ground: Ground,
        state_dir: &Path,
        metrics: &Metrics,
    ) -> Self {
        let numbers = metrics.register(Numbers::register);
        let shared = Arc::new(Shared::new(ground.clock.clone(), numbers.clone()));
        let opening =
            Opening::new(opener, ground.disk, ground.clock, state_dir, numbers.set_aside.clone());
        let committer = Committer::new(shared.clone(), opening, ground.commit_after);
        let thread = std::thread::Builder::new().name("state".into());
        if let Err(error) = thread.spawn(move || committer.run()) {
            shared.close_with(Health::InMemory {
                why: format!("no thread can be started for it: {error}"),
                since_unix_ms: shared.clock.unix_ms(),
            });
        }
        shared.wait_until(PATIENCE, |inner| inner.health != Health::Opening);
        Self { shared }
    }

    /// What is known of tailed files.
    pub fn tail(&self) -> Area {
        Area::new(self.shared.clone(), "tail/", TAIL_KEYS_MAX)
    }

    /// How much of their quotas callers have used.
    pub fn quota(&self) -> Area {
        Area::new(self.shared.clone(), "quota/", QUOTA_KEYS_MAX)
    }

    /// What was learned from the cloud; see [`Area::learn`].
    pub fn cloud(&self) -> Area {
        Area::new(self.shared.clone(), "cloud/", CLOUD_KEYS_MAX)
    }

    /// How it stands.
    pub fn overview(&self) -> Overview {
        let inner = self.shared.inner();
        Overview {
            keys: inner.view.keys() as u64,
            bytes: inner.view.bytes() as u64,
            disk_bytes: self.shared.numbers.disk_bytes.get(),
            health: inner.health.clone(),
        }
    }

    /// Writes what changed and lets go of the files. Blocks, for a few seconds at most. What is
    /// changed later is lost.
    pub fn close(&self) {
        self.shared.inner().closing = true;
        self.shared.news.notify_all();
        if !self.shared.wait_until(PATIENCE, |inner| inner.done) {
            warn!("the state store did not close in time; what changed last is learned again");
        }
    }
}

#[cfg(test)]
impl State {
    /// Waits until the disk has everything; `false` after a few seconds.
    pub(super) fn settle(&self) -> bool {
        self.shared.wait_until(PATIENCE, |inner| !inner.view.is_changed() && !inner.committing)
    }

    /// Waits until it lives in memory only; `false` after a few seconds.
    pub(super) fn settle_in_memory(&self) -> bool {
        let lost = |inner: &Inner| matches!(inner.health, Health::InMemory { .. });
        self.shared.wait_until(PATIENCE, lost)
    }
}

/// What the store stands on.
pub(super) struct Ground {
    pub(super) disk: SharedDisk,
    pub(super) clock: Clock,
    pub(super) commit_after: Duration,
}

/// Between the users and the thread that writes.
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// For the thread: something changed, or it shall end.
    news: Condvar,
    /// From the thread: something is on disk, or its health changed.
    settled: Condvar,
    pub(super) clock: Clock,
    pub(super) numbers: Numbers,
}

struct Inner {
    view: View,
    health: Health,
    committing: bool,
    closing: bool,
    done: bool,
}

impl Shared {
    fn new(clock: Clock, numbers: Numbers) -> Self {
        let inner = Inner {
            view: View::default(),
            health: Health::Opening,
            committing: false,
            closing: false,
            done: false,
        };
        let (news, settled) = (Condvar::new(), Condvar::new());
        Self { inner: Mutex::new(inner), news, settled, clock, numbers }
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&View) -> T) -> T {
        look(&self.inner().view)
    }

    /// Changes the view; `true` if the disk has to follow.
    pub(super) fn change<E>(
        &self,
        change: impl FnOnce(&mut View) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut inner = self.inner();
        let changed = change(&mut inner.view)?;
        self.count(&inner.view);
        drop(inner);
        if changed {
            self.news.notify_all();
        }
        Ok(changed)
    }

    /// Waits for something to write, then a little longer for more; `true` once it shall end.
    pub(super) fn wait_for_changes(&self, collect: Duration) -> bool {
        let mut inner = self.inner();
        while !inner.view.is_changed() && !inner.closing {
            inner = self.news.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        self.wait_for_end(inner, collect)
    }

    /// Waits that long; `true` once it shall end.
    pub(super) fn wait_for(&self, wait: Duration) -> bool {
        self.wait_for_end(self.inner(), wait)
    }

    fn wait_for_end(&self, inner: MutexGuard<'_, Inner>, wait: Duration) -> bool {
        let waited = self.news.wait_timeout_while(inner, wait, |inner| !inner.closing);
        waited.unwrap_or_else(PoisonError::into_inner).0.closing
    }

    /// The store is open, and this is what lies in it; since when it had been in memory only.
    pub(super) fn opened(&self, on_disk: Vec<(String, Bytes)>) -> Option<u64> {
        let mut inner = self.inner();
        inner.view.meet(on_disk);
        let before = std::mem::replace(&mut inner.health, Health::OnDisk);
        self.numbers.on_disk.set(1);
        self.count(&inner.view);
        self.settled.notify_all();
        match before {
            Health::InMemory { since_unix_ms, .. } => Some(since_unix_ms),
            _ => None,
        }
    }

    /// What changes stays in memory; `true` if it did not already.
    pub(super) fn lost(&self, why: &str) -> bool {
        let mut inner = self.inner();
        let before = match &inner.health {
            Health::InMemory { since_unix_ms, .. } => Some(*since_unix_ms),
            _ => None,
        };
        let since_unix_ms = before.unwrap_or_else(|| self.clock.unix_ms());
        inner.health = Health::InMemory { why: why.to_owned(), since_unix_ms };
        self.numbers.on_disk.set(0);
        self.settled.notify_all();
        before.is_none()
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        let mut inner = self.inner();
        let changes = inner.view.take_changes();
        inner.committing = !changes.is_empty();
        changes
    }

    pub(super) fn give_back(&self, changes: Vec<Change>) {
        self.inner().view.give_back(changes);
        self.committed();
    }

    pub(super) fn committed(&self) {
        self.inner().committing = false;
        self.settled.notify_all();
    }

    pub(super) fn close_with(&self, health: Health) {
        let mut inner = self.inner();
        (inner.health, inner.done) = (health, true);
        self.settled.notify_all();
    }

    fn wait_until(&self, limit: Duration, reached: impl Fn(&Inner) -> bool) -> bool {
        let waited = self.settled.wait_timeout_while(self.inner(), limit, |inner| !reached(inner));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn count(&self, view: &View) {
        self.numbers.keys.set(view.keys() as u64);
        self.numbers.bytes.set(view.bytes() as u64);
    }

    /// No code that holds the lock can leave the view half changed, so a panic elsewhere is no
    /// reason to stop.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

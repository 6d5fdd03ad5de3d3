//! What waits for the committer, and the run that commits it: no thread while nothing waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep};
use tracing::error;

use super::committer::{Answer, Committer};
use super::error::AppendError;
use super::group::Group;
use super::settings::SyncLevel;
use super::store::{Store, lock};
use crate::base::tasks;

/// The way in, shared by all writers of a queue.
pub(super) struct Inflow {
    pub(super) store: Arc<Store>,
    /// Bytes that may still be handed in.
    room: Semaphore,
    waiting: Mutex<Waiting>,
    /// Tells a lingering run that enough has come.
    enough: Condvar,
    committer: Mutex<Committer>,
}

#[derive(Default)]
struct Waiting {
    groups: VecDeque<HandedIn>,
    /// A run was started and has not ended.
    is_running: bool,
    is_closed: bool,
    /// The run lingers until so many groups wait.
    wanted: Option<usize>,
    wants_mending: bool,
    wants_sync: bool,
    /// A timer runs that will ask for it.
    sync_is_due: bool,
    mended: Option<Instant>,
    /// When the run began what it is at.
    step: Option<Instant>,
}

struct HandedIn {
    group: Group,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
}

/// What a run does next.
enum Work {
    Commit(Vec<HandedIn>),
    Mend,
    Sync,
    Nothing,
}

/// A run ends after this long, and another begins behind whatever else waits for a thread: there
/// are fewer threads than streams may be busy.
const RUN_MAX: Duration = Duration::from_millis(100);
/// After a failure the disk is tried without a group at most this often.
const MEND_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Inflow {
    pub(super) fn new(store: Arc<Store>, committer: Committer) -> Arc<Self> {
        Arc::new(Self {
            room: Semaphore::new(store.limits.waiting_bytes),
            store,
            waiting: Mutex::default(),
            enough: Condvar::new(),
            committer: Mutex::new(committer),
        })
    }

    /// Hands a group of `bytes` in and waits for the answer.
    pub(super) async fn hand_in(self: &Arc<Self>, group: Group, bytes: usize) -> Answer {
        let share = bytes.clamp(1, self.store.limits.waiting_bytes);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let Ok(permit) = self.room.acquire_many(share).await else {
            return Err(AppendError::Closed);
        };
        // Given back in one go when the frame is done.
        permit.forget();
        let (answer, answered) = oneshot::channel();
        if let Some(run) = self.push(HandedIn { group, bytes, answer })? {
            tasks::blocking_detached(move || run.go());
        }
        let gone = || AppendError::Disk("the committer ended before it answered".into());
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    fn push(self: &Arc<Self>, handed_in: HandedIn) -> Result<Option<Run>, AppendError> {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            return Err(AppendError::Closed);
        }
        waiting.groups.push_back(handed_in);
        if waiting.wanted.is_some_and(|wanted| waiting.groups.len() >= wanted) {
            waiting.wanted = None;
            self.enough.notify_one();
        }
        Ok(self.start(&mut waiting))
    }

    fn start(self: &Arc<Self>, waiting: &mut Waiting) -> Option<Run> {
        if std::mem::replace(&mut waiting.is_running, true) {
            return None;
        }
        // To wait for a thread is a step, too.
        waiting.step = Some(Instant::now());
        Some(Run { inflow: Arc::clone(self), has_ended: false })
    }

    /// Tries the disk again after a failure, though nobody hands anything in: who is told that the
    /// queue is not ready sends nothing.
    pub(super) fn mend(self: &Arc<Self>) {
        let run = {
            let mut waiting = lock(&self.waiting);
            if waiting.mended.is_some_and(|at| at.elapsed() < MEND_AGAIN_AFTER) {
                return;
            }
            waiting.mended = Some(Instant::now());
            waiting.wants_mending = true;
            self.start(&mut waiting)
        };
        if let Some(run) = run {
            // Where no runtime runs, the run is dropped, and with it the claim to be running.
            tasks::detached(async move { tasks::blocking(move || run.go()).await });
        }
    }

    /// Sees to it that what was written is synced when the interval is over, also if nothing more
    /// comes.
    fn sync_later(self: &Arc<Self>) {
        let SyncLevel::Every(interval) = self.store.limits.sync else { return };
        if std::mem::replace(&mut lock(&self.waiting).sync_is_due, true) {
            return;
        }
        let inflow = Arc::downgrade(self);
        let started = tasks::detached(async move {
            sleep(interval).await;
            let Some(inflow) = inflow.upgrade() else { return };
            let run = {
                let mut waiting = lock(&inflow.waiting);
                (waiting.sync_is_due, waiting.wants_sync) = (false, true);
                inflow.start(&mut waiting)
            };
            drop(inflow);
            if let Some(run) = run {
                tasks::blocking(move || run.go()).await;
            }
        });
        if !started {
            lock(&self.waiting).sync_is_due = false;
        }
    }

    /// For how long the run has been at one step; `None` while there is none.
    pub(super) fn at_one_step_for(&self) -> Option<Duration> {
        lock(&self.waiting).step.map(|since| since.elapsed())
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.waiting).is_closed
    }

    /// Takes nothing more.
    pub(super) fn refuse_more(&self) {
        lock(&self.waiting).is_closed = true;
        self.room.close();
        self.enough.notify_one();
    }

    /// Commits what waits, and saves the cursors. Blocks.
    pub(super) fn finish(&self) -> Result<(), String> {
        let synced = {
            let mut committer = lock(&self.committer);
            let mut batch = lock(&self.waiting).take(&self.store.limits);
            while !batch.is_empty() {
                self.commit(&mut committer, batch);
                batch = lock(&self.waiting).take(&self.store.limits);
            }
            committer.sync()
        };
        self.store.close();
        let saved = self.store.save();
        synced.map_err(|why| format!("what was written last is not on stable storage: {why}"))?;
        saved
    }

    /// What to do next. Lingers until about as many groups wait as the last frame took: without it
    /// frames alternate between large and small, and the rate halves.
    fn next(&self, last: usize) -> Work {
        let mut waiting = lock(&self.waiting);
        waiting.step = Some(Instant::now());
        let wanted = (last - last / 8).min(self.store.limits.frame_groups);
        if (1..wanted).contains(&waiting.groups.len()) && !waiting.is_closed {
            waiting.wanted = Some(wanted);
            let lingered =
                self.enough.wait_timeout_while(waiting, self.store.limits.linger, |waiting| {
                    waiting.wanted.is_some() && !waiting.is_closed
                });
            waiting = lingered.unwrap_or_else(PoisonError::into_inner).0;
            waiting.wanted = None;
        }
        if std::mem::take(&mut waiting.wants_sync) {
            return Work::Sync;
        }
        if std::mem::take(&mut waiting.wants_mending) && waiting.groups.is_empty() {
            return Work::Mend;
        }
        let batch = waiting.take(&self.store.limits);
        if batch.is_empty() {
            (waiting.is_running, waiting.step) = (false, None);
            return Work::Nothing;
        }
        Work::Commit(batch)
    }

    /// Commits a batch and answers it, whatever happens.
    fn commit(&self, committer: &mut Committer, batch: Vec<HandedIn>) {
        let bytes_max = self.store.limits.waiting_bytes;
        let share = batch.iter().map(|one| one.bytes.clamp(1, bytes_max)).sum();
        let (groups, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|one| (one.group, one.answer)).unzip();
        let done = catch_unwind(AssertUnwindSafe(|| committer.commit(groups)));
        self.room.add_permits(share);
        match done {
            Ok(verdicts) => {
                for (answer, verdict) in answers.into_iter().zip(verdicts) {
                    // Nobody waits any more; the group is stored all the same.
                    drop(answer.send(verdict));
                }
            }
            Err(_) => {
                committer.abandon();
                error!(problem = "bug", stream = %self.store.settings.stream,
                    "the committer panicked; the groups at hand are refused");
                for answer in answers {
                    let why = AppendError::Disk("the committer panicked, which is a bug".into());
                    drop(answer.send(Err(why)));
                }
            }
        }
    }
}

impl Waiting {
    /// The groups of the next frame: as many as fit, or one larger alone.
    fn take(&mut self, limits: &super::settings::Limits) -> Vec<HandedIn> {
        let mut bytes = 0;
        let fitting = self.groups.iter().take(limits.frame_groups).take_while(|one| {
            bytes += one.bytes;
            bytes <= limits.frame_bytes
        });
        let count = fitting.count().max(1).min(self.groups.len());
        self.groups.drain(..count).collect()
    }
}

/// One run of the committer. If it is dropped before its end, by a panic or because the runtime
/// goes away, those who wait are told.
pub(super) struct Run {
    inflow: Arc<Inflow>,
    has_ended: bool,
}

impl Run {
    /// Commits until nothing waits, or it is the turn of others. Blocks.
    pub(super) fn go(mut self) {
        let (inflow, began) = (Arc::clone(&self.inflow), Instant::now());
        let mut committer = lock(&inflow.committer);
        let mut last = 0;
        loop {
            match inflow.next(last) {
                Work::Commit(batch) => {
                    last = batch.len();
                    inflow.commit(&mut committer, batch);
                }
                Work::Sync => {
                    // A failure is told to whoever asks for the health; the next group tries again.
                    if committer.sync().is_ok() {
                        inflow.store.save_what_waited_for_a_sync();
                    }
                }
                Work::Mend => committer.mend(),
                Work::Nothing => {
                    committer.rest();
                    break;
                }
            }
            if let Some(preparing) = committer.tidy() {
                tasks::blocking_detached(move || preparing.run());
            }
            if !committer.is_synced() {
                inflow.sync_later();
            }
            if began.elapsed() >= RUN_MAX {
                drop(committer);
                return tasks::blocking_detached(move || self.go());
            }
        }
        self.has_ended = true;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let left = {
            let mut waiting = lock(&self.inflow.waiting);
            (waiting.is_running, waiting.step) = (false, None);
            std::mem::take(&mut waiting.groups)
        };
        let bytes_max = self.inflow.store.limits.waiting_bytes;
        let share = left.iter().map(|one| one.bytes.clamp(1, bytes_max)).sum();
        // Their answers are dropped with them, which says that nothing was stored.
        drop(left);
        self.inflow.room.add_permits(share);
    }
}

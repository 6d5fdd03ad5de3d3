//! Scans, reads a round, hands it over: one step at a time, without ever waiting for a retry.

use std::collections::BTreeSet;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::board::Board;
use super::files::Files;
use super::find::Globs;
use super::metrics::BlockNumbers;
use super::round::Batch;
use super::search::Found;
use super::unsettled::Unsettled;
use super::{Settings, mark};
use crate::admission::{Refusal, Rejection};
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::tasks::blocking;
use crate::dead_letter::Letter;
use crate::source::door::Door;
use crate::source::letter;

/// Waits after a refusal grow between these, and are never shorter than what the refusal asks for.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Longest time a refusal is believed: the queue may have room long before.
const RETRY_ASKED_MAX: Duration = Duration::from_secs(60);
/// How often files that left their path are looked at until they are let go.
const LEAVING_EVERY: Duration = Duration::from_secs(1);

/// Follows the files of one block through one door.
#[derive(Debug)]
pub(super) struct Follower<D> {
    door: D,
    clock: Clock,
    settings: Settings,
    numbers: BlockNumbers,
    globs: Arc<Globs>,
    pub(super) files: Arc<Mutex<Files>>,
    /// Read, but refused; the same lines are handed in again.
    refused: Option<Batch>,
    retry: Backoff,
    retry_at: Instant,
    waiting_since: Option<Instant>,
}

/// When to take the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Now,
    /// Not before something happens.
    AtNews,
    /// At this moment, or when something happens.
    At(Instant),
}

/// Why it cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The agent is stopping.
    Stopping,
    /// In words.
    Failed(String),
}

impl<D: Door> Follower<D> {
    pub(super) fn new(
        settings: Settings,
        door: D,
        clock: Clock,
        board: Board,
        numbers: BlockNumbers,
    ) -> Result<Self, String> {
        let globs = Globs::new(&settings.include, &settings.exclude)?;
        let globs = Arc::new(globs.along(settings.route.clone(), &settings.stream));
        let marks = door.marks(&mark::prefix(&settings.name));
        let files = Files::new(
            &settings,
            Arc::clone(&globs),
            board,
            (numbers.clone(), clock.clone()),
            marks,
        );
        Ok(Self {
            door,
            clock,
            settings,
            numbers,
            globs,
            files: Arc::new(Mutex::new(files)),
            refused: None,
            retry: Backoff::new(RETRY_FIRST, RETRY_MAX),
            retry_at: Instant::now(),
            waiting_since: None,
        })
    }

    pub(super) fn globs(&self) -> Arc<Globs> {
        Arc::clone(&self.globs)
    }

    /// Takes in files that appeared. Gives those back of which only a scan can tell what they are.
    pub(super) async fn meet(&self, appeared: BTreeSet<PathBuf>) -> Unsettled {
        self.with_files(move |files| files.meet(appeared, Instant::now())).await
    }

    /// Links led there, and may lead elsewhere by now.
    pub(super) fn note_links(&self, led: BTreeSet<(PathBuf, PathBuf)>) {
        if !led.is_empty() {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            led.into_iter().for_each(|(link, target)| files.note_link(link, target));
        }
    }

    /// Files at these paths may have something to read.
    pub(super) fn wake<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        paths.into_iter().for_each(|path| files.wake(path));
    }

    /// Whether something was met that only a scan can settle.
    pub(super) fn wants_scan(&self) -> bool {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut files.wants_scan)
    }

    /// Whether it was to read everything once, and has.
    pub(super) fn has_read_all(&self) -> bool {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings.is_once && self.refused.is_none() && !files.outlook().is_waiting
    }

    /// Takes in what a look through the folders found.
    pub(super) async fn scan(&self, found: Found) {
        let settled = self.door.settled();
        self.with_files(move |files| {
            files.census(&found, Instant::now());
            let now_unix_ms = files.clock.unix_ms();
            files.finish(settled, now_unix_ms);
        })
        .await;
    }

    /// Hands over one batch: the refused one when its time has come, else a new one.
    pub(super) async fn step(&mut self) -> Result<Pace, End> {
        if self.refused.is_some() && Instant::now() < self.retry_at {
            return Ok(Pace::At(self.retry_at));
        }
        let batch = match self.refused.take() {
            Some(batch) => Some(batch),
            None => self.with_files(|files| files.gather(Instant::now())).await,
        };
        match batch {
            Some(batch) => self.hand_over(batch).await,
            None => {
                let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                let outlook = files.outlook();
                let leaving = outlook.is_leaving.then(|| Instant::now() + LEAVING_EVERY);
                Ok(match [leaving, outlook.due].into_iter().flatten().min() {
                    _ if outlook.is_waiting => Pace::Now,
                    Some(moment) => Pace::At(moment),
                    None => Pace::AtNews,
                })
            }
        }
    }

    /// Admit; what is at fault onto the shelf; store; move on. The shelf comes before the store,
    /// because the position moves with that: a crash between the two costs a second letter, the
    /// other order would cost the line.
    async fn hand_over(&mut self, mut batch: Batch) -> Result<Pace, End> {
        let records = Arc::new(mem::take(&mut batch.records));
        let answer = self.door.admit(Arc::clone(&records)).await;
        // They are handed in again if the queue refuses them.
        batch.records = Arc::unwrap_or_clone(records);
        let (admitted, rejections) = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.refused(batch, refusal).await,
        };
        if !batch.is_shelved {
            let at_fault = batch.faulty.iter().chain(&rejections);
            let letters: Vec<_> = at_fault.map(|rejection| self.letter(rejection)).collect();
            if let Err(pace) = self.shelve(letters).await {
                self.refused = Some(batch);
                return Ok(pace);
            }
            batch.is_shelved = true;
        }
        match self.door.store(admitted, batch.marks.clone()).await {
            Ok(receipt) => {
                self.went_through();
                self.with_files(move |files| files.commit(batch, &receipt)).await;
                Ok(Pace::Now)
            }
            Err(refusal) => self.refused(batch, refusal).await,
        }
    }

    async fn refused(&mut self, batch: Batch, refusal: Refusal) -> Result<Pace, End> {
        match refusal {
            Refusal::Stopping => Err(End::Stopping),
            Refusal::TooLarge { limit } | Refusal::OverBurst { limit, .. } => {
                self.numbers.refusals.inc();
                Ok(self.divide(batch, limit).await)
            }
            // A tail hands in without keys.
            Refusal::UnknownStream
            | Refusal::UnknownCaller
            | Refusal::BadSignature(_)
            | Refusal::BadToken { .. }
            | Refusal::Unchecked
            | Refusal::NotAllowed
            | Refusal::KeyReused => Err(End::Failed(format!(
                "tail block `{}` may not hand in to stream `{}` ({refusal:?}); nothing was \
                     stored",
                self.settings.name, self.settings.stream
            ))),
            Refusal::Full { retry_after } => Ok(self.wait(batch, "full", retry_after)),
            Refusal::Broken { retry_after } => Ok(self.wait(batch, "broken", retry_after)),
            Refusal::TooFast { retry_after }
            | Refusal::OverQuota { retry_after }
            | Refusal::TooManyGuesses { retry_after } => {
                Ok(self.wait(batch, "too fast", retry_after))
            }
        }
    }

    /// The lines come again in smaller batches, until a single one is too large: that one is at
    /// fault itself.
    async fn divide(&mut self, mut batch: Batch, limit: u64) -> Pace {
        match batch.records.len() {
            // Only marks, which are few: there is nothing to divide.
            0 => self.wait(batch, "too small", Duration::ZERO),
            1 => {
                let raw = batch.records.pop().unwrap_or_default();
                let bytes = raw.payload.len();
                let reason = format!("{bytes} bytes; the queue takes at most {limit}");
                let rejection = Rejection::too_large(0, reason, raw);
                batch.faulty = vec![rejection];
                batch.is_shelved = false;
                self.refused = Some(batch);
                Pace::Now
            }
            _ => {
                self.with_files(move |files| files.take_back(batch)).await;
                Pace::Now
            }
        }
    }

    fn wait(&mut self, batch: Batch, why: &'static str, asked: Duration) -> Pace {
        self.numbers.refusals.inc();
        self.refused = Some(batch);
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
            tracing::warn!(
                tail = self.settings.name,
                stream = self.settings.stream,
                queue = why,
                "the queue takes no lines now; the files are not read until it does"
            );
        }
        self.put_off(asked)
    }

    fn put_off(&mut self, asked: Duration) -> Pace {
        let wait = self.retry.next_wait().max(asked.min(RETRY_ASKED_MAX));
        self.retry_at = Instant::now() + wait;
        Pace::At(self.retry_at)
    }

    fn went_through(&mut self) {
        self.retry.reset();
        if let Some(since) = self.waiting_since.take() {
            let waited_s = since.elapsed().as_secs();
            tracing::info!(
                tail = self.settings.name,
                stream = self.settings.stream,
                waited_s,
                "the queue takes lines again"
            );
        }
    }

    /// Puts letters on the shelf: nothing more is read until what was rejected lies there. When it does
    /// not take them, that is how long to wait.
    async fn shelve(&mut self, letters: Vec<Letter>) -> Result<(), Pace> {
        let count = letters.len();
        if count == 0 {
            return Ok(());
        }
        match self.door.shelve(letters).await {
            Ok(()) => {
                self.numbers.rejected.inc_by(count as u64);
                Ok(())
            }
            Err(error) => {
                tracing::error!(
                    tail = self.settings.name,
                    letters = count,
                    %error,
                    "lines that are at fault cannot be put on the shelf; nothing more is read \
                     until they can"
                );
                Err(self.put_off(Duration::ZERO))
            }
        }
    }

    fn letter(&self, rejection: &Rejection) -> Letter {
        let source = format!("tail.{}", self.settings.name);
        letter::about(rejection.clone(), &self.settings.stream, &source, self.clock.unix_ms())
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> T {
        let files = Arc::clone(&self.files);
        blocking(move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

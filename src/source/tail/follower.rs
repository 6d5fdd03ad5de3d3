//! Scans, reads a round, hands it over: one step at a time, without ever waiting for a retry.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::board::Board;
use super::door::Door;
use super::files::Files;
use super::find::Globs;
use super::metrics::BlockNumbers;
use super::round::Batch;
use super::{Settings, letter, mark};
use crate::admission::{Receipt, Refusal, Rejection};
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::disk::foreign::ForeignId;
use crate::base::tasks::blocking;
use crate::dead_letter::Letter;
use crate::record::RawRecord;

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
    files: Arc<Mutex<Files>>,
    /// Read, but refused; the same lines are handed in again.
    refused: Option<Batch>,
    /// Rejected lines that are not on the shelf yet.
    letters: Vec<Letter>,
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
        let globs = Arc::new(Globs::new(&settings.include, &settings.exclude)?);
        let marks = door.marks(&mark::prefix(&settings.name));
        let files = Files::new(&settings, Arc::clone(&globs), board, numbers.clone(), marks);
        Ok(Self {
            door,
            clock,
            settings,
            numbers,
            globs,
            files: Arc::new(Mutex::new(files)),
            refused: None,
            letters: Vec::new(),
            retry: Backoff::new(RETRY_FIRST, RETRY_MAX),
            retry_at: Instant::now(),
            waiting_since: None,
        })
    }

    pub(super) fn globs(&self) -> Arc<Globs> {
        Arc::clone(&self.globs)
    }

    /// Files at these paths may have something to read.
    pub(super) fn wake<'a>(&self, paths: impl IntoIterator<Item = &'a PathBuf>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        paths.into_iter().for_each(|path| files.wake(path));
    }

    /// Whether something was met that only a scan can settle.
    pub(super) fn wants_scan(&self) -> bool {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut files.wants_scan)
    }

    /// Looks through the folders; gives those to watch.
    pub(super) async fn scan(&self) -> BTreeMap<PathBuf, ForeignId> {
        let globs = Arc::clone(&self.globs);
        self.with_files(move |files| {
            let found = globs.find();
            files.census(&found, Instant::now());
            found.folders
        })
        .await
    }

    /// Hands over one batch: the refused one when its time has come, else a new one.
    pub(super) async fn step(&mut self) -> Result<Pace, End> {
        let is_owed = self.refused.is_some() || !self.letters.is_empty();
        if is_owed && Instant::now() < self.retry_at {
            return Ok(Pace::At(self.retry_at));
        }
        if !self.letters.is_empty() {
            return Ok(self.shelve().await);
        }
        let batch = match self.refused.take() {
            Some(batch) => Some(batch),
            None => self.with_files(|files| files.gather(Instant::now())).await,
        };
        match batch {
            Some(batch) => self.hand_over(batch).await,
            None => {
                let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
                let (has_more, leaves) = files.outlook();
                Ok(match (has_more, leaves) {
                    (true, _) => Pace::Now,
                    (false, true) => Pace::At(Instant::now() + LEAVING_EVERY),
                    (false, false) => Pace::AtNews,
                })
            }
        }
    }

    async fn hand_over(&mut self, batch: Batch) -> Result<Pace, End> {
        let raw =
            |payload: &bytes::Bytes| RawRecord { payload: payload.clone(), partition_key: None };
        let lines: Vec<_> = batch.lines.iter().map(raw).collect();
        match self.door.hand_in(lines, batch.marks.clone()).await {
            Ok((receipt, rejections)) => {
                self.went_through();
                let letters: Vec<_> =
                    rejections.into_iter().map(|rejection| self.letter(rejection)).collect();
                self.letters.extend(letters);
                self.commit(batch, receipt).await;
                Ok(Pace::Now)
            }
            Err(Refusal::Stopping) => Err(End::Stopping),
            Err(Refusal::TooLarge { limit } | Refusal::OverBurst { limit, .. }) => {
                self.numbers.refusals.inc();
                Ok(self.divide(batch, limit).await)
            }
            Err(
                refusal @ (Refusal::UnknownStream | Refusal::UnknownCaller | Refusal::NotAllowed),
            ) => Err(End::Failed(format!(
                "tail block `{}` may not hand in to stream `{}` ({refusal:?}); nothing was stored",
                self.settings.name, self.settings.stream
            ))),
            Err(Refusal::Full { retry_after }) => Ok(self.wait(batch, "full", retry_after)),
            Err(Refusal::Broken { retry_after }) => Ok(self.wait(batch, "broken", retry_after)),
            Err(Refusal::TooFast { retry_after }) => Ok(self.wait(batch, "too fast", retry_after)),
        }
    }

    async fn commit(&self, batch: Batch, receipt: Receipt) {
        self.with_files(move |files| files.commit(batch, &receipt)).await;
    }

    /// The lines come again in smaller batches, until a single one is too large: that one is at
    /// fault itself.
    async fn divide(&mut self, mut batch: Batch, limit: u64) -> Pace {
        match batch.lines.len() {
            // Only marks, which are few: there is nothing to divide.
            0 => self.wait(batch, "too small", Duration::ZERO),
            1 => {
                let payload = batch.lines.pop().unwrap_or_default();
                let reason = format!("{} bytes; the queue takes at most {limit}", payload.len());
                let raw = RawRecord { payload, partition_key: None };
                let rejection = Rejection { index: 0, pointer: None, reason, too_large: true, raw };
                let letter = self.letter(rejection);
                self.letters.push(letter);
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

    /// Nothing more is read until what was rejected lies on the shelf.
    async fn shelve(&mut self) -> Pace {
        match self.door.shelve(self.letters.clone()).await {
            Ok(()) => {
                self.letters.clear();
                self.retry.reset();
                Pace::Now
            }
            Err(error) => {
                tracing::error!(
                    tail = self.settings.name,
                    letters = self.letters.len(),
                    %error,
                    "rejected lines cannot be put on the shelf; nothing more is read until they \
                     can, and they are lost if weir stops before"
                );
                self.put_off(Duration::ZERO)
            }
        }
    }

    /// Makes a last attempt at what would otherwise be lost with the process.
    pub(super) async fn finish(&mut self) {
        if !self.letters.is_empty() {
            self.shelve().await;
        }
    }

    fn letter(&self, rejection: Rejection) -> Letter {
        self.numbers.rejected.inc();
        letter::about(rejection, &self.settings, self.clock.unix_ms())
    }

    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> T {
        let files = Arc::clone(&self.files);
        blocking(move || work(&mut files.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

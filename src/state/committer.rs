//! The one thread that touches the engine: opens it, writes what changed, opens it again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::engine::{Engine, fenced};
use super::opening::Opening;
use super::store::{Health, Shared};
use crate::base::backoff::Backoff;
use crate::base::disk::is_full;

/// Waits between attempts to open a store that could not be opened or written.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What the thread works with.
pub(super) struct Committer {
    shared: Arc<Shared>,
    opening: Opening,
    commit_after: Duration,
    engine: Option<Box<dyn Engine>>,
    retry: Backoff,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, opening: Opening, commit_after: Duration) -> Self {
        let retry = Backoff::new(RETRY_FIRST, RETRY_MAX);
        Self { shared, opening, commit_after, engine: None, retry }
    }

    pub(super) fn run(mut self) {
        self.open();
        self.hold_ballast();
        loop {
            let ending = match self.engine {
                Some(_) => self.shared.wait_for_changes(self.commit_after),
                None => self.shared.wait_for(self.retry.next_wait()),
            };
            if self.engine.is_none() {
                self.open();
                self.hold_ballast();
            }
            self.commit_all();
            if ending {
                break;
            }
        }
        if self.engine.is_none() {
            // What failed just now gets one more chance; there is no later one.
            self.open();
            self.commit_all();
        }
        self.close_engine();
        self.shared.close_with(Health::Closed);
    }

    /// Opens the store, whatever has to be set aside for it.
    fn open(&mut self) {
        match self.opening.open() {
            Ok((engine, on_disk)) => {
                self.engine = Some(engine);
                if let Some(since_unix_ms) = self.shared.opened(on_disk) {
                    let lasted_s = self.shared.clock.unix_ms().saturating_sub(since_unix_ms) / 1000;
                    info!(lasted_s, "the state store is on disk again");
                }
                self.measure();
            }
            Err(error) => self.lost(&error),
        }
    }

    /// Writes all there is to write, in commits of bounded size.
    fn commit_all(&mut self) {
        while let Some(engine) = &mut self.engine {
            let changes = self.shared.take_changes();
            if changes.is_empty() {
                return;
            }
            let begun = Instant::now();
            let written = fenced(|| {
                engine.apply(&changes)?;
                engine.flush()
            });
            let synced = match written {
                Ok(()) => fenced(|| engine.sync()).map_err(|error| (error, true)),
                Err(error) => Err((error, false)),
            };
            match synced {
                Ok(()) => {
                    self.shared.committed();
                    self.retry.reset();
                    self.shared.numbers.commits.inc();
                    self.shared.numbers.commit_seconds.observe(begun.elapsed().as_secs_f64());
                    self.hold_ballast();
                    self.measure();
                }
                Err((error, in_sync)) => {
                    self.shared.give_back(changes);
                    self.failed(&error, in_sync);
                }
            }
        }
    }

    /// Closes what failed; it is opened again later, or at once where there is room to give. After
    /// a failed sync nothing in those files may be trusted: they are set aside, and all entries are
    /// written anew.
    fn failed(&mut self, error: &io::Error, in_sync: bool) {
        self.close_engine();
        self.lost(error);
        if in_sync {
            // If it can't be moved away now, opening it finds what is wrong with it.
            self.opening.set_aside(&format!("a sync of it failed: {error}")).ok();
        } else if is_full(error) && self.opening.release_ballast() {
            // The ballast is held again only behind a commit: else it would take the room it gave.
            self.open();
        }
    }

    fn lost(&mut self, error: &io::Error) {
        self.shared.numbers.failures.inc();
        let why = error.to_string();
        if self.shared.lost(&why) {
            warn!(
                problem = "state-in-memory",
                why,
                "the state store cannot be written; what it should keep stays in memory, and is \
                 learned again after a restart"
            );
        }
    }

    fn hold_ballast(&mut self) {
        if self.engine.is_some() {
            self.opening.hold_ballast();
        }
    }

    /// What its files take now.
    fn measure(&mut self) {
        if let Some(engine) = &self.engine
            && let Ok(bytes) = fenced(|| engine.disk_bytes())
        {
            self.shared.numbers.disk_bytes.set(bytes);
        }
    }

    fn close_engine(&mut self) {
        if let Some(engine) = self.engine.take() {
            // It was synced at the last commit: what a failure here may cost was paid before.
            drop(fenced(|| {
                engine.close();
                Ok(())
            }));
        }
    }
}

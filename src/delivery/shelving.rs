//! On the way to the shelf: letters wait here until they are synced, however long that takes;
//! their records are settled only then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, mem};

use tokio::time::Instant;
use tracing::{error, info, warn};

use super::metrics::WorkerMetrics;
use super::parcel::{Parcel, Route};
use crate::base::backoff::Backoff;
use crate::dead_letter::{Letter, Shelf};
use crate::queue::Position;
use crate::sink::Fault;

/// Between two looks for letters that are too old.
const TIDY_EVERY: Duration = Duration::from_secs(3_600);

/// Between two lines in the log about records given up.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Letters and the one write that may be under way.
#[derive(Debug)]
pub(super) struct Shelving {
    shelf: Arc<Mutex<Shelf>>,
    waiting: Vec<Grave>,
    is_busy: bool,
    not_before: Instant,
    tidy_at: Instant,
    backoff: Backoff,
    /// Records given up and not spoken of yet.
    unsaid: u64,
    say_at: Instant,
}

/// A letter, and what it owes the queue.
#[derive(Debug)]
pub(super) struct Grave {
    pub(super) place: (u128, Position),
    pub(super) debt: (u128, usize),
    letter: Letter,
}

/// The end of one write.
#[derive(Debug)]
pub(super) struct Shelved {
    graves: Vec<Grave>,
    result: io::Result<()>,
}

impl Shelving {
    pub(super) fn new(shelf: Shelf, backoff: Backoff, now: Instant) -> Self {
        Self {
            shelf: Arc::new(Mutex::new(shelf)),
            waiting: Vec::new(),
            is_busy: false,
            not_before: now,
            tidy_at: now,
            backoff,
            unsaid: 0,
            say_at: now,
        }
    }

    /// Gives a record up.
    pub(super) fn push(&mut self, parcel: Parcel, route: Route<'_>, class: &str, fault: Fault) {
        let (place, debt) = (parcel.place(), parcel.debt());
        let letter = parcel.into_letter(route, class, fault);
        self.waiting.push(Grave { place, debt, letter });
    }

    /// When something is to be done; `None` while a write is under way.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.is_busy {
            return None;
        }
        let letters = (!self.waiting.is_empty()).then_some(self.not_before);
        Some(letters.map_or(self.tidy_at, |at| at.min(self.tidy_at)))
    }

    /// The blocking work that is due, if any.
    pub(super) fn work(
        &mut self,
        now: Instant,
        (host_unix_ms, told_unix_ms): (u64, Option<u64>),
    ) -> Option<impl FnOnce() -> Shelved + Send + 'static> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let tidies = self.tidy_at <= now;
        if tidies {
            self.tidy_at = now + TIDY_EVERY;
        }
        let graves = if self.not_before <= now { mem::take(&mut self.waiting) } else { Vec::new() };
        self.is_busy = true;
        let shelf = Arc::clone(&self.shelf);
        Some(move || {
            let mut shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            if tidies && let Err(error) = shelf.tidy(host_unix_ms, told_unix_ms) {
                warn!(%error, "dead letters could not be looked through for old ones");
            }
            // A put makes room by itself where that matters; the letters are what counts here.
            let letters: Vec<Letter> = graves.iter().map(|grave| grave.letter.clone()).collect();
            let result = shelf.put(&letters);
            Shelved { graves, result }
        })
    }

    /// Takes note of the end of a write; what it gives back lies on the shelf, synced.
    pub(super) fn ended(
        &mut self,
        shelved: Shelved,
        now: Instant,
        metrics: &WorkerMetrics,
    ) -> Vec<Grave> {
        self.is_busy = false;
        match shelved.result {
            Ok(()) => {
                if let Some(Grave { letter, .. }) = shelved.graves.first()
                    && self.backoff.attempts() > 0
                {
                    let Letter { stream, destination, .. } = letter;
                    info!(stream, destination, "dead letters can be written again");
                    self.backoff.reset();
                }
                for grave in &shelved.graves {
                    metrics.dead(&grave.letter.class, 1);
                }
                self.say(&shelved.graves, now);
                shelved.graves
            }
            Err(error) => {
                if let Some(Grave { letter, .. }) = shelved.graves.first()
                    && self.backoff.attempts() == 0
                {
                    let Letter { stream, destination, .. } = letter;
                    let letters = shelved.graves.len();
                    error!(stream, destination, %error, letters, problem = "dead-letters-unwritable",
                        "dead letters cannot be written; their records stay in the queue");
                }
                self.not_before = now + self.backoff.next_wait();
                self.waiting.splice(..0, shelved.graves);
                Vec::new()
            }
        }
    }

    /// One line for the first record and then one a minute, with the number since.
    fn say(&mut self, graves: &[Grave], now: Instant) {
        self.unsaid += graves.len() as u64;
        let Some(Grave { letter, .. }) = graves.last().filter(|_| now >= self.say_at) else {
            return;
        };
        warn!(
            stream = letter.stream,
            destination = letter.destination,
            records = self.unsaid,
            class = letter.class,
            code = letter.code,
            last = %letter.record.id,
            says = letter.message,
            "records were given up and lie with the dead letters"
        );
        self.unsaid = 0;
        self.say_at = now + SAY_EVERY;
    }
}

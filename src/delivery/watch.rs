//! What the operator, and the agent on its way out, see of a worker.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::suspicion::Suspected;

use crate::dead_letter::{AgedOut, Shelf};

/// A window onto a worker, for status and readiness; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<State>);

#[derive(Debug, Default)]
struct State {
    hold: Mutex<Option<Hold>>,
    paced: Mutex<Option<Paced>>,
    in_flight: AtomicUsize,
    owed: AtomicUsize,
    /// When the worker's loop turns next, at the latest.
    turns_by: Mutex<Option<Instant>>,
    aged_out: OnceLock<AgedOut>,
    suspected: watch::Sender<Option<Suspected>>,
}

/// Why a destination is not taking anything at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `throttled`, `transient`, `auth`, `clock`, `config`.
    pub class: String,
    /// What the class means, and who acts: words that stand behind the destination's name.
    pub meaning: &'static str,
    /// The upstream's code.
    pub code: String,
    /// The upstream's words.
    pub message: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When it is tried next, in milliseconds since 1970; `None` while a try is under way.
    pub next_try_unix_ms: Option<u64>,
}

/// What a destination waits for that could take records: no fault, but what the operator asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Paced {
    /// For its window of time, or the agent's.
    Window,
    /// For its budget of bytes, or the agent's.
    Budget,
    /// For streams that go first on the agent's link.
    Others,
    /// Records are old, and old ones go at a rate of their own.
    CatchUp,
}

impl Paced {
    pub(super) const ALL: [Self; 4] = [Self::Window, Self::Budget, Self::Others, Self::CatchUp];

    /// As status and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Budget => "budget",
            Self::Others => "others",
            Self::CatchUp => "catch_up",
        }
    }
}

impl Watch {
    /// The present hold, if any.
    pub fn hold(&self) -> Option<Hold> {
        self.0.hold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many dead letters were removed because the shelf is bounded.
    pub fn aged_out(&self) -> u64 {
        self.0.aged_out.get().map_or(0, AgedOut::letters)
    }

    /// The same, looking at this shelf too.
    pub(super) fn with_shelf(self, shelf: &Shelf) -> Self {
        self.0.aged_out.get_or_init(|| shelf.aged_out());
        self
    }

    /// What it waits for though nothing is wrong, if anything.
    pub fn paced(&self) -> Option<Paced> {
        *self.0.paced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_paced(&self, paced: Option<Paced>) {
        *self.0.paced.lock().unwrap_or_else(PoisonError::into_inner) = paced;
    }

    /// Before the worker runs: whether the destination was suspected when weir ended.
    pub fn recall(&self, suspected: Option<Suspected>) {
        self.0.suspected.send_replace(suspected);
    }

    /// Whether the destination is suspected to refuse whatever it is sent, now and from now on.
    pub fn suspicions(&self) -> watch::Receiver<Option<Suspected>> {
        self.0.suspected.subscribe()
    }

    pub(super) fn set_suspected(&self, suspected: Option<Suspected>) {
        self.0.suspected.send_if_modified(|known| {
            let is_news = *known != suspected;
            *known = suspected;
            is_news
        });
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Acquire)
    }

    /// How many records were read from the queue and are not settled yet; 0 means that nothing is
    /// under way, though more may wait in the queue.
    pub fn owed(&self) -> usize {
        self.0.owed.load(Ordering::Acquire)
    }

    /// For how long a turn of the worker's loop is overdue: above zero it is stuck, or starved.
    pub fn overdue(&self) -> Duration {
        let turns_by = *self.0.turns_by.lock().unwrap_or_else(PoisonError::into_inner);
        turns_by.map_or(Duration::ZERO, |by| Instant::now().saturating_duration_since(by))
    }

    pub(super) fn set_turns_by(&self, turns_by: Option<Instant>) {
        *self.0.turns_by.lock().unwrap_or_else(PoisonError::into_inner) = turns_by;
    }

    pub(super) fn set_hold(&self, hold: Option<Hold>) {
        *self.0.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    pub(super) fn set_counts(&self, in_flight: usize, owed: usize) {
        self.0.in_flight.store(in_flight, Ordering::Release);
        self.0.owed.store(owed, Ordering::Release);
    }
}

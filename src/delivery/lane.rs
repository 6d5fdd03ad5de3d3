//! The records of one shard, on their way into entries. Pure; the caller brings the time.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::bundle::{Bundle, Open};
use super::pace::Pace;
use super::parcel::Parcel;
use crate::queue::Position;
use crate::sink::{Form, Shard};

/// A shard that took something so lately takes more.
const PROVEN: Duration = Duration::from_secs(1);

/// The records of one shard.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) shard: Option<Shard>,
    ready: VecDeque<Ready>,
    /// Bytes of what is ready.
    ready_bytes: usize,
    /// The bundle that may still take records, and when it goes as it stands.
    open: Option<(Open, Instant)>,
    pub(super) pace: Pace,
    /// Whether its entries may be in the request that is being cut.
    pub(super) is_going: bool,
    /// When the upstream took some of it last.
    took_at: Option<Instant>,
}

/// An entry that takes no more records.
#[derive(Debug)]
struct Ready {
    bundle: Bundle,
    weight: usize,
    due: Instant,
}

impl Lane {
    pub(super) fn new(shard: Option<Shard>, pace: Pace) -> Self {
        Self {
            shard,
            ready: VecDeque::new(),
            ready_bytes: 0,
            open: None,
            pace,
            is_going: false,
            took_at: None,
        }
    }

    /// Adds a parcel, to an entry that is put together or as one of its own.
    pub(super) fn push(&mut self, parcel: Parcel, form: Option<Form>, due: Instant) {
        let Some(form) = form else {
            let weight = parcel.weight;
            let bundle = Bundle::lone_for(self.shard.clone(), parcel);
            self.ready_bytes += weight;
            self.ready.push_back(Ready { bundle, weight, due });
            return;
        };
        let parcel = match &mut self.open {
            Some((open, _)) => open.take(parcel),
            None => Some(parcel),
        };
        if let Some(parcel) = parcel {
            self.close();
            self.open = Some((Open::with(form, self.shard.clone(), parcel), due));
        }
    }

    /// Takes what another lane of the same shard has, before what is here.
    pub(super) fn go_after(&mut self, mut first: Self) {
        first.close();
        self.ready_bytes += first.ready_bytes;
        while let Some(ready) = first.ready.pop_back() {
            self.ready.push_front(ready);
        }
    }

    /// How many entries and bytes are ready.
    pub(super) fn readiness(&self) -> (usize, usize) {
        (self.ready.len(), self.ready_bytes)
    }

    fn close(&mut self) {
        if let Some((open, due)) = self.open.take() {
            let weight = open.weight();
            self.ready_bytes += weight;
            self.ready.push_back(Ready { bundle: open.close(), weight, due });
        }
    }

    /// What the next entry weighs, if one may go now; of one that may take more records, `goes` says
    /// so by when it is due.
    pub(super) fn next_weight(&self, goes: impl Fn(Instant) -> bool) -> Option<usize> {
        if !self.may_go() {
            return None;
        }
        if let Some(ready) = self.ready.front() {
            return Some(ready.weight);
        }
        self.open.as_ref().filter(|(_, due)| goes(*due)).map(|(open, _)| open.weight())
    }

    /// Whether the entry that may take more records has waited long enough, and may go.
    pub(super) fn must_go(&self, now: Instant) -> bool {
        self.may_go() && self.open.as_ref().is_some_and(|(_, due)| *due <= now)
    }

    fn may_go(&self) -> bool {
        self.is_going && self.pace.lends()
    }

    /// The next entry goes.
    pub(super) fn take(&mut self, now: Instant) -> Option<Bundle> {
        if self.ready.is_empty() {
            self.close();
        }
        let Ready { bundle, weight, .. } = self.ready.pop_front()?;
        self.ready_bytes -= weight;
        self.pace.spend(weight, now);
        Some(bundle)
    }

    /// The upstream took some of it.
    pub(super) fn took(&mut self, now: Instant) {
        self.took_at = Some(now);
    }

    /// Whether what comes for it may stay for long: it may not be sent now, what it throttled was not
    /// tried again yet, or nobody knows whether it takes anything and memory is not to be filled with that.
    pub(super) fn is_held_up(
        &mut self,
        retry_max: Duration,
        is_scarce: bool,
        now: Instant,
    ) -> bool {
        let is_proven = self.took_at.is_some_and(|at| now.saturating_duration_since(at) <= PROVEN);
        let is_doubtful = !is_proven && (is_scarce || self.pace.is_limited());
        // Its pace grows back while what was throttled waits by itself.
        is_doubtful
            || self.pace.was_throttled_within(retry_max * 2, now)
            || self.pace.opens_at(now).is_some()
    }

    /// Whether it could send, but has nothing.
    pub(super) fn is_idle(&mut self, now: Instant) -> bool {
        self.ready.is_empty() && self.open.is_none() && self.pace.opens_at(now).is_none()
    }

    /// When the next entry is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let open = self.open.as_ref().map(|(_, due)| *due);
        let ready = self.ready.front().map(|ready| ready.due);
        ready.into_iter().chain(open).min()
    }

    pub(super) fn holds_below(&self, below: Position) -> bool {
        let open = self.open.iter().map(|(open, _)| open.parcels());
        let ready = self.ready.iter().map(|ready| ready.bundle.parcels.as_slice());
        open.chain(ready).flatten().any(|parcel| parcel.position < below)
    }

    /// Takes out all there is.
    pub(super) fn empty(&mut self) -> Vec<Parcel> {
        self.close();
        self.ready_bytes = 0;
        self.ready.drain(..).flat_map(|ready| ready.bundle.parcels).collect()
    }
}

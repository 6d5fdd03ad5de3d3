//! What comes out of the queue: how much is asked for, and where each payload goes.

use tokio::time::Instant;
use tracing::warn;

use super::Runner;
use crate::delivery::class::POISON;
use crate::delivery::feed::Feed;
use crate::delivery::owed::Reading;
use crate::delivery::parcel::{Parcel, UNDECODABLE, Wrapped};
use crate::queue::{Again, AppendError, Budget, Position, Settled, Stored};
use crate::sink::Sink;

impl<S: Sink, F: Feed> Runner<S, F> {
    /// How much may be read now; `None` when nothing.
    pub(super) fn budget(&self) -> Option<Budget> {
        let may_read = matches!(self.reading, Reading::On);
        let takes_any = self.has_heard && self.pause.trouble().is_none();
        self.owed.budget(self.outbox.room(takes_any)).filter(|_| may_read)
    }

    pub(super) fn on_given(&mut self, given: Result<Vec<Stored>, AppendError>) {
        let now = Instant::now();
        match given {
            Ok(given) => {
                self.reading = Reading::On;
                self.wrapper.follow(&*self.sink);
                let take = |stored| self.take_in(stored, true, now);
                let elsewhere: Vec<_> = given.into_iter().filter_map(take).collect();
                self.acknowledge(elsewhere.into_iter(), Settled::Elsewhere);
            }
            Err(AppendError::Closed) => self.reading = Reading::Ended,
            Err(error) => self.on_unreadable(&error, now),
        }
    }

    /// What was let go comes back; where the disk cannot be read now, it stays where it is.
    pub(super) fn on_read_again(&mut self, again: Result<Again, AppendError>) {
        let now = Instant::now();
        let again = again.unwrap_or_else(|error| self.on_unreadable(&error, now));
        let found = again.found.iter().map(|stored| stored.position);
        self.outbox.came(found.chain(again.lost.iter().copied()));
        self.wrapper.follow(&*self.sink);
        for stored in again.found {
            self.take_in(stored, false, now);
        }
    }

    fn on_unreadable<T: Default>(&mut self, error: &AppendError, now: Instant) -> T {
        let (stream, destination) = (&self.settings.stream, &self.settings.destination);
        warn!(stream, destination, %error, "the queue cannot be read now; trying again");
        self.reading = Reading::After(now + self.settings.retry_max);
        T::default()
    }

    /// Takes a payload on; gives it back if it is none of this destination's business.
    fn take_in(&mut self, stored: Stored, is_fresh: bool, now: Instant) -> Option<Position> {
        match self.wrapper.wrap(&*self.sink, &self.settings.destination, stored) {
            Wrapped::Elsewhere(position) => return Some(position),
            Wrapped::Parcel(parcel) => {
                self.owed.more(parcel.debt());
                if parcel.position < self.feed.lapsed_below() {
                    self.let_go(parcel, now);
                } else {
                    let parked = self.outbox.push(parcel, is_fresh.then_some(&self.owed), now);
                    self.owed.less(parked.iter().map(Parcel::debt));
                }
            }
            Wrapped::Dead(parcel, fault) => {
                self.owed.more(parcel.debt());
                let class = if fault.code == UNDECODABLE { "undecodable" } else { POISON };
                self.shelving.push(parcel, self.settings.route(&self.clock), class, fault);
            }
        }
        None
    }
}

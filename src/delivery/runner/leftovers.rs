//! Aggregates from elsewhere of which some parts have arrived and others have to wait: what is left of
//! them goes back into the queue, as records of its own. So it waits on disk and not in memory, a
//! restart sends nothing of the rest again, and each part waits for its own shard alone.

use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::Runner;
use crate::delivery::errand::{Ended, PutBack};
use crate::delivery::feed::Feed;
use crate::delivery::parcel::Parcel;
use crate::queue::Settled;
use crate::record::encode;
use crate::sink::Sink;

impl<S: Sink, F: Feed> Runner<S, F> {
    /// These are not all there: what of them goes at once does, and what has to wait does so for
    /// this long.
    pub(super) fn go_on(&mut self, parcels: Vec<Parcel>, wait: Duration, now: Instant) {
        for parcel in self.outbox.go_on(parcels, now + wait, now) {
            self.put_back(parcel, wait);
        }
    }

    fn put_back(&mut self, parcel: Parcel, wait: Duration) {
        let left = self.outbox.leftovers(&parcel, &self.settings.destination);
        let put = self.feed.put_back(left.iter().map(encode).collect());
        self.jobs.spawn(async move {
            let result = put.await;
            Ended::PutBack(Box::new(PutBack { result, parcel, wait }))
        });
    }

    /// What is left of it is a record of its own now; where the queue takes none, it waits here.
    pub(super) fn on_put_back(&mut self, PutBack { result, parcel, wait }: PutBack) {
        let now = Instant::now();
        if let Err(error) = result {
            let (stream, destination) = (&self.settings.stream, &self.settings.destination);
            debug!(stream, destination, %error, "parts of an aggregate wait in memory");
            self.outbox.again(now + wait, vec![parcel]);
            return;
        }
        self.metrics.records.inc();
        self.owed.less([parcel.debt()].into_iter());
        self.outbox.settled([parcel.place()].into_iter(), now);
        self.acknowledge([parcel.position].into_iter(), Settled::Delivered);
        self.rest_if_nothing_waits(now);
    }
}

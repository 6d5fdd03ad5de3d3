//! Whether the destination is in trouble, and who is shown what of it.

use tokio::time::Instant;

use super::Runner;
use crate::delivery::class::Class;
use crate::delivery::feed::Feed;
use crate::delivery::retry::Trouble;
use crate::sink::{Fault, Sink};

impl<S: Sink, F: Feed> Runner<S, F> {
    /// The destination as a whole takes nothing.
    pub(super) fn meet_trouble(&mut self, (class, fault): (Class, Fault), was_probe: bool) {
        // What it took nothing for before is told with this.
        drop(self.jam.end());
        self.pause.met(Instant::now(), class, fault, was_probe);
    }

    /// The destination answered, be it that nothing of what was sent got through (`jam`); and it may
    /// have been sent to look.
    pub(super) fn hear_answer(&mut self, jam: Option<(Class, Fault)>, has_looked: bool) {
        let now = Instant::now();
        if let Some(trouble) = self.pause.answered(has_looked) {
            self.bulletin.ended(&trouble, now, self.feed.waiting());
        }
        match jam {
            Some((class, fault)) if self.pause.trouble().is_none() => {
                self.jam.met(now, class, fault);
            }
            Some(_) => {}
            None => self.end_jam(now),
        }
    }

    fn end_jam(&mut self, now: Instant) {
        if let Some(trouble) = self.jam.end() {
            self.bulletin.ended(&trouble, now, self.feed.waiting());
        }
    }

    /// What was held has lapsed: nothing will be sent that could tell how the destination is.
    pub(super) fn rest_if_nothing_waits(&mut self, now: Instant) {
        if self.requests > 0 || self.owed.count + self.outbox.parked() > 0 {
            return;
        }
        let jam = self.jam.end();
        if let Some(trouble) = self.pause.answered(true).or(jam) {
            self.bulletin.nothing_waits(&trouble, now);
            self.show_trouble(now);
        }
    }

    fn trouble(&self, now: Instant) -> Option<&Trouble> {
        self.pause.trouble().or_else(|| self.jam.trouble(now))
    }

    /// Shows the present trouble, if any, to everybody who looks.
    pub(super) fn show_trouble(&mut self, now: Instant) {
        let trouble = self.trouble(now).cloned();
        if let Some(trouble) = &trouble {
            self.bulletin.met(trouble, self.feed.waiting());
        }
        let hold = trouble.map(|trouble| trouble.hold(now, self.clock.unix_ms()));
        self.watch.set_hold(hold);
    }

    pub(super) fn tell_counts(&mut self) {
        let now = Instant::now();
        let parked = self.outbox.parked();
        let class = self.trouble(now).map(|trouble| trouble.class);
        self.bulletin.count(class, now, &self.metrics);
        let paced = self.tempo.wait(now).map(|(why, _)| why);
        if paced != self.watch.paced() {
            self.metrics.paced(paced);
            self.watch.set_paced(paced);
        }
        self.watch.set_counts(self.requests, self.owed.count + parked);
        self.metrics.work(self.requests, self.tempo.in_flight(), self.owed.bytes);
        self.metrics.shards(self.outbox.slowed(), parked, self.sink.is_in_doubt());
    }
}

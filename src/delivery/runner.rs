//! The loop: next, wrap, cut, put, settle, shelve, acknowledge.

mod intake;
mod leftovers;
mod troubles;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::bulletin::{Bulletin, HOLD_TOLD_EVERY};
use super::bundle::{ANY_LOAD, Bundle};
use super::class::{Class, POISON, classify, outlived};
use super::errand::{Answered, Ended};
use super::feed::Feed;
use super::jam::Jam;
use super::lapsing::{self, Lapsing};
use super::metrics::WorkerMetrics;
use super::outbox::{Outbox, Wanted};
use super::owed::{NOTHING, Owed, Reading};
use super::parcel::{Parcel, Wrapper};
use super::parts::Parts;
use super::ration::Ration;
use super::retry::{Gate, Pause};
use super::settle::settle;
use super::shelving::Shelving;
use super::suspicion::Suspicion;
use super::tempo::{Tempo, request_bytes_max};
use super::watch::Watch;
use super::{IDLE_TURN, Settings, TENDED_WITHIN};
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::base::tasks::{Jobs, blocking};
use crate::queue::{Lapsed, Position, Settled};
use crate::sink::{At, Outcome, Sink};

/// A worker at work.
pub(super) struct Runner<S, F> {
    settings: Settings,
    clock: Clock,
    sink: Arc<S>,
    feed: F,
    wrapper: Wrapper,
    outbox: Outbox,
    ration: Ration,
    pause: Pause,
    jam: Jam,
    tempo: Tempo,
    suspicion: Suspicion,
    shelving: Shelving,
    jobs: Jobs<Ended>,
    requests: usize,
    /// Whether any request was answered yet, or failed.
    has_heard: bool,
    reading: Reading,
    owed: Owed,
    lapsing: Lapsing,
    bulletin: Bulletin,
    watch: Watch,
    metrics: WorkerMetrics,
}

impl<S: Sink, F: Feed> Runner<S, F> {
    pub(super) fn new(parts: Parts<S, F>) -> Self {
        let Parts { settings, clock, sink, feed, shelf, uplink, watch, metrics } = parts;
        let backoff = Backoff::new(settings.retry_first, settings.retry_max);
        let request_bytes = request_bytes_max(&settings.pace, uplink.rate());
        let suspected = watch.suspicions().borrow().clone();
        let is_near = sink.wire_bytes(ANY_LOAD) == 0;
        let ration = Ration::new(request_bytes.min(sink.limits().request_bytes)).exempt(is_near);
        let mut outbox = Outbox::new(&*sink, &settings);
        outbox.within(ration.bytes());
        metrics.ration(ration.bytes());
        Self {
            wrapper: Wrapper::new(&*sink),
            outbox,
            ration,
            tempo: Tempo::new(&settings, &uplink).exempt(is_near),
            pause: Pause::new(settings.retry_first, settings.retry_max),
            jam: Jam::lasting(settings.retry_max),
            suspicion: suspected.map(Suspicion::recalled).unwrap_or_default(),
            shelving: Shelving::new(shelf, backoff, Instant::now()),
            jobs: Jobs::default(),
            requests: 0,
            has_heard: false,
            reading: Reading::On,
            owed: Owed::default(),
            lapsing: Lapsing::new(),
            bulletin: Bulletin::new(&settings),
            settings,
            clock,
            sink,
            feed,
            watch,
            metrics,
        }
    }

    /// Works until asked to stop, or until the queue is closed and everything is settled.
    pub(super) async fn run(mut self, mut stopping: Stopping) -> Result<(), String> {
        let sink = Arc::clone(&self.sink);
        let mut tending = pin!(sink.tend());
        // What is known before the first record saves the most; what is not, costs no more than this.
        tokio::select! {
            () = stopping.asked() => {}
            () = &mut tending => {}
            () = sink.tended() => {}
            () = tokio::time::sleep(TENDED_WITHIN) => {}
        }
        while !self.is_finished() {
            let wake = self.start_what_is_due();
            self.tell_counts();
            self.watch.set_turns_by(Some(wake));
            let budget = self.budget();
            tokio::select! {
                biased;
                () = stopping.asked() => break,
                ended = self.jobs.next_value() => self.on_ended(ended?),
                given = self.feed.next(budget.unwrap_or(NOTHING)), if budget.is_some() => {
                    self.on_given(given);
                }
                () = &mut tending => {}
                () = self.tempo.turned() => {}
                () = sink.tended(), if self.outbox.patience().is_some() => {}
                () = sleep_until(wake) => {}
            }
        }
        self.watch.set_turns_by(None);
        self.finish().await
    }

    /// Ends what is under way; what waits stays in the queue, unsettled.
    async fn finish(mut self) -> Result<(), String> {
        loop {
            if let Some(work) = self.shelving.work(Instant::now(), self.times()) {
                self.jobs.spawn(async { Ended::Shelved(blocking(work).await) });
            }
            if self.jobs.is_empty() {
                break;
            }
            let ended = self.jobs.next_value().await?;
            self.on_ended(ended);
            self.tell_counts();
        }
        self.sink.close().await;
        Ok(())
    }

    fn is_finished(&self) -> bool {
        matches!(self.reading, Reading::Ended) && self.owed.count == 0 && self.outbox.parked() == 0
    }

    /// Starts every job whose time has come; when to look again at the latest.
    fn start_what_is_due(&mut self) -> Instant {
        let now = Instant::now();
        self.reading.turn(now);
        self.part_with_lapsed(now);
        self.outbox.turn(&*self.sink, now);
        if let Some(work) = self.shelving.work(now, self.times()) {
            self.jobs.spawn(async { Ended::Shelved(blocking(work).await) });
        }
        while let Some((batch, is_probe)) = self.next_to_send(now) {
            self.send(batch, is_probe);
        }
        if self.reading.due().is_none()
            && let Some((wanted, bytes)) = self.outbox.ask(&self.owed)
        {
            let again = self.feed.again(wanted, bytes);
            self.jobs.spawn(async { Ended::ReadAgain(again.await) });
        }

        let gate = match self.pause.gate(now) {
            // A hold is looked at now and then, so that the time spent in it is told while it lasts.
            Gate::Closed(until) => Some(until.min(now + HOLD_TOLD_EVERY)),
            Gate::Open | Gate::Probe if self.has_room() => {
                let wait = self.tempo.wait(now).map(|(_, at)| at);
                wait.or(self.outbox.patience()).or_else(|| self.outbox.due(now))
            }
            // A job that ends will wake the loop.
            _ => None,
        };
        let all = [gate, self.reading.due(), self.outbox.waits_until(), self.shelving.due()];
        // Where nothing is due the loop turns all the same: that is how it is known to be alive.
        all.into_iter().flatten().fold(now + IDLE_TURN, Instant::min)
    }

    /// What the host's clock says, and what the service said that it is.
    fn times(&self) -> (u64, Option<u64>) {
        (self.clock.unix_ms(), self.sink.told_unix_ms())
    }

    /// Lets go what the queue has let go, whatever holds the destination up.
    fn part_with_lapsed(&mut self, now: Instant) {
        let below = self.feed.lapsed_below();
        if !self.lapsing.is_due(below) {
            return;
        }
        for parcel in self.outbox.take_below(below, now) {
            self.let_go(parcel, now);
        }
        self.rest_if_nothing_waits(now);
        let is_letter = |at| matches!(self.feed.lapse_of(at), Some((_, Lapsed::DeadLetter)));
        self.outbox.lapsed(below, is_letter);
    }

    fn let_go(&mut self, parcel: Parcel, now: Instant) {
        match self.feed.lapse_of(parcel.position) {
            Some((lapse, Lapsed::DeadLetter)) => {
                let (route, fault) = (self.settings.route(&self.clock), lapsing::fault(lapse));
                self.shelving.push(parcel, route, lapsing::LAPSED, fault);
            }
            // The queue has settled it already.
            _ => {
                self.owed.less([parcel.debt()].into_iter());
                self.outbox.settled([parcel.place()].into_iter(), now);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.requests < self.tempo.in_flight()
    }

    fn next_to_send(&mut self, now: Instant) -> Option<(Vec<Bundle>, bool)> {
        let gate = self.pause.gate(now);
        let may_send = matches!(gate, Gate::Open | Gate::Probe) && self.has_room();
        // Where nothing more can be read, nothing is worth waiting for.
        let hurry = self.budget().is_none();
        if !may_send || !self.outbox.is_ready(now, hurry) {
            self.tempo.rest();
            return None;
        }
        if !self.tempo.may_send(now, self.clock.unix_ms()) {
            return None;
        }
        let (fresh, is_probe) = (self.suspicion.wants_fresh(), gate == Gate::Probe);
        let request = self.outbox.next(&*self.sink, now, Wanted { fresh, hurry, is_probe });
        if request.is_none() {
            self.tempo.rest();
        }
        Some((request?, is_probe))
    }

    fn send(&mut self, mut bundles: Vec<Bundle>, was_probe: bool) {
        if was_probe {
            self.pause.probe_sent();
            self.show_trouble(Instant::now());
        }
        let again = Bundle::count_try(&mut bundles);
        self.metrics.sent(&bundles, again);
        let bytes = self.sink.wire_bytes(Bundle::load(&bundles));
        let age = bundles.first().map(|first| first.age(self.clock.unix_ms()));
        self.tempo.sent(bytes, age.unwrap_or_default(), Instant::now());
        self.metrics.wire_bytes.inc_by(bytes);
        self.requests += 1;
        let (sink, span) = (Arc::clone(&self.sink), self.metrics.span(&bundles, bytes));
        self.jobs.spawn(async move {
            let (entries, counts) = Bundle::entries(&bundles, &*sink);
            let (sent, begun) = (entries.len(), Instant::now());
            let outcome = sink.put(entries).await;
            let outcome = outcome.and_then(|fates| Bundle::fates(&mut bundles, &counts, fates));
            if let Some(span) = span {
                span.end(sent, &outcome);
            }
            Ended::Answered(Answered { bundles, outcome, was_probe, took: begun.elapsed() })
        });
    }

    fn on_ended(&mut self, ended: Ended) {
        match ended {
            Ended::Answered(answered) => self.on_answered(answered),
            Ended::ReadAgain(again) => self.on_read_again(again),
            Ended::PutBack(put_back) => self.on_put_back(*put_back),
            Ended::Shelved(shelved) => {
                let now = Instant::now();
                let graves = self.shelving.ended(shelved, now, &self.metrics);
                self.owed.less(graves.iter().map(|grave| grave.debt));
                self.outbox.settled(graves.iter().map(|grave| grave.place), now);
                self.acknowledge(graves.iter().map(|grave| grave.place.1), Settled::Dead);
                self.rest_if_nothing_waits(now);
            }
        }
    }

    fn on_answered(&mut self, answered: Answered) {
        let now = Instant::now();
        let Answered { bundles, outcome, was_probe, took } = answered;
        let sent = bundles.len();
        self.requests -= 1;
        self.has_heard = true;
        self.metrics.took(took);
        let bytes = self.sink.wire_bytes(Bundle::load(&bundles));
        let outcome = outcome.map_err(|fault| outlived(fault, took, bytes));
        if let Ok(fates) = &outcome {
            self.outbox.heard(&bundles, fates, now);
        }
        self.learn_of_link(&bundles, &outcome);
        let mut settlement = settle(bundles, outcome);
        let is_cleared = self.suspicion.weigh(&mut settlement);
        self.watch.set_suspected(self.suspicion.suspected());
        self.tempo.answered((sent, &settlement), took, now);
        self.metrics.faults(&settlement.faults, sent);
        let is_search = settlement.trouble.is_none();
        match settlement.trouble {
            Some(trouble) => self.meet_trouble(trouble, was_probe),
            None => self.hear_answer(settlement.jam, was_probe || is_cleared),
        }
        self.show_trouble(now);

        let tries = settlement.again.iter().map(|parcel| parcel.tries).max().unwrap_or_default();
        let wait = self.pause.wait_of_entry(tries, settlement.again_after);
        self.go_on(settlement.again, wait, now);
        self.go_on(settlement.rest, Duration::ZERO, now);
        self.metrics.strayed.inc_by(settlement.strayed.len() as u64);
        self.outbox.again(now, settlement.strayed);
        if !settlement.alone.is_empty() || tries > 0 {
            self.lapsing.came_back();
        }
        // Halves and held batches come before everything younger.
        for batch in settlement.alone.into_iter().rev() {
            self.outbox.alone(batch, is_search, now);
        }
        for (parcel, fault) in settlement.dead {
            self.shelving.push(parcel, self.settings.route(&self.clock), POISON, fault);
        }
        self.metrics.records.inc_by(settlement.done.len() as u64);
        self.owed.less(settlement.done.iter().map(Parcel::debt));
        self.outbox.settled(settlement.done.iter().map(Parcel::place), now);
        let positions = settlement.done.iter().map(|parcel| parcel.position);
        self.acknowledge(positions, Settled::Delivered);
    }

    /// What a request came to says how large the next ones may be.
    fn learn_of_link(&mut self, bundles: &[Bundle], outcome: &Outcome) {
        let weight = Bundle::load(bundles).weight;
        let rate = self.sink.upload_rate();
        match outcome.as_ref().map_err(|fault| fault.at) {
            Ok(_) => self.ration.passed(weight, rate),
            // The first one that is tells that it may have been too much at once.
            Err(At::Answer(_)) => {
                let is_first = self.pause.trouble().is_none();
                let is_poison =
                    outcome.as_ref().is_err_and(|fault| classify(fault) == Class::Poison);
                self.ration.refused((is_first && !is_poison).then_some(weight), rate);
            }
            Err(At::Upload(sent)) => {
                self.metrics.cut_off_bytes.inc_by(sent);
                self.ration.cut_off(weight, rate);
            }
            Err(At::Timeout) => self.ration.unanswered(weight),
            // The service was not reached, or nobody asked.
            Err(_) => return,
        }
        self.outbox.within(self.ration.bytes());
        self.metrics.ration(self.ration.bytes());
    }

    fn acknowledge(&self, positions: impl Iterator<Item = Position>, how: Settled) {
        let positions: Vec<_> = positions.collect();
        if !positions.is_empty() {
            self.feed.settle(&positions, how);
        }
    }
}

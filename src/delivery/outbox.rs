//! Everything that was read and is not under way: what goes next, and when. Pure.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::Settings;
use super::bundle::Bundle;
use super::class::{Class, classify};
use super::lanes::Lanes;
use super::order::{Order, Ordering};
use super::owed::Owed;
use super::parcel::Parcel;
use super::parking::Parking;
use super::retry::Waiting;
use crate::queue::Position;
use crate::sink::{Fate, Sink};

/// One shard may have this part of all memory waiting while others have nothing.
const LANE_PART: usize = 8;

/// What waits to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Fresh parcels, and those that waited, until a request is cut of them.
    lanes: Lanes,
    /// Requests that go as they stand, before any other.
    alone: VecDeque<Vec<Bundle>>,
    /// Parcels that failed among others, until their time comes.
    waiting: Waiting,
    /// Records that were let go while their shard has enough.
    parking: Parking,
    /// So much may wait for one shard before more of it is let go.
    lane_bytes: usize,
    /// Kept only where records must not overtake each other.
    order: Option<Order>,
}

impl Outbox {
    pub(super) fn new<S: Sink>(sink: &S, settings: &Settings) -> Self {
        Self {
            lanes: Lanes::new(sink.limits(), settings.linger, settings.shard_share),
            alone: VecDeque::new(),
            waiting: Waiting::default(),
            parking: Parking::default(),
            lane_bytes: settings.in_flight_bytes / LANE_PART,
            order: (settings.ordering == Ordering::Key).then(Order::default),
        }
    }

    /// The same with smaller requests, for a link that would take too long with large ones.
    pub(super) fn within(mut self, request_bytes: usize) -> Self {
        self.lanes.within(request_bytes);
        self
    }

    /// A fresh parcel; gives back what it let go of for now, to be read again.
    pub(super) fn push(&mut self, parcel: Parcel, owed: &Owed, now: Instant) -> Option<Parcel> {
        if let Some(order) = &mut self.order {
            order.arrived(&parcel);
        }
        if self.lanes.is_crowded(parcel.hash(), owed, (self.lane_bytes, now)) {
            self.parking.park(parcel.position, parcel.hash());
            return Some(parcel);
        }
        self.lanes.push(parcel, now);
        None
    }

    /// What is to be read again now, and how many bytes of it.
    pub(super) fn ask(&mut self, owed: &Owed) -> Option<(Vec<Position>, usize)> {
        let (lanes, most) = (&self.lanes, self.lane_bytes / 2);
        let asked = self.parking.ask(|hash| lanes.owed_to(hash, owed) < most);
        (!asked.is_empty()).then_some((asked, self.lane_bytes / 2))
    }

    /// These were read again, or can never be.
    pub(super) fn came(&mut self, positions: impl Iterator<Item = Position>) {
        self.parking.came(positions);
    }

    /// Of what was let go, this has lapsed; see [`Parking::lapsed`].
    pub(super) fn lapsed(&mut self, below: Position, is_letter: impl Fn(Position) -> bool) {
        self.parking.lapsed(below, is_letter);
    }

    /// How many records were let go for now.
    pub(super) fn parked(&self) -> usize {
        self.parking.count()
    }

    /// Parcels that go again, not before this time.
    pub(super) fn again(&mut self, due: Instant, parcels: Vec<Parcel>) {
        if !parcels.is_empty() {
            self.waiting.push(due, parcels);
        }
    }

    /// A request that goes as it stands, before everything younger.
    pub(super) fn alone(&mut self, request: Vec<Bundle>) {
        self.alone.push_front(request);
    }

    /// Parcels are settled: what waited for them may go.
    pub(super) fn settled(
        &mut self,
        parcels: impl Iterator<Item = (u128, Position)>,
        now: Instant,
    ) {
        let Some(order) = &mut self.order else { return };
        let mut freed: Vec<_> =
            parcels.flat_map(|(key_hash, position)| order.settled(key_hash, position)).collect();
        freed.sort_by_key(|parcel| parcel.position);
        self.lanes.push_due(freed, now);
    }

    /// Takes every parcel below a place in the queue out of where it waits.
    pub(super) fn take_below(&mut self, below: Position, now: Instant) -> Vec<Parcel> {
        let mut taken = self.lanes.take_below(below, now);
        taken.append(&mut self.waiting.take_below(below));
        for bundle in self.alone.iter_mut().flatten() {
            taken.extend(bundle.parcels.extract_if(.., |parcel| parcel.position < below));
        }
        for request in &mut self.alone {
            request.retain(|bundle| !bundle.parcels.is_empty());
        }
        self.alone.retain(|request| !request.is_empty());
        taken.extend(self.order.iter_mut().flat_map(|order| order.take_below(below)));
        taken
    }

    /// A request was answered: the shards that throttled some of it are sent less.
    pub(super) fn heard(&mut self, bundles: &[Bundle], fates: &[Fate], now: Instant) {
        let mut shards: HashMap<Option<&str>, (u128, f64, f64)> = HashMap::new();
        for (bundle, fate) in bundles.iter().zip(fates) {
            let first = (bundle.hash(), 0.0, 0.0);
            let (_, throttled, all) = shards.entry(bundle.shard.as_deref()).or_insert(first);
            let is_throttled =
                matches!(fate, Fate::Failed(fault) if classify(fault) == Class::Throttled);
            *throttled += f64::from(u8::from(is_throttled));
            *all += 1.0;
        }
        for (hash, throttled, all) in shards.into_values().filter(|shard| shard.1 > 0.0) {
            self.lanes.throttled(hash, throttled / all, now);
        }
    }

    /// Takes up what the sink learned, and parcels whose wait is over.
    pub(super) fn turn<S: Sink>(&mut self, sink: &S, now: Instant) {
        self.lanes.follow(sink.shards(), sink.form(), now);
        let due = self.waiting.take_due(now);
        self.lanes.push_due(due, now);
    }

    /// The next request; `fresh` prefers records that were never refused, `hurry` waits for nothing.
    pub(super) fn next(&mut self, now: Instant, fresh: bool, hurry: bool) -> Option<Vec<Bundle>> {
        loop {
            let request = if fresh {
                self.lanes.cut(now, hurry).or_else(|| self.alone.pop_front())
            } else {
                self.alone.pop_front().or_else(|| self.lanes.cut(now, hurry))
            }?;
            let Some(order) = &mut self.order else { return Some(request) };
            let request = order.sift(request);
            if !request.is_empty() {
                return Some(request);
            }
        }
    }

    /// Whether there is a request that may go now, as far as its shards and its age are asked.
    pub(super) fn is_ready(&mut self, now: Instant, hurry: bool) -> bool {
        !self.alone.is_empty() || self.lanes.is_ready(now, hurry)
    }

    /// When a parcel's wait ends.
    pub(super) fn waits_until(&self) -> Option<Instant> {
        self.waiting.due()
    }

    /// When the next request is due, if one may be sent at all.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let at_once = (!self.alone.is_empty()).then_some(now);
        at_once.or_else(|| self.lanes.due(now))
    }

    /// How many shards are slower now than they may be.
    pub(super) fn slowed(&self) -> usize {
        self.lanes.slowed()
    }
}

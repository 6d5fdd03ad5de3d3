//! Everything that was read and is not under way: what goes next, and when. Pure.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::Settings;
use super::bundle::Bundle;
use super::class::{Class, classify};
use super::lanes::Lanes;
use super::order::{Order, Ordering};
use super::owed::{Owed, first_of, part_of};
use super::parcel::Parcel;
use super::parking::Parking;
use super::retry::Waiting;
use crate::queue::Position;
use crate::sink::{Fate, Sink};

/// One shard may have this part of all memory waiting before more of it is let go; less where there
/// are many, so that those that are slow never hold more than half of it.
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
    /// All the memory there is.
    bytes_max: usize,
    /// A record that is larger travels in a request of its own: nobody knows whether it is taken.
    sure_bytes: usize,
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
            bytes_max: settings.in_flight_bytes,
            sure_bytes: sink.sure_bytes(),
            order: (settings.ordering == Ordering::Key).then(Order::default),
        }
    }

    /// Cuts smaller requests from now on, for a link that takes too long with large ones.
    pub(super) fn within(&mut self, request_bytes: usize) {
        self.lanes.within(request_bytes);
    }

    /// Takes a parcel; gives back what it let go of for now, to be read again. Without `owed` it is
    /// back from that, and stays.
    pub(super) fn push(
        &mut self,
        parcel: Parcel,
        owed: Option<&Owed>,
        now: Instant,
    ) -> Option<Parcel> {
        if let Some(part) = owed.and_then(|owed| self.part_to_park_in(&parcel, owed, now)) {
            self.parking.park(parcel.position, part);
            return Some(parcel);
        }
        if let Some(order) = &mut self.order {
            order.arrived(&parcel);
        }
        self.lanes.push(parcel, now);
        None
    }

    /// Where order matters, all that comes of a part stands behind what is parked of it: so the order
    /// of keys is kept and no key need be remembered. Records are parked by their shard, and keys
    /// that lead elsewhere by themselves; a record whose hash key leads it away from those of its
    /// key is not parked on its own account.
    fn part_to_park_in(&mut self, parcel: &Parcel, owed: &Owed, now: Instant) -> Option<u8> {
        let of_key = part_of(parcel.key_hash);
        if self.order.is_some() && self.parking.has(of_key) {
            return Some(of_key);
        }
        let is_led_away = self.order.is_some() && parcel.record.hash_key.is_some();
        let is_crowded = self.lanes.is_crowded(parcel.hash(), owed, (self.lane_bytes(), now))
            || self.takes_too_much(parcel.hash(), owed);
        (is_crowded && !is_led_away).then(|| part_of(parcel.hash()))
    }

    /// What is to be read again now, and how many bytes of it.
    pub(super) fn ask(&mut self, owed: &Owed) -> Option<(Vec<Position>, usize)> {
        let (lanes, most) = (&self.lanes, self.lane_bytes() / 2);
        let asked = self.parking.ask(|part| lanes.owed_to(first_of(part), owed) < most);
        (!asked.is_empty()).then_some((asked, most))
    }

    /// So much may wait for one shard before more of it is let go.
    fn lane_bytes(&self) -> usize {
        self.bytes_max / LANE_PART.max(2 * self.lanes.count())
    }

    /// Whether a shard has much more than its share of memory that is getting scarce: it would be
    /// full of it before another one has nothing to do.
    fn takes_too_much(&self, hash: u128, owed: &Owed) -> bool {
        let own = self.lanes.owed_to(hash, owed);
        own > self.lane_bytes()
            && owed.bytes > self.bytes_max / 2
            && 2 * own * self.lanes.count() > 3 * owed.bytes
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
        self.sure_bytes = sink.sure_bytes();
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
            let request = self.part_with_unsure(request);
            let request = match &mut self.order {
                Some(order) => order.sift(request),
                None => request,
            };
            if !request.is_empty() {
                return Some(request);
            }
        }
    }

    /// Takes out of a request what may have all of it refused; it goes behind it, each alone.
    fn part_with_unsure(&mut self, mut request: Vec<Bundle>) -> Vec<Bundle> {
        let sure = self.sure_bytes;
        if request.len() > 1 {
            let unsure = request.extract_if(.., |bundle| bundle.is_lone() && bundle.bytes() > sure);
            self.alone.extend(unsure.map(|bundle| vec![bundle]));
        }
        request
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

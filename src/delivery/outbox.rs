//! Everything that was read and is not under way: what goes next, and when. Pure.

mod cutting;

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::Settings;
use super::bundle::Bundle;
use super::lanes::Lanes;
use super::order::{Order, Ordering};
use super::owed::{Owed, first_of, part_of};
use super::parcel::Parcel;
use super::parking::Parking;
use super::retry::Waiting;
use crate::queue::Position;
use crate::record::Record;
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
    alone: VecDeque<Alone>,
    /// Until when records wait that could share entries then.
    patience: Option<Instant>,
    /// Parcels that failed among others, until their time comes.
    waiting: Waiting,
    /// Records that were let go while their shard has enough.
    parking: Parking,
    /// All the memory there is.
    bytes_max: usize,
    /// A record that is larger travels in a request of its own: nobody knows whether it is taken.
    sure_bytes: usize,
    /// Most entries of a request.
    entries_max: usize,
    /// Kept only where records must not overtake each other.
    order: Option<Order>,
}

/// A request that goes as it stands.
#[derive(Debug)]
struct Alone {
    request: Vec<Bundle>,
    /// Whether it is part of the search for a record that is at fault.
    is_suspect: bool,
}

/// What kind of request is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    /// Rather of records that were never refused.
    pub(super) fresh: bool,
    /// Nothing is waited for.
    pub(super) hurry: bool,
    /// It only looks whether the destination takes anything.
    pub(super) is_probe: bool,
}

impl Outbox {
    pub(super) fn new<S: Sink>(sink: &S, settings: &Settings) -> Self {
        Self {
            lanes: Lanes::new(sink.limits(), settings),
            alone: VecDeque::new(),
            patience: None,
            waiting: Waiting::default(),
            parking: Parking::default(),
            bytes_max: settings.in_flight_bytes,
            sure_bytes: sink.sure_bytes(),
            entries_max: sink.limits().entries,
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
        let hash = parcel.hash();
        let is_scarce = owed.bytes > self.bytes_max / 2;
        let is_crowded = self.lanes.is_crowded(hash, owed, (self.lane_bytes(), is_scarce, now))
            || self.takes_too_much(hash, owed);
        (is_crowded && !is_led_away).then(|| part_of(hash))
    }

    /// What is to be read again now, and how many bytes of it. What is to become a letter comes back
    /// though memory is full, as far as there is some left over for it: it makes room.
    pub(super) fn ask(&mut self, owed: &Owed) -> Option<(Vec<Position>, usize)> {
        let left =
            (self.bytes_max + self.left_over()).checked_sub(owed.bytes).filter(|left| *left > 0)?;
        let (lanes, most) = (&self.lanes, self.lane_bytes() / 2);
        let has_room = owed.bytes < self.bytes_max;
        let is_hungry = |part| has_room && lanes.owed_to(first_of(part), owed) < most;
        let (asked, parts) = self.parking.ask(is_hungry);
        let bytes = (most * parts).clamp(most, self.left_over()).min(left);
        (!asked.is_empty()).then_some((asked, bytes))
    }

    /// How much memory there is for records that come fresh from the queue: something is left over
    /// for those that come again, or they never would. While the destination takes none at all, what
    /// waits for another shard is not looked for: the whole backlog would be read and let go, to be
    /// read once more. Half is left over then, to look for it later.
    pub(super) fn room(&self, takes_any: bool) -> usize {
        match (takes_any, self.parking.count() > 0) {
            (true, false) => self.bytes_max,
            (true, true) => self.bytes_max - self.left_over(),
            (false, false) => self.bytes_max / 2,
            (false, true) => 0,
        }
    }

    fn left_over(&self) -> usize {
        self.bytes_max / (2 * LANE_PART)
    }

    /// So much may wait for one shard before more of it is let go.
    fn lane_bytes(&self) -> usize {
        self.bytes_max / LANE_PART.max(2 * self.lanes.count())
    }

    /// Whether a shard has much more than its share of memory that is getting scarce: it would be
    /// full of it before another one has nothing to do. Twice its share is what chance may bring;
    /// of two shards it would be all.
    fn takes_too_much(&self, hash: u128, owed: &Owed) -> bool {
        let (own, lanes) = (self.lanes.owed_to(hash, owed), self.lanes.count());
        let halves = if lanes > 2 { 4 } else { 3 };
        own > self.lane_bytes()
            && owed.bytes > self.bytes_max / 2
            && 2 * own * lanes > halves * owed.bytes
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

    /// Aggregates that are not all there: what is for shards that are not slow goes at once. Gives
    /// back those the rest of which is better put back into the queue; the others go again when due.
    pub(super) fn go_on(
        &mut self,
        parcels: Vec<Parcel>,
        due: Instant,
        now: Instant,
    ) -> Vec<Parcel> {
        let (mut at_once, mut again, mut back) = (Vec::new(), Vec::new(), Vec::new());
        for parcel in parcels {
            if self.lanes.is_quick(&parcel) {
                at_once.push(parcel);
            } else if self.order.is_none() && parcel.has_arrived() {
                back.push(parcel);
            } else {
                again.push(parcel);
            }
        }
        self.lanes.push_due(at_once, now);
        self.again(due, again);
        back
    }

    /// What is left of an aggregate as records of their own, one for each shard.
    pub(super) fn leftovers(&self, parcel: &Parcel, destination: &str) -> Vec<Record> {
        parcel.leftovers(destination, |hash| self.lanes.place_of(hash))
    }

    /// A request that goes as it stands, before everything younger; a suspect one is part of the
    /// search for a record that is at fault.
    pub(super) fn alone(&mut self, request: Vec<Bundle>, is_suspect: bool, now: Instant) {
        if request.iter().all(|bundle| bundle.is_lone() || self.lanes.fits(bundle)) {
            self.alone.push_front(Alone { request, is_suspect });
            return;
        }
        // While it was under way, the shards that it was put together for have changed.
        self.lanes.push_due(request.into_iter().flat_map(|bundle| bundle.parcels).collect(), now);
    }

    /// Parcels are settled: what waited for them may go.
    pub(super) fn settled(
        &mut self,
        parcels: impl Iterator<Item = (u128, Position)>,
        now: Instant,
    ) {
        let Some(order) = &mut self.order else { return };
        let mut freed: Vec<_> =
            parcels.flat_map(|(turn, position)| order.settled(turn, position)).collect();
        freed.sort_by_key(|parcel| parcel.position);
        self.lanes.push_due(freed, now);
    }

    /// Takes every parcel below a place in the queue out of where it waits.
    pub(super) fn take_below(&mut self, below: Position, now: Instant) -> Vec<Parcel> {
        let mut taken = self.lanes.take_below(below, now);
        taken.append(&mut self.waiting.take_below(below));
        for Alone { request, .. } in &mut self.alone {
            for bundle in request.iter_mut() {
                taken.extend(bundle.parcels.extract_if(.., |parcel| parcel.position < below));
            }
            request.retain(|bundle| !bundle.parcels.is_empty());
        }
        self.alone.retain(|alone| !alone.request.is_empty());
        taken.extend(self.order.iter_mut().flat_map(|order| order.take_below(below)));
        taken
    }

    /// A request was answered: the shards that throttled some of it are sent less.
    pub(super) fn heard(&mut self, bundles: &[Bundle], fates: &[Fate], now: Instant) {
        let taken = bundles.iter().zip(fates).filter(|(_, fate)| matches!(fate, Fate::Taken));
        taken.for_each(|(bundle, _)| self.lanes.took(bundle.hash(), now));
        let mut shards: HashMap<usize, (u128, f64, f64)> = HashMap::new();
        for (hash, is_throttled) in
            bundles.iter().zip(fates).flat_map(|(bundle, fate)| bundle.throttled(fate))
        {
            let (_, throttled, all) =
                shards.entry(self.lanes.place_of(hash)).or_insert((hash, 0.0, 0.0));
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
        self.patience = None;
        if self.lanes.follow(sink, now) {
            self.bundle_anew(now);
        }
        let due = self.waiting.take_due(now);
        self.lanes.push_due(due, now);
    }

    /// What was to go as it stands is for shards that may be others by now: what shared an entry is
    /// put together anew, and so is what could. Only a search goes on with what goes by itself.
    fn bundle_anew(&mut self, now: Instant) {
        let (mut parcels, has_form) = (Vec::new(), self.lanes.form().is_some());
        for mut alone in std::mem::take(&mut self.alone) {
            let is_kept = alone.is_suspect || !has_form;
            if is_kept && alone.request.iter().all(Bundle::is_lone) {
                for bundle in &mut alone.request {
                    bundle.parcels.iter_mut().for_each(|parcel| self.lanes.fit(parcel));
                    bundle.shard = self.lanes.shard_of(bundle.hash());
                }
                self.alone.push_back(alone);
            } else {
                parcels.extend(alone.request.into_iter().flat_map(|bundle| bundle.parcels));
            }
        }
        parcels.sort_by_key(|parcel| parcel.position);
        self.lanes.push_due(parcels, now);
    }

    /// Whether several records are about to go each by itself, and none of them is suspected.
    fn could_pack(&self) -> bool {
        let waits = match self.alone.front() {
            Some(alone) => !alone.is_suspect && alone.request.len() > 1,
            None => self.lanes.has_many(),
        };
        waits && self.lanes.form().is_none()
    }

    /// Until when a request waits for what may make it smaller.
    pub(super) fn patience(&self) -> Option<Instant> {
        self.patience
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

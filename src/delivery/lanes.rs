//! What is to be sent, in one lane for each shard; cuts requests by count, bytes, age and pace.
//! Pure; the caller brings the time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bundle::{Bundle, Open};
use super::owed::Owed;
use super::pace::Pace;
use super::parcel::Parcel;
use crate::queue::Position;
use crate::sink::{Form, Limits, ShardMap};

/// Where records share entries, a request of so many bytes need not wait for more: a larger one
/// saves nothing, and is dearer to repeat.
const AMPLE_BYTES: usize = 1 << 20;

/// The lanes of one destination: one for each shard while they are known, else one for all.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    /// Most bytes of one request on the link as it is now.
    ration: usize,
    linger: Duration,
    shard_share: usize,
    shards: Option<Arc<ShardMap>>,
    form: Option<Form>,
    lanes: Vec<Lane>,
    /// The lane that the next request begins with.
    turn: usize,
}

/// The records of one shard.
#[derive(Debug)]
struct Lane {
    shard: Option<Arc<str>>,
    ready: VecDeque<Ready>,
    /// Bytes of what is ready.
    ready_bytes: usize,
    /// The bundle that may still take records, and when it goes as it stands.
    open: Option<(Open, Instant)>,
    pace: Pace,
    /// Whether its entries may be in the request that is being cut.
    is_going: bool,
}

/// An entry that takes no more records.
#[derive(Debug)]
struct Ready {
    bundle: Bundle,
    weight: usize,
    due: Instant,
}

impl Lanes {
    pub(super) fn new(limits: Limits, linger: Duration, shard_share: usize) -> Self {
        let lanes = vec![Lane::new(None, Pace::free(Instant::now()))];
        let ration = limits.request_bytes;
        Self { limits, ration, linger, shard_share, shards: None, form: None, lanes, turn: 0 }
    }

    /// From now on no request has more bytes than this, if its records allow it.
    pub(super) fn within(&mut self, request_bytes: usize) {
        self.ration = self.limits.request_bytes.min(request_bytes);
    }

    /// Whether more than so many bytes are owed to the shard of this hash, while another one that
    /// could take some has nothing.
    pub(super) fn is_crowded(
        &mut self,
        hash: u128,
        owed: &Owed,
        (bytes_max, now): (usize, Instant),
    ) -> bool {
        let (own, bytes) = (self.place_of(hash), self.owed_to(hash, owed));
        // One that has everything under way is not idle for want of records.
        let mut others = self.lanes.iter_mut().enumerate().filter(|(place, _)| *place != own);
        bytes > bytes_max && others.any(|(_, lane)| lane.is_idle(now))
    }

    /// How many bytes are owed to the shard of this hash; 0 while it is not known.
    pub(super) fn owed_to(&self, hash: u128, owed: &Owed) -> usize {
        let shards = self.shards.as_ref().map(|map| map.shards());
        let shard = shards.and_then(|shards| shards.get(self.place_of(hash)));
        shard.map_or(0, |shard| owed.of(shard.range))
    }

    /// From now on these are the shards, and this is how records share an entry. What waits is
    /// sorted anew.
    pub(super) fn follow(
        &mut self,
        shards: Option<Arc<ShardMap>>,
        form: Option<Form>,
        now: Instant,
    ) {
        if (&shards, form) == (&self.shards, self.form) {
            return;
        }
        let mut paces: BTreeMap<Option<Arc<str>>, Pace> = BTreeMap::new();
        let mut parcels = Vec::new();
        for mut lane in std::mem::take(&mut self.lanes) {
            parcels.extend(lane.empty());
            paces.insert(lane.shard, lane.pace);
        }
        parcels.sort_by_key(|parcel| parcel.position);
        (self.shards, self.form, self.turn) = (shards, form, 0);
        let share = self.shard_share;
        let mut lane_of = |shard: Option<Arc<str>>| {
            let known = paces.remove(&shard);
            let fresh = || match shard {
                Some(_) => Pace::of_shard(share, now),
                None => Pace::free(now),
            };
            Lane::new(shard.clone(), known.unwrap_or_else(fresh))
        };
        self.lanes = match &self.shards {
            Some(map) => map.shards().iter().map(|shard| lane_of(Some(shard.id.clone()))).collect(),
            None => vec![lane_of(None)],
        };
        self.push_due(parcels, now);
    }

    /// Adds a fresh parcel; it may wait for others.
    pub(super) fn push(&mut self, parcel: Parcel, now: Instant) {
        let (form, due) = (self.form_of(&parcel), now + self.linger);
        if let Some(lane) = self.lane_of(parcel.hash()) {
            lane.push(parcel, form, due);
        }
    }

    /// Adds parcels that waited already: they go first, and at once.
    pub(super) fn push_due(&mut self, parcels: Vec<Parcel>, now: Instant) {
        // Bundled in lanes of their own, which then go before what is there.
        let mut ahead: BTreeMap<usize, Lane> = BTreeMap::new();
        for parcel in parcels {
            let (form, place) = (self.form_of(&parcel), self.place_of(parcel.hash()));
            let Some(lane) = self.lanes.get(place) else { continue };
            let lane = ahead
                .entry(place)
                .or_insert_with(|| Lane::new(lane.shard.clone(), lane.pace.clone()));
            lane.push(parcel, form, now);
        }
        for (place, mut first) in ahead {
            first.close();
            if let Some(lane) = self.lanes.get_mut(place) {
                lane.ready_bytes += first.ready_bytes;
                while let Some(ready) = first.ready.pop_back() {
                    lane.ready.push_front(ready);
                }
            }
        }
    }

    /// Takes out what stands below a place in the queue.
    pub(super) fn take_below(&mut self, below: Position, now: Instant) -> Vec<Parcel> {
        let mut taken = Vec::new();
        for place in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get_mut(place) else { continue };
            if !lane.holds_below(below) {
                continue;
            }
            let (gone, left): (Vec<_>, Vec<_>) =
                lane.empty().into_iter().partition(|parcel| parcel.position < below);
            taken.extend(gone);
            self.push_due(left, now);
        }
        taken
    }

    /// The next request, if one is full or its first parcel has waited long enough. With `hurry`,
    /// whatever there is: nothing can come to it.
    pub(super) fn cut(&mut self, now: Instant, hurry: bool) -> Option<Vec<Bundle>> {
        if !self.is_ready(now, hurry) {
            return None;
        }
        for lane in &mut self.lanes {
            lane.is_going = lane.pace.opens_at(now).is_none();
        }
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        let mut idle = 0;
        while idle < self.lanes.len() && batch.len() < self.limits.entries {
            let place = self.turn;
            let Some(lane) = self.lanes.get_mut(place) else { break };
            match lane.next_weight(now, hurry) {
                // One that is too large for any request travels alone; the sink's word is the last.
                Some(weight) if bytes + weight <= self.request_bytes() || batch.is_empty() => {
                    bytes += weight;
                    batch.extend(self.lanes.get_mut(place).and_then(|lane| lane.take(now)));
                    idle = 0;
                }
                Some(_) => break,
                None => idle += 1,
            }
            self.turn = (place + 1) % self.lanes.len();
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Whether a request can be cut now.
    pub(super) fn is_ready(&mut self, now: Instant, hurry: bool) -> bool {
        let has_any = |lane: &mut Lane| lane.due().is_some() && lane.pace.opens_at(now).is_none();
        hurry && self.lanes.iter_mut().any(has_any)
            || self.is_full(now)
            || self.due(now).is_some_and(|due| due <= now)
    }

    /// When the next request is due at the latest; `None` if there is nothing.
    pub(super) fn due(&mut self, now: Instant) -> Option<Instant> {
        let due_of = |lane: &mut Lane| {
            let due = lane.due()?;
            Some(lane.pace.opens_at(now).map_or(due, |opens| due.max(opens)))
        };
        self.lanes.iter_mut().filter_map(due_of).min()
    }

    /// An answer came about entries of the shard that this hash leads to: so large a part of them
    /// was throttled.
    pub(super) fn throttled(&mut self, hash: u128, part: f64, now: Instant) {
        if let Some(lane) = self.lane_of(hash) {
            lane.pace.throttled(part, now);
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lanes.len()
    }

    /// How many lanes are slower now than they may be.
    pub(super) fn slowed(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.pace.part() < 1.0).count()
    }

    fn is_full(&mut self, now: Instant) -> bool {
        let open = self.lanes.iter_mut().filter(|lane| !lane.ready.is_empty());
        let open = open.filter_map(|lane| {
            let is_open = lane.pace.opens_at(now).is_none();
            is_open.then_some((lane.ready.len(), lane.ready_bytes))
        });
        let (entries, bytes) =
            open.fold((0, 0), |(entries, bytes), (count, more)| (entries + count, bytes + more));
        entries >= self.limits.entries || bytes >= self.ample_bytes()
    }

    fn ample_bytes(&self) -> usize {
        let most = self.request_bytes();
        if self.form.is_some() { AMPLE_BYTES.min(most) } else { most }
    }

    fn request_bytes(&self) -> usize {
        self.ration
    }

    fn form_of(&self, parcel: &Parcel) -> Option<Form> {
        self.form.filter(|_| !parcel.is_sealed)
    }

    fn place_of(&self, hash: u128) -> usize {
        self.shards.as_ref().map_or(0, |map| map.place_of(hash))
    }

    fn lane_of(&mut self, hash: u128) -> Option<&mut Lane> {
        let place = self.place_of(hash);
        self.lanes.get_mut(place)
    }
}

impl Lane {
    fn new(shard: Option<Arc<str>>, pace: Pace) -> Self {
        Self { shard, ready: VecDeque::new(), ready_bytes: 0, open: None, pace, is_going: false }
    }

    fn push(&mut self, parcel: Parcel, form: Option<Form>, due: Instant) {
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

    fn close(&mut self) {
        if let Some((open, due)) = self.open.take() {
            let weight = open.weight();
            self.ready_bytes += weight;
            self.ready.push_back(Ready { bundle: open.close(), weight, due });
        }
    }

    /// What the next entry weighs, if one may go now. One that may take more records goes when its
    /// first has waited long enough.
    fn next_weight(&mut self, now: Instant, hurry: bool) -> Option<usize> {
        if !self.is_going || !self.pace.lends() {
            return None;
        }
        if let Some(ready) = self.ready.front() {
            return Some(ready.weight);
        }
        let (open, due) = self.open.as_ref()?;
        (hurry || *due <= now).then(|| open.weight())
    }

    fn take(&mut self, now: Instant) -> Option<Bundle> {
        if self.ready.is_empty() {
            self.close();
        }
        let Ready { bundle, weight, .. } = self.ready.pop_front()?;
        self.ready_bytes -= weight;
        self.pace.spend(weight, now);
        Some(bundle)
    }

    /// Whether it could send, but has nothing.
    fn is_idle(&mut self, now: Instant) -> bool {
        self.ready.is_empty() && self.open.is_none() && self.pace.opens_at(now).is_none()
    }

    fn due(&self) -> Option<Instant> {
        let open = self.open.as_ref().map(|(_, due)| *due);
        let ready = self.ready.front().map(|ready| ready.due);
        ready.into_iter().chain(open).min()
    }

    fn holds_below(&self, below: Position) -> bool {
        let open = self.open.iter().map(|(open, _)| open.parcels());
        let ready = self.ready.iter().map(|ready| ready.bundle.parcels.as_slice());
        open.chain(ready).flatten().any(|parcel| parcel.position < below)
    }

    fn empty(&mut self) -> Vec<Parcel> {
        self.close();
        self.ready_bytes = 0;
        self.ready.drain(..).flat_map(|ready| ready.bundle.parcels).collect()
    }
}

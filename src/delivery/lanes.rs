//! What is to be sent, in one lane for each shard; cuts requests by count, bytes, age and pace.
//! Pure; the caller brings the time.

mod dealing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Settings;
use super::bundle::Bundle;
use super::lane::Lane;
use super::owed::Owed;
use super::pace::Pace;
use super::parcel::Parcel;
use crate::queue::Position;
use crate::sink::{Form, Limits, Shard, ShardMap, Sink};

/// Where records share entries, a request of so many bytes need not wait for more: a larger one
/// saves nothing, and is dearer to repeat.
const AMPLE_BYTES: usize = 1 << 20;

/// Where the shards are not known, records go in lanes by so many equal parts of all hashes: a shard
/// that throttles lies in some of them, and the others are not slowed.
const PARTS: u8 = 64;

/// The lanes of one destination: one for each shard while they are known, else one for each part of
/// all hashes; one for all where there are no shards.
#[derive(Debug)]
pub(super) struct Lanes {
    limits: Limits,
    /// Most bytes of one request on the link as it is now.
    ration: usize,
    linger: Duration,
    shard_share: usize,
    /// What a shard throttled may wait so long to be tried again.
    retry_max: Duration,
    shards: Option<Arc<ShardMap>>,
    /// What stands for the shards while they are not known.
    parts: Arc<ShardMap>,
    form: Option<Form>,
    /// Whether the shards are not known for sure, though the upstream was asked.
    is_in_doubt: bool,
    lanes: Vec<Lane>,
    /// The lane that the next request begins with.
    turn: usize,
}

impl Lanes {
    pub(super) fn new(limits: Limits, settings: &Settings) -> Self {
        Self {
            limits,
            ration: limits.request_bytes,
            linger: settings.linger,
            shard_share: settings.shard_share,
            retry_max: settings.retry_max,
            shards: None,
            parts: Arc::new(ShardMap::of_parts(PARTS)),
            form: None,
            is_in_doubt: false,
            lanes: vec![Lane::new(None, Pace::free(Instant::now()))],
            turn: 0,
        }
    }

    /// From now on no request has more bytes than this, if its records allow it.
    pub(super) fn within(&mut self, request_bytes: usize) {
        self.ration = self.limits.request_bytes.min(request_bytes);
    }

    /// Whether more than so many bytes are owed to the shard of this hash, which is held up, while
    /// another one that could take some has nothing.
    pub(super) fn is_crowded(
        &mut self,
        hash: u128,
        owed: &Owed,
        (bytes_max, is_scarce, now): (usize, bool, Instant),
    ) -> bool {
        let (own, retry_max) = (self.place_of(hash), self.retry_max);
        let is_within = self.owed_to(hash, owed) <= bytes_max;
        let lane = self.lanes.get_mut(own).filter(|_| !is_within);
        if !lane.is_some_and(|lane| lane.is_held_up(retry_max, is_scarce, now)) {
            return false;
        }
        // One that has everything under way is not idle for want of records.
        let mut others = self.lanes.iter_mut().enumerate().filter(|(place, _)| *place != own);
        others.any(|(_, lane)| lane.is_idle(now))
    }

    /// The shard of this hash took something.
    pub(super) fn took(&mut self, hash: u128, now: Instant) {
        let own = self.place_of(hash);
        if let Some(lane) = self.lanes.get_mut(own) {
            lane.took(now);
        }
    }

    /// Whether a bundle of several records was put together for a shard that there is.
    pub(super) fn fits(&self, bundle: &Bundle) -> bool {
        self.form.is_some() && self.shard_of(bundle.hash()) == bundle.shard
    }

    /// Whether several entries wait for one shard.
    pub(super) fn has_many(&self) -> bool {
        self.lanes.iter().any(|lane| lane.readiness().0 > 1)
    }

    /// How records share an entry.
    pub(super) fn form(&self) -> Option<Form> {
        self.form
    }

    /// How many bytes are owed to the shard of this hash; 0 while it is not known.
    pub(super) fn owed_to(&self, hash: u128, owed: &Owed) -> usize {
        let shards = self.shards.as_ref().map(|map| map.shards());
        let shard = shards.and_then(|shards| shards.get(self.place_of(hash)));
        shard.map_or(0, |shard| owed.of(shard.range))
    }

    /// Takes up which shards there are, and how records share an entry. What waits is sorted anew
    /// where that has changed; whether it has.
    pub(super) fn follow<S: Sink>(&mut self, sink: &S, now: Instant) -> bool {
        let parts = || sink.has_shards().then(|| Arc::clone(&self.parts));
        let (shards, form) = (sink.shards().or_else(parts), sink.form());
        let is_in_doubt = sink.is_in_doubt();
        if (&shards, form, is_in_doubt) == (&self.shards, self.form, self.is_in_doubt) {
            return false;
        }
        self.is_in_doubt = is_in_doubt;
        self.change(shards, form, now);
        true
    }

    pub(super) fn change(
        &mut self,
        shards: Option<Arc<ShardMap>>,
        form: Option<Form>,
        now: Instant,
    ) {
        let place = |shard: &Shard| (shard.id.clone(), shard.range.first);
        let mut paces = BTreeMap::new();
        let mut parcels = Vec::new();
        for mut lane in std::mem::take(&mut self.lanes) {
            parcels.extend(lane.empty());
            paces.insert(lane.shard.as_ref().map(place), lane.pace);
        }
        parcels.sort_by_key(|parcel| parcel.position);
        (self.shards, self.form, self.turn) = (shards, form, 0);
        let share = self.shard_share;
        let mut lane_of = |shard: Option<Shard>| {
            let known = paces.remove(&shard.as_ref().map(place));
            let fresh = || match &shard {
                Some(shard) if shard.is_known() => Pace::of_shard(share, now),
                _ => Pace::free(now),
            };
            let pace = known.unwrap_or_else(fresh);
            Lane::new(shard, pace)
        };
        self.lanes = match &self.shards {
            Some(map) => map.shards().iter().map(|shard| lane_of(Some(shard.clone()))).collect(),
            None => vec![lane_of(None)],
        };
        self.push_due(parcels, now);
    }

    /// Adds a fresh parcel; it may wait for others.
    pub(super) fn push(&mut self, mut parcel: Parcel, now: Instant) {
        self.fit(&mut parcel);
        let (form, due) = (self.form_of(&parcel), now + self.linger);
        if let Some(lane) = self.lane_of(parcel.hash()) {
            lane.push(parcel, form, due);
        }
    }

    /// Adds parcels that waited already: they go first, and at once.
    pub(super) fn push_due(&mut self, parcels: Vec<Parcel>, now: Instant) {
        // Bundled in lanes of their own, which then go before what is there.
        let mut ahead: BTreeMap<usize, Lane> = BTreeMap::new();
        for mut parcel in parcels {
            self.fit(&mut parcel);
            let (form, place) = (self.form_of(&parcel), self.place_of(parcel.hash()));
            let Some(lane) = self.lanes.get(place) else { continue };
            let lane = ahead
                .entry(place)
                .or_insert_with(|| Lane::new(lane.shard.clone(), lane.pace.clone()));
            lane.push(parcel, form, now);
        }
        for (place, first) in ahead {
            if let Some(lane) = self.lanes.get_mut(place) {
                lane.go_after(first);
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

    /// The next request, if one is full or the first parcel of a lane has waited long enough. With
    /// `hurry`, whatever there is: nothing can come to it.
    pub(super) fn cut(&mut self, now: Instant, hurry: bool) -> Option<Vec<Bundle>> {
        if !self.is_ready(now, hurry) {
            return None;
        }
        for lane in &mut self.lanes {
            lane.is_going = lane.pace.opens_at(now).is_none();
        }
        // One that has waited long enough takes along those of other lanes that nearly have: a request
        // for each lane would cost far more.
        let takes_along = self.lanes.iter().any(|lane| lane.must_go(now));
        let latest = now + self.linger / 4;
        let goes = |due: Instant| hurry || takes_along && due <= latest;
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        let mut idle = 0;
        while idle < self.lanes.len() && batch.len() < self.limits.entries {
            let place = self.turn;
            let Some(lane) = self.lanes.get_mut(place) else { break };
            match lane.next_weight(goes) {
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
        // As near to the order of the queue as the shards let it be.
        batch.sort_by_key(Bundle::first);
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

    /// Entries of the shard that this hash leads to did not go after all, and so many bytes.
    pub(super) fn unspent(&mut self, hash: u128, (entries, bytes): (usize, usize)) {
        if let Some(lane) = self.lane_of(hash) {
            lane.pace.unspend(entries, bytes);
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
        let open = self.lanes.iter_mut().filter(|lane| lane.readiness().0 > 0);
        let open = open.filter_map(|lane| {
            let is_open = lane.pace.opens_at(now).is_none();
            is_open.then(|| lane.readiness())
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

    /// What others have put together goes apart where it belongs to several shards.
    pub(super) fn fit(&self, parcel: &mut Parcel) {
        match self.shard_of(parcel.hash()).filter(Shard::is_known) {
            Some(shard) => parcel.fit_into(shard.range),
            None if self.is_in_doubt => parcel.go_apart(),
            None => {}
        }
        self.aim(parcel);
    }

    /// The lane that a hash leads to.
    pub(super) fn place_of(&self, hash: u128) -> usize {
        self.shards.as_ref().map_or(0, |map| map.place_of(hash))
    }

    /// The shard that a hash leads to.
    pub(super) fn shard_of(&self, hash: u128) -> Option<Shard> {
        self.lanes.get(self.place_of(hash)).and_then(|lane| lane.shard.clone())
    }

    fn lane_of(&mut self, hash: u128) -> Option<&mut Lane> {
        let place = self.place_of(hash);
        self.lanes.get_mut(place)
    }
}

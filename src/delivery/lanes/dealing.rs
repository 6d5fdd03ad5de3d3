//! What goes of an aggregate that is sent in parts: all that its shards may be sent now, at once.
//! Pure; the caller brings the time.

use bytes::Bytes;
use tokio::time::Instant;

use super::Lanes;
use crate::delivery::apart::{Apart, Due, Share};
use crate::delivery::bundle::Bundle;
use crate::delivery::parcel::Parcel;

impl Lanes {
    /// Leads an aggregate to the lane where some of it goes soonest: a slow shard comes last.
    pub(super) fn aim(&self, parcel: &mut Parcel) {
        let Some(apart) = &mut parcel.apart else { return };
        let due = due_of(apart, &parcel.record.payload);
        let soonest = due.iter().min_by_key(|due| self.slowness(self.place_of(due.hash())));
        if let Some(due) = soonest {
            apart.aim(due.hash());
        }
    }

    /// Whether some of it that was not tried is for a shard that is not slower than it may be.
    pub(in crate::delivery) fn is_quick(&self, parcel: &Parcel) -> bool {
        let untried = parcel.apart.iter().flat_map(|apart| apart.untried(&parcel.record.payload));
        untried.into_iter().any(|due| !self.slowness(self.place_of(due.hash())).0)
    }

    fn slowness(&self, place: usize) -> (bool, usize) {
        let lane = self.lanes.get(place);
        lane.map_or((true, 0), |lane| (lane.pace.part() < 1.0, lane.readiness().1))
    }

    /// Chooses what goes of aggregates that are sent in parts, in a request with room for so many
    /// entries more. Where the request `is_paid` for, the whole of each was counted for its lane.
    pub(in crate::delivery) fn deal(
        &mut self,
        request: &mut [Bundle],
        (mut room, is_paid): (usize, bool),
        now: Instant,
    ) {
        for bundle in request {
            let mut next = None;
            for parcel in &mut bundle.parcels {
                let weight = parcel.weight;
                let Some(apart) = &mut parcel.apart else { continue };
                let due = due_of(apart, &parcel.record.payload);
                let own = self.place_of(apart.next());
                let first = due.iter().find(|due| self.place_of(due.hash()) == own);
                let Some(first) = first.or(due.first()).map(Due::hash) else { continue };
                apart.aim(first);
                let most = apart.parts_at_once(room + 1);
                let shares = self.shares(&due, (self.place_of(first), most), now);
                room -= room.min(shares.len().saturating_sub(1));
                self.pay(&shares, is_paid.then_some(weight), now);
                next = Some(first);
                apart.go(shares);
            }
            if let Some(hash) = next {
                bundle.shard = self.shard_of(hash);
            }
        }
    }

    /// Its own lane's first, then what is for lanes that are open.
    fn shares(&mut self, due: &[Due], (own, most): (usize, usize), now: Instant) -> Vec<Share> {
        let mut by_lane: Vec<(usize, &Due)> =
            due.iter().map(|due| (self.place_of(due.hash()), due)).collect();
        by_lane.sort_by_key(|(place, _)| *place != own);
        let mut shares: Vec<Share> = Vec::new();
        let mut last = None;
        for (place, due) in by_lane {
            let Some(lane) = self.lanes.get_mut(place) else { continue };
            let shard = lane.shard.as_ref().filter(|shard| shard.is_known());
            if last == Some(place)
                && shard.is_some()
                && let Some(share) = shares.last_mut()
            {
                share.bytes += due.bytes;
                continue;
            }
            let is_open = place == own || lane.pace.opens_at(now).is_none() && lane.pace.lends();
            if is_open && shares.len() < most {
                let range = shard.map_or(due.range, |shard| shard.range);
                shares.push(Share { range, shard: shard.cloned(), bytes: due.bytes });
                last = Some(place);
            }
        }
        shares
    }

    /// Counts what goes for the lanes it goes to; of the first, `paid` was counted already.
    fn pay(&mut self, shares: &[Share], paid: Option<usize>, now: Instant) {
        for (place, share) in shares.iter().enumerate() {
            let hash = share.range.last;
            match paid.filter(|_| place == 0) {
                Some(paid) => self.unspent(hash, (0, paid.saturating_sub(share.bytes))),
                None => {
                    if let Some(lane) = self.lane_of(hash) {
                        lane.pace.spend(share.bytes, now);
                    }
                }
            }
        }
    }
}

/// What is to be sent of it; what failed is, where nothing else is left.
fn due_of(apart: &mut Apart, payload: &Bytes) -> Vec<Due> {
    let due = apart.untried(payload);
    if !due.is_empty() {
        return due;
    }
    apart.try_again();
    apart.untried(payload)
}

//! The next request: of what waits, or as it stands. Pure.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Alone, Outbox, Wanted};
use crate::delivery::bundle::Bundle;
use crate::delivery::lanes::Lanes;
use crate::sink::{Prospect, Sink};

impl Outbox {
    /// The next request, unless it is worth waiting for what may make it smaller.
    pub(in crate::delivery) fn next<S: Sink>(
        &mut self,
        sink: &S,
        now: Instant,
        wanted: Wanted,
    ) -> Option<Vec<Bundle>> {
        let could_pack = self.could_pack();
        let prospect = if could_pack { sink.prospect() } else { Prospect::None };
        if let Prospect::Soon(until) = prospect {
            self.patience = Some(until);
            return None;
        }
        let (cut, is_paid) = self.cut(now, wanted)?;
        let (mut request, mut room) = (cut.request, 0);
        if wanted.is_probe {
            request = self.only_one(Alone { request, ..cut }, now);
        } else {
            room = self.entries_max.saturating_sub(request.len());
        }
        self.lanes.deal(&mut request, (room, is_paid), now);
        Some(request)
    }

    /// A request, and whether its lanes have counted it.
    fn cut(&mut self, now: Instant, wanted: Wanted) -> Option<(Alone, bool)> {
        let Wanted { fresh, hurry, .. } = wanted;
        loop {
            let alone = |alone: &mut VecDeque<Alone>| Some((alone.pop_front()?, false));
            let cut = |lanes: &mut Lanes| {
                let request = lanes.cut(now, hurry)?;
                Some((Alone { request, is_suspect: false }, true))
            };
            let (Alone { request, is_suspect }, is_paid) = if fresh {
                cut(&mut self.lanes).or_else(|| alone(&mut self.alone))
            } else {
                alone(&mut self.alone).or_else(|| cut(&mut self.lanes))
            }?;
            let request = self.part_with_unsure(request);
            let request = if self.order.is_some() { self.sift(request) } else { request };
            if !request.is_empty() {
                return Some((Alone { request, is_suspect }, is_paid));
            }
        }
    }

    /// Only a record, and the smallest entry at that: what looks whether anything is taken need not
    /// be dear. The rest waits.
    fn only_one(&mut self, cut: Alone, now: Instant) -> Vec<Bundle> {
        let Alone { mut request, is_suspect } = cut;
        let sizes = request.iter().map(Bundle::bytes).enumerate();
        let Some((least, _)) = sizes.min_by_key(|(_, bytes)| *bytes) else { return request };
        let one = request.remove(least);
        if !request.is_empty() {
            self.alone(request, is_suspect, now);
        }
        let (first, rest) = one.first_alone();
        if let Some(first_of_rest) = rest.first() {
            let bytes = rest.iter().map(|parcel| parcel.weight).sum();
            self.lanes.unspent(first_of_rest.hash(), (0, bytes));
            self.lanes.push_due(rest, now);
        }
        vec![first]
    }

    /// Keeps back what must not overtake others of its key; that takes nothing of what its shard takes
    /// in a second.
    fn sift(&mut self, request: Vec<Bundle>) -> Vec<Bundle> {
        let Some(order) = &mut self.order else { return request };
        let before: Vec<_> = request.iter().map(|bundle| (bundle.hash(), bundle.bytes())).collect();
        let sifted = order.sift(request);
        for ((hash, bytes), bundle) in before.into_iter().zip(&sifted) {
            let entries = usize::from(bundle.parcels.is_empty());
            self.lanes.unspent(hash, (entries, bytes.saturating_sub(bundle.bytes())));
        }
        sifted.into_iter().filter(|bundle| !bundle.parcels.is_empty()).collect()
    }

    /// Takes out of a request what may have all of it refused; it goes behind it, each alone.
    fn part_with_unsure(&mut self, mut request: Vec<Bundle>) -> Vec<Bundle> {
        let sure = self.sure_bytes;
        if request.len() > 1 {
            let unsure = request.extract_if(.., |bundle| bundle.is_lone() && bundle.bytes() > sure);
            let alone = |bundle| Alone { request: vec![bundle], is_suspect: false };
            self.alone.extend(unsure.map(alone));
        }
        request
    }
}

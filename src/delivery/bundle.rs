//! Records that travel as one entry, and share its fate.

use std::time::Duration;

use super::parcel::{Parcel, miscounted};
use crate::queue::Position;
use crate::sink::{Entry, Fate, Form, HashRange, Load, Outcome, Shard, Sink, Tally};

/// One record, to learn whether anything leaves the host.
pub(super) const ANY_LOAD: Load = Load { entries: 1, weight: 1_000, hash_keys: 0 };

/// One entry of a request: a record, or several of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// In the order of the queue.
    pub(super) parcels: Vec<Parcel>,
    /// How they become one.
    form: Form,
    /// The shard they are for, or the part of all hashes, where that is all that is known.
    pub(super) shard: Option<Shard>,
}

impl Bundle {
    /// A record that travels alone, for whatever shard.
    pub(super) fn lone(parcel: Parcel) -> Self {
        Self::lone_for(None, parcel)
    }

    /// A record that travels alone.
    pub(super) fn lone_for(shard: Option<Shard>, parcel: Parcel) -> Self {
        // The form of one record is the record itself, whatever stands here.
        let form = Form::Aggregate { weight_max: 0 };
        Self { parcels: vec![parcel], form, shard }
    }

    /// Whether it is one record, which no consumer needs to take apart.
    pub(super) fn is_lone(&self) -> bool {
        self.parcels.len() < 2
    }

    /// The place of its oldest record in the queue.
    pub(super) fn first(&self) -> Option<Position> {
        self.parcels.first().map(|parcel| parcel.position)
    }

    /// The number that chooses its shard.
    pub(super) fn hash(&self) -> u128 {
        self.parcels.first().map_or(0, Parcel::hash)
    }

    /// Whether its entry has an explicit hash key.
    fn has_hash_key(&self) -> bool {
        !self.is_lone() || self.parcels.iter().any(|parcel| parcel.record.hash_key.is_some())
    }

    /// These are sent now; how many of their records were before.
    pub(super) fn count_try(bundles: &mut [Self]) -> u64 {
        let mut again = 0;
        for parcel in bundles.iter_mut().flat_map(|bundle| &mut bundle.parcels) {
            again += u64::from(parcel.tries > 0);
            parcel.tries = parcel.tries.saturating_add(1);
        }
        again
    }

    /// What these are on the wire.
    pub(super) fn load(bundles: &[Self]) -> Load {
        Load {
            entries: bundles.len(),
            weight: bundles.iter().map(Self::bytes).sum(),
            hash_keys: bundles.iter().filter(|bundle| bundle.has_hash_key()).count(),
        }
    }

    /// Time since its first record was accepted.
    pub(super) fn age(&self, now_unix_ms: u64) -> Duration {
        self.parcels.first().map_or(Duration::ZERO, |first| first.age(now_unix_ms))
    }

    /// Bytes of the payloads and keys.
    pub(super) fn bytes(&self) -> usize {
        self.parcels.iter().map(|parcel| parcel.weight).sum()
    }

    /// What has no shard to go to may be several entries, as long as the request has no more than
    /// these.
    pub(super) fn allot(bundles: &mut [Self], entries_max: usize) {
        let mut free = entries_max.saturating_sub(bundles.len());
        for parcel in bundles.iter_mut().flat_map(|bundle| &mut bundle.parcels) {
            free = parcel.allot(free);
        }
    }

    /// Makes what the sink sends, and how many entries each is; anew for each try, so that nothing is
    /// held twice while it waits.
    pub(super) fn entries<S: Sink>(bundles: &[Self], sink: &S) -> (Vec<Entry>, Vec<usize>) {
        let (mut entries, mut counts) = (Vec::with_capacity(bundles.len()), Vec::new());
        for bundle in bundles {
            let before = entries.len();
            match bundle.parcels.as_slice() {
                [parcel] => parcel.put_entries(sink, bundle.range(), &mut entries),
                parcels => entries.push(pack(bundle.form, parcels)),
            }
            for entry in entries.iter_mut().skip(before) {
                entry.shard = bundle.shard.clone().filter(Shard::is_known);
            }
            counts.push(entries.len() - before);
        }
        (entries, counts)
    }

    /// One fate for each, of the fates of all their entries. Of one that was several, what arrived is
    /// noted before the first fault of the others becomes its own.
    pub(super) fn fates(bundles: &mut [Self], counts: &[usize], fates: Vec<Fate>) -> Outcome {
        if fates.len() != counts.iter().sum::<usize>() {
            return Err(miscounted());
        }
        let mut fates = fates.into_iter();
        let fate_of = |(bundle, count): (&mut Self, &usize)| {
            let own: Vec<Fate> = fates.by_ref().take(*count).collect();
            let is_taken = |fate: &Fate| *fate == Fate::Taken;
            if own.len() > 1 && !own.iter().all(is_taken) {
                for parcel in &mut bundle.parcels {
                    parcel.parts_arrived(own.iter().map(is_taken));
                }
            }
            own.into_iter().find(|fate| !is_taken(fate)).unwrap_or(Fate::Taken)
        };
        Ok(bundles.iter_mut().zip(counts).map(fate_of).collect())
    }

    /// The two halves of one that was refused for something in it.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.parcels.split_off(self.parcels.len() / 2);
        let Self { parcels, form, shard } = self;
        [Self { parcels, form, shard: shard.clone() }, Self { parcels: second, form, shard }]
    }

    /// The hashes of the shard it is for, where that is known.
    fn range(&self) -> Option<HashRange> {
        self.shard.as_ref().filter(|shard| shard.is_known()).map(|shard| shard.range)
    }

    /// It is where it was meant to be: what is done, and what is still to be sent.
    pub(super) fn arrived(self) -> (Vec<Parcel>, Vec<Parcel>) {
        if !self.is_lone() {
            return (self.parcels, Vec::new());
        }
        let range = self.range();
        self.lone_in(range)
    }

    fn lone_in(self, is_in: Option<HashRange>) -> (Vec<Parcel>, Vec<Parcel>) {
        let (sent, mut done, mut left) = (self.range(), Vec::new(), Vec::new());
        for mut parcel in self.parcels {
            let is_done = parcel.arrived(sent, is_in);
            if is_done { done.push(parcel) } else { left.push(parcel) }
        }
        (done, left)
    }

    /// Those that their readers keep, and those they drop, when it ended up in a shard of these
    /// hashes.
    pub(super) fn split_by(self, range: Option<HashRange>) -> (Vec<Parcel>, Vec<Parcel>) {
        if self.is_lone() && range.is_none() {
            // Nobody knows which hashes are there: an aggregate from elsewhere goes again.
            let (kept, mut dropped): (Vec<_>, Vec<_>) =
                self.parcels.into_iter().partition(|parcel| !parcel.has_span());
            dropped.iter_mut().for_each(Parcel::go_apart);
            return (kept, dropped);
        }
        if self.is_lone() {
            return self.lone_in(range);
        }
        let is_kept = |parcel: &Parcel| range.is_some_and(|range| range.holds(parcel.hash()));
        self.parcels.into_iter().partition(is_kept)
    }
}

fn pack(form: Form, parcels: &[Parcel]) -> Entry {
    let keys: Vec<_> = parcels.iter().map(|parcel| parcel.record.routing_key()).collect();
    let pieces: Vec<_> = parcels.iter().zip(&keys).map(|(parcel, key)| parcel.piece(key)).collect();
    let weight = parcels.iter().map(|parcel| parcel.weight + 32).sum();
    form.pack(&pieces, weight)
}

/// A bundle while it is put together.
#[derive(Debug)]
pub(super) struct Open {
    bundle: Bundle,
    tally: Tally,
}

impl Open {
    /// Begins one with its first record.
    pub(super) fn with(form: Form, shard: Option<Shard>, parcel: Parcel) -> Self {
        let bundle = Bundle { parcels: Vec::new(), form, shard };
        let mut open = Self { bundle, tally: form.tally() };
        open.tally.take(&parcel.piece(&parcel.record.routing_key()));
        open.bundle.parcels.push(parcel);
        open
    }

    /// Takes one more; gives it back if it does not fit.
    pub(super) fn take(&mut self, parcel: Parcel) -> Option<Parcel> {
        if !self.tally.take(&parcel.piece(&parcel.record.routing_key())) {
            return Some(parcel);
        }
        self.bundle.parcels.push(parcel);
        None
    }

    /// What it weighs as an entry.
    pub(super) fn weight(&self) -> usize {
        match self.bundle.parcels.as_slice() {
            [parcel] => parcel.weight,
            _ => self.tally.weight(),
        }
    }

    /// What is in it so far.
    pub(super) fn parcels(&self) -> &[Parcel] {
        &self.bundle.parcels
    }

    /// As it stands.
    pub(super) fn close(self) -> Bundle {
        self.bundle
    }
}

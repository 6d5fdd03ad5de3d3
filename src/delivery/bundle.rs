//! Records that travel as one entry, and share its fate.

use std::sync::Arc;
use std::time::Duration;

use super::parcel::Parcel;
use crate::sink::{Entry, Form, HashRange, Load, Sink, Tally};

/// One record, to learn whether anything leaves the host.
pub(super) const ANY_LOAD: Load = Load { entries: 1, weight: 1_000, hash_keys: 0 };

/// One entry of a request: a record, or several of one shard.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// In the order of the queue.
    pub(super) parcels: Vec<Parcel>,
    /// How they become one.
    form: Form,
    /// The shard they are for.
    pub(super) shard: Option<Arc<str>>,
}

impl Bundle {
    /// A record that travels alone, for whatever shard.
    pub(super) fn lone(parcel: Parcel) -> Self {
        Self::lone_for(None, parcel)
    }

    /// A record that travels alone.
    pub(super) fn lone_for(shard: Option<Arc<str>>, parcel: Parcel) -> Self {
        // The form of one record is the record itself, whatever stands here.
        let form = Form::Aggregate { weight_max: 0 };
        Self { parcels: vec![parcel], form, shard }
    }

    /// Whether it is one record, which no consumer needs to take apart.
    pub(super) fn is_lone(&self) -> bool {
        self.parcels.len() < 2
    }

    /// The number that chooses its shard.
    pub(super) fn hash(&self) -> u128 {
        self.parcels.first().map_or(0, Parcel::hash)
    }

    /// Whether its entry has an explicit hash key.
    fn has_hash_key(&self) -> bool {
        !self.is_lone() || self.parcels.iter().any(|parcel| parcel.record.hash_key.is_some())
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

    /// Makes what the sink sends; anew for each try, so that nothing is held twice while it waits.
    pub(super) fn entry<S: Sink>(&self, sink: &S) -> Entry {
        let entry = match self.parcels.as_slice() {
            [parcel] => parcel.entry(sink),
            parcels => pack(self.form, parcels),
        };
        Entry { shard: self.shard.clone(), ..entry }
    }

    /// The two halves of one that was refused for something in it.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.parcels.split_off(self.parcels.len() / 2);
        let Self { parcels, form, shard } = self;
        [Self { parcels, form, shard: shard.clone() }, Self { parcels: second, form, shard }]
    }

    /// Those that their readers keep, and those they drop, when it ended up in a shard of these
    /// hashes.
    pub(super) fn split_by(self, range: Option<HashRange>) -> (Vec<Parcel>, Vec<Parcel>) {
        if self.is_lone() {
            return (self.parcels, Vec::new());
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
    pub(super) fn with(form: Form, shard: Option<Arc<str>>, parcel: Parcel) -> Self {
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

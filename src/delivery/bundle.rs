//! Records that travel as one entry, and share its fate.

use std::time::Duration;

use super::apart::Apart;
use super::class::{Class, classify};
use super::parcel::{Parcel, miscounted};
use crate::queue::Position;
use crate::sink::{Entry, Fate, Form, HashRange, Load, Outcome, Piece, Shard, Sink, Tally};

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
            entries: bundles.iter().map(|bundle| bundle.going().0).sum(),
            weight: bundles.iter().map(|bundle| bundle.going().1).sum(),
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

    /// How many entries it is, and what they weigh.
    fn going(&self) -> (usize, usize) {
        match self.parcels.as_slice() {
            [parcel] => parcel.load(),
            _ => (1, self.bytes()),
        }
    }

    /// Of what it went as, which hashes were throttled, if this became of it.
    pub(super) fn throttled(&self, fate: &Fate) -> Vec<(u128, bool)> {
        if let [Parcel { apart: Some(apart), .. }] = self.parcels.as_slice() {
            return apart.throttled().collect();
        }
        let is_throttled =
            matches!(fate, Fate::Failed(fault) if classify(fault) == Class::Throttled);
        vec![(self.hash(), is_throttled)]
    }

    /// It was refused for something in it, by itself: whether that may be in a part of it only.
    pub(super) fn is_to_be_searched(&mut self) -> bool {
        let [Parcel { record, apart: Some(apart), .. }] = self.parcels.as_mut_slice() else {
            return false;
        };
        apart.refused(&record.payload)
    }

    /// Its first record, to go alone, and the others.
    pub(super) fn first_alone(mut self) -> (Self, Vec<Parcel>) {
        let rest = self.parcels.split_off(self.parcels.len().min(1));
        (self, rest)
    }

    /// Whether it was several entries, of which some have arrived.
    pub(super) fn is_partly_through(&self) -> bool {
        let apart = self.parcels.iter().filter_map(|parcel| parcel.apart.as_deref());
        self.is_lone() && apart.last().is_some_and(Apart::is_partly_through)
    }

    /// Makes what the sink sends, and how many entries each is; anew for each try, so that nothing is
    /// held twice while it waits.
    pub(super) fn entries<S: Sink>(bundles: &[Self], sink: &S) -> (Vec<Entry>, Vec<usize>) {
        let (mut entries, mut counts) = (Vec::with_capacity(bundles.len()), Vec::new());
        let mut packed = pack(bundles).into_iter();
        for bundle in bundles {
            let before = entries.len();
            match bundle.parcels.as_slice() {
                [parcel] => parcel.put_entries(sink, &mut entries),
                _ => entries.extend(packed.next()),
            }
            for entry in entries.iter_mut().skip(before).filter(|_| !bundle.is_apart()) {
                entry.shard = bundle.shard.clone().filter(Shard::is_known);
            }
            counts.push(entries.len() - before);
        }
        (entries, counts)
    }

    /// What its records bring into its entry, and what that weighs, roughly.
    fn pieces(&self) -> (Vec<Piece<'_>>, usize) {
        let weight = self.parcels.iter().map(|parcel| parcel.weight + 32).sum();
        (self.parcels.iter().map(Parcel::piece).collect(), weight)
    }

    /// One fate for each, of the fates of all their entries. Of one that was several, what arrived is
    /// noted before the first fault of the others becomes its own.
    pub(super) fn fates(bundles: &mut [Self], counts: &[usize], fates: Vec<Fate>) -> Outcome {
        if fates.len() != counts.iter().sum::<usize>() {
            return Err(miscounted());
        }
        let mut fates = fates.into_iter();
        let fate_of = |(bundle, count): (&mut Self, &usize)| {
            let mut own: Vec<Fate> = fates.by_ref().take(*count).collect();
            let fate = match bundle.parcels.as_mut_slice() {
                [parcel] => parcel.answered(own),
                _ => own.pop(),
            };
            fate.unwrap_or(Fate::Taken)
        };
        Ok(bundles.iter_mut().zip(counts).map(fate_of).collect())
    }

    /// The two halves of one that was refused for something in it.
    pub(super) fn halves(mut self) -> [Self; 2] {
        let second = self.parcels.split_off(self.parcels.len() / 2);
        let Self { parcels, form, shard } = self;
        [Self { parcels, form, shard: shard.clone() }, Self { parcels: second, form, shard }]
    }

    /// Whether it is an aggregate that is sent in parts.
    fn is_apart(&self) -> bool {
        self.is_lone() && self.parcels.iter().any(|parcel| parcel.apart.is_some())
    }

    /// It is where it was meant to be: what is done, and what is still to be sent.
    pub(super) fn arrived(self) -> (Vec<Parcel>, Vec<Parcel>) {
        if !self.is_lone() {
            return (self.parcels, Vec::new());
        }
        self.parcels.into_iter().partition(Parcel::is_all_there)
    }

    /// Those that their readers keep, and those they drop, when it ended up in a shard of these
    /// hashes. Where nobody knows which hashes are there, an aggregate from elsewhere goes again.
    pub(super) fn split_by(self, range: Option<HashRange>) -> (Vec<Parcel>, Vec<Parcel>) {
        let is_lone = self.is_lone();
        let (mut kept, mut dropped) = (Vec::new(), Vec::new());
        for mut parcel in self.parcels {
            let is_kept = match is_lone {
                true => parcel.strayed_into(range),
                false => range.is_some_and(|range| range.holds(parcel.hash())),
            };
            if is_kept { kept.push(parcel) } else { dropped.push(parcel) }
        }
        (kept, dropped)
    }
}

/// The entries of those that are several records.
fn pack(bundles: &[Bundle]) -> Vec<Entry> {
    let shared = bundles.iter().filter(|bundle| !bundle.is_lone());
    let Some(form) = shared.clone().map(|bundle| bundle.form).next() else { return Vec::new() };
    form.pack(&shared.map(Bundle::pieces).collect::<Vec<_>>())
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
        open.tally.take(&parcel.piece());
        open.bundle.parcels.push(parcel);
        open
    }

    /// Takes one more; gives it back if it does not fit.
    pub(super) fn take(&mut self, parcel: Parcel) -> Option<Parcel> {
        if !self.tally.take(&parcel.piece()) {
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

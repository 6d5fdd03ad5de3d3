//! What becomes of each parcel of a request: the whole policy, pure.

use std::time::Duration;

use super::bundle::Bundle;
use super::class::{Class, classify};
use super::parcel::Parcel;
use super::ration::UNANSWERED_LEAST;
use crate::sink::{At, Fate, Fault, Outcome};

/// What is to be done after a request.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// The upstream has these.
    pub(super) done: Vec<Parcel>,
    /// These failed while others passed, or were too much at once; they wait, and go again with
    /// whatever is due then.
    pub(super) again: Vec<Parcel>,
    /// How long the upstream asked these to wait.
    pub(super) again_after: Option<Duration>,
    /// These go again as they stand: halves of a request that holds a poisonous record, an entry
    /// that was called poisonous among others, or a whole request that met a fault of the
    /// destination.
    pub(super) alone: Vec<Vec<Bundle>>,
    /// The upstream has these, but where their readers drop them; they go again at once.
    pub(super) strayed: Vec<Parcel>,
    /// Aggregates of which the upstream has what was sent; the rest of them may go.
    pub(super) rest: Vec<Parcel>,
    /// These are given up.
    pub(super) dead: Vec<(Parcel, Fault)>,
    /// The request, or an entry of it, was refused for what it carries.
    pub(super) refused: Option<Fault>,
    /// The destination as a whole takes nothing now.
    pub(super) trouble: Option<(Class, Fault)>,
    /// Nothing of the request got through, but each entry may have failed for its shard alone.
    pub(super) jam: Option<(Class, Fault)>,
    /// Each kind of fault that was met, for the numbers, and how many entries it met.
    pub(super) faults: Vec<(Class, u64)>,
}

/// Settles a request by its outcome.
pub(super) fn settle(sent: Vec<Bundle>, outcome: Outcome) -> Settlement {
    match outcome {
        Ok(fates) if fates.len() == sent.len() => settle_entries(sent, fates),
        Ok(_) => settle_whole(sent, crate::delivery::parcel::miscounted()),
        Err(fault) => settle_whole(sent, fault),
    }
}

/// The request was answered entry by entry.
fn settle_entries(sent: Vec<Bundle>, fates: Vec<Fate>) -> Settlement {
    let parcels = sent.iter().map(|bundle| bundle.parcels.len()).sum();
    let mut settlement = Settlement { done: Vec::with_capacity(parcels), ..Settlement::default() };
    let mut worst: Option<(Class, Fault)> = None;
    let is_single = sent.len() == 1;
    let mut failed = Vec::new();
    for (bundle, fate) in sent.into_iter().zip(fates) {
        let fault = match fate {
            Fate::Taken => {
                let (mut done, mut left) = bundle.arrived();
                settlement.done.append(&mut done);
                settlement.rest.append(&mut left);
                continue;
            }
            Fate::Strayed(range) => {
                let (mut kept, mut dropped) = bundle.split_by(range);
                settlement.done.append(&mut kept);
                // Alone they arrive wherever they go, so none strays twice.
                dropped.iter_mut().for_each(|parcel| parcel.is_sealed = true);
                settlement.strayed.append(&mut dropped);
                continue;
            }
            Fate::Failed(fault) => fault,
        };
        let class = classify(&fault);
        settlement.count(class, 1);
        if class == Class::Poison {
            settlement.refuse(bundle, fault, is_single);
            continue;
        }
        failed.push(bundle);
        settlement.again_after = settlement.again_after.max(fault.retry_after);
        if worst.as_ref().is_none_or(|(known, _)| *known < class) {
            worst = Some((class, fault));
        }
    }
    // Where nothing passes any more, it is the destination that is in trouble; a lone entry, or
    // those of busy shards, may just have to wait for those.
    let some_passed = !(settlement.done.is_empty()
        && settlement.strayed.is_empty()
        && settlement.rest.is_empty())
        || failed.iter().any(Bundle::is_partly_through);
    let nothing_passed = !some_passed && settlement.refused.is_none();
    let is_general =
        |class: Class| class.is_hold() || failed.len() > 1 && !is_of_shards(class, &failed);
    if nothing_passed && worst.as_ref().is_some_and(|(class, _)| is_general(*class)) {
        settlement.trouble = worst;
        settlement.alone.push(failed);
    } else {
        settlement.jam = worst.filter(|_| nothing_passed);
        settlement.again.extend(failed.into_iter().flat_map(|bundle| bundle.parcels));
    }
    settlement
}

/// Whether it is one shard that failed these, or some of several: each throttles for itself, and
/// those that do not have nothing to wait for.
fn is_of_shards(class: Class, bundles: &[Bundle]) -> bool {
    let mut shards = bundles.iter().map(|bundle| bundle.shard.as_ref());
    if class == Class::Throttled {
        return shards.all(|shard| shard.is_some());
    }
    shards.next().flatten().is_some_and(|first| shards.all(|shard| shard == Some(first)))
}

/// Whether a request as large as this one would come to no other end.
fn is_too_much(sent: &[Bundle], at: At) -> bool {
    match at {
        At::Upload(_) => true,
        At::Timeout => Bundle::load(sent).weight > UNANSWERED_LEAST,
        _ => false,
    }
}

/// The request was refused as a whole, or nobody knows.
fn settle_whole(mut sent: Vec<Bundle>, fault: Fault) -> Settlement {
    let mut settlement = Settlement::default();
    let class = classify(&fault);
    settlement.count(class, sent.len() as u64);
    if class != Class::Poison {
        match is_too_much(&sent, fault.at) {
            // So the link bears less; that is cut of it.
            true => settlement.again.extend(sent.into_iter().flat_map(|bundle| bundle.parcels)),
            false => settlement.alone.push(sent),
        }
        settlement.trouble = Some((class, fault));
        return settlement;
    }
    if sent.len() > 1 {
        let second = sent.split_off(sent.len() / 2);
        settlement.alone.extend([sent, second]);
    } else {
        sent.into_iter().for_each(|bundle| settlement.refuse(bundle, fault.clone(), true));
    }
    settlement.refused = Some(fault);
    settlement
}

impl Settlement {
    /// An entry was named as the culprit. One of several records is taken apart to find the one.
    /// Among other entries it is only a suspicion: a record dies when it is refused in a request of
    /// its own.
    fn refuse(&mut self, mut bundle: Bundle, fault: Fault, is_single: bool) {
        if bundle.is_to_be_searched() {
            self.alone.push(vec![bundle]);
        } else if !bundle.is_lone() {
            self.alone.extend(bundle.halves().map(|half| vec![half]));
        } else if is_single {
            self.dead.extend(bundle.parcels.into_iter().map(|parcel| (parcel, fault.clone())));
        } else {
            self.alone.push(vec![bundle]);
        }
        self.refused = Some(fault);
    }

    fn count(&mut self, class: Class, entries: u64) {
        match self.faults.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => *count += entries,
            None => self.faults.push((class, entries)),
        }
    }
}

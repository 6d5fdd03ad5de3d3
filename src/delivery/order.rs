//! No record overtakes an older one of its key; pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use super::bundle::Bundle;
use super::parcel::Parcel;
use crate::queue::Position;

/// In which order records may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// In any.
    #[default]
    None,
    /// Those of one partition key in the order of acceptance.
    Key,
}

/// What is owed of each key, and what must wait for older records of its own.
#[derive(Debug, Default)]
pub(super) struct Order {
    turns: HashMap<u128, Queue>,
}

/// One key.
#[derive(Debug, Default)]
struct Queue {
    /// Read and not settled, wherever it is.
    owed: BTreeSet<Position>,
    /// Those that were about to go before their time.
    held: BTreeMap<Position, Parcel>,
}

impl Order {
    /// A parcel was read from the queue.
    pub(super) fn arrived(&mut self, parcel: &Parcel) {
        self.turns.entry(parcel.turn()).or_default().owed.insert(parcel.position);
    }

    /// Keeps back what is younger than anything of its key that is not settled and not in the same
    /// bundle before it: one entry is atomic, two of a request are not. A bundle of which nothing is
    /// left stays in its place.
    pub(super) fn sift(&mut self, bundles: Vec<Bundle>) -> Vec<Bundle> {
        bundles.into_iter().map(|bundle| self.sift_one(bundle)).collect()
    }

    fn sift_one(&mut self, mut bundle: Bundle) -> Bundle {
        bundle.parcels.sort_by_key(|parcel| parcel.position);
        // The last of each key that goes.
        let mut going: HashMap<u128, Position> = HashMap::new();
        let mut kept = Vec::with_capacity(bundle.parcels.len());
        for parcel in bundle.parcels {
            let turn = parcel.turn();
            let queue = self.turns.entry(turn).or_default();
            let next = match going.get(&turn) {
                Some(last) => queue.owed.range((Excluded(*last), Unbounded)).next(),
                None => queue.owed.first(),
            };
            if next == Some(&parcel.position) {
                going.insert(turn, parcel.position);
                kept.push(parcel);
            } else {
                queue.held.insert(parcel.position, parcel);
            }
        }
        bundle.parcels = kept;
        bundle
    }

    /// Takes what is kept back below a place in the queue.
    pub(super) fn take_below(&mut self, below: Position) -> Vec<Parcel> {
        let mut taken = Vec::new();
        for queue in self.turns.values_mut() {
            let left = queue.held.split_off(&below);
            taken.extend(std::mem::replace(&mut queue.held, left).into_values());
        }
        taken
    }

    /// A parcel is settled; what waited for it may try again.
    pub(super) fn settled(&mut self, turn: u128, position: Position) -> Vec<Parcel> {
        let Some(queue) = self.turns.get_mut(&turn) else { return Vec::new() };
        queue.owed.remove(&position);
        let is_next_held = queue.owed.first().is_some_and(|next| queue.held.contains_key(next));
        let freed = if is_next_held { std::mem::take(&mut queue.held) } else { BTreeMap::new() };
        if queue.owed.is_empty() {
            self.turns.remove(&turn);
        }
        freed.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::parcel_of;

    fn order(parcels: &[(u64, &str)]) -> Order {
        let mut order = Order::default();
        parcels.iter().for_each(|(position, key)| order.arrived(&parcel_of(*position, key)));
        order
    }

    fn bundle(parcels: &[(u64, &str)]) -> Bundle {
        let mut bundle = Bundle::lone(parcel_of(0, ""));
        bundle.parcels = parcels.iter().map(|(at, key)| parcel_of(*at, key)).collect();
        bundle
    }

    fn positions(bundles: &[Bundle]) -> Vec<Vec<u64>> {
        let of = |bundle: &Bundle| bundle.parcels.iter().map(|parcel| parcel.position.0).collect();
        bundles.iter().map(of).filter(|positions: &Vec<_>| !positions.is_empty()).collect()
    }

    fn freed(order: &mut Order, position: u64, key: &str) -> Vec<u64> {
        let freed = order.settled(parcel_of(0, key).turn(), Position(position));
        freed.iter().map(|parcel| parcel.position.0).collect()
    }

    #[test]
    fn of_one_key_only_the_oldest_goes_and_the_others_when_it_is_settled() {
        let all = [(1, "a"), (2, "a"), (3, "b"), (4, "a")];
        let mut order = order(&all);

        let request = all.iter().map(|one| bundle(&[*one])).collect();
        assert_eq!(positions(&order.sift(request)), [[1], [3]]);
        assert!(freed(&mut order, 3, "b").is_empty());
        assert_eq!(freed(&mut order, 1, "a"), [2, 4]);
        assert_eq!(positions(&order.sift(vec![bundle(&[(4, "a")])])), Vec::<Vec<u64>>::new());
        assert_eq!(positions(&order.sift(vec![bundle(&[(2, "a")])])), [[2]]);
        assert_eq!(freed(&mut order, 2, "a"), [4]);
        assert!(freed(&mut order, 4, "a").is_empty());
        assert!(order.turns.is_empty(), "a key that owes nothing takes no memory");
    }

    #[test]
    fn records_of_one_key_go_together_in_one_entry_up_to_the_first_gap() {
        let mut order = order(&[(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "b")]);

        let first = bundle(&[(1, "a"), (2, "a"), (4, "a"), (5, "b")]);
        let second = bundle(&[(3, "a")]);

        assert_eq!(positions(&order.sift(vec![first, second])), [[1, 2, 5]]);
        assert!(freed(&mut order, 1, "a").is_empty(), "2 is under way");
        assert_eq!(freed(&mut order, 2, "a"), [3, 4]);
    }

    #[test]
    fn what_failed_goes_again_before_what_came_after_it() {
        let mut order = order(&[(1, "a"), (2, "a")]);
        assert_eq!(positions(&order.sift(vec![bundle(&[(1, "a")]), bundle(&[(2, "a")])])), [[1]]);

        assert_eq!(positions(&order.sift(vec![bundle(&[(1, "a")])])), [[1]], "again");
        assert_eq!(freed(&mut order, 1, "a"), [2]);
    }
}

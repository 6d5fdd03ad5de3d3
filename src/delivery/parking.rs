//! Records that were read and let go again, because their shard has enough waiting while others
//! have nothing: only their places are kept, and they are read once more when their time comes.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::places::Places;
use crate::queue::Position;

/// Most places asked for at once.
const ASKED_MAX: usize = 1_000;

/// The places, by the part of all hashes that a record belongs to.
#[derive(Debug, Default)]
pub(super) struct Parking {
    places: BTreeMap<u8, Places>,
    count: usize,
    /// Those that are being read.
    asked: BTreeMap<Position, u8>,
    asked_parts: BTreeSet<u8>,
    /// Below this, records are read again whatever their shard has.
    urgent_below: Option<Position>,
}

impl Parking {
    /// Lets a record go.
    pub(super) fn park(&mut self, position: Position, part: u8) {
        self.count += usize::from(self.places.entry(part).or_default().insert(position));
    }

    /// Whether anything of a part is here: what comes of it later stands behind it.
    pub(super) fn has(&self, part: u8) -> bool {
        self.places.contains_key(&part) || self.asked_parts.contains(&part)
    }

    /// What stands below a place has lapsed: what becomes a letter is read again at once, and the
    /// rest is settled already.
    pub(super) fn lapsed(&mut self, below: Position, is_letter: impl Fn(Position) -> bool) {
        for places in self.places.values_mut() {
            places.retain_below(below, &is_letter);
        }
        self.places.retain(|_, places| !places.is_empty());
        self.count = self.places.values().map(Places::len).sum();
        self.urgent_below = Some(below);
    }

    /// How many are parked.
    pub(super) fn count(&self) -> usize {
        self.count + self.asked.len()
    }

    /// The oldest ones of parts that have room for more, unless some are being read already; and
    /// of how many parts they are.
    pub(super) fn ask(&mut self, is_hungry: impl Fn(u8) -> bool) -> (Vec<Position>, usize) {
        if !self.asked.is_empty() {
            return (Vec::new(), 0);
        }
        let urgent_below = self.urgent_below.unwrap_or(Position(0));
        let mut wanted = BTreeMap::new();
        for (part, places) in &self.places {
            let is_urgent = places.first().is_some_and(|first| first < urgent_below);
            if is_urgent || is_hungry(*part) {
                wanted.extend(places.iter().take(ASKED_MAX).map(|place| (place, *part)));
            }
        }
        self.asked = wanted.into_iter().take(ASKED_MAX).collect();
        for (place, part) in &self.asked {
            if let Some(places) = self.places.get_mut(part) {
                self.count -= usize::from(places.remove(*place));
            }
        }
        self.places.retain(|_, places| !places.is_empty());
        self.asked_parts = self.asked.values().copied().collect();
        (self.asked.keys().copied().collect(), self.asked_parts.len())
    }

    /// These were read, or can never be; what else was asked for stays parked.
    pub(super) fn came(&mut self, positions: impl Iterator<Item = Position>) {
        let mut asked = std::mem::take(&mut self.asked);
        self.asked_parts.clear();
        positions.for_each(|position| {
            asked.remove(&position);
        });
        asked.into_iter().for_each(|(position, part)| self.park(position, part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(numbers: &[u64]) -> Vec<Position> {
        numbers.iter().copied().map(Position).collect()
    }

    #[test]
    fn the_oldest_of_a_hungry_shard_are_read_again_and_what_did_not_come_stays() {
        let (low, high) = (0, 255);
        let mut parking = Parking::default();
        for (at, part) in [(7, low), (3, low), (5, high)] {
            parking.park(Position(at), part);
        }
        assert_eq!(parking.count(), 3);
        assert_eq!(parking.ask(|_| false), (Vec::new(), 0));

        assert_eq!(parking.ask(|part| part == low), (places(&[3, 7]), 1));
        assert!(parking.ask(|_| true).0.is_empty(), "one reading at a time");
        assert!(parking.has(low) && parking.has(high) && !parking.has(3));
        parking.came(places(&[3]).into_iter());

        assert_eq!((parking.count(), parking.ask(|_| true)), (2, (places(&[5, 7]), 2)));
        parking.came(places(&[5, 7]).into_iter());
        assert_eq!(parking.count(), 0);
        assert!(!parking.has(low) && !parking.has(high));
    }

    #[test]
    fn what_lapsed_is_read_again_to_become_a_letter_or_is_forgotten() {
        let mut parking = Parking::default();
        (1..=2).chain([9]).for_each(|at| parking.park(Position(at), 0));

        parking.lapsed(Position(3), |at| at == Position(2));

        assert_eq!(parking.count(), 2);
        assert_eq!(parking.ask(|_| false).0, places(&[2, 9]), "its whole part comes with it");
    }
}

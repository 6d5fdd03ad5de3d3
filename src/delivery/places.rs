//! A sorted set of places in the queue that takes two bytes for each: millions may be parked.

use std::collections::BTreeMap;

use crate::queue::Position;

/// Places that share all but their last 16 bits.
const CHUNK: u64 = 1 << 16;

/// The places.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Sorted, none empty.
    chunks: BTreeMap<u64, Vec<u16>>,
    len: usize,
}

fn split(position: Position) -> (u64, u16) {
    let low = u16::try_from(position.0 % CHUNK).expect("it is a rest of 2^16");
    (position.0 / CHUNK, low)
}

fn joined(chunk: u64, low: u16) -> Position {
    Position(chunk * CHUNK + u64::from(low))
}

impl Places {
    /// Takes one in; `false` if it is there.
    pub(super) fn insert(&mut self, position: Position) -> bool {
        let (chunk, low) = split(position);
        if !self.chunks.contains_key(&chunk)
            && let Some(mut last) = self.chunks.last_entry()
        {
            // Most come in their order, so this one is done growing.
            last.get_mut().shrink_to_fit();
        }
        let lows = self.chunks.entry(chunk).or_default();
        let Err(at) = lows.binary_search(&low) else { return false };
        lows.insert(at, low);
        self.len += 1;
        true
    }

    /// Takes one out; `false` if it is not there.
    pub(super) fn remove(&mut self, position: Position) -> bool {
        let (chunk, low) = split(position);
        let Some(lows) = self.chunks.get_mut(&chunk) else { return false };
        let Ok(at) = lows.binary_search(&low) else { return false };
        lows.remove(at);
        if lows.is_empty() {
            self.chunks.remove(&chunk);
        }
        self.len -= 1;
        true
    }

    /// Keeps of those below a place only what is wanted.
    pub(super) fn retain_below(&mut self, below: Position, is_wanted: impl Fn(Position) -> bool) {
        for (chunk, lows) in self.chunks.range_mut(..=below.0 / CHUNK) {
            lows.retain(|low| {
                let place = joined(*chunk, *low);
                place >= below || is_wanted(place)
            });
        }
        self.chunks.retain(|_, lows| !lows.is_empty());
        self.len = self.chunks.values().map(Vec::len).sum();
    }

    /// In ascending order.
    pub(super) fn iter<'a>(&'a self) -> impl Iterator<Item = Position> + 'a {
        let of = |(chunk, lows): (&u64, &'a Vec<u16>)| {
            let chunk = *chunk;
            lows.iter().map(move |low| joined(chunk, *low))
        };
        self.chunks.iter().flat_map(of)
    }

    /// The lowest.
    pub(super) fn first(&self) -> Option<Position> {
        let (chunk, lows) = self.chunks.first_key_value()?;
        lows.first().map(|low| joined(*chunk, *low))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_are_a_set_of_positions(
            steps in proptest::collection::vec((any::<bool>(), 65_500_u64..65_600), 0..200),
            below in 65_500_u64..65_600,
        ) {
            let (mut places, mut model) = (Places::default(), BTreeSet::new());
            for (is_in, number) in steps {
                let position = Position(number);
                if is_in {
                    prop_assert_eq!(places.insert(position), model.insert(position));
                } else {
                    prop_assert_eq!(places.remove(position), model.remove(&position));
                }
                prop_assert_eq!(places.first(), model.first().copied());
                prop_assert_eq!((places.len(), places.is_empty()), (model.len(), model.is_empty()));
            }
            places.retain_below(Position(below), |place| place.0.is_multiple_of(3));
            model.retain(|place| place.0 >= below || place.0.is_multiple_of(3));
            prop_assert_eq!(places.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            prop_assert!(places.chunks.values().all(|lows| !lows.is_empty()));
        }
    }
}

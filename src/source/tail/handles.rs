//! Which files are open, and which of them had no turn for longest; pure.

use std::collections::{BTreeMap, BTreeSet};

/// Those that are open, each with the number of its last turn.
#[derive(Debug)]
pub(super) struct Handles<K> {
    turn_of: BTreeMap<K, u64>,
    by_turn: BTreeSet<(u64, K)>,
}

impl<K: Copy + Ord> Handles<K> {
    pub(super) fn new() -> Self {
        Self { turn_of: BTreeMap::new(), by_turn: BTreeSet::new() }
    }

    /// One was opened.
    pub(super) fn add(&mut self, who: K, turn: u64) {
        if let Some(before) = self.turn_of.insert(who, turn) {
            self.by_turn.remove(&(before, who));
        }
        self.by_turn.insert((turn, who));
    }

    /// One that may be open has its turn.
    pub(super) fn use_in(&mut self, who: K, turn: u64) {
        if self.turn_of.contains_key(&who) {
            self.add(who, turn);
        }
    }

    /// One was closed.
    pub(super) fn remove(&mut self, who: K) {
        if let Some(turn) = self.turn_of.remove(&who) {
            self.by_turn.remove(&(turn, who));
        }
    }

    /// All that are open, who had no turn for longest first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = K> {
        self.by_turn.iter().map(|(_, who)| *who)
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.turn_of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_had_no_turn_for_longest_comes_first() {
        let mut handles = Handles::new();
        for who in ['a', 'b', 'c'] {
            handles.add(who, 0);
        }
        handles.use_in('a', 1);
        handles.use_in('c', 2);
        handles.use_in('z', 3);
        assert_eq!(handles.by_age().collect::<String>(), "bac");
        handles.add('b', 4);
        handles.remove('a');
        handles.remove('z');
        assert_eq!((handles.by_age().collect::<String>(), handles.count()), ("cb".into(), 2));
    }
}

//! Whose turn it is to be read, and how much; pure.

use std::collections::{BTreeSet, VecDeque};

/// A ring of those who may have something to read; each stands in it at most once.
#[derive(Debug)]
pub(super) struct Turn<K> {
    ring: VecDeque<K>,
    standing: BTreeSet<K>,
}

/// Least bytes of one turn: below it a read costs more than what it brings.
const SHARE_BYTES_MIN: usize = 64 * 1024;

impl<K: Copy + Ord> Turn<K> {
    pub(super) fn new() -> Self {
        Self { ring: VecDeque::new(), standing: BTreeSet::new() }
    }

    /// Puts somebody at the end of the ring, unless it stands there already.
    pub(super) fn wake(&mut self, who: K) {
        if self.standing.insert(who) {
            self.ring.push_back(who);
        }
    }

    /// Takes the next one out of the ring.
    pub(super) fn next(&mut self) -> Option<K> {
        loop {
            let who = self.ring.pop_front()?;
            if self.standing.remove(&who) {
                return Some(who);
            }
        }
    }

    /// Takes somebody out who is no more.
    pub(super) fn forget(&mut self, who: K) {
        if self.standing.remove(&who) {
            self.ring.retain(|standing| *standing != who);
        }
    }

    /// Whether somebody stands in the ring.
    pub(super) fn is_waiting(&self, who: K) -> bool {
        self.standing.contains(&who)
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.standing.len()
    }

    /// How many bytes each may read if all who wait now shared `round_bytes` evenly.
    pub(super) fn share(&self, round_bytes: usize) -> usize {
        let even = round_bytes / self.waiting().max(1);
        even.max(SHARE_BYTES_MIN).min(round_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_waits_has_a_turn_before_anybody_has_a_second() {
        let mut turn = Turn::new();
        for who in 0..5 {
            turn.wake(who);
        }
        let mut had = Vec::new();
        for _ in 0..15 {
            let who = turn.next().unwrap();
            had.push(who);
            turn.wake(who);
            turn.wake(0);
        }
        assert_eq!(had, [0, 1, 2, 3, 4].repeat(3));
    }

    #[test]
    fn who_is_forgotten_has_no_turn_and_may_come_back() {
        let mut turn = Turn::new();
        turn.wake(1);
        turn.wake(2);
        turn.forget(1);
        assert_eq!((turn.waiting(), turn.next(), turn.next()), (1, Some(2), None));
        turn.wake(1);
        assert_eq!(turn.next(), Some(1));
    }

    #[test]
    fn a_share_is_even_but_never_tiny_and_never_more_than_the_round() {
        let mut turn = Turn::new();
        assert_eq!(turn.share(1 << 20), 1 << 20);
        for who in 0..4 {
            turn.wake(who);
        }
        assert_eq!(turn.share(1 << 20), 1 << 18);
        for who in 0..1000 {
            turn.wake(who);
        }
        assert_eq!(turn.share(1 << 20), SHARE_BYTES_MIN);
        assert_eq!(turn.share(100), 100);
    }
}

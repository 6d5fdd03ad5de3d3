//! Bits that turn over while the queue runs: what they cost is counted, the rest is delivered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;

use super::rig::{ALL, Rig, over_seeds, seeds};
use crate::queue::{Budget, Group};

/// Payloads of one group, the most that one bit can cost.
const GROUP_MAX: usize = 4;

struct Sim {
    rig: Rig,
    chance: fastrand::Rng,
    put: BTreeMap<u64, Bytes>,
    given: BTreeSet<u64>,
    /// One bit of a file, so that none loses both copies of its header.
    flipped: BTreeSet<PathBuf>,
}

impl Sim {
    fn put(&mut self) {
        let payloads: Vec<Bytes> = (0..self.chance.usize(1..=GROUP_MAX))
            .map(|_| Bytes::from(vec![self.chance.u8(..); self.chance.usize(1..700)]))
            .collect();
        let group = Group { payloads: payloads.clone(), marks: Vec::new(), key: None };
        if let Ok(durable) = self.rig.commit(vec![group]).pop().unwrap() {
            self.put.extend((durable.first().0..).zip(payloads));
        }
    }

    fn take(&mut self, budget: Budget) -> usize {
        let given = self.rig.take(0, budget);
        for one in &given {
            assert_eq!(one.payload, self.put[&one.position.0], "never a wrong byte");
            self.given.insert(one.position.0);
        }
        if self.chance.bool() {
            self.rig.settle(0, given.iter().map(|one| one.position.0));
        }
        given.len()
    }

    /// In a segment that is complete: at the end of the newest it would look like a torn frame.
    fn flip(&mut self) {
        let mut segments = self.rig.segments();
        segments.pop();
        segments.retain(|path| !self.flipped.contains(path));
        if segments.is_empty() {
            return;
        }
        let path = segments.swap_remove(self.chance.usize(0..segments.len()));
        let bytes = self.rig.disk.content(&path).unwrap().len() as u64;
        self.rig.disk.flip(&path, self.chance.u64(0..bytes), self.chance.u8(0..8));
        self.flipped.insert(path);
    }

    fn act(mut self) -> Self {
        match self.chance.u32(0..100) {
            0..50 => self.put(),
            50..70 => {
                let budget = Budget { count: self.chance.usize(1..20), bytes: 4000 };
                self.take(budget);
            }
            70..80 => self.rig.store.save().unwrap(),
            80..92 => self.flip(),
            92..96 => self.rig = self.rig.reopened(),
            _ => {
                let seed = self.chance.u64(..);
                self.rig = self.rig.crashed(seed);
            }
        }
        self
    }
}

#[test]
fn bits_that_turn_over_cost_their_frames_which_are_counted_and_nothing_else() {
    let costs = std::sync::atomic::AtomicU64::new(0);
    let costs = std::panic::AssertUnwindSafe(&costs);
    over_seeds(seeds(100), |seed| {
        let mut sim = Sim {
            rig: Rig::new(&["a"]),
            chance: fastrand::Rng::with_seed(seed),
            put: BTreeMap::new(),
            given: BTreeSet::new(),
            flipped: BTreeSet::new(),
        };
        for _ in 0..150 {
            sim = sim.act();
            sim.rig.ledger(0);
        }
        sim.rig.drain();
        sim.rig = sim.rig.reopened();
        sim.take(ALL);

        let ledger = sim.rig.ledger(0);
        assert_eq!((ledger.accepted, ledger.waiting), (sim.put.len() as u64, 0), "{ledger:?}");
        assert!(ledger.damaged <= (sim.flipped.len() * GROUP_MAX) as u64, "{ledger:?}");
        costs.fetch_add(ledger.damaged, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(costs.load(std::sync::atomic::Ordering::Relaxed) > 0, "no bit cost anything");
}

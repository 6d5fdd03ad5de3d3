//! A model beside the queue: whatever happens, both hold the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;

use super::rig::{Rig, over_seeds, seeds, settings};
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::Found;
use crate::queue::feed::Turn;
use crate::queue::frame::in_memory;
use crate::queue::metrics::Shown as _;
use crate::queue::{
    AppendError, Budget, Group, Key, Keys, Mark, OnceKey, Policy, Settings, WhenFull,
};

/// What must be true, in the simplest form.
#[derive(Default)]
struct Model {
    now: State,
    /// Refused since the last commit: after a restart one of them may have been stored after all.
    maybe: Vec<Change>,
    /// What there is without what was refused and found all the same, on a disk too full to make
    /// it last: it may be gone after the next crash, as nobody was promised it.
    without: Option<State>,
    ways: Vec<Way>,
}

/// What the queue holds.
#[derive(Clone, Default, PartialEq)]
struct State {
    log: Vec<Bytes>,
    marks: BTreeMap<String, Bytes>,
    /// The keys that are remembered: first position and count of what came with them.
    keys: BTreeMap<u8, (u64, u32)>,
}

/// What one commit adds.
#[derive(Default)]
struct Change {
    payloads: Vec<Bytes>,
    marks: Vec<Mark>,
    keys: Vec<(u8, (u64, u32))>,
}

#[derive(Default)]
struct Way {
    settled: BTreeSet<u64>,
    /// Settled at the last save that succeeded.
    saved: BTreeSet<u64>,
    /// Those of the settled that the policy let go.
    dropped: BTreeSet<u64>,
    /// Given in this opening and not settled.
    open: BTreeSet<u64>,
    given: u64,
}

struct Sim {
    rig: Option<Rig>,
    model: Model,
    chance: fastrand::Rng,
    stamp: u64,
    /// Positions nobody was promised were settled and are gone: the model ends here.
    is_over: bool,
    history: Vec<String>,
}

const CALLS: [Call; 9] = [
    Call::Open,
    Call::Rename,
    Call::Remove,
    Call::SyncFolder,
    Call::Read,
    Call::Write,
    Call::Sync,
    Call::Reserve,
    Call::Bytes,
];

impl Sim {
    fn new(seed: u64) -> Self {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut limits = super::rig::small();
        limits.window = [3, 50, 1 << 16][chance.usize(0..3)];
        let when_full = [WhenFull::Reject, WhenFull::DropOldest][chance.usize(0..2)];
        let keys_kept = Duration::from_hours(1);
        let policy = Policy { when_full, keys_kept, ..Policy::default() };
        let keys = Keys::new(chance.bool().then(|| Key::new([7; 32])), Vec::new());
        let settings = Settings { compresses: chance.bool(), keys, policy, ..settings() };
        let rig = Rig::kept(settings, (FaultyDisk::new(), limits), &["a", "b"]).unwrap();
        let model = Model { ways: vec![Way::default(), Way::default()], ..Model::default() };
        Self { rig: Some(rig), model, chance, stamp: 0, is_over: false, history: Vec::new() }
    }

    fn rig(&mut self) -> &mut Rig {
        self.rig.as_mut().unwrap()
    }

    fn act(&mut self) {
        match self.chance.u32(0..100) {
            0..40 => self.commit(),
            40..60 => self.take(),
            60..75 => self.settle(),
            75..83 => self.save(),
            83..87 => self.fault(),
            87..89 => self.fill(),
            89..92 => self.heal(),
            92..95 => self.reopen(None),
            _ => {
                let seed = self.chance.u64(..);
                self.reopen(Some(seed));
            }
        }
    }

    /// What the queue let go: everything below one place that was still open.
    fn note_dropped(&mut self) {
        let rig = self.rig.as_ref().unwrap();
        let below = rig.store.lapses.below();
        for (books, way) in rig.store.books.iter().zip(&mut self.model.ways) {
            let cursor = books.open().cursor.clone();
            for position in (1..below).filter(|one| cursor.is_settled(*one)) {
                way.open.remove(&position);
                if way.settled.insert(position) {
                    way.dropped.insert(position);
                }
            }
        }
    }

    fn group(&mut self) -> Group {
        let mut group = Group::default();
        for _ in 0..self.chance.usize(0..6) {
            let bytes = if self.chance.u8(..) == 0 { 20_000 } else { self.chance.usize(0..400) };
            self.stamp += 1;
            let mut payload = self.stamp.to_le_bytes().to_vec();
            payload.resize(bytes.max(8), 0x5a);
            payload.truncate(if bytes == 0 { 0 } else { payload.len() });
            group.payloads.push(payload.into());
        }
        for _ in 0..self.chance.usize(0..3) {
            self.stamp += 1;
            let name = format!("m{}", self.chance.u8(0..8));
            let value = Bytes::from(self.stamp.to_string());
            let value = Some(value).filter(|_| self.chance.u8(0..5) > 0);
            group.marks.push(Mark { name, value });
        }
        if self.chance.u8(0..4) == 0 {
            group.key = Some(once_key(self.chance.u8(0..KEYS)));
        }
        group
    }

    fn commit(&mut self) {
        let groups: Vec<Group> = (0..self.chance.usize(1..4)).map(|_| self.group()).collect();
        let counts: Vec<usize> = groups.iter().map(|one| one.payloads.len()).collect();
        let (change, expected) = self.model.now.change(&groups);

        let answers = self.rig().commit(groups);

        self.history.push(format!("commit {counts:?} {answers:?}"));
        let (mut stored, mut refused) = (0, 0);
        for (answer, expected) in answers.iter().zip(expected) {
            let Proof { first, count, is_known, is_again } = expected;
            match answer {
                Ok(durable) => {
                    assert_eq!((durable.first().0, durable.count()), (first, count));
                    assert_eq!(durable.note_of_earlier().is_some(), is_again);
                    stored += usize::from(!is_known);
                }
                Err(AppendError::TooLarge { .. }) => panic!("{answers:?}"),
                Err(_) => {
                    assert!(!is_known, "what was stored before needs no disk");
                    refused += 1;
                }
            }
        }
        assert!(stored == 0 || refused == 0, "a frame is all or nothing");
        if refused > 0 {
            self.model.maybe.push(change);
        } else if stored > 0 {
            self.model.without = None;
            self.model.maybe.clear();
            self.model.now.apply(change);
        }
    }

    fn take(&mut self) {
        let at = self.chance.usize(0..2);
        let budget = Budget { count: self.chance.usize(0..20), bytes: self.chance.usize(0..4000) };
        let turn = self.rig().feeds[at].turn(budget);
        match turn {
            Turn::Give(stored) => {
                self.history.push(format!("{at} given {}", stored.len()));
                assert!(stored.len() <= budget.count.max(1));
                let bytes: usize = stored.iter().map(|one| one.payload.len()).sum();
                assert!(stored.len() == 1 || bytes <= budget.bytes);
                let way = &mut self.model.ways[at];
                for one in stored {
                    let position = one.position.0;
                    assert!(position > way.given, "given twice or out of order: {position}");
                    let left_out = way.given + 1..position;
                    for skipped in left_out {
                        assert!(way.settled.contains(&skipped), "{skipped} was left out");
                    }
                    assert!(!way.settled.contains(&position), "{position} is settled");
                    assert_eq!(one.payload, self.model.now.log[in_memory(position) - 1]);
                    way.given = position;
                    way.open.insert(position);
                }
                let window = self.rig().limits.window;
                let open = &self.model.ways[at].open;
                assert!(open.last().unwrap() - open.first().unwrap() < window);
            }
            Turn::Read => {
                let read = self.rig().feeds[at].read();
                self.history.push(format!("{at} read {read:?}"));
            }
            Turn::Wait => {}
            Turn::End => panic!("nobody closed it"),
        }
    }

    fn settle(&mut self) {
        let at = self.chance.usize(0..2);
        let mut open: Vec<u64> = self.model.ways[at].open.iter().copied().collect();
        self.chance.shuffle(&mut open);
        open.truncate(self.chance.usize(0..=open.len()));
        self.rig().settle(at, open.iter().copied());
        self.history.push(format!("{at} settled {}", open.len()));
        let way = &mut self.model.ways[at];
        for position in open {
            way.open.remove(&position);
            way.settled.insert(position);
        }
    }

    fn save(&mut self) {
        let saved = self.rig().store.save();
        self.history.push(format!("save {saved:?}"));
        if saved.is_ok() {
            for way in &mut self.model.ways {
                way.saved = way.settled.clone();
            }
        }
    }

    fn fault(&mut self) {
        let (call, skip) = (CALLS[self.chance.usize(0..CALLS.len())], self.chance.u64(0..4));
        let error = if self.chance.bool() { ErrorKind::StorageFull } else { ErrorKind::Other };
        self.history.push(format!("fault {call:?} after {skip}: {error:?}"));
        self.rig().disk.fail(&[call], skip, error);
    }

    fn fill(&mut self) {
        let used = self.rig().used_bytes();
        let more = self.chance.u64(0..40_000);
        self.history.push(format!("capacity {used} + {more}"));
        self.rig().disk.set_capacity(Some(used + 100_000 + more));
    }

    fn heal(&mut self) {
        self.history.push("heal".into());
        self.rig().disk.heal();
        self.rig().disk.set_capacity(None);
    }

    fn reopen(&mut self, crash: Option<u64>) {
        self.history.push(format!("reopen, crash {crash:?}"));
        let rig = self.rig.take().unwrap();
        if let Some(seed) = crash {
            rig.disk.crash(seed);
        }
        let opened = rig.open_again();
        let rig = opened.unwrap_or_else(|_| {
            rig.disk.heal();
            rig.disk.set_capacity(None);
            rig.open_again().unwrap()
        });
        rig.disk.heal();
        self.rig = Some(rig);
        self.compare_log();
        if !self.is_over {
            self.compare_cursors();
        }
    }

    /// The log holds what was promised, and at most one of what was refused since.
    fn compare_log(&mut self) {
        let rig = self.rig.as_ref().unwrap();
        let (first, end) = {
            let log = rig.store.log();
            (log.first(), log.end())
        };
        let mut found = Vec::new();
        let mut gone: Vec<u64> = (1..first).collect();
        for one in rig.on_disk() {
            match one {
                Found::Frame(frame) => {
                    found.extend((frame.first..).zip(frame.payloads.iter().cloned()));
                }
                // Removals are not synced: a crash may bring one segment back and not the next.
                Found::Lost(from, to) => gone.extend(from..to),
            }
        }
        for way in &self.model.ways {
            let kept = self.model.without.as_ref().map_or(end, |one| one.log.len() as u64);
            let mut promised = gone.iter().filter(|gone| **gone <= kept);
            assert!(promised.all(|gone| way.settled.contains(gone)), "an unsettled one is gone");
        }
        assert_eq!(found.len() + gone.len(), in_memory(end));
        let marks: BTreeMap<_, _> = rig.store.marks().with_prefix("").into_iter().collect();
        let keys: BTreeMap<_, _> = rig
            .store
            .marks()
            .keys
            .iter()
            .map(|kept| (kept.key.print[0], (kept.first, kept.count)))
            .collect();
        let now = self.model.now.clone();
        let mut possible = vec![now.clone()];
        for change in std::mem::take(&mut self.model.maybe) {
            let mut with = now.clone();
            with.apply(change);
            possible.push(with);
        }
        possible.extend(self.model.without.clone());
        let is_sure = rig.is_sure;
        let agrees = |one: &&State| {
            let is_there = |(position, payload): &(u64, Bytes)| {
                one.log.get(in_memory(*position) - 1) == Some(payload)
            };
            let is_whole = one.log.len() == in_memory(end) && found.iter().all(is_there);
            is_whole && one.marks == marks && one.keys == keys
        };
        let Some(agreed) = possible.iter().find(agrees).cloned() else {
            let kept = self.model.without.as_ref().map(|one| one.log.len() as u64);
            let settled = self.model.ways.iter().filter_map(|way| way.settled.last()).max();
            self.is_over = kept.is_some_and(|kept| settled.is_some_and(|last| *last > kept));
            assert!(self.is_over, "{} promised, {} found from {first}", now.log.len(), found.len());
            return;
        };
        let before = self.model.without.take().unwrap_or(now);
        self.model.without = Some(before).filter(|_| !is_sure);
        self.model.now = agreed;
    }

    /// Everything saved is still settled, and nothing that was never settled is.
    fn compare_cursors(&mut self) {
        let end = self.model.now.log.len() as u64;
        let rig = self.rig.as_ref().unwrap();
        for (books, way) in rig.store.books.iter().zip(&mut self.model.ways) {
            let cursor = books.open().cursor.clone();
            let now: BTreeSet<u64> = (1..=end).filter(|one| cursor.is_settled(*one)).collect();
            way.saved.retain(|saved| *saved <= end);
            assert!(now.is_superset(&way.saved), "a save was lost");
            assert!(now.is_subset(&way.settled), "something settled itself");
            way.dropped.retain(|one| now.contains(one));
            way.settled = now;
            (way.open, way.given) = (BTreeSet::new(), cursor.watermark());
        }
    }

    /// With the disk healed everything can be delivered, and more taken.
    fn finish(&mut self) {
        self.heal();
        self.rig().drain();
        self.rig().put(b"the queue heals by itself").unwrap();
        self.rig().drain();
        assert_eq!(self.rig().ledger(0).waiting + self.rig().ledger(1).waiting, 0);
    }

    fn compare_books(&mut self) {
        let end = self.model.now.log.len() as u64;
        let rig = self.rig.as_ref().unwrap();
        for (at, way) in self.model.ways.iter().enumerate() {
            let ledger = rig.ledger(at);
            let settled = way.settled.len() as u64;
            let dropped = way.dropped.len() as u64;
            assert_eq!((ledger.accepted, ledger.delivered), (end, settled - dropped));
            assert_eq!((ledger.damaged, ledger.dropped), (0, dropped), "nothing was damaged");
            assert_eq!(ledger.waiting_bytes > 0, ledger.waiting > 0, "{ledger:?}");
        }
        let overview = rig.store.overview();
        assert!(overview.used_bytes <= overview.max_bytes, "{overview:?}");
    }
}

/// What a group must be answered if it is not refused.
struct Proof {
    first: u64,
    count: u32,
    /// It was stored before this commit.
    is_known: bool,
    /// It came before, in this commit or an earlier one.
    is_again: bool,
}

impl State {
    /// What groups add, and what each of them is answered.
    fn change(&self, groups: &[Group]) -> (Change, Vec<Proof>) {
        let (mut change, mut proofs) = (Change::default(), Vec::new());
        for group in groups {
            let key = group.key.as_ref().map(|key| key.print[0]);
            let known = key.and_then(|key| self.keys.get(&key));
            let beside = key.and_then(|key| change.keys.iter().find(|(one, _)| *one == key));
            if let Some(&(first, count)) = known.or(beside.map(|(_, at)| at)) {
                proofs.push(Proof { first, count, is_known: known.is_some(), is_again: true });
                continue;
            }
            let first = (self.log.len() + change.payloads.len()) as u64 + 1;
            let count = u32::try_from(group.payloads.len()).unwrap();
            proofs.push(Proof { first, count, is_known: false, is_again: false });
            change.payloads.extend(group.payloads.iter().cloned());
            change.marks.extend(group.marks.iter().cloned());
            change.keys.extend(key.map(|key| (key, (first, count))));
        }
        (change, proofs)
    }

    fn apply(&mut self, change: Change) {
        self.log.extend(change.payloads);
        for Mark { name, value } in change.marks {
            match value {
                Some(value) => self.marks.insert(name, value),
                None => self.marks.remove(&name),
            };
        }
        self.keys.extend(change.keys);
    }
}

/// So few that the table has room for all.
const KEYS: u8 = 8;

fn once_key(number: u8) -> OnceKey {
    OnceKey { print: [number; 16], note: Bytes::from_static(b"of it") }
}

/// A run: its seed, which of its steps are taken, and whether its disk lies about syncs. Each step
/// has a chance of its own, so that leaving one out changes no other.
#[derive(Clone)]
struct Run {
    seed: u64,
    steps: Vec<u64>,
    lies: bool,
}

impl Run {
    fn new(seed: u64, steps: u64) -> Self {
        Self { seed, steps: (0..steps).collect(), lies: false }
    }

    /// What happened, and the panic it ended in.
    fn play(&self) -> (Vec<String>, std::thread::Result<()>) {
        let mut sim = Sim::new(self.seed);
        if self.lies {
            sim.rig().disk.lie_about_syncs();
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for step in &self.steps {
                sim.chance = fastrand::Rng::with_seed(self.seed << 16 | step);
                sim.act();
                if sim.is_over {
                    return;
                }
                sim.note_dropped();
                sim.compare_books();
            }
            sim.finish();
        }));
        (sim.history, ended)
    }

    /// The same failure with as few steps as leaving some out can reach.
    fn shrunk(mut self) -> Self {
        let mut size = self.steps.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at < self.steps.len() {
                let mut fewer = self.clone();
                fewer.steps.drain(at..(at + size).min(self.steps.len()));
                if fewer.play().1.is_err() {
                    self = fewer;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        self
    }

    /// Plays it; a failure is reduced to few steps, which are printed.
    fn check(self) -> Vec<String> {
        let (history, ended) = self.play();
        let Err(panic) = ended else { return history };
        let shrunk = self.shrunk();
        let history = shrunk.play().0;
        eprintln!("steps {:?} suffice:\n  {}", shrunk.steps, history.join("\n  "));
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn the_queue_and_its_model_agree_whatever_happens() {
    over_seeds(seeds(250), |seed| drop(Run::new(seed, 120).check()));
}

/// The oldest were dropped to make room, and the folder's sync failed; the sync of a cut failed.
#[test]
fn what_a_crash_brings_back_takes_no_room_beyond_the_bound() {
    for seed in [9709, 11_758] {
        Run::new(seed, 120).check();
    }
}

/// A save whose sync failed, and no room for another file, before the process ended.
#[test]
fn a_cursor_that_was_synced_in_vain_is_written_whole_after_a_restart() {
    for seed in [1935, 4126, 4910] {
        Run::new(seed, 120).check();
    }
}

#[test]
fn one_seed_run_twice_takes_the_same_steps() {
    over_seeds(5, |seed| assert_eq!(Run::new(seed, 200).check(), Run::new(seed, 200).check()));
}

#[test]
fn a_disk_that_lies_about_syncs_is_found_out_and_the_failure_reduced_to_a_few_steps() {
    let lying = |seed| Run { lies: true, ..Run::new(seed, 120) };
    let failed: Vec<Run> = (0..20).map(lying).filter(|lying| lying.play().1.is_err()).collect();
    assert!(failed.len() > 10, "{} of 20 runs noticed", failed.len());

    let shrunk = failed[0].clone().shrunk();

    let history = shrunk.play().0;
    assert!(shrunk.steps.len() <= 6, "{history:?}");
    assert!(history.iter().any(|step| step.contains("crash Some")), "{history:?}");
    let honest = Run { lies: false, ..shrunk };
    assert!(honest.play().1.is_ok(), "the disk alone was to blame");
}

//! A queue without tasks or threads on a faulty disk: every test drives it with a loop.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::Clock;
use crate::base::disk::{Call, FaultyDisk};
use crate::queue::backlog::{Backlog, Found};
use crate::queue::committer::{Answer, Committer};
use crate::queue::cursor::How;
use crate::queue::feed::{Feed, Turn};
use crate::queue::metrics::Shown as _;
use crate::queue::recover::Opening;
use crate::queue::roll::Newest;
use crate::queue::settings::Limits;
use crate::queue::store::Store;
use crate::queue::{
    AppendError, Budget, Group, Keys, Ledger, Mark, OpenError, Policy, Settings, Settled, Stored,
    SyncLevel,
};
use crate::telemetry::Metrics;

pub(crate) const FOLDER: &str = "/queue/s";
pub(crate) const ALL: Budget = Budget { count: usize::MAX, bytes: usize::MAX };

/// Segments of 16 KiB, eight of them: every test rolls.
pub(crate) fn small() -> Limits {
    Limits {
        read_bytes: 8 << 10,
        ring_bytes: 8 << 10,
        ..Limits::with_segments(128 << 10, 16 << 10, 0)
    }
}

pub(crate) struct Rig {
    pub(crate) disk: FaultyDisk,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) destinations: Vec<String>,
    pub(crate) store: Arc<Store>,
    pub(crate) committer: Committer,
    pub(crate) feeds: Vec<Feed>,
    /// What was found is on disk; else the next commit that succeeds makes it so.
    pub(crate) is_sure: bool,
}

impl Rig {
    pub(crate) fn new(destinations: &[&str]) -> Self {
        Self::with(FaultyDisk::new(), small(), destinations).unwrap()
    }

    pub(crate) fn with(
        disk: FaultyDisk,
        limits: Limits,
        destinations: &[&str],
    ) -> Result<Self, OpenError> {
        Self::under(Policy::default(), disk, limits, destinations)
    }

    pub(crate) fn under(
        policy: Policy,
        disk: FaultyDisk,
        limits: Limits,
        destinations: &[&str],
    ) -> Result<Self, OpenError> {
        Self::kept(Settings { policy, ..settings() }, (disk, limits), destinations)
    }

    /// The same, kept in another way.
    pub(crate) fn kept(
        settings: Settings,
        (disk, limits): (FaultyDisk, Limits),
        destinations: &[&str],
    ) -> Result<Self, OpenError> {
        let destinations: Vec<String> = destinations.iter().map(|&name| name.into()).collect();
        let opening = Opening {
            disk: disk.shared(),
            settings: settings.clone(),
            limits: limits.clone(),
            clock: Clock::starting_at(1_000_000),
            destinations: &destinations,
            metrics: &Metrics::default(),
        };
        let (store, newest) = opening.run()?;
        let is_sure = matches!(newest, Newest::GoesOn(_));
        let committer = Committer::new(Arc::clone(&store), newest);
        let feeds = (0..destinations.len()).map(|at| Feed::new(Arc::clone(&store), at)).collect();
        Ok(Self { disk, settings, limits, destinations, store, committer, feeds, is_sure })
    }

    /// Opens what is on the disk now, as a new process would.
    pub(crate) fn open_again(&self) -> Result<Self, OpenError> {
        let names: Vec<&str> = self.destinations.iter().map(String::as_str).collect();
        Self::kept(self.settings.clone(), (self.disk.clone(), self.limits.clone()), &names)
    }

    /// The same, with a destination that everything is ahead of.
    pub(crate) fn reopened_with_everything(mut self) -> Self {
        self = self.reopened();
        assert_eq!(self.ledger(0).waiting, self.store.log().end());
        self
    }

    /// The same, where it must succeed.
    pub(crate) fn reopened(self) -> Self {
        self.open_again().unwrap()
    }

    /// After a power cut.
    pub(crate) fn crashed(self, seed: u64) -> Self {
        self.disk.crash(seed);
        self.reopened()
    }

    pub(crate) fn commit(&mut self, groups: Vec<Group>) -> Vec<Answer> {
        let answers = self.committer.commit(groups);
        if let Some(preparing) = self.committer.tidy() {
            preparing.run();
        }
        answers
    }

    /// Half a frame is written of one more payload; then the disk is well again.
    pub(crate) fn tear(&mut self) {
        self.disk.fail(&[Call::Write], 0, ErrorKind::Other);
        self.disk.fail_all(&[Call::Open], ErrorKind::Other);
        assert!(self.put(&[3; 3000]).is_err());
        self.disk.heal();
    }

    /// Commits one group of one payload.
    pub(crate) fn put(&mut self, payload: &[u8]) -> Answer {
        self.commit(vec![group(&[payload])]).pop().unwrap()
    }

    /// As much of that as a faulty disk gives.
    pub(crate) fn take_what_can_be(&mut self, at: usize) -> Vec<Stored> {
        let mut all = Vec::new();
        loop {
            match self.feeds[at].turn(ALL) {
                Turn::Give(stored) => all.extend(stored),
                Turn::Read if self.feeds[at].read().is_ok() => {}
                _ => return all,
            }
        }
    }

    /// Everything a destination can be given now.
    pub(crate) fn take(&mut self, at: usize, budget: Budget) -> Vec<Stored> {
        let mut all = Vec::new();
        loop {
            match self.feeds[at].turn(budget) {
                Turn::Give(stored) => all.extend(stored),
                Turn::Read => self.feeds[at].read().unwrap(),
                Turn::Wait | Turn::End => return all,
            }
        }
    }

    pub(crate) fn settle(&self, at: usize, positions: impl IntoIterator<Item = u64>) {
        let how = How::By(Settled::Delivered);
        self.store.settle(&self.store.books[at], positions, how);
    }

    /// Settles as put with the dead letters.
    pub(crate) fn bury(&self, at: usize, positions: impl IntoIterator<Item = u64>) {
        self.store.settle(&self.store.books[at], positions, How::By(Settled::Dead));
    }

    /// Takes and settles everything, and saves.
    pub(crate) fn drain(&mut self) {
        for at in 0..self.destinations.len() {
            loop {
                self.settle(at, 1..=self.store.log().end());
                if self.take(at, ALL).is_empty() {
                    break;
                }
            }
        }
        self.store.save().unwrap();
    }

    #[track_caller]
    pub(crate) fn ledger(&self, at: usize) -> Ledger {
        let ledger = self.store.ledger_of(&self.store.books[at]);
        assert_balanced(&ledger);
        ledger
    }

    /// What is on disk, as a reader without a cursor finds it.
    pub(crate) fn on_disk(&self) -> Vec<Found> {
        let mut found = std::collections::VecDeque::new();
        let mut backlog = Backlog::new(Arc::clone(&self.store));
        let mut next = self.store.log().first();
        while next <= self.store.log().end() {
            backlog.read(next, &mut found).unwrap();
            next = match found.back().unwrap() {
                Found::Frame(frame) => frame.end(),
                Found::Lost(_, to) => *to,
            };
        }
        found.into()
    }

    /// The payloads on disk with their positions; there must be no damage.
    pub(crate) fn payloads_on_disk(&self) -> Vec<(u64, Bytes)> {
        let mut all = Vec::new();
        for found in self.on_disk() {
            let Found::Frame(frame) = found else { panic!("{found:?}") };
            all.extend((frame.first..).zip(frame.payloads.iter().cloned()));
        }
        all
    }

    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let files = self.disk.files().into_iter();
        files
            .filter(|path| path.parent() == Some(Path::new(FOLDER)))
            .filter(|path| path.extension().is_some_and(|end| end == "seg"))
            .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with("spare"))
            .collect()
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.store.overview().used_bytes
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        folder: FOLDER.into(),
        stream: "s".into(),
        max_bytes: 0,
        min_free_disk: 0,
        cursor_save_after: Duration::from_millis(200),
        policy: Policy::default(),
        compresses: false,
        keys: Keys::default(),
        sync: SyncLevel::Always,
    }
}

pub(crate) fn group(payloads: &[&[u8]]) -> Group {
    let payloads = payloads.iter().map(|payload| Bytes::copy_from_slice(payload)).collect();
    Group { payloads, marks: Vec::new(), key: None }
}

pub(crate) fn mark(name: &str, value: &str) -> Mark {
    Mark { name: name.into(), value: Some(Bytes::copy_from_slice(value.as_bytes())) }
}

#[track_caller]
pub(crate) fn assert_balanced(ledger: &Ledger) {
    let Ledger { accepted, delivered, dead, dropped, damaged, waiting, .. } = *ledger;
    assert_eq!(accepted, delivered + dead + dropped + damaged + waiting, "{ledger:?}");
}

#[track_caller]
pub(crate) fn is_disk_trouble(answer: &Answer) -> bool {
    matches!(answer, Err(AppendError::Disk(_) | AppendError::DiskFull { .. }))
}

/// So many seeds are tried by tests that can try any number: `WEIR_TEST_SEEDS=` says how many.
pub(crate) fn seeds(usually: u64) -> u64 {
    std::env::var("WEIR_TEST_SEEDS").map_or(usually, |count| count.parse().unwrap())
}

/// The first `count` seeds, or what `SEED=` chooses: one, or some as in `SEED=250..500`.
pub(crate) fn chosen_seeds(count: u64) -> Range<u64> {
    let number = |digits: &str| -> u64 { digits.parse().unwrap() };
    let chosen = std::env::var("SEED").ok();
    chosen.map_or(0..count, |chosen| match chosen.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&chosen)..number(&chosen) + 1,
    })
}

/// Runs a test over seeds; a failure says which.
pub(crate) fn over_seeds(count: u64, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in chosen_seeds(count) {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!("failed with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

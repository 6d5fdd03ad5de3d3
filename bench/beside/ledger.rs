//! Which records were acknowledged and which arrived, by their numbers, and how long some of them took.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::latencies::Latencies;

/// Numbers that one run may use; pages of the table that nobody touches take no memory.
pub(crate) const NUMBERS: u64 = 1 << 27;

/// Of so many numbers one is timed, from the moment it is drawn until it arrives.
const TIMED_OF: u64 = 64;

/// One bit for each number, twice.
pub(crate) struct Ledger {
    born: Instant,
    next: AtomicU64,
    acknowledged: Bits,
    arrived: Bits,
    again: AtomicU64,
    strange: AtomicU64,
    /// Nanoseconds after `born`.
    drawn_at: Vec<AtomicU64>,
    on_the_way: Mutex<Latencies>,
}

/// The ledger at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    pub(crate) acknowledged: u64,
    pub(crate) arrived: u64,
    /// Acknowledged and not arrived.
    pub(crate) missing: u64,
    /// Arrivals of what had arrived.
    pub(crate) again: u64,
    /// Records that carry no number.
    pub(crate) strange: u64,
}

struct Bits(Vec<AtomicU64>);

impl Ledger {
    pub(crate) fn new() -> Self {
        let timed = usize::try_from(NUMBERS / TIMED_OF).unwrap_or(usize::MAX);
        Self {
            born: Instant::now(),
            next: AtomicU64::new(0),
            acknowledged: Bits::new(),
            arrived: Bits::new(),
            again: AtomicU64::new(0),
            strange: AtomicU64::new(0),
            drawn_at: std::iter::repeat_with(|| AtomicU64::new(0)).take(timed).collect(),
            on_the_way: Mutex::new(Latencies::new()),
        }
    }

    /// So many fresh numbers, from the one given on.
    pub(crate) fn draw(&self, count: u64) -> u64 {
        let first = self.next.fetch_add(count, Relaxed);
        assert!(first + count < NUMBERS, "a run has at most {NUMBERS} records");
        let now = self.now_ns();
        for number in (first.next_multiple_of(TIMED_OF)..first + count).step_by(TIMED_OF as usize) {
            self.drawn_at(number).store(now, Relaxed);
        }
        first
    }

    /// Owes the same records as another one: where each goes to two upstreams.
    pub(crate) fn owe_as(&self, other: &Self) {
        self.next.store(other.next.load(Relaxed), Relaxed);
        for (own, other) in self.acknowledged.0.iter().zip(&other.acknowledged.0) {
            own.store(other.load(Relaxed), Relaxed);
        }
    }

    pub(crate) fn acknowledge(&self, first: u64, count: u64) {
        for number in first..first + count {
            self.acknowledged.set(number);
        }
    }

    pub(crate) fn arrive(&self, number: Option<u64>) {
        match number.filter(|number| *number < NUMBERS) {
            None => drop(self.strange.fetch_add(1, Relaxed)),
            Some(number) if self.arrived.set(number) => drop(self.again.fetch_add(1, Relaxed)),
            Some(number) if number.is_multiple_of(TIMED_OF) => {
                let drawn = self.drawn_at(number).load(Relaxed);
                if drawn > 0 {
                    let took = self.now_ns().saturating_sub(drawn);
                    self.times().add(Duration::from_nanos(took));
                }
            }
            Some(_) => {}
        }
    }

    /// The time from the sending of a record until its arrival within which this share came, in
    /// milliseconds; `NAN` without any.
    pub(crate) fn on_the_way_ms(&self, share: f64) -> f64 {
        self.times().quantile_ms(share)
    }

    fn times(&self) -> MutexGuard<'_, Latencies> {
        self.on_the_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn drawn_at(&self, number: u64) -> &AtomicU64 {
        &self.drawn_at[(number / TIMED_OF) as usize]
    }

    pub(crate) fn balance(&self) -> Balance {
        let words = self.acknowledged.0.iter().zip(&self.arrived.0);
        let used = usize::try_from(self.next.load(Relaxed) / 64 + 1).unwrap_or(usize::MAX);
        let mut balance = Balance {
            again: self.again.load(Relaxed),
            strange: self.strange.load(Relaxed),
            ..Balance::default()
        };
        for (acknowledged, arrived) in words.take(used) {
            let (acknowledged, arrived) = (acknowledged.load(Relaxed), arrived.load(Relaxed));
            balance.acknowledged += u64::from(acknowledged.count_ones());
            balance.arrived += u64::from(arrived.count_ones());
            balance.missing += u64::from((acknowledged & !arrived).count_ones());
        }
        balance
    }
}

impl Bits {
    fn new() -> Self {
        let words = usize::try_from(NUMBERS / 64).unwrap_or(usize::MAX);
        Self(std::iter::repeat_with(|| AtomicU64::new(0)).take(words).collect())
    }

    /// `true` if it was set before.
    fn set(&self, number: u64) -> bool {
        let bit = 1 << (number % 64);
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
        self.0[word].fetch_or(bit, Relaxed) & bit != 0
    }
}

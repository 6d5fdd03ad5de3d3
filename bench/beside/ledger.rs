//! Which records were acknowledged and which arrived, by their numbers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Numbers that one run may use; pages of the table that nobody touches take no memory.
pub(crate) const NUMBERS: u64 = 1 << 27;

/// One bit for each number, twice.
pub(crate) struct Ledger {
    next: AtomicU64,
    acknowledged: Bits,
    arrived: Bits,
    again: AtomicU64,
    strange: AtomicU64,
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
        Self {
            next: AtomicU64::new(0),
            acknowledged: Bits::new(),
            arrived: Bits::new(),
            again: AtomicU64::new(0),
            strange: AtomicU64::new(0),
        }
    }

    /// So many fresh numbers, from the one given on.
    pub(crate) fn draw(&self, count: u64) -> u64 {
        let first = self.next.fetch_add(count, Relaxed);
        assert!(first + count < NUMBERS, "a run has at most {NUMBERS} records");
        first
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
            Some(_) => {}
        }
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

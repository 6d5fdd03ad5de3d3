//! Numbered records, however many: which were promised, and which arrived at one place.

/// One of each place where they arrive.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    promised: Numbers,
    arrived: Numbers,
    again: u64,
}

/// A set of numbers near 0, at a bit each.
#[derive(Clone, Debug, Default)]
struct Numbers(Vec<u64>);

impl Tally {
    pub fn promise(&mut self, number: u64) {
        self.promised.insert(number);
    }

    pub fn arrive(&mut self, number: u64) {
        self.again += u64::from(!self.arrived.insert(number));
    }

    /// Promised and not arrived; at most ten of them.
    pub fn missing(&self) -> Vec<u64> {
        let arrived = |number: &u64| self.arrived.contains(*number);
        self.promised.iter().filter(|number| !arrived(number)).take(10).collect()
    }

    /// How many were promised.
    pub fn promised(&self) -> u64 {
        self.promised.iter().count() as u64
    }

    /// Arrivals of what had arrived.
    pub fn again(&self) -> u64 {
        self.again
    }
}

impl Numbers {
    /// `true` if it was not there.
    fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = (usize::try_from(number / 64).unwrap(), 1 << (number % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let before = self.0[word];
        self.0[word] |= bit;
        before & bit == 0
    }

    fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.0.get(word));
        word.is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        (0..self.0.len() as u64 * 64).filter(|number| self.contains(*number))
    }
}

#[test]
fn what_is_missing_or_comes_again_is_counted() {
    let mut tally = Tally::default();
    [3, 64, 1_000].into_iter().for_each(|number| tally.promise(number));
    [64, 5, 64, 3, 64].into_iter().for_each(|number| tally.arrive(number));

    assert_eq!((tally.promised(), tally.missing(), tally.again()), (3, vec![1_000], 2));
}

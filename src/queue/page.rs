//! A stretch of positions, and which of them are settled how: what a cursor is made of.

use super::group::Settled;

/// Positions of one page.
pub(super) const PAGE_POSITIONS: u64 = 1 << 15;
/// Words of 64 positions in one page.
pub(super) const PAGE_WORDS: usize = 512;
const _: () = assert!(PAGE_WORDS as u64 * 64 == PAGE_POSITIONS);

/// What became of a position; [`Settled`] and what the queue itself decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    By(Settled),
    Dropped,
    Damaged,
}

/// How many positions ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) dropped: u64,
    pub(super) damaged: u64,
    pub(super) elsewhere: u64,
}

impl Counts {
    pub(super) fn add(&mut self, how: How, count: u64) {
        let counter = match how {
            How::By(Settled::Delivered) => &mut self.delivered,
            How::By(Settled::Dead) => &mut self.dead,
            How::By(Settled::Elsewhere) => &mut self.elsewhere,
            How::Dropped => &mut self.dropped,
            How::Damaged => &mut self.damaged,
        };
        *counter = counter.saturating_add(count);
    }

    pub(super) fn sum(&self) -> u64 {
        self.all().into_iter().fold(0, u64::saturating_add)
    }

    /// In the order in which they are written.
    pub(super) fn all(&self) -> [u64; 5] {
        [self.delivered, self.dead, self.dropped, self.damaged, self.elsewhere]
    }

    pub(super) fn of([delivered, dead, dropped, damaged, elsewhere]: [u64; 5]) -> Self {
        Self { delivered, dead, dropped, damaged, elsewhere }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        let (mine, others) = (self.all(), other.all());
        let mut joined = mine.into_iter().zip(others).map(|(mine, other)| join(mine, other));
        Self::of(std::array::from_fn(|_| joined.next().unwrap_or_default()))
    }
}

/// A page. A place in it is a position less the first one of the page.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    /// Bit `p % 64` of word `p / 64` says that place `p` is settled. The last word is never zero.
    words: Vec<u64>,
    settled: u64,
    /// All places below are settled.
    lead: u64,
    counts: Counts,
    /// Since it was written last.
    pub(super) is_changed: bool,
}

/// Whether it was written is no part of what it says.
impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        (&self.words, self.counts) == (&other.words, other.counts)
    }
}

impl Eq for Page {}

impl Page {
    /// A page whose first places never concerned its destination.
    pub(super) fn unborn(places: u64) -> Self {
        let mut page = Self { is_changed: true, ..Self::default() };
        page.set(0, places.min(PAGE_POSITIONS));
        page
    }

    /// As it was written; `None` if it cannot have been.
    pub(super) fn read(lead: u64, words: &[u64], counts: Counts) -> Option<Self> {
        let first = usize::try_from(lead / 64).ok()?;
        if first + words.len() > PAGE_WORDS {
            return None;
        }
        let mut page = Self { counts, ..Self::default() };
        page.words.resize(first, u64::MAX);
        page.words.extend_from_slice(words);
        while page.words.last() == Some(&0) {
            page.words.pop();
        }
        page.settled = page.words.iter().map(|word| u64::from(word.count_ones())).sum();
        page.follow();
        (page.lead == lead).then_some(page)
    }

    /// Settles one place; `false` if it was.
    pub(super) fn settle(&mut self, place: u64, how: How) -> bool {
        self.fill(place, place + 1, how) > 0
    }

    /// Settles what is open from a place to before another; how many that were.
    pub(super) fn fill(&mut self, from: u64, to: u64, how: How) -> u64 {
        let filled = self.set(from, to);
        self.counts.add(how, filled);
        filled
    }

    fn set(&mut self, from: u64, to: u64) -> u64 {
        let to = to.min(PAGE_POSITIONS);
        let (mut at, mut filled) = (from, 0);
        while at < to {
            let index = usize::try_from(at / 64).unwrap_or(PAGE_WORDS);
            if self.words.len() <= index {
                self.words.resize(index + 1, 0);
            }
            let end = to.min((at / 64 + 1) * 64);
            let mask = (u64::MAX >> (64 - (end - at))) << (at % 64);
            if let Some(word) = self.words.get_mut(index) {
                filled += u64::from((mask & !*word).count_ones());
                *word |= mask;
            }
            at = end;
        }
        self.settled += filled;
        self.is_changed |= filled > 0;
        self.follow();
        filled
    }

    fn follow(&mut self) {
        while let Some(word) = self.word(self.lead) {
            let ones = u64::from((word >> (self.lead % 64)).trailing_ones());
            self.lead += ones;
            if ones == 0 || !self.lead.is_multiple_of(64) {
                break;
            }
        }
    }

    fn word(&self, place: u64) -> Option<u64> {
        self.words.get(usize::try_from(place / 64).ok()?).copied()
    }

    pub(super) fn is_settled(&self, place: u64) -> bool {
        self.word(place).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn is_full(&self) -> bool {
        self.settled == PAGE_POSITIONS
    }

    /// How many places are settled.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// All places below are settled.
    pub(super) fn lead(&self) -> u64 {
        self.lead
    }

    /// How those of its places were settled that concern its destination.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The words from the one on that holds the first open place.
    pub(super) fn words(&self) -> &[u64] {
        let first = usize::try_from(self.lead / 64).unwrap_or(PAGE_WORDS);
        self.words.get(first..).unwrap_or_default()
    }

    /// The highest settled place.
    pub(super) fn highest(&self) -> Option<u64> {
        let last = self.words.last()?;
        Some(self.words.len() as u64 * 64 - 1 - u64::from(last.leading_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// In the order of [`Counts::all`].
    const HOWS: [How; 5] = [
        How::By(Settled::Delivered),
        How::By(Settled::Dead),
        How::Dropped,
        How::Damaged,
        How::By(Settled::Elsewhere),
    ];

    /// A page says what a set says, and what is written of it can be read.
    #[track_caller]
    fn check(page: &Page, settled: &BTreeSet<u64>, counts: [u64; 5]) {
        let places = (0..PAGE_POSITIONS + 64).filter(|place| page.is_settled(*place));
        assert!(places.eq(settled.iter().copied()));
        assert_eq!((page.settled(), page.counts().all()), (settled.len() as u64, counts));
        assert_eq!(page.is_full(), page.settled() == PAGE_POSITIONS);
        let lead = (0..).find(|place| !settled.contains(place)).unwrap();
        assert_eq!((page.lead(), page.highest()), (lead, settled.last().copied()));
        let words = settled.last().map_or(0, |last| last / 64 + 1).saturating_sub(lead / 64);
        assert_eq!(page.words().len() as u64, words);
        let again = Page::read(lead, page.words(), page.counts()).unwrap();
        assert_eq!((&again, again.settled(), again.lead()), (page, page.settled(), page.lead()));
        assert!(!again.is_changed);
    }

    proptest! {
        #[test]
        fn any_order_of_filling_ends_as_a_set_would(
            unborn in prop_oneof![9 => 0_u64..200, 1 => Just(PAGE_POSITIONS - 1)],
            steps in proptest::collection::vec(
                (
                    prop_oneof![0_u64..400, 0..PAGE_POSITIONS, PAGE_POSITIONS - 100..PAGE_POSITIONS],
                    prop_oneof![0_u64..3, 60_u64..70, 0_u64..700],
                    0_usize..5,
                ),
                0..10,
            ),
        ) {
            let (mut page, mut counts) = (Page::unborn(unborn), [0; 5]);
            let mut settled: BTreeSet<u64> = (0..unborn).collect();
            for (from, length, how) in steps {
                page.is_changed = false;
                let to = from + length;
                let places = from..to.min(PAGE_POSITIONS);
                let open = places.filter(|place| settled.insert(*place)).count();
                counts[how] += open as u64;
                if length == 1 {
                    prop_assert_eq!(page.settle(from, HOWS[how]), open == 1);
                } else {
                    prop_assert_eq!(page.fill(from, to, HOWS[how]), open as u64);
                }
                prop_assert_eq!(page.is_changed, open > 0);
            }
            check(&page, &settled, counts);
        }
    }

    #[test]
    fn a_page_is_full_with_its_last_place() {
        let mut page = Page::default();
        let most = PAGE_POSITIONS - 1;
        assert_eq!(page.fill(0, most, How::Dropped), most);
        check(&page, &(0..most).collect(), [0, 0, most, 0, 0]);

        assert_eq!(page.fill(0, 2 * PAGE_POSITIONS, How::Damaged), 1);

        check(&page, &(0..=most).collect(), [0, 0, most, 1, 0]);
        assert!(page.is_full() && !page.settle(most, How::Dropped));
    }

    #[test]
    fn a_page_whose_first_places_concern_nobody_is_to_be_written() {
        assert!(Page::unborn(3).is_changed);
        check(&Page::unborn(3), &(0..3).collect(), [0; 5]);
        check(&Page::unborn(PAGE_POSITIONS + 1), &(0..PAGE_POSITIONS).collect(), [0; 5]);
    }

    #[test]
    fn what_cannot_have_been_written_is_no_page() {
        let read = |lead, words: &[u64]| Page::read(lead, words, Counts::default());
        let right: [(u64, &[u64], u64); 6] = [
            (0, &[], 0),
            (0, &[2, 0, 0], 1),
            (1, &[1], 1),
            (64, &[2], 65),
            (64, &[0; PAGE_WORDS - 1], 64),
            (PAGE_POSITIONS, &[], PAGE_POSITIONS),
        ];
        for (lead, words, settled) in right {
            let page = read(lead, words).unwrap();
            assert_eq!((page.lead(), page.settled()), (lead, settled), "{lead}");
            assert_eq!(page.highest().is_some(), settled > 0, "{lead}");
        }
        let wrong: [(u64, &[u64]); 7] = [
            (0, &[1]),
            (1, &[0]),
            (2, &[1]),
            (65, &[]),
            (0, &[0; PAGE_WORDS + 1]),
            (64, &[0; PAGE_WORDS]),
            (u64::MAX, &[]),
        ];
        for (lead, words) in wrong {
            assert_eq!(read(lead, words), None, "{lead}");
        }
    }

    #[test]
    fn pages_are_told_apart_by_what_they_say_alone() {
        let page = |place, how| {
            let mut page = Page::default();
            page.settle(place, how);
            page
        };
        let written = Page { is_changed: false, ..page(7, How::Dropped) };

        assert_eq!(page(7, How::Dropped), written);
        assert_ne!(page(8, How::Dropped), written);
        assert_ne!(page(7, How::Damaged), written);
    }

    #[test]
    fn counts_are_joined_each_with_its_own_and_stop_at_their_ends() {
        let (some, most) = (Counts::of([1, 2, 3, 4, 5]), Counts::of([u64::MAX; 5]));

        assert_eq!(some.plus(Counts::of([10, 20, 30, 40, 50])).all(), [11, 22, 33, 44, 55]);
        assert_eq!(some.minus(Counts::of([1, 1, 4, 1, 1])).all(), [0, 1, 0, 3, 4]);
        assert_eq!((some.sum(), most.sum()), (15, u64::MAX));
        assert_eq!(some.plus(most), most);
        let mut counts = most;
        counts.add(How::Dropped, 1);
        assert_eq!(counts, most);
    }
}

//! What one destination has settled: a watermark, the settled positions beyond it, the counts.

use std::collections::VecDeque;

pub(super) use super::page::{Counts, How};
use super::page::{PAGE_POSITIONS, Page};

/// Positions a cursor can hold beyond its watermark: 2 MiB of bits. What one busy shard cannot take
/// holds the watermark, and what the others settle meanwhile stands beyond it.
pub(super) const WINDOW_MAX: u64 = 1 << 24;
/// Most pages of a window, its beginning and end being anywhere in one.
pub(super) const PAGES_MAX: u64 = WINDOW_MAX / PAGE_POSITIONS + 2;

/// The cursor. Positions up to `birth` never concerned this destination; all up to the watermark
/// are settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    birth: u64,
    watermark: u64,
    /// Number of the first page; everything in those before it is settled. Page `n` begins with
    /// position `n * PAGE_POSITIONS`.
    base: u64,
    /// None of them is full before one that is not, and the last holds something.
    pages: VecDeque<Page>,
    counts: Counts,
}

/// What is to be written of a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) birth: u64,
    pub(super) base: u64,
    /// Of everything before the first page.
    pub(super) counts: Counts,
    /// Pages by their number, ascending.
    pub(super) pages: Vec<(u64, Page)>,
    /// Whether all pages are in it, not only those that changed.
    pub(super) is_whole: bool,
    pub(super) watermark: u64,
}

impl Draft {
    /// How far a cursor is done that was saved without these pages.
    pub(super) fn saved_upto(&self, unsaved: &[u64]) -> u64 {
        let before_pages = (self.base * PAGE_POSITIONS).saturating_sub(1).max(self.birth);
        if unsaved.contains(&self.base) { before_pages } else { self.watermark }
    }
}

impl Cursor {
    /// A cursor that owes everything behind `birth`.
    pub(super) fn new(birth: u64) -> Self {
        let base = (birth + 1) / PAGE_POSITIONS;
        Self::of_pages(birth, base, Counts::default(), Vec::new())
    }

    /// A cursor as it was written: pages by their number. One that is missing says that nothing in
    /// it is settled; one that cannot be right counts as missing.
    pub(super) fn of_pages(
        birth: u64,
        base: u64,
        folded: Counts,
        pages: impl IntoIterator<Item = (u64, Page)>,
    ) -> Self {
        let mut cursor = Self { birth, watermark: 0, base, pages: VecDeque::new(), counts: folded };
        let unborn = cursor.unborn(base);
        if unborn > 0 {
            cursor.pages.push_back(Page::unborn(unborn));
        }
        for (number, page) in pages {
            let unborn = cursor.unborn(number);
            let is_right = number >= base
                && number - base < PAGES_MAX
                && page.counts().sum().checked_add(unborn) == Some(page.settled())
                && page.lead() >= unborn;
            if is_right {
                cursor.counts = cursor.counts.plus(page.counts());
                *cursor.page_mut(number) = page;
            }
        }
        while cursor.pages.back().is_some_and(|page| page.settled() == 0) {
            cursor.pages.pop_back();
        }
        cursor.advance();
        cursor
    }

    /// How many places of a page never concerned this destination.
    fn unborn(&self, number: u64) -> u64 {
        (self.birth + 1).saturating_sub(number * PAGE_POSITIONS).min(PAGE_POSITIONS)
    }

    /// Settles one position; `false` if it was settled before or lies beyond the window.
    pub(super) fn settle(&mut self, position: u64, how: How) -> bool {
        if position <= self.watermark || position - self.watermark > WINDOW_MAX {
            return false;
        }
        let page = self.page_mut(position / PAGE_POSITIONS);
        if !page.settle(position % PAGE_POSITIONS, how) {
            return false;
        }
        self.counts.add(how, 1);
        self.advance();
        true
    }

    /// Settles what is still open from `from` to before `to`, as far as the window reaches; gives
    /// back where it stopped.
    pub(super) fn settle_range(&mut self, from: u64, to: u64, how: How) -> u64 {
        let mut next = from.max(self.watermark + 1);
        while next < to {
            if next == self.watermark + 1 && self.ahead() == 0 {
                self.jump(next, to, how);
                return to;
            }
            let reach = to.min(self.watermark + WINDOW_MAX + 1);
            if next >= reach {
                break;
            }
            next = self.fill(next, reach, how).max(self.watermark + 1);
        }
        next.min(to.max(from))
    }

    /// Nothing beyond the watermark is settled: a range of any length is few steps.
    fn jump(&mut self, next: u64, to: u64, how: How) {
        let end = self.fill(next, to, how);
        if end < to {
            let begin = to / PAGE_POSITIONS * PAGE_POSITIONS;
            self.counts.add(how, begin - end);
            (self.base, self.watermark) = (begin / PAGE_POSITIONS, begin - 1);
            self.pages.clear();
            self.fill(begin, to, how);
        }
    }

    /// Settles what is open in the page of `from`, to before `to`; the end of that.
    fn fill(&mut self, from: u64, to: u64, how: How) -> u64 {
        let number = from / PAGE_POSITIONS;
        let first = number * PAGE_POSITIONS;
        let end = to.min(first + PAGE_POSITIONS);
        if from < end {
            let filled = self.page_mut(number).fill(from - first, end - first, how);
            self.counts.add(how, filled);
            self.advance();
        }
        end
    }

    pub(super) fn is_settled(&self, position: u64) -> bool {
        if position <= self.watermark {
            return true;
        }
        let place = usize::try_from((position / PAGE_POSITIONS).saturating_sub(self.base));
        let page = place.ok().and_then(|place| self.pages.get(place));
        page.is_some_and(|page| page.is_settled(position % PAGE_POSITIONS))
    }

    pub(super) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(super) fn birth(&self) -> u64 {
        self.birth
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Settled positions beyond the watermark.
    pub(super) fn ahead(&self) -> u64 {
        self.counts.sum().saturating_sub(self.watermark - self.birth)
    }

    /// The highest position this cursor says anything about.
    pub(super) fn highest(&self) -> u64 {
        let last = self.pages.back().and_then(Page::highest);
        let first = (self.base + self.pages.len().saturating_sub(1) as u64) * PAGE_POSITIONS;
        last.map_or(self.watermark, |place| (first + place).max(self.watermark))
    }

    /// What changed since the last draft, or all of it; the next one is of what changes from now on.
    pub(super) fn draft(&mut self, is_whole: bool) -> Draft {
        let draft = self.picked(|page| is_whole || page.is_changed, is_whole);
        self.pages.iter_mut().for_each(|page| page.is_changed = false);
        draft
    }

    /// All of it.
    pub(super) fn whole(&self) -> Draft {
        self.picked(|_| true, true)
    }

    /// These pages were not written.
    pub(super) fn draft_again(&mut self, numbers: impl Iterator<Item = u64>) {
        for number in numbers {
            let place = number.checked_sub(self.base).and_then(|place| usize::try_from(place).ok());
            if let Some(page) = place.and_then(|place| self.pages.get_mut(place)) {
                page.is_changed = true;
            }
        }
    }

    fn picked(&self, is_wanted: impl Fn(&Page) -> bool, is_whole: bool) -> Draft {
        let Self { birth, watermark, base, pages, counts } = self;
        let of_pages = pages.iter().map(Page::counts).fold(Counts::default(), Counts::plus);
        let numbered = (*base..).zip(pages);
        let wanted = numbered.filter(|(_, page)| page.settled() > 0 && is_wanted(page));
        Draft {
            birth: *birth,
            base: *base,
            counts: counts.minus(of_pages),
            pages: wanted.map(|(number, page)| (number, page.clone())).collect(),
            is_whole,
            watermark: *watermark,
        }
    }

    /// A page of the window, made if it is not there.
    fn page_mut(&mut self, number: u64) -> &mut Page {
        let place = usize::try_from(number.saturating_sub(self.base).min(PAGES_MAX))
            .expect("a window has 514 pages");
        if self.pages.len() <= place {
            self.pages.resize(place + 1, Page::default());
        }
        self.pages.get_mut(place).expect("there are as many pages now")
    }

    fn advance(&mut self) {
        while self.pages.front().is_some_and(Page::is_full) {
            self.pages.pop_front();
            self.base += 1;
        }
        let lead = self.pages.front().map_or(0, Page::lead);
        self.watermark = (self.base * PAGE_POSITIONS + lead).saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::queue::group::Settled;

    const DELIVERED: How = How::By(Settled::Delivered);

    #[test]
    fn the_watermark_follows_the_lowest_open_position() {
        let mut cursor = Cursor::new(100);

        assert!(cursor.settle(102, DELIVERED) && cursor.settle(103, DELIVERED));
        assert_eq!((cursor.watermark(), cursor.ahead(), cursor.highest()), (100, 2, 103));
        assert!(cursor.is_settled(102) && !cursor.is_settled(101) && !cursor.is_settled(104));

        assert!(cursor.settle(101, DELIVERED));
        assert_eq!((cursor.watermark(), cursor.ahead(), cursor.highest()), (103, 0, 103));
        assert!(!cursor.settle(101, DELIVERED), "settling twice changes nothing");
        assert_eq!(cursor.counts().delivered, 3);
    }

    #[test]
    fn a_position_beyond_the_window_is_not_taken() {
        let mut cursor = Cursor::new(7);

        assert!(!cursor.settle(7 + WINDOW_MAX + 1, DELIVERED));
        assert!(cursor.settle(7 + WINDOW_MAX, DELIVERED));
        assert!(cursor.settle(7 + WINDOW_MAX - 1, DELIVERED));
        assert_eq!(cursor.settle_range(8, 7 + WINDOW_MAX, How::Damaged), 7 + WINDOW_MAX);
        assert_eq!(cursor.watermark(), 7 + WINDOW_MAX);
        assert_eq!(cursor.counts().damaged, WINDOW_MAX - 2);
    }

    #[test]
    fn a_long_range_is_settled_as_far_as_the_window_reaches() {
        let mut cursor = Cursor::new(0);

        assert_eq!(cursor.settle_range(1, 10 * WINDOW_MAX, How::Dropped), 10 * WINDOW_MAX);
        assert_eq!(cursor.watermark(), 10 * WINDOW_MAX - 1);

        let (open, next) = (10 * WINDOW_MAX, 10 * WINDOW_MAX + 1);
        assert_eq!(cursor.settle_range(next, 30 * WINDOW_MAX, How::Dropped), open + WINDOW_MAX);
        assert!(cursor.settle(open, DELIVERED));
        let end = cursor.settle_range(open + WINDOW_MAX, 30 * WINDOW_MAX, How::Dropped);
        assert_eq!((end, cursor.watermark()), (30 * WINDOW_MAX, 30 * WINDOW_MAX - 1));
        assert_eq!(cursor.counts().sum(), cursor.watermark());
        assert_eq!(cursor.settle_range(1, 1 << 60, How::Dropped), 1 << 60, "in few steps");
    }

    #[test]
    fn a_range_settles_what_is_in_it_and_nothing_else_however_it_lies_to_the_pages() {
        let page = PAGE_POSITIONS;
        let mut cursor = Cursor::new(0);

        assert_eq!(cursor.settle_range(1, page, How::Dropped), page);
        assert_eq!(cursor.settle_range(page - 1, page + 1, How::Dropped), page + 1);
        assert_eq!((cursor.watermark(), cursor.ahead()), (page, 0));

        assert_eq!(cursor.settle_range(2 * page, 3 * page, How::Dropped), 3 * page);
        assert_eq!((cursor.watermark(), cursor.ahead()), (page, page));
        assert_eq!(cursor.settle_range(page + 1, 3 * page + 5, How::Dropped), 3 * page + 5);
        assert_eq!((cursor.watermark(), cursor.ahead()), (3 * page + 4, 0));
        assert!(!cursor.is_settled(4 * page - 1));

        cursor.settle_range(1, 9 * page, How::Dropped);
        assert_eq!((cursor.highest(), cursor.counts().sum()), (9 * page - 1, 9 * page - 1));
        let Draft { birth, base, counts, pages, .. } = cursor.whole();
        assert_eq!(Cursor::of_pages(birth, base, counts, pages), cursor);
        cursor.settle(11 * page + 3, DELIVERED);
        assert_eq!((cursor.highest(), cursor.ahead()), (11 * page + 3, 1));
    }

    #[test]
    fn a_page_that_cannot_be_right_counts_as_missing() {
        let (base, unborn) = (PAGES_MAX, 100);
        let birth = base * PAGE_POSITIONS + unborn - 1;
        let page = |places: Range<u64>, delivered| {
            let mut page = Page::default();
            page.fill(places.start, places.end, DELIVERED);
            Page::read(page.lead(), page.words(), Counts { delivered, ..Counts::default() })
        };
        let of_page = |number, page: Option<Page>| {
            Cursor::of_pages(birth, base, Counts::default(), [(number, page.unwrap())])
        };

        let right = [(base, 0..102, 2), (base + 1, 5..7, 2), (base + PAGES_MAX - 1, 5..7, 2)];
        for (number, places, delivered) in right {
            assert_eq!(of_page(number, page(places, delivered)).counts().delivered, 2);
        }
        let wrong = [
            (base, 0..102, 3),
            (base, 1..103, 2),
            (base - 1, 5..7, 2),
            (base + 1, 5..7, 1),
            (base + PAGES_MAX, 5..7, 2),
        ];
        for (number, places, delivered) in wrong {
            let cursor = of_page(number, page(places.clone(), delivered));
            assert_eq!(cursor, Cursor::new(birth), "{number} {places:?}");
        }
    }

    #[test]
    fn a_draft_holds_the_pages_that_changed_and_those_that_were_not_written() {
        let mut cursor = Cursor::new(0);
        let page = PAGE_POSITIONS;
        for position in [2, page + 2, 3 * page + 2] {
            cursor.settle(position, DELIVERED);
        }
        let numbers = |draft: &Draft| draft.pages.iter().map(|page| page.0).collect::<Vec<_>>();

        assert_eq!(numbers(&cursor.draft(false)), [0, 1, 3]);
        cursor.settle(page + 3, DELIVERED);
        assert_eq!(numbers(&cursor.draft(false)), [1]);
        assert_eq!(numbers(&cursor.draft(false)), [0; 0]);
        assert_eq!(numbers(&cursor.draft(true)), [0, 1, 3]);
        cursor.draft_again([0, 3, 9].into_iter());
        assert_eq!(numbers(&cursor.draft(false)), [0, 3]);

        cursor.settle_range(1, page + 1, How::Dropped);
        let draft = cursor.draft(false);
        assert_eq!((draft.base, draft.counts.sum(), numbers(&draft)), (1, page - 1, vec![1]));
    }

    proptest! {
        #[test]
        fn any_order_of_settling_ends_as_a_set_would(
            birth in prop_oneof![0_u64..1000, 32_700_u64..32_800],
            steps in proptest::collection::vec((1_u64..70_000, 0_u64..40_000, any::<bool>()), 0..30),
        ) {
            let mut cursor = Cursor::new(birth);
            let mut model = BTreeSet::new();
            for (offset, length, is_range) in steps {
                let (from, to) = (birth + offset, birth + offset + length);
                if is_range {
                    prop_assert_eq!(cursor.settle_range(from, to, How::Dropped), to);
                    model.extend(from..to);
                } else {
                    prop_assert_eq!(cursor.settle(from, DELIVERED), model.insert(from));
                }
            }

            let open = (birth + 1..).find(|position| !model.contains(position)).unwrap();
            prop_assert_eq!(cursor.watermark(), open - 1);
            prop_assert_eq!(cursor.ahead(), model.range(open..).count() as u64);
            prop_assert_eq!(cursor.highest(), model.last().copied().unwrap_or(birth));
            prop_assert_eq!(cursor.counts().sum(), model.len() as u64);
            for position in [birth, open, open + 1, open + 40_000] {
                let is_settled = position <= birth || model.contains(&position);
                prop_assert_eq!(cursor.is_settled(position), is_settled);
            }
            let Draft { birth, base, counts, pages, .. } = cursor.whole();
            prop_assert_eq!(Cursor::of_pages(birth, base, counts, pages), cursor);
        }
    }
}

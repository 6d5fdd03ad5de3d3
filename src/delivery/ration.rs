//! How large one request may be on the link as it is: less when one was not handed over in time, a
//! little more with each that was. Pure.

use super::tempo::REQUEST_TIME;

/// A measured rate makes no request smaller than this, in bytes: around it, what is written around the
/// records and the way there and back cost more than they do.
const MEASURED_LEAST: usize = 16 << 10;

/// Nor does one that was sent and not answered: then it may be the service that is slow.
pub(super) const UNANSWERED_LEAST: usize = 16 << 10;

/// The first bound.
const FIRST: usize = 1 << 20;

/// The bound of one worker's requests. A record that is larger travels alone.
#[derive(Debug)]
pub(super) struct Ration {
    bytes: usize,
    most: usize,
}

impl Ration {
    /// Begins in the middle: a fast link has all of it after a dozen requests, and on a slow one the
    /// first requests do not take all the time there is.
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: most.min(FIRST), most }
    }

    /// For a destination that no link leads to.
    pub(super) fn exempt(self, is_exempt: bool) -> Self {
        if is_exempt { Self { bytes: self.most, ..self } } else { self }
    }

    /// Most bytes of the next request.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A request of this weight was answered; the link was measured, or not.
    pub(super) fn passed(&mut self, weight: usize, rate: Option<u64>) {
        // What was not used says nothing about what could be.
        if weight >= self.bytes / 2 {
            self.bytes = self.bytes.saturating_add((self.bytes / 4).max(1)).min(self.most);
        }
        self.measured(rate);
    }

    /// A request was handed over and refused: larger ones would only be dearer to refuse. It may have
    /// been refused for its weight.
    pub(super) fn refused(&mut self, for_weight: Option<usize>, rate: Option<u64>) {
        for_weight.into_iter().for_each(|weight| self.unanswered(weight));
        self.measured(rate);
    }

    /// A request of this weight was not handed over: it broke off, or took too long.
    pub(super) fn cut_off(&mut self, weight: usize, rate: Option<u64>) {
        self.bytes = (self.bytes.min(weight) / 2).max(1);
        self.measured(rate);
    }

    /// A request of this weight was sent, and no answer came in time. A small one says nothing about
    /// the link.
    pub(super) fn unanswered(&mut self, weight: usize) {
        if weight > UNANSWERED_LEAST {
            let half = self.bytes.min(weight) / 2;
            self.bytes = self.bytes.min(half.max(UNANSWERED_LEAST));
        }
    }

    /// Rates count what goes over the wire, a third more than the records: on the safe side.
    fn measured(&mut self, rate: Option<u64>) {
        let Some(rate) = rate else { return };
        let fits = rate.saturating_mul(REQUEST_TIME.as_secs());
        let fits = usize::try_from(fits).unwrap_or(usize::MAX).max(MEASURED_LEAST);
        self.bytes = self.bytes.min(fits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// One that has grown to all there is.
    fn of(most: usize) -> Ration {
        Ration { bytes: most, most }
    }

    #[test]
    fn it_begins_with_a_part_and_has_all_soon() {
        assert_eq!(Ration::new(1_000).bytes(), 1_000);
        let mut ration = Ration::new(10 * MIB);
        assert_eq!(ration.bytes(), FIRST);
        (0..11).for_each(|_| ration.passed(ration.bytes(), None));
        assert_eq!(ration.bytes(), 10 * MIB);
    }

    #[test]
    fn a_request_that_is_not_handed_over_halves_the_next_down_to_one_record() {
        let mut ration = of(10 * MIB);
        ration.cut_off(10 * MIB, None);
        assert_eq!(ration.bytes(), 5 * MIB);
        ration.cut_off(3 * MIB, None);
        assert_eq!(ration.bytes(), 3 * MIB / 2, "by what was sent, not by what might have been");
        (0..40).for_each(|_| ration.cut_off(10 * MIB, None));
        assert_eq!(ration.bytes(), 1);
    }

    #[test]
    fn a_refusal_lets_nothing_grow() {
        let mut ration = Ration::new(10 * MIB);
        (0..40).for_each(|_| ration.refused(None, None));
        assert_eq!(ration.bytes(), FIRST);
        ration.refused(None, Some(64 << 10));
        assert_eq!(ration.bytes(), 256 << 10, "but what was measured counts");
        (0..40).for_each(|_| ration.refused(Some(MIB), None));
        assert_eq!(ration.bytes(), UNANSWERED_LEAST, "nor may it have been too much");
    }

    #[test]
    fn a_request_that_is_not_answered_halves_the_next_but_not_for_ever() {
        let mut ration = of(MIB);
        ration.unanswered(MIB);
        assert_eq!(ration.bytes(), MIB / 2);
        ration.unanswered(4 << 10);
        assert_eq!(ration.bytes(), MIB / 2, "a small one says nothing about the link");
        (0..40).for_each(|_| ration.unanswered(MIB));
        assert_eq!(ration.bytes(), UNANSWERED_LEAST);
        ration.cut_off(MIB, None);
        ration.unanswered(100);
        assert_eq!(ration.bytes(), UNANSWERED_LEAST / 2, "it makes nothing larger");
    }

    #[test]
    fn it_grows_again_by_a_quarter_with_each_request_that_used_it() {
        let mut ration = of(MIB);
        ration.cut_off(8, None);
        for expected in [5, 6, 7, 8, 10] {
            ration.passed(ration.bytes(), None);
            assert_eq!(ration.bytes(), expected);
        }
        ration.passed(4, None);
        assert_eq!(ration.bytes(), 10, "a small request tells nothing");
        let mut requests = 0;
        while ration.bytes() < MIB {
            ration.passed(ration.bytes(), None);
            requests += 1;
        }
        assert!(requests < 60, "{requests} requests");
        ration.passed(MIB, None);
        assert_eq!(ration.bytes(), MIB);
    }

    #[test]
    fn what_was_measured_bounds_a_request_to_a_few_seconds_of_the_link() {
        let mut ration = of(10 * MIB);
        ration.passed(MIB, Some(64 << 10));
        assert_eq!(ration.bytes(), 256 << 10);
        ration.passed(256 << 10, Some(1 << 30));
        assert_eq!(ration.bytes(), 320 << 10, "a fast moment is no fast link");
        ration.cut_off(10 * MIB, Some(1));
        assert_eq!(ration.bytes(), MEASURED_LEAST);
    }
}

//! Which place in the queue the lines of a file got, so that "delivered up to" can be told; pure.
//!
//! A few pairs of place and offset are kept. Leaving one out errs to the safe side: less is called
//! delivered than is.

use serde::{Deserialize, Serialize};

use super::progress::Progress;

/// Most pairs of one file. Beyond, every second one is left out, so that old and new stay.
const PAIRS_MAX: usize = 8;

/// What is known of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    /// Place of the last record before an offset, and that offset; both grow.
    pairs: Vec<(u64, u64)>,
    /// What stood before the last offset, as [`Progress::print`] tells it: files of one length follow
    /// each other under one name.
    #[serde(default)]
    print: u32,
}

impl Sent {
    /// Everything before the position lies in the queue up to `place`.
    pub(super) fn note_all(&mut self, place: u64, offset: u64, progress: &Progress) {
        self.note(place, offset);
        self.print = progress.print();
    }

    fn note(&mut self, place: u64, offset: u64) {
        self.pairs.retain(|(before, _)| *before < place);
        self.pairs.push((place, offset));
        if self.pairs.len() > PAIRS_MAX {
            let mut is_kept = true;
            self.pairs.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            // The last of an odd number went with them.
            self.pairs.push((place, offset));
        }
    }

    /// The offset before which everything is settled, when everything up to `settled` is.
    pub(super) fn delivered(&self, settled: u64) -> u64 {
        let done = self.pairs.iter().take_while(|(place, _)| *place <= settled);
        done.last().map_or(0, |(_, offset)| *offset)
    }

    /// Whether all of it is settled, when everything up to `settled` is.
    pub(super) fn is_settled(&self, settled: u64) -> bool {
        self.pairs.last().is_none_or(|(place, _)| *place <= settled)
    }

    /// Whether it ends at this offset of this content.
    pub(super) fn ends_at(&self, offset: u64, progress: &Progress) -> bool {
        match self.pairs.last() {
            Some((_, last)) => *last == offset && self.print == progress.print(),
            None => offset.max(progress.position) == 0,
        }
    }

    /// Takes back what lies behind the end of the queue: it is another queue then.
    pub(super) fn within(mut self, committed: u64) -> Self {
        for (place, _) in &mut self.pairs {
            *place = (*place).min(committed);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against every pair there ever was: never more than is true, and in the end all of it.
        #[test]
        fn nothing_is_called_delivered_too_early(
            steps in proptest::collection::vec((0..5u64, 1..100u64), 1..60),
            settled in 0..200u64,
        ) {
            let (mut sent, mut place, mut offset) = (Sent::default(), 0, 0);
            let mut truth = Vec::new();
            for (records, bytes) in steps {
                (place, offset) = (place + records, offset + bytes);
                sent.note(place, offset);
                truth.push((place, offset));
                prop_assert!(sent.pairs.len() <= PAIRS_MAX);
            }
            let done = truth.iter().rev().find(|(place, _)| *place <= settled);
            prop_assert!(sent.delivered(settled) <= done.map_or(0, |(_, offset)| *offset));
            prop_assert_eq!(sent.delivered(place), offset);
            prop_assert_eq!(sent.pairs.last().map(|(_, last)| *last), Some(offset));
            prop_assert_eq!(sent.within(3).delivered(3), offset);
        }
    }

    #[test]
    fn places_of_a_longer_queue_than_there_is_are_those_of_its_end() {
        let mut sent = Sent::default();
        assert_eq!(sent.delivered(9), 0);
        sent.note(10, 100);
        sent.note(12, 150);
        assert_eq!([9, 10, 11, 12].map(|settled| sent.delivered(settled)), [0, 100, 100, 150]);
        let sent = sent.within(4);
        assert_eq!([sent.delivered(3), sent.delivered(4)], [0, 150]);
    }
}

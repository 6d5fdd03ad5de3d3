//! Whether the records are at fault, or the destination that refuses one after the other; pure.

use super::bundle::Bundle;
use super::class::Class;
use super::settle::Settlement;

/// So many records are believed to be at fault alone, each with the same words, while nothing
/// passes. One more, and it is the destination: a stream that takes no direct puts refuses each of
/// its records like that, and none of them deserves to die for it.
const SAME_WORDS_MAX: usize = 4;
/// And so many whatever the words, which may name the request or the record.
const ANY_WORDS_MAX: usize = 12;

/// What was refused since the last record passed.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Code and message of the last refusal of a single record.
    words: (String, String),
    /// How many single records were refused with these words.
    singles: usize,
    /// How many were refused, with whatever words.
    in_a_row: usize,
    was_fresh: bool,
}

/// What a destination said that refused one record after the other; to be remembered, so that the
/// next start does not cost some more of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspected {
    /// Code of the last refusal.
    pub code: String,
    /// Its words.
    pub message: String,
}

impl Suspicion {
    /// Of a destination that was suspected when weir ended: nobody dies before a record has passed.
    pub(super) fn recalled(suspected: Suspected) -> Self {
        let Suspected { code, message } = suspected;
        let (singles, in_a_row) = (SAME_WORDS_MAX, ANY_WORDS_MAX);
        Self { words: (code, message), singles, in_a_row, was_fresh: false }
    }

    /// What is to be remembered now: where the next refusal would be held against the destination.
    pub(super) fn suspected(&self) -> Option<Suspected> {
        let is_near = self.singles >= SAME_WORDS_MAX || self.in_a_row >= ANY_WORDS_MAX;
        is_near.then(|| Suspected { code: self.words.0.clone(), message: self.words.1.clone() })
    }

    /// Looks at what a request came to. Where the destination is suspected, nobody dies: its
    /// refusal is a trouble like any other, and what it refused goes again. `true` if a record
    /// passed, which clears a destination that was suspected.
    pub(super) fn weigh(&mut self, settlement: &mut Settlement) -> bool {
        if !settlement.done.is_empty() {
            return std::mem::take(self).is_raised();
        }
        let Some(fault) = settlement.refused.take() else { return false };
        let is_same = self.words == (fault.code.clone(), fault.message.clone());
        if !settlement.dead.is_empty() {
            self.singles = if is_same { self.singles + 1 } else { 1 };
            self.words = (fault.code.clone(), fault.message.clone());
            self.in_a_row += 1;
        }
        let is_meant = is_same && self.singles > SAME_WORDS_MAX || self.in_a_row > ANY_WORDS_MAX;
        if is_meant {
            let spared = settlement.dead.drain(..).map(|(parcel, _)| vec![Bundle::lone(parcel)]);
            settlement.alone.extend(spared);
            settlement.trouble = Some((Class::Config, fault));
        }
        false
    }

    /// Whether the next request should rather carry records that were never refused: only they can
    /// tell, and they shall not wait behind a row of bad ones.
    pub(super) fn wants_fresh(&mut self) -> bool {
        self.was_fresh = self.is_raised() || self.singles > 0 && !self.was_fresh;
        self.was_fresh
    }

    fn is_raised(&self) -> bool {
        self.singles > SAME_WORDS_MAX || self.in_a_row > ANY_WORDS_MAX
    }
}

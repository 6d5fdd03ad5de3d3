//! Parting with what the queue's policy let go while it waited here.

use super::parcel::own;
use crate::queue::{Lapse, Position};
use crate::sink::Fault;

/// The class of letters of records that were let go.
pub(super) const LAPSED: &str = "lapsed";

/// Whether anything here may have lapsed since the last look.
#[derive(Debug)]
pub(super) struct Lapsing {
    looked_below: Position,
    /// Parcels came back from the destination since.
    came_back: bool,
}

impl Lapsing {
    pub(super) fn new() -> Self {
        Self { looked_below: Position(0), came_back: false }
    }

    pub(super) fn came_back(&mut self) {
        self.came_back = true;
    }

    /// Whether a look is worth its time; it is taken as done.
    pub(super) fn is_due(&mut self, below: Position) -> bool {
        let is_due = below > self.looked_below || self.came_back && below > Position(0);
        (self.looked_below, self.came_back) = (below, false);
        is_due
    }
}

/// What its letter says.
pub(super) fn fault(lapse: Lapse) -> Fault {
    let (code, words) = match lapse {
        Lapse::TooOld => ("max-age", "it waited longer than the queue's `max_age`"),
        Lapse::MadeRoom => ("queue-full", "it was among the oldest when the queue was full"),
    };
    own(code, words.to_owned())
}

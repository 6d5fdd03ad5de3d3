//! What a worker lets be done beside its loop, and how that ends.

use std::time::Duration;

use super::bundle::Bundle;
use super::parcel::Parcel;
use super::shelving::Shelved;
use crate::queue::{Again, AppendError};
use crate::sink::Outcome;

/// The end of a job.
pub(super) enum Ended {
    Answered(Answered),
    Shelved(Shelved),
    ReadAgain(Result<Again, AppendError>),
    PutBack(Box<PutBack>),
}

/// What was left of an aggregate was put back into the queue, or not.
pub(super) struct PutBack {
    pub(super) result: Result<(), AppendError>,
    pub(super) parcel: Parcel,
    /// How long it waits where the queue takes nothing.
    pub(super) wait: Duration,
}

/// A request that was answered, or lost.
pub(super) struct Answered {
    pub(super) bundles: Vec<Bundle>,
    pub(super) outcome: Outcome,
    pub(super) was_probe: bool,
    pub(super) took: Duration,
}

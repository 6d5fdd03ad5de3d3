//! What a worker lets be done beside its loop, and how that ends.

use std::time::Duration;

use super::bundle::Bundle;
use super::shelving::Shelved;
use crate::queue::{Again, AppendError};
use crate::sink::Outcome;

/// The end of a job.
pub(super) enum Ended {
    Answered(Answered),
    Shelved(Shelved),
    ReadAgain(Result<Again, AppendError>),
}

/// A request that was answered, or lost.
pub(super) struct Answered {
    pub(super) bundles: Vec<Bundle>,
    pub(super) outcome: Outcome,
    pub(super) was_probe: bool,
    pub(super) took: Duration,
}

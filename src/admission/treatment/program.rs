//! What is said about a program, whether or not this weir can run one.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// What a program may do beside changing a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlets {
    /// Streams that it may lead records to.
    pub to: BTreeSet<String>,
    /// What becomes of a record that it fails on.
    pub when_wrong: WhenWrong,
    /// Longest time for one record.
    pub time: Duration,
}

/// What becomes of a record that a program fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenWrong {
    /// It comes back: 422 over HTTP, a dead letter for lines.
    #[default]
    Reject,
    /// It is dropped and counted.
    Drop,
}

/// Why a text is no program, or what is doubtful about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadProgram {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// In words.
    pub words: String,
    /// A few words about the place.
    pub label: String,
    /// What to do.
    pub hint: Option<String>,
}

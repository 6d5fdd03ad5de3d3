//! The numbers of a queue and of each destination.

use super::cursor::WINDOW_MAX;
use super::settings::SyncLevel;

/// The books of one destination: `accepted = delivered + dead + dropped + damaged + waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Payloads made durable since this destination joined, without those for others only.
    pub accepted: u64,
    /// Taken by the destination.
    pub delivered: u64,
    /// In the dead-letter directory, or aged out of it.
    pub dead: u64,
    /// Dropped by a policy the operator chose.
    pub dropped: u64,
    /// Unreadable on disk, set aside in `quarantine/`.
    pub damaged: u64,
    /// Still owed.
    pub waiting: u64,
    /// Bytes on disk from the first payload still owed to the end.
    pub waiting_bytes: u64,
    /// When the oldest payload still owed was committed, in milliseconds since 1970.
    pub oldest_unix_ms: Option<u64>,
    /// Positions from the oldest payload still owed to the newest that was given out: others were
    /// settled past the oldest. At [`SPAN_MAX`] nothing more is given out before that is settled.
    pub span: u64,
}

/// The bound of [`Ledger::span`].
pub const SPAN_MAX: u64 = WINDOW_MAX;

/// The queue as a whole, for `weir status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Payloads ever made durable here.
    pub committed: u64,
    /// Every destination is done with all payloads up to here.
    pub settled: u64,
    /// Bytes on disk of segments, and of spare ones.
    pub used_bytes: u64,
    /// The bound on them.
    pub max_bytes: u64,
    /// Records are dropped by policy, and no destination has caught up since.
    pub is_dropping: bool,
    /// When what comes in is synced.
    pub sync: SyncLevel,
    /// Payloads that a power cut would take now; 0 at [`SyncLevel::Always`].
    pub unsynced: u64,
    /// One row per destination.
    pub ledgers: Vec<(String, Ledger)>,
}

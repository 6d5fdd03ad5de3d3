//! From durable to delivered: one worker per stream and destination.
//!
//! Uses: base, record, queue, sink, dead_letter, telemetry.
//! Always: a record is settled only after the upstream took it or its letter was synced; only what
//! failed is sent again.
//! Never: knows where a record came from; drops for a fault that is not the record's own.
//! Start reading at `runner`; the policy is `class` (what a fault means) and `settle` (what follows).

mod replay;
mod worker;

mod runner;

mod apart;
mod bundle;
mod jam;
mod lane;
mod lanes;
mod lapsing;
mod order;
mod outbox;
mod owed;
mod pace;
mod parking;
mod parts;
mod places;
mod ration;
mod retry;
mod settle;
mod shelving;
mod suspicion;
mod tempo;
mod uplink;

mod bulletin;
mod class;
mod errand;
mod feed;
mod metrics;
mod parcel;
mod progress;
mod traced;
mod watch;
mod ways;
mod window;

use std::time::Duration;

pub(crate) use class::{Class, classify};
pub use order::Ordering;
pub use replay::{Replayed, replay};
pub use suspicion::Suspected;
pub use tempo::PaceSettings;
pub use uplink::{LinkSettings, Rank, Uplink};
pub use watch::{Hold, Paced, Watch};
pub use window::Window;
pub use worker::Worker;

/// Longest time between two turns of a worker's loop.
const IDLE_TURN: Duration = Duration::from_secs(30);

/// Longest time the first request waits for what the sink may learn of its upstream.
const TENDED_WITHIN: Duration = Duration::from_secs(2);

/// How one destination is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the stream.
    pub stream: String,
    /// Name of the destination.
    pub destination: String,
    /// Most requests under way at once.
    pub in_flight: usize,
    /// Most bytes read from the queue and not settled; each record counts 256 more than its
    /// payload.
    pub in_flight_bytes: usize,
    /// How much of what a shard takes is for this worker, in percent.
    pub shard_share: usize,
    /// Which records may overtake each other.
    pub ordering: Ordering,
    /// Longest time a record waits for others to fill a batch.
    pub linger: Duration,
    /// First wait after a fault; doubled each time.
    pub retry_first: Duration,
    /// Longest wait between two tries, and the wait between two looks at a destination that is
    /// held.
    pub retry_max: Duration,
    /// How fast it may be fed, and who goes first.
    pub pace: PaceSettings,
}

#[cfg(test)]
mod tests;

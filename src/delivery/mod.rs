//! From durable to delivered: one worker per stream and destination.
//!
//! Uses: base, record, queue, sink, dead_letter, telemetry.
//! Always: a record is settled only after the upstream took it or its letter was synced; only what
//! failed is sent again.
//! Never: knows where a record came from; drops for a fault that is not the record's own.

use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::dead_letter::Shelf;
use crate::queue::Reader;
use crate::sink::Sink;
use crate::telemetry::Metrics;

/// How one destination is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Name of the stream.
    pub stream: String,
    /// Name of the destination.
    pub destination: String,
    /// Most requests under way at once.
    pub in_flight: usize,
    /// Most bytes read from the queue and not settled.
    pub in_flight_bytes: usize,
    /// Longest time a record waits for others to fill a batch.
    pub linger: Duration,
    /// First wait after a fault; doubled each time.
    pub retry_first: Duration,
    /// Longest wait between two tries.
    pub retry_max: Duration,
}

/// Feeds one destination until `stopping` is asked, then until nothing is under way.
#[derive(Debug)]
pub struct Worker<S> {
    _sink: Arc<S>,
}

impl<S: Sink> Worker<S> {
    /// A worker that has not started.
    pub fn new(
        settings: Settings,
        clock: Clock,
        reader: Reader,
        shelf: Shelf,
        sink: Arc<S>,
        metrics: &Metrics,
    ) -> Self {
        let _ = (settings, clock, reader, shelf, metrics);
        Self { _sink: sink }
    }

    /// What the operator should know about this destination now.
    pub fn watch(&self) -> Watch {
        todo!()
    }

    /// Works until asked to stop.
    ///
    /// # Errors
    /// In words, when it cannot go on: the queue or the shelf fails for good.
    pub async fn run(self, stopping: Stopping) -> Result<(), String> {
        let _ = stopping;
        todo!()
    }
}

/// A window onto a worker, for status and readiness; cheap to clone.
#[derive(Clone, Debug)]
pub struct Watch {}

/// Why a destination is not taking anything at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// `throttled`, `transient`, `auth`, `clock`, `config`.
    pub class: String,
    /// The upstream's code.
    pub code: String,
    /// The upstream's words.
    pub message: String,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

impl Watch {
    /// The present hold, if any.
    pub fn hold(&self) -> Option<Hold> {
        todo!()
    }
}

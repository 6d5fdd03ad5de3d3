//! A durable log of byte payloads on disk: one writer, one reader per destination.
//!
//! The writer's promise is [`Durable`]; a reader gives back what is durable and forgets what is
//! settled. Marks (named positions of a source) are committed in the same atomic frame as the
//! payloads they belong to.
//!
//! Uses: base, telemetry.
//! Always: a `Durable` was synced before it existed, where the stream's `sync` is `always`; positions
//! only grow; a full queue refuses.
//! Never: looks into a payload; retries a failed sync; blocks an async task.
//! Bytes: docs/DISK_FORMAT.md. Start reading at `committer`.

// The ways in and out: async, short.
mod reader;
mod writer;

// Looking in from outside, for the operator's tools.
pub mod inspect;

// Machines: plain values that tests drive with a loop.
mod again;
mod backlog;
mod committer;
mod feed;
mod inflow;
mod lapse;
mod recover;
mod roll;

// What they share.
mod active;
mod age;
mod books;
mod folder;
mod log;
mod marks;
mod metrics;
mod once;
mod quarantine;
mod spares;
mod store;
mod trouble;

// Formats.
mod cursor;
mod cursor_file;
mod cursor_slots;
mod cursors;
mod cut;
mod frame;
mod pack;
mod page;
mod seal;
mod segment;
mod walk;

// Values.
mod error;
mod group;
mod ledger;
mod settings;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::telemetry::Metrics;
use committer::Committer;
use inflow::Inflow;
use lapse::Sweep;
use metrics::Shown;
use recover::Opening;
use settings::Limits;

pub use again::Again;
pub use error::{AppendError, OpenError};
pub use folder::used_keys;
pub use group::{Budget, Durable, Group, Mark, OnceKey, Position, Settled, Stored};
pub use lapse::Lapse;
pub use ledger::{Ledger, Overview, SPAN_MAX};
pub use reader::Reader;
pub use seal::{KEY_BYTES, Key, KeyId, Keys};
pub use settings::{Lapsed, Policy, Settings, SyncLevel, WhenFull};
pub use writer::Writer;

/// An open queue.
#[derive(Debug)]
pub struct Queue {
    /// The one way in.
    pub writer: Writer,
    /// One way out per destination, in the order they were asked for.
    pub readers: Vec<Reader>,
}

/// Opens a queue, or makes a new one. Blocks; call it away from async threads. A destination seen
/// for the first time starts behind what is already there.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    disk: SharedDisk,
    settings: Settings,
    destinations: &[String],
    metrics: &Metrics,
) -> Result<Queue, OpenError> {
    let limits = Limits::of(&settings);
    let clock = Clock::real();
    assemble(Opening { disk, settings, limits, clock, destinations, metrics })
}

fn assemble(opening: Opening<'_>) -> Result<Queue, OpenError> {
    let destinations = opening.destinations;
    let (store, newest) = opening.run()?;
    let shown: Arc<dyn Shown> = Arc::clone(&store) as _;
    store.metrics.show(Arc::downgrade(&shown));
    Sweep::start(&store);
    let committer = Committer::new(Arc::clone(&store), newest);
    let readers = destinations
        .iter()
        .enumerate()
        .map(|(at, destination)| Reader::new(Arc::clone(&store), at, destination))
        .collect();
    Ok(Queue { writer: Writer::new(Inflow::new(store, committer)), readers })
}

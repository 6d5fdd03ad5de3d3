//! Wiring and life of the process.
//!
//! Uses: everything below.
//! Always: starts from the ground up and stops in the opposite order.
//! Never: parses or formats anything but its own status.

mod assemble;
mod changes;
mod clocks;
mod crew;
mod emf;
mod ending;
mod feeders;
mod letters;
mod lifecycle;
mod queue_keys;
mod reload;
mod reloads;
mod replay;
mod shards;
mod sights;
mod signals;
mod state_dir;
mod status;
mod stream_facts;
mod supervisor;
mod suspicions;
mod traces;
mod trial;

use std::io;

use thiserror::Error;

pub use ending::Ending;
pub use lifecycle::run;
pub use queue_keys::known as known_keys;
pub use reload::Reread;
pub use state_dir::{Addresses, StateDir, StateDirError};
pub use trial::{Incoming, Seen, try_out};

/// Why the agent did not start. Nothing was accepted.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] crate::queue::OpenError),
    /// The dead-letter directory, or the folder of a directory destination.
    #[error("{0}; nothing was started")]
    Disk(io::Error),
    /// An address that cannot be listened on.
    #[error("{0}; nothing was started")]
    Listen(io::Error),
    /// A service that is needed to start.
    #[error("{0}; nothing was started")]
    Away(String),
    /// The same, where it answers but does not allow it.
    #[error("{0}; nothing was started")]
    Denied(String),
    /// Something the configuration names is not as it should be: a keys file, an AWS region.
    #[error("{0}; nothing was started")]
    Setting(String),
}

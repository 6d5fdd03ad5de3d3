//! What could have been in the standard library: disk, clock, stopping, tasks, waits, units, secrets.
//!
//! Uses: nothing.
//! Always: the only door to the file system, to wall time and to spawning.
//! Never: knows our domain.

pub mod disk;
pub mod tasks;

pub mod backoff;
pub mod clock;
pub mod random;
pub mod secret;
pub mod shutdown;
pub mod units;

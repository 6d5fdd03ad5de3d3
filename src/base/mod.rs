//! What could have been in the standard library: disk, sockets, clock, stopping, tasks, units, secrets.
//!
//! Uses: nothing.
//! Always: the only door to the file system, to sockets, to wall time and to spawning.
//! Never: knows our domain.

pub mod disk;
pub mod http_call;
#[cfg(any(test, feature = "testing"))]
pub mod issuer;
pub mod serve;
pub mod tasks;

pub mod backoff;
pub mod bucket;
pub(crate) mod cbor;
pub mod clock;
pub mod nets;
#[cfg(test)]
pub mod papers;
pub mod random;
#[cfg(test)]
pub mod scratch;
pub mod secret;
pub mod seldom;
pub mod shutdown;
pub mod units;

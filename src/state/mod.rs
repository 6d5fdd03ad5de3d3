//! Small keyed state: what costs a rebuild or a repeated question when it is lost, never a record.
//!
//! Uses: base, telemetry.
//! Always: reads come from memory; what changed is on disk about a second later, synced; every
//! bound on keys and values is enforced before anything is written.
//! Never: on the path of a record; a reason not to start. Damage is set aside and built again.
//! Files: `state_dir/state/` is sled's; beside it `state.damaged-<time>/`, `state.ballast`,
//! `state.opening`. Start at `committer`.

mod store;

mod area;
mod fact;
mod view;

mod committer;

mod ballast;
mod opening;

mod engine;
mod on_sled;

mod metrics;

#[cfg(test)]
mod tests;

pub use area::Area;
pub use fact::Known;
pub use store::{Health, Overview, State};
pub use view::Refused;

//! weir: an edge ingestion agent.
//!
//! ```text
//!  http ┐                                          ┌ kinesis
//!  tail ┴─ admission ── queue (synced) ── delivery ┼ firehose
//!                         │                  │     └ directory
//!                       2xx only now      dead letters
//! ```
//!
//! The rooms, from the ground up; a room uses only rooms on lower floors:
//!
//! | floor | rooms |
//! |---|---|
//! | 7 | [`cli`] |
//! | 6 | [`agent`] |
//! | 5 | [`config`] |
//! | 4 | [`source`], [`admin`] |
//! | 3 | [`admission`], [`delivery`] |
//! | 2 | [`queue`], [`sink`], [`dead_letter`], [`state`] |
//! | 1 | [`record`], [`telemetry`] |
//! | 0 | [`base`] |
//!
//! `docs/ARCHITECTURE.md` tells the walk of a record and the promises.

pub mod base;

pub mod record;
pub mod telemetry;

pub mod dead_letter;
pub mod queue;
pub mod sink;
pub mod state;

pub mod admission;
pub mod delivery;

pub mod admin;
pub mod source;

pub mod config;

pub mod agent;

pub mod cli;

//! Logs and numbers for the operator.
//!
//! Uses: nothing.
//! Always: one registry, made by the agent and handed down; no globals but the log itself; equal lines are
//! written seldom.
//! Never: knows the rooms; they bring their own metrics.

mod log;
mod metrics;
mod repeats;

pub use log::{Format, Level, set_level, start};
pub use metrics::{Metrics, OPENMETRICS_TYPE};

//! Logs and numbers for the operator.
//!
//! Uses: nothing.
//! Always: one registry, made by the agent and handed down; no globals but the log itself.
//! Never: knows the rooms; they bring their own metrics.

mod log;
mod metrics;

pub use log::{Format, Level, set_level, start};
pub use metrics::{Metrics, OPENMETRICS_TYPE};

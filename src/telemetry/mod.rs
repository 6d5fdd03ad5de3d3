//! Logs and numbers for the operator.
//!
//! Uses: base.
//! Always: one registry, made by the agent and handed down; no globals but the log itself; equal lines are
//! written seldom.
//! Never: knows the rooms; they bring their own metrics.

mod context;
mod emf;
mod log;
mod metrics;
mod otlp;
mod repeats;
mod traces;

pub use context::{TraceContext, is_trace_state};
pub use emf::{EmfSettings, Measure, emf_line};
pub use log::{AUDIT, Format, Level, set_level, start};
pub use metrics::{Metrics, OPENMETRICS_TYPE};
pub use otlp::{export_request, rejected};
pub use traces::{Begun, Span, SpanKind, TraceSettings, Tracer, Worth, within};

/// The name of this host, as the system has it.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

//! Where records come from: HTTP listeners and tailed files. They hand over to admission.
//!
//! Uses: base, record, telemetry, dead_letter, admission.
//! Always: a success answer, and a moved file position, follow a `Receipt`.
//! Never: touches the queue or a sink.

pub mod framing;
pub mod http;
pub mod tail;

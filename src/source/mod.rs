//! Where records come from: HTTP listeners, tailed files, standard input. They hand over to admission.
//!
//! Uses: base, record, telemetry, dead_letter, state, admission.
//! Always: a success answer, and a moved file position, follow a `Receipt`.
//! Never: touches the queue or a sink.

pub mod http;
pub mod stdin;
pub mod tail;

// What all sources of lines share.
mod door;
pub mod framing;
mod letter;

//! The sinks against an upstream that does what it is told, and against a disk.

mod aws;
mod credentials;
mod device;
mod directory;
mod packed;
mod protocol;
mod sizes;
mod slow;
mod way;

use bytes::Bytes;

use super::{Entry, Sink};

fn entries(sink: &impl Sink, payloads: &[&str]) -> Vec<Entry> {
    payloads
        .iter()
        .map(|payload| sink.entry(format!("key of {payload}"), Bytes::from((*payload).to_owned())))
        .collect()
}

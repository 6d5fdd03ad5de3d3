//! One request to an upstream as a span of a trace.

use crate::sink::{Fate, Outcome};
use crate::telemetry::{Begun, Worth};

/// A request under way, and what its span says of it.
pub(super) struct Sending {
    pub(super) begun: Begun,
    pub(super) stream: String,
    pub(super) destination: String,
    pub(super) records: usize,
    pub(super) bytes: u64,
}

impl Sending {
    /// It came back, so many entries; of entries that were refused, the first says why.
    pub(super) fn end(self, entries: usize, outcome: &Outcome) {
        let Self { begun, stream, destination, records, bytes } = self;
        let fault = match outcome {
            Ok(fates) => fates.iter().find_map(|fate| match fate {
                Fate::Failed(fault) => Some(fault),
                _ => None,
            }),
            Err(fault) => Some(fault),
        };
        let fault = fault.map(|fault| fault.code.clone());
        let name = format!("send {destination}");
        let attributes = vec![
            ("weir.stream", Worth::Text(stream)),
            ("weir.destination", Worth::Text(destination)),
            ("messaging.batch.message_count", Worth::Number(records as u64)),
            ("weir.entries", Worth::Number(entries as u64)),
            ("weir.wire_bytes", Worth::Number(bytes)),
        ];
        begun.end(name, attributes, fault);
    }
}

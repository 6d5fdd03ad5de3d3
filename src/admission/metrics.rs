//! The numbers of the door.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Refusal;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStream {
    stream: String,
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    source: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    accepted_records: Family<ByStream, Counter>,
    accepted_bytes: Family<ByStream, Counter>,
    rejected_records: Family<ByStream, Counter>,
    dropped_records: Family<ByStream, Counter>,
    refusals: Family<ByReason, Counter>,
}

impl Numbers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let numbers = Self::default();
        registry.register(
            "accepted_records",
            "Records made durable",
            numbers.accepted_records.clone(),
        );
        registry.register(
            "accepted_bytes",
            "Bytes of payload made durable",
            numbers.accepted_bytes.clone(),
        );
        registry.register(
            "rejected_records",
            "Single records that were not as they should be",
            numbers.rejected_records.clone(),
        );
        registry.register(
            "transform_dropped_records",
            "Records that transforms dropped, as the operator wants it",
            numbers.dropped_records.clone(),
        );
        registry.register(
            "refusals",
            "Hand-ins of which nothing was stored, by reason",
            numbers.refusals.clone(),
        );
        numbers
    }

    pub(super) fn accepted(&self, stream: &str, source: &str, records: u32, bytes: u64) {
        let labels = ByStream { stream: stream.to_owned(), source: source.to_owned() };
        self.accepted_records.get_or_create(&labels).inc_by(u64::from(records));
        self.accepted_bytes.get_or_create(&labels).inc_by(bytes);
    }

    pub(super) fn rejected(&self, stream: &str, source: &str, records: usize) {
        if records > 0 {
            let labels = ByStream { stream: stream.to_owned(), source: source.to_owned() };
            self.rejected_records.get_or_create(&labels).inc_by(records as u64);
        }
    }

    pub(super) fn dropped(&self, stream: &str, source: &str, records: u32) {
        if records > 0 {
            let labels = ByStream { stream: stream.to_owned(), source: source.to_owned() };
            self.dropped_records.get_or_create(&labels).inc_by(u64::from(records));
        }
    }

    pub(super) fn refused(&self, source: &str, refusal: &Refusal) {
        let labels = ByReason { source: source.to_owned(), reason: refusal.reason() };
        self.refusals.get_or_create(&labels).inc();
    }
}

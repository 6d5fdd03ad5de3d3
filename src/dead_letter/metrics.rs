//! Numbers of the shelves.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Which shelf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    stream: String,
    destination: String,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ShelfMetrics {
    written: Family<Labels, Counter>,
    aged_out: Family<Labels, Counter>,
}

/// The numbers of one shelf.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnMetrics {
    pub(super) written: Counter,
    pub(super) aged_out: Counter,
}

impl ShelfMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        let written = all.written.clone();
        registry.register("dead_letters_written", "Letters put on the shelf", written);
        registry.register(
            "dead_letters_aged_out",
            "Letters removed because the shelf is bounded by size and age",
            all.aged_out.clone(),
        );
        all
    }

    pub(super) fn of(&self, stream: &str, destination: &str) -> OwnMetrics {
        let labels = Labels { stream: stream.to_owned(), destination: destination.to_owned() };
        OwnMetrics {
            written: self.written.get_or_create_owned(&labels),
            aged_out: self.aged_out.get_or_create_owned(&labels),
        }
    }
}

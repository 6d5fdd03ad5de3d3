//! The queue's numbers: what happens is counted as it happens, what stands is asked for when shown.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::ledger::{Ledger, Overview};
use crate::telemetry::Metrics;

/// What an open queue shows when asked.
pub(super) trait Shown: Send + Sync {
    fn stream(&self) -> &str;
    fn overview(&self) -> Overview;
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStream {
    stream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    stream: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDestination {
    stream: String,
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    stream: String,
    destination: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfLapse {
    stream: String,
    destination: String,
    reason: &'static str,
}

type Queues = Arc<Mutex<Vec<Weak<dyn Shown>>>>;

/// The numbers of all queues of one agent.
#[derive(Clone)]
struct QueueMetrics {
    committed_records: Family<OfStream, Counter>,
    committed_bytes: Family<OfStream, Counter>,
    frames: Family<OfStream, Counter>,
    frame_bytes: Family<OfStream, Counter>,
    sync_seconds: Family<OfStream, Histogram>,
    refused_groups: Family<OfReason, Counter>,
    damaged_ranges: Family<OfStream, Counter>,
    repeated_groups: Family<OfStream, Counter>,
    dropped_records: Family<OfLapse, Counter>,
    queues: Queues,
}

/// The numbers of one queue.
pub(super) struct StreamMetrics {
    pub(super) committed_records: Counter,
    pub(super) committed_bytes: Counter,
    pub(super) frames: Counter,
    pub(super) frame_bytes: Counter,
    pub(super) sync_seconds: Histogram,
    pub(super) damaged_ranges: Counter,
    pub(super) repeated_groups: Counter,
    refused_groups: Family<OfReason, Counter>,
    dropped_records: Family<OfLapse, Counter>,
    stream: String,
    queues: Queues,
}

/// From fast NVMe to flash that stalls.
const SYNC_SECONDS: [f64; 11] =
    [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

impl StreamMetrics {
    pub(super) fn new(metrics: &Metrics, stream: &str) -> Self {
        let all = metrics.shared(QueueMetrics::register);
        let of = OfStream { stream: stream.to_owned() };
        Self {
            committed_records: all.committed_records.get_or_create_owned(&of),
            committed_bytes: all.committed_bytes.get_or_create_owned(&of),
            frames: all.frames.get_or_create_owned(&of),
            frame_bytes: all.frame_bytes.get_or_create_owned(&of),
            sync_seconds: all.sync_seconds.get_or_create_owned(&of),
            damaged_ranges: all.damaged_ranges.get_or_create_owned(&of),
            repeated_groups: all.repeated_groups.get_or_create_owned(&of),
            refused_groups: all.refused_groups,
            dropped_records: all.dropped_records,
            stream: of.stream,
            queues: all.queues,
        }
    }

    /// Counts refused groups; `reason` is one of the few words of the committer.
    pub(super) fn refused(&self, reason: &'static str, count: u64) {
        let of = OfReason { stream: self.stream.clone(), reason };
        self.refused_groups.get_or_create(&of).inc_by(count);
    }

    /// Counts what a policy dropped; `reason` is one of the few words of `lapse`.
    pub(super) fn dropped(&self, destination: &str, reason: &'static str, count: u64) {
        let (stream, destination) = (self.stream.clone(), destination.to_owned());
        self.dropped_records.get_or_create(&OfLapse { stream, destination, reason }).inc_by(count);
    }

    /// Lets a queue be shown as long as it lives.
    pub(super) fn show(&self, queue: Weak<dyn Shown>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|one| one.strong_count() > 0);
        queues.push(queue);
    }
}

impl QueueMetrics {
    fn register(registry: &mut Registry) -> Self {
        let all = Self {
            committed_records: Family::default(),
            committed_bytes: Family::default(),
            frames: Family::default(),
            frame_bytes: Family::default(),
            sync_seconds: Family::new_with_constructor(|| Histogram::new(SYNC_SECONDS)),
            refused_groups: Family::default(),
            damaged_ranges: Family::default(),
            repeated_groups: Family::default(),
            dropped_records: Family::default(),
            queues: Queues::default(),
        };
        let records = all.committed_records.clone();
        registry.register("queue_committed_records", "Payloads made durable", records);
        registry.register_with_unit(
            "queue_committed",
            "Bytes of payload made durable",
            Unit::Bytes,
            all.committed_bytes.clone(),
        );
        let frames = all.frames.clone();
        registry.register("queue_frames", "Group commits, one sync each", frames);
        registry.register_with_unit(
            "queue_frame",
            "Bytes of group commits as they lie on disk, packed and sealed",
            Unit::Bytes,
            all.frame_bytes.clone(),
        );
        registry.register_with_unit(
            "queue_sync",
            "Time of one sync of a segment",
            Unit::Seconds,
            all.sync_seconds.clone(),
        );
        let refused = all.refused_groups.clone();
        registry.register("queue_refused_groups", "Groups not stored, by reason", refused);
        let damaged = all.damaged_ranges.clone();
        registry.register("queue_damaged_ranges", "Ranges of segments found unreadable", damaged);
        let help = "Groups answered with an earlier one of the same key, and not stored";
        registry.register("queue_repeated_groups", help, all.repeated_groups.clone());
        let dropped = all.dropped_records.clone();
        registry.register(
            "queue_dropped_records",
            "Payloads dropped by policy, by reason",
            dropped,
        );
        registry.register_collector(Box::new(Standing(Arc::clone(&all.queues))));
        all
    }
}

/// What stands at the moment of asking.
#[derive(Debug)]
struct Standing(Queues);

impl fmt::Debug for dyn Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stream())
    }
}

type Pick = fn(&Ledger) -> u64;
type PickOfQueue = fn(&Overview) -> u64;

const STATES: [(&str, Pick); 5] = [
    ("accepted", |ledger| ledger.accepted),
    ("delivered", |ledger| ledger.delivered),
    ("dead", |ledger| ledger.dead),
    ("dropped", |ledger| ledger.dropped),
    ("damaged", |ledger| ledger.damaged),
];

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let queues: Vec<_> = {
            let queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            queues.iter().filter_map(Weak::upgrade).collect()
        };
        let shown: Vec<_> = queues.iter().map(|one| (one.stream(), one.overview())).collect();
        let bytes = Some(&Unit::Bytes);
        let of_queue: [(&str, &str, Option<&Unit>, PickOfQueue); 3] = [
            ("queue_used", "Bytes on disk of segments and spare ones", bytes, |queue| {
                queue.used_bytes
            }),
            ("queue_max", "The bound on the bytes of segments", bytes, |queue| queue.max_bytes),
            ("queue_unsynced_records", "Payloads answered, not synced", None, |queue| {
                queue.unsynced
            }),
        ];
        for (name, help, unit, pick) in of_queue {
            let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            for (stream, overview) in &shown {
                let of = OfStream { stream: (*stream).to_owned() };
                gauge(pick(overview)).encode(metric.encode_family(&of)?)?;
            }
        }
        let of_destination: [(&str, &str, Option<&Unit>, Pick); 4] = [
            ("queue_waiting_records", "Payloads still owed", None, |one| one.waiting),
            (
                "queue_span_records",
                "Payloads from the oldest still owed to the newest given out",
                None,
                |one| one.span,
            ),
            ("queue_waiting", "Bytes on disk still owed", bytes, |one| one.waiting_bytes),
            (
                "queue_oldest_waiting_timestamp",
                "When the oldest payload still owed was committed; 0 if there is none",
                Some(&Unit::Seconds),
                |one| one.oldest_unix_ms.unwrap_or(0) / 1000,
            ),
        ];
        for (name, help, unit, pick) in of_destination {
            let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            for (stream, destination, ledger) in ledgers(&shown) {
                let of = OfDestination { stream, destination };
                gauge(pick(ledger)).encode(metric.encode_family(&of)?)?;
            }
        }
        let help = "The books of each destination";
        let mut metric =
            encoder.encode_descriptor("queue_ledger_records", help, None, MetricType::Counter)?;
        for (stream, destination, ledger) in ledgers(&shown) {
            for (state, pick) in STATES {
                let (stream, destination) = (stream.clone(), destination.clone());
                let of = OfState { stream, destination, state };
                ConstCounter::new(pick(ledger)).encode(metric.encode_family(&of)?)?;
            }
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn ledgers<'a>(
    shown: &'a [(&str, Overview)],
) -> impl Iterator<Item = (String, String, &'a Ledger)> {
    shown.iter().flat_map(|(stream, overview)| {
        overview
            .ledgers
            .iter()
            .map(|(destination, ledger)| ((*stream).to_owned(), destination.clone(), ledger))
    })
}

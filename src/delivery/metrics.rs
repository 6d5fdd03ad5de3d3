//! Numbers of delivery.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing::debug;

use super::bundle::Bundle;
use super::class::Class;
use super::traced::Sending;
use super::watch::Paced;
use crate::telemetry::{SpanKind, Tracer};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    stream: String,
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteAndClass {
    stream: String,
    destination: String,
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteAndReason {
    stream: String,
    destination: String,
    reason: String,
}

/// From a local disk to a satellite link, in seconds.
const DURATION_BOUNDS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[derive(Clone, Debug)]
struct Durations;

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(DURATION_BOUNDS)
    }
}

/// The families all workers share.
#[derive(Clone, Debug)]
struct DeliveryMetrics {
    records: Family<Route, Counter>,
    requests: Family<Route, Counter>,
    retried: Family<Route, Counter>,
    entries: Family<Route, Counter>,
    entry_bytes: Family<Route, Counter>,
    strayed: Family<Route, Counter>,
    slowed_shards: Family<Route, Gauge>,
    shards_in_doubt: Family<Route, Gauge>,
    parked: Family<Route, Gauge>,
    dead: Family<RouteAndClass, Counter>,
    faults: Family<RouteAndClass, Counter>,
    in_flight: Family<Route, Gauge>,
    owed_bytes: Family<Route, Gauge>,
    in_flight_max: Family<Route, Gauge>,
    wire_bytes: Family<Route, Counter>,
    cut_off_bytes: Family<Route, Counter>,
    ration: Family<Route, Gauge>,
    paced: Family<RouteAndReason, Gauge>,
    holding: Family<RouteAndClass, Gauge>,
    held: Family<RouteAndClass, Counter<f64, AtomicU64>>,
    durations: Family<Route, Histogram, Durations>,
}

impl DeliveryMetrics {
    fn register(registry: &mut Registry) -> Self {
        let all = Self {
            records: Family::default(),
            requests: Family::default(),
            retried: Family::default(),
            entries: Family::default(),
            entry_bytes: Family::default(),
            strayed: Family::default(),
            slowed_shards: Family::default(),
            shards_in_doubt: Family::default(),
            parked: Family::default(),
            dead: Family::default(),
            faults: Family::default(),
            in_flight: Family::default(),
            owed_bytes: Family::default(),
            in_flight_max: Family::default(),
            wire_bytes: Family::default(),
            cut_off_bytes: Family::default(),
            ration: Family::default(),
            paced: Family::default(),
            holding: Family::default(),
            held: Family::default(),
            durations: Family::new_with_constructor(Durations),
        };
        let registry = registry.sub_registry_with_prefix("delivery");
        registry.register("records", "Records the destination took", all.records.clone());
        registry.register("requests", "Requests sent", all.requests.clone());
        registry.register("retried_records", "Records sent once more", all.retried.clone());
        registry.register(
            "entries",
            "Entries sent: records, or aggregates of several",
            all.entries.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Payloads and partition keys of what was sent",
            Unit::Bytes,
            all.entry_bytes.clone(),
        );
        all.register_shards(registry);
        registry.register("dead_letters", "Records given up, by class", all.dead.clone());
        registry.register("faults", "Entries that met a fault, by class", all.faults.clone());
        registry.register("in_flight", "Requests under way", all.in_flight.clone());
        registry.register_with_unit(
            "owed",
            "Memory held by records read from the queue and not settled",
            Unit::Bytes,
            all.owed_bytes.clone(),
        );
        all.register_waits(registry);
        registry.register_with_unit(
            "request",
            "From sending a request to its answer or its loss",
            Unit::Seconds,
            all.durations.clone(),
        );
        all
    }

    /// What tells of shards.
    fn register_shards(&self, registry: &mut Registry) {
        registry.register(
            "strayed_records",
            "Records sent once more because their aggregate ended up in another shard",
            self.strayed.clone(),
        );
        registry.register(
            "slowed_shards",
            "Shards that are sent less now than they should take, because they throttled",
            self.slowed_shards.clone(),
        );
        registry.register(
            "shards_in_doubt",
            "1 while answers name other shards than the stream lists, or it does not tell, else 0",
            self.shards_in_doubt.clone(),
        );
        registry.register(
            "parked_records",
            "Records that were read and wait on disk again, because their shard has enough",
            self.parked.clone(),
        );
    }

    /// What tells how fast it goes, and why not faster.
    fn register_waits(&self, registry: &mut Registry) {
        registry.register(
            "in_flight_max",
            "Most requests under way at once, as the destination bears them now",
            self.in_flight_max.clone(),
        );
        registry.register_with_unit(
            "wire",
            "Bodies of requests as they went over the link",
            Unit::Bytes,
            self.wire_bytes.clone(),
        );
        registry.register_with_unit(
            "cut_off",
            "What went over the link of requests that broke off while they were sent; it goes again",
            Unit::Bytes,
            self.cut_off_bytes.clone(),
        );
        registry.register_with_unit(
            "request_max",
            "Most that one request carries, as the link bears it now",
            Unit::Bytes,
            self.ration.clone(),
        );
        registry.register(
            "paced",
            "1 while records wait for a window, a budget, others or a slow way to catch up, else 0",
            self.paced.clone(),
        );
        registry.register(
            "holding",
            "1 while the destination takes nothing for a fault of this class, else 0",
            self.holding.clone(),
        );
        registry.register_with_unit(
            "held",
            "Time in which the destination took nothing, by class",
            Unit::Seconds,
            self.held.clone(),
        );
    }
}

/// The numbers of one worker.
#[derive(Clone, Debug)]
pub(super) struct WorkerMetrics {
    tracer: Tracer,
    pub(super) records: Counter,
    requests: Counter,
    pub(super) strayed: Counter,
    slowed_shards: Gauge,
    shards_in_doubt: Gauge,
    parked: Gauge,
    retried: Counter,
    entries: Counter,
    entry_bytes: Counter,
    in_flight: Gauge,
    in_flight_max: Gauge,
    pub(super) wire_bytes: Counter,
    pub(super) cut_off_bytes: Counter,
    ration: Gauge,
    owed_bytes: Gauge,
    durations: Histogram,
    by_class: DeliveryMetrics,
    route: Route,
}

impl WorkerMetrics {
    pub(super) fn register(
        metrics: &crate::telemetry::Metrics,
        stream: &str,
        destination: &str,
    ) -> Self {
        let all = metrics.shared(DeliveryMetrics::register);
        let route = Route { stream: stream.to_owned(), destination: destination.to_owned() };
        let own = Self {
            tracer: Tracer::of(metrics),
            records: all.records.get_or_create_owned(&route),
            requests: all.requests.get_or_create_owned(&route),
            retried: all.retried.get_or_create_owned(&route),
            entries: all.entries.get_or_create_owned(&route),
            entry_bytes: all.entry_bytes.get_or_create_owned(&route),
            strayed: all.strayed.get_or_create_owned(&route),
            slowed_shards: all.slowed_shards.get_or_create_owned(&route),
            shards_in_doubt: all.shards_in_doubt.get_or_create_owned(&route),
            parked: all.parked.get_or_create_owned(&route),
            in_flight: all.in_flight.get_or_create_owned(&route),
            in_flight_max: all.in_flight_max.get_or_create_owned(&route),
            wire_bytes: all.wire_bytes.get_or_create_owned(&route),
            cut_off_bytes: all.cut_off_bytes.get_or_create_owned(&route),
            ration: all.ration.get_or_create_owned(&route),
            owed_bytes: all.owed_bytes.get_or_create_owned(&route),
            durations: all.durations.get_or_create_owned(&route),
            by_class: all,
            route,
        };
        own.holding(None);
        own.paced(None);
        own
    }

    /// The span of a request that is about to be sent, if its trace is kept.
    pub(super) fn span(&self, bundles: &[Bundle], bytes: u64) -> Option<Sending> {
        let begun = self.tracer.begin(SpanKind::Producer, None)?;
        Some(Sending {
            begun,
            stream: self.route.stream.clone(),
            destination: self.route.destination.clone(),
            records: bundles.iter().map(|bundle| bundle.parcels.len()).sum(),
            bytes,
        })
    }

    /// So many requests are under way, so many may be, and so many bytes are owed.
    pub(super) fn work(&self, in_flight: usize, in_flight_max: usize, owed_bytes: usize) {
        set(&self.in_flight, in_flight);
        set(&self.in_flight_max, in_flight_max);
        set(&self.owed_bytes, owed_bytes);
    }

    /// One request carries so many bytes at most.
    pub(super) fn ration(&self, bytes: usize) {
        set(&self.ration, bytes);
    }

    /// The worker is gone: it has nothing under way and waits for nothing.
    pub(super) fn rest(&self) {
        self.work(0, 0, 0);
        self.shards(0, 0, false);
        self.holding(None);
        self.paced(None);
    }

    /// So many shards are slowed, so many records parked, and the shards that are known may be wrong.
    pub(super) fn shards(&self, slowed: usize, parked: usize, is_in_doubt: bool) {
        set(&self.slowed_shards, slowed);
        set(&self.shards_in_doubt, usize::from(is_in_doubt));
        set(&self.parked, parked);
    }

    /// A request goes, with so many records in it that were sent before.
    pub(super) fn sent(&self, bundles: &[Bundle], again: u64) {
        self.requests.inc();
        self.retried.inc_by(again);
        self.entries.inc_by(bundles.len() as u64);
        let bytes: usize = bundles.iter().map(Bundle::bytes).sum();
        self.entry_bytes.inc_by(bytes as u64);
    }

    /// Of so many entries, some met faults of these classes.
    pub(super) fn faults(&self, faults: &[(Class, u64)], of: usize) {
        for (class, failed) in faults {
            debug!(class = class.as_str(), failed, of, "entries met a fault");
            self.by_class.faults.get_or_create(&self.with(class.as_str())).inc_by(*failed);
        }
    }

    pub(super) fn dead(&self, class: &str, letters: u64) {
        self.by_class.dead.get_or_create(&self.with(class)).inc_by(letters);
    }

    /// The destination has been held so long since this was said last.
    pub(super) fn held(&self, class: Class, duration: Duration) {
        self.by_class.held.get_or_create(&self.with(class.as_str())).inc_by(duration.as_secs_f64());
    }

    /// What records wait for though nothing is wrong, if anything.
    pub(super) fn paced(&self, now: Option<Paced>) {
        for reason in Paced::ALL {
            let Route { stream, destination } = self.route.clone();
            let labels = RouteAndReason { stream, destination, reason: reason.as_str().to_owned() };
            self.by_class.paced.get_or_create(&labels).set(i64::from(Some(reason) == now));
        }
    }

    /// The class of the present trouble, `None` when the destination is well.
    pub(super) fn holding(&self, now: Option<Class>) {
        for class in Class::ALL {
            let holding = self.by_class.holding.get_or_create(&self.with(class.as_str()));
            holding.set(i64::from(Some(class) == now));
        }
    }

    pub(super) fn took(&self, duration: Duration) {
        self.durations.observe(duration.as_secs_f64());
    }

    fn with(&self, class: &str) -> RouteAndClass {
        let Route { stream, destination } = self.route.clone();
        RouteAndClass { stream, destination, class: class.to_owned() }
    }
}

fn set(gauge: &Gauge, count: usize) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

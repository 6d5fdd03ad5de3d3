//! The numbers of one listener.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::rules::{Mode, RuleSettings};
use crate::base::serve::TurnedAway;
use crate::telemetry::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByListener {
    listener: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    listener: String,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    listener: String,
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    listener: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRule {
    listener: String,
    rule: String,
    mode: &'static str,
}

/// The numbers of all listeners together.
#[derive(Clone, Debug)]
struct Families {
    requests: Family<ByStatus, Counter>,
    seconds: Family<ByRoute, Histogram, fn() -> Histogram>,
    body_bytes: Family<ByListener, Counter>,
    connections: Family<ByListener, Gauge>,
    turned_away: Family<ByReason, Counter>,
    rule_matches: Family<ByRule, Counter>,
    certificate: Family<ByListener, Gauge>,
}

#[derive(Clone, Debug)]
pub(super) struct Numbers {
    families: Families,
    listener: String,
    body_bytes: Counter,
    connections: Gauge,
    answered: Arc<RwLock<Vec<Answered>>>,
}

/// What every request changes, at hand: to look it up by its labels costs more than many a request.
#[derive(Debug)]
struct Answered {
    route: &'static str,
    status: u16,
    requests: Counter,
    seconds: Histogram,
}

/// From a sync on a good disk to the longest wait for a slow body.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Families {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            body_bytes: Family::default(),
            connections: Family::default(),
            turned_away: Family::default(),
            rule_matches: Family::default(),
            certificate: Family::default(),
        };
        registry.register("http_requests", "Requests answered", families.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time from the end of a request's head to its answer",
            families.seconds.clone(),
        );
        registry.register(
            "http_body_bytes",
            "Bytes of request bodies as they came in",
            families.body_bytes.clone(),
        );
        registry.register("http_connections", "Open connections", families.connections.clone());
        registry.register(
            "http_turned_away",
            "Connections and requests that were turned away before they were looked at",
            families.turned_away.clone(),
        );
        registry.register(
            "http_rule_matches",
            "Requests that a rule met, whether they were let through or not",
            families.rule_matches.clone(),
        );
        registry.register(
            "http_certificate_valid_until_seconds",
            "End of the certificate in force, in seconds since 1970",
            families.certificate.clone(),
        );
        families
    }
}

impl Answered {
    fn count(&self, took: Duration) {
        self.requests.inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

impl Numbers {
    pub(super) fn new(metrics: &Metrics, listener: &str) -> Self {
        let families = metrics.shared(Families::register);
        let label = ByListener { listener: listener.to_owned() };
        Self {
            body_bytes: families.body_bytes.get_or_create_owned(&label),
            connections: families.connections.get_or_create_owned(&label),
            listener: listener.to_owned(),
            answered: Arc::default(),
            families,
        }
    }

    pub(super) fn request(&self, route: &'static str, status: u16, took: Duration) {
        let answered = self.answered.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(numbers) =
            answered.iter().find(|one| one.status == status && one.route == route)
        {
            return numbers.count(took);
        }
        drop(answered);
        let listener = self.listener.clone();
        let by_status = ByStatus { listener: listener.clone(), route, status };
        let numbers = Answered {
            route,
            status,
            requests: self.families.requests.get_or_create_owned(&by_status),
            seconds: self.families.seconds.get_or_create_owned(&ByRoute { listener, route }),
        };
        numbers.count(took);
        // Of two that come at once both are kept: they count in the same place.
        self.answered.write().unwrap_or_else(PoisonError::into_inner).push(numbers);
    }

    pub(super) fn body(&self, bytes: usize) {
        self.body_bytes.inc_by(bytes as u64);
    }

    pub(super) fn connection(&self, change: i64) {
        self.connections.inc_by(change);
    }

    pub(super) fn turned_away(&self, why: TurnedAway) {
        self.count_turned_away(match why {
            TurnedAway::TooMany => "too-many-connections",
            TurnedAway::Handshake => "tls-handshake",
        });
    }

    pub(super) fn refused_address(&self) {
        self.count_turned_away("address");
    }

    fn count_turned_away(&self, reason: &'static str) {
        let labels = ByReason { listener: self.listener.clone(), reason };
        self.families.turned_away.get_or_create(&labels).inc();
    }

    pub(super) fn met(&self, rule: &RuleSettings) {
        let mode = match rule.mode {
            Mode::Count => "count",
            Mode::Block => "block",
        };
        let (listener, rule) = (self.listener.clone(), rule.name.clone());
        self.families.rule_matches.get_or_create(&ByRule { listener, rule, mode }).inc();
    }

    pub(super) fn certificate(&self, valid_until: i64) {
        let labels = ByListener { listener: self.listener.clone() };
        self.families.certificate.get_or_create(&labels).set(valid_until);
    }
}

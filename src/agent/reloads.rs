//! What became of reloads so far: for `weir status`, and as numbers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use serde_json::{Value, json};

use crate::base::clock::Clock;
use crate::telemetry::Metrics;

/// Names of what changed and of what needs a restart; or in words why nothing changed.
pub(super) type Outcome = Result<Done, String>;

pub(super) struct Done {
    pub(super) changed: Vec<String>,
    pub(super) needs_restart: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, Default)]
struct Numbers {
    reloads: Family<ByResult, Counter>,
    is_last_successful: Gauge,
    loaded: Gauge,
}

impl Numbers {
    fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        registry.register(
            "config_reloads",
            "Times the configuration was read again, by result",
            all.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "0 if the last configuration that was read again was refused, else 1",
            all.is_last_successful.clone(),
        );
        registry.register_with_unit(
            "config_loaded_timestamp",
            "When the configuration was taken over that the agent goes by",
            Unit::Seconds,
            all.loaded.clone(),
        );
        all
    }
}

/// What became of reloads so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Reloads {
    count: u64,
    loaded_unix_ms: u64,
    /// Why the last one was refused, in words.
    refused: Option<String>,
    changed: Vec<String>,
    needs_restart: Vec<String>,
    numbers: Numbers,
}

impl Reloads {
    /// None so far.
    pub(super) fn new(clock: &Clock, metrics: &Metrics) -> Self {
        let numbers = metrics.shared(Numbers::register);
        let reloads = Self { numbers, loaded_unix_ms: clock.unix_ms(), ..Self::default() };
        reloads.show();
        reloads
    }

    fn show(&self) {
        self.numbers.is_last_successful.set(i64::from(self.refused.is_none()));
        self.numbers.loaded.set(i64::try_from(self.loaded_unix_ms / 1_000).unwrap_or(i64::MAX));
    }

    pub(super) fn book(&mut self, clock: &Clock, outcome: Outcome) {
        self.count += 1;
        let result = match outcome {
            Ok(done) => {
                (self.loaded_unix_ms, self.refused) = (clock.unix_ms(), None);
                (self.changed, self.needs_restart) = (done.changed, done.needs_restart);
                "done"
            }
            Err(why) => {
                self.refused = Some(why);
                "refused"
            }
        };
        self.numbers.reloads.get_or_create(&ByResult { result }).inc();
        self.show();
    }

    pub(super) fn draw(&self) -> Value {
        json!({
            "loaded_unix_ms": self.loaded_unix_ms,
            "reloads": self.count,
            "refused": self.refused,
            "changed": self.changed,
            "needs_restart": self.needs_restart,
        })
    }
}

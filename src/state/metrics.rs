//! Numbers of the store.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Level = Gauge<u64, AtomicU64>;

#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) keys: Level,
    pub(super) bytes: Level,
    pub(super) disk_bytes: Level,
    pub(super) on_disk: Level,
    pub(super) commits: Counter,
    pub(super) failures: Counter,
    pub(super) set_aside: Counter,
    pub(super) commit_seconds: Histogram,
}

/// From fast NVMe to flash that stalls.
const COMMIT_SECONDS: [f64; 8] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

impl Numbers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self {
            keys: Level::default(),
            bytes: Level::default(),
            disk_bytes: Level::default(),
            on_disk: Level::default(),
            commits: Counter::default(),
            failures: Counter::default(),
            set_aside: Counter::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
        };
        registry.register("state_keys", "Keys in the state store", all.keys.clone());
        registry.register("state_bytes", "Their bytes, with their values", all.bytes.clone());
        registry.register("state_disk_bytes", "What its files take", all.disk_bytes.clone());
        registry.register(
            "state_on_disk",
            "1 while changes reach the disk, 0 while they are in memory only",
            all.on_disk.clone(),
        );
        registry.register("state_commits", "Synced commits", all.commits.clone());
        registry.register("state_failures", "Failed commits and openings", all.failures.clone());
        registry.register(
            "state_set_aside",
            "Stores that were set aside as damaged and begun anew",
            all.set_aside.clone(),
        );
        registry.register_with_unit(
            "state_commit",
            "One commit, its sync included",
            Unit::Seconds,
            all.commit_seconds.clone(),
        );
        all
    }
}

//! What a runner is made of.

use std::sync::Arc;

use super::Settings;
use super::metrics::WorkerMetrics;
use super::uplink::Uplink;
use super::watch::Watch;
use crate::base::clock::Clock;
use crate::dead_letter::Shelf;

/// What a runner is made of.
pub(super) struct Parts<S, F> {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) sink: Arc<S>,
    pub(super) feed: F,
    pub(super) shelf: Shelf,
    pub(super) uplink: Uplink,
    pub(super) watch: Watch,
    pub(super) metrics: WorkerMetrics,
}

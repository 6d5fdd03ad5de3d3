//! The worker as the agent sees it.

use std::fmt;
use std::sync::Arc;

use super::Settings;
use super::feed::Ends;
use super::metrics::WorkerMetrics;
use super::parts::Parts;
use super::runner::Runner;
use super::uplink::Uplink;
use super::watch::Watch;
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::dead_letter::Shelf;
use crate::queue::{Reader, Writer};
use crate::sink::Sink;
use crate::telemetry::Metrics;

/// Feeds one destination until `stopping` is asked, then until nothing is under way.
pub struct Worker<S> {
    settings: Settings,
    clock: Clock,
    ends: Ends,
    shelf: Shelf,
    sink: Arc<S>,
    uplink: Uplink,
    watch: Watch,
    metrics: WorkerMetrics,
}

impl<S: Sink> Worker<S> {
    /// A worker that has not started, between both ends of its queue.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part of its own; the agent names them"
    )]
    pub fn new(
        settings: Settings,
        clock: Clock,
        (reader, writer): (Reader, Writer),
        shelf: Shelf,
        sink: Arc<S>,
        metrics: &Metrics,
    ) -> Self {
        let shelf = shelf.counted_in(metrics);
        let metrics = WorkerMetrics::register(metrics, &settings.stream, &settings.destination);
        let (uplink, watch) = (Uplink::default(), Watch::default().with_shelf(&shelf));
        let ends = Ends { reader, writer };
        Self { settings, clock, ends, shelf, sink, uplink, watch, metrics }
    }

    /// The same, sending over the links that all workers share.
    #[must_use]
    pub fn over(self, uplink: &Uplink) -> Self {
        Self { uplink: uplink.clone(), ..self }
    }

    /// What the operator should know about this destination now.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Works until asked to stop, or until the queue is closed and everything is settled. When
    /// asked, it ends the requests under way, settles them, and gives up every wait; what is not
    /// settled then stays in the queue.
    ///
    /// # Errors
    /// In words, when a request panicked.
    pub async fn run(self, stopping: Stopping) -> Result<(), String> {
        let Self { settings, clock, ends, shelf, sink, uplink, watch, metrics } = self;
        let resting = metrics.clone();
        let parts = Parts { settings, clock, sink, feed: ends, shelf, uplink, watch, metrics };
        let ended = Box::pin(Runner::new(parts).run(stopping)).await;
        resting.rest();
        ended
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

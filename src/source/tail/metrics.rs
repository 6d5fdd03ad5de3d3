//! Numbers of the tail blocks, told apart by the label `tail`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::telemetry::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Block {
    tail: String,
}

/// The numbers of all blocks.
#[derive(Clone)]
struct Numbers {
    lines: Family<Block, Counter>,
    bytes: Family<Block, Counter>,
    files: Family<Block, Gauge>,
    lag_bytes: Family<Block, Gauge>,
    cuts: Family<Block, Counter>,
    rejected: Family<Block, Counter>,
    read_errors: Family<Block, Counter>,
    restarts: Family<Block, Counter>,
    refusals: Family<Block, Counter>,
    vanished_bytes: Family<Block, Counter>,
    pinned_bytes: Family<Block, Gauge>,
    unreadable: Family<Block, Gauge>,
    finished: Family<Block, Counter>,
}

/// The numbers of one block.
#[derive(Clone, Debug)]
pub(super) struct BlockNumbers {
    /// Lines durable in the queue.
    pub(super) lines: Counter,
    /// Bytes of files whose lines are durable.
    pub(super) bytes: Counter,
    /// Files followed now.
    pub(super) files: Gauge,
    /// Bytes of them not durable yet.
    pub(super) lag_bytes: Gauge,
    /// Places in which an over-long line was cut.
    pub(super) cuts: Counter,
    /// Lines that admission rejected.
    pub(super) rejected: Counter,
    /// Files or folders that could not be read, each time.
    pub(super) read_errors: Counter,
    /// Files begun anew because other content stood there.
    pub(super) restarts: Counter,
    /// Hand-overs that admission put off.
    pub(super) refusals: Counter,
    /// Bytes of files that were deleted before they were read.
    pub(super) vanished_bytes: Counter,
    /// Bytes of deleted files that are still open.
    pub(super) pinned_bytes: Gauge,
    /// Files and folders that cannot be read now.
    pub(super) unreadable: Gauge,
    /// Delivered files that were deleted or moved.
    pub(super) finished: Counter,
}

impl BlockNumbers {
    pub(super) fn register(metrics: &Metrics, tail: &str) -> Self {
        let all = metrics.shared(Numbers::register);
        let block = Block { tail: tail.to_owned() };
        let counter = |family: &Family<Block, Counter>| family.get_or_create_owned(&block);
        let gauge = |family: &Family<Block, Gauge>| family.get_or_create_owned(&block);
        Self {
            lines: counter(&all.lines),
            bytes: counter(&all.bytes),
            files: gauge(&all.files),
            lag_bytes: gauge(&all.lag_bytes),
            cuts: counter(&all.cuts),
            rejected: counter(&all.rejected),
            read_errors: counter(&all.read_errors),
            restarts: counter(&all.restarts),
            refusals: counter(&all.refusals),
            vanished_bytes: counter(&all.vanished_bytes),
            pinned_bytes: gauge(&all.pinned_bytes),
            unreadable: gauge(&all.unreadable),
            finished: counter(&all.finished),
        }
    }
}

impl Numbers {
    fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, what: &str| {
            let family = Family::<Block, Counter>::default();
            registry.register(name, what, family.clone());
            family
        };
        let lines = counter("tail_lines", "Lines of followed files made durable in the queue");
        let bytes = counter("tail_bytes", "Bytes of followed files whose lines are durable");
        let cuts = counter("tail_cuts", "Places in which an over-long line was cut");
        let rejected = counter("tail_rejected_lines", "Lines set aside as dead letters");
        let read_errors = counter("tail_read_errors", "Failed reads of files and folders");
        let restarts = counter("tail_restarts", "Files begun anew: truncated or replaced");
        let refusals = counter("tail_refusals", "Hand-overs put off because the queue took none");
        let vanished = "Bytes of files that were deleted before they were read";
        let vanished_bytes = counter("tail_vanished_bytes", vanished);
        let finished = counter("tail_finished_files", "Delivered files that were deleted or moved");
        let mut gauge = |name: &str, what: &str| {
            let family = Family::<Block, Gauge>::default();
            registry.register(name, what, family.clone());
            family
        };
        let files = gauge("tail_files", "Files followed now");
        let pinned_bytes = gauge("tail_pinned_bytes", "Bytes of deleted files that are still open");
        let unreadable = gauge("tail_unreadable", "Files and folders that cannot be read now");
        let lag_bytes = gauge("tail_lag_bytes", "Bytes of followed files not durable yet");
        Self {
            lines,
            bytes,
            files,
            lag_bytes,
            cuts,
            rejected,
            read_errors,
            restarts,
            refusals,
            vanished_bytes,
            pinned_bytes,
            unreadable,
            finished,
        }
    }
}

//! What is seen of the upstream behind a destination, beside what delivery itself shows.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::sink::{Firehose, Kinesis, ServiceClock};

/// A look at one upstream.
pub(super) type SightOf = Arc<dyn Fn() -> Sight + Send + Sync>;

/// What is seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sight {
    /// What the service's time is ahead of the host's clock.
    offset_ms: i64,
    /// When the credentials at hand end, if they do, and whether that is over.
    credentials: Option<(u64, bool)>,
    /// Permissions that would save something, and are refused.
    missing: Vec<&'static str>,
    /// Whether answers contradict what the stream says of its shards.
    is_in_doubt: bool,
}

/// An offset below is nobody's business.
const OFFSET_MS_MIN: u64 = 1_000;

impl Sight {
    pub(super) fn of_kinesis(sink: &Arc<Kinesis>, clock: &ServiceClock) -> SightOf {
        let (sink, clock) = (Arc::clone(sink), clock.clone());
        Arc::new(move || Self {
            missing: sink.missing_permissions(),
            is_in_doubt: sink.is_in_doubt(),
            ..Self::of(&clock, sink.credentials_end_unix_ms())
        })
    }

    pub(super) fn of_firehose(sink: &Arc<Firehose>, clock: &ServiceClock) -> SightOf {
        let (sink, clock) = (Arc::clone(sink), clock.clone());
        Arc::new(move || Self::of(&clock, sink.credentials_end_unix_ms()))
    }

    fn of(clock: &ServiceClock, end: Option<u64>) -> Self {
        let now = clock.unix_ms();
        Self {
            offset_ms: clock.memory().offset_ms,
            credentials: end.map(|end| (end, end <= now)),
            missing: Vec::new(),
            is_in_doubt: false,
        }
    }

    /// As rows of the destination in the status.
    pub(super) fn draw(&self) -> Map<String, Value> {
        let is_off = self.offset_ms.unsigned_abs() >= OFFSET_MS_MIN;
        let rows = [
            ("clock_offset_ms", is_off.then_some(self.offset_ms).into()),
            ("credentials_end_unix_ms", self.credentials.map(|(end, _)| end).into()),
            ("credentials_expired", self.credentials.is_some_and(|(_, is_over)| is_over).into()),
            ("missing_permissions", json!(self.missing)),
            ("shards_in_doubt", self.is_in_doubt.into()),
        ];
        rows.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

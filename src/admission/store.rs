//! The last step: admitted records into the queue of their stream, and a receipt back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::once::Note;
use super::plans::{Booking, Meter};
use super::{Once, Pass, Refusal, StreamSettings};
use crate::queue::{self, AppendError, Group, Mark};
use crate::record::{KeyTemplate, RecordId};

/// When to try again at a full queue: delivery frees whole segments, which takes seconds.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);
/// When to try again at a failing disk: the queue tries a new file by itself in that time.
const RETRY_WHEN_BROKEN: Duration = Duration::from_secs(10);

/// A stream as admission sees it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) max_record_bytes: u64,
    pub(super) partition_key: Option<KeyTemplate>,
    pub(super) plan: Option<String>,
    queue: queue::Writer,
}

/// Where records came from, and where they go.
#[derive(Clone, Debug)]
pub(super) struct From {
    pub(super) stream: Arc<Stream>,
    pub(super) source: String,
    pub(super) caller: String,
}

/// Records that are valid and keyed, with the marks that belong to them.
#[derive(Debug)]
pub struct Admitted {
    pub(super) from: From,
    pub(super) payload_bytes: u64,
    booking: Booking,
    group: Group,
    first: Option<RecordId>,
    last: Option<RecordId>,
}

/// Proof that records are on stable storage; a success answer needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "no other room of this crate may write one either"
)]
pub struct Receipt {
    /// How many records.
    pub accepted: u32,
    /// Id of the first; `None` when there was none.
    pub first: Option<RecordId>,
    /// Id of the last.
    pub last: Option<RecordId>,
    /// It is that of an earlier hand-in with the same key; this one was not stored.
    pub is_repeated: bool,
    /// Place of the last in the queue of its stream; of the one before them, when there was none.
    pub place: u64,
    _durable: (),
}

#[cfg(test)]
impl Receipt {
    /// A receipt that proves nothing, for tests of what follows one.
    pub(crate) fn pretended(accepted: u32) -> Self {
        let (first, last) = (None, None);
        Self { accepted, first, last, is_repeated: false, place: 0, _durable: () }
    }
}

/// Pairs each stream with its queue; by its name and by its aliases.
pub(super) fn streams(
    settings: BTreeMap<String, StreamSettings>,
    mut queues: BTreeMap<String, queue::Writer>,
) -> Result<BTreeMap<String, Arc<Stream>>, String> {
    let mut streams = BTreeMap::new();
    for (name, settings) in settings {
        let queue = queues.remove(&name).ok_or_else(|| format!("stream `{name}` has no queue"))?;
        let StreamSettings { max_record_bytes, partition_key, aliases, plan } = settings;
        let stream = Stream { name: name.clone(), max_record_bytes, partition_key, plan, queue };
        let stream = Arc::new(stream);
        let names = aliases.into_iter().chain([name]);
        streams.extend(names.map(|name| (name, stream.clone())));
    }
    Ok(streams)
}

impl Stream {
    pub(super) fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        self.queue.marks(prefix)
    }

    pub(super) fn last_place(&self) -> u64 {
        self.queue.overview().committed
    }

    pub(super) fn unready(&self) -> Option<String> {
        let why = self.queue.health().err()?;
        Some(format!("stream `{}` takes nothing: {why}", self.name))
    }
}

impl Admitted {
    pub(super) fn new(pass: &Pass) -> Self {
        Self {
            from: From {
                stream: pass.stream.clone(),
                source: pass.source.clone(),
                caller: pass.caller.clone(),
            },
            payload_bytes: 0,
            booking: Booking::default(),
            group: Group::default(),
            first: None,
            last: None,
        }
    }

    pub(super) fn push(&mut self, id: RecordId, encoded: Bytes, payload_bytes: usize) {
        self.first.get_or_insert(id);
        self.last = Some(id);
        self.payload_bytes += payload_bytes as u64;
        self.group.payloads.push(encoded);
    }

    /// Adds a mark that becomes durable together with the records, or not at all.
    #[must_use]
    pub fn with_mark(mut self, name: String, value: Option<Bytes>) -> Self {
        self.group.marks.push(Mark { name, value });
        self
    }

    /// Has it stored once: a repetition is answered with the receipt of the first.
    #[must_use]
    pub fn once(mut self, pass: &Pass, once: &Once<'_>) -> Self {
        self.group.key = self.first.map(|first| once.key(pass, first));
        self
    }

    /// Bytes of its payloads in the queue.
    pub fn bytes(&self) -> usize {
        self.group.payloads.iter().map(Bytes::len).sum()
    }

    /// How many records it holds.
    pub fn count(&self) -> usize {
        self.group.payloads.len()
    }

    #[cfg(test)]
    pub(super) fn encoded(&self) -> Vec<Bytes> {
        self.group.payloads.clone()
    }

    /// Books it in the quotas of those who hold it.
    pub(super) fn book(&mut self, meters: &[Arc<Meter>]) -> Result<(), Refusal> {
        self.booking = Booking::of(meters, self.count() as u64, self.payload_bytes)?;
        Ok(())
    }

    /// What was booked counts from here on, unless it turns out that nothing was stored.
    pub(super) async fn store(mut self) -> Result<Receipt, Refusal> {
        let mut booking = std::mem::take(&mut self.booking);
        booking.keep();
        let stored = self.append().await;
        if stored.as_ref().map_or(true, |receipt| receipt.is_repeated) {
            booking.undo();
        }
        stored
    }

    async fn append(self) -> Result<Receipt, Refusal> {
        let own = self.group.key.as_ref().and_then(|key| Note::decode(&key.note));
        let durable = self.from.stream.queue.append(self.group).await.map_err(refusal)?;
        let accepted = durable.count();
        let place = (durable.first().0 + u64::from(accepted)).saturating_sub(1);
        let Some(earlier) = durable.note_of_earlier() else {
            let (first, last) = (self.first, self.last);
            let is_repeated = false;
            return Ok(Receipt { accepted, first, last, is_repeated, place, _durable: () });
        };
        let earlier =
            Note::decode(earlier).filter(|earlier| own.is_some_and(|own| own.body == earlier.body));
        let first = earlier.ok_or(Refusal::KeyReused)?.first;
        // Ids of one hand-in are in a row.
        let last = Some(first.plus(accepted.saturating_sub(1)));
        Ok(Receipt { accepted, first: Some(first), last, is_repeated: true, place, _durable: () })
    }
}

fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } | AppendError::DiskFull { .. } => {
            Refusal::Full { retry_after: RETRY_WHEN_FULL }
        }
        AppendError::TooLarge { max_bytes, .. } => Refusal::TooLarge { limit: max_bytes },
        AppendError::Disk(_) => Refusal::Broken { retry_after: RETRY_WHEN_BROKEN },
        AppendError::Closed => Refusal::Stopping,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_queue_has_its_refusal() {
        let full = Refusal::Full { retry_after: RETRY_WHEN_FULL };
        let broken = Refusal::Broken { retry_after: RETRY_WHEN_BROKEN };
        for (fault, expected) in [
            (AppendError::Full { used_bytes: 9, max_bytes: 9 }, full.clone()),
            (AppendError::DiskFull { free_bytes: 0 }, full),
            (AppendError::TooLarge { bytes: 9, max_bytes: 8 }, Refusal::TooLarge { limit: 8 }),
            (AppendError::Disk("input/output error".into()), broken),
            (AppendError::Closed, Refusal::Stopping),
        ] {
            assert_eq!(refusal(fault), expected);
        }
    }
}

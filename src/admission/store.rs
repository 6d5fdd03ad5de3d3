//! The last step: admitted records into the queue of their stream, and a receipt back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::metrics::{Numbers, Tallies};
use super::once::{Note, Thanked};
use super::plans::Booking;
use super::treatment::Treatment;
use super::{Once, Pass, Refusal, StreamSettings};
use crate::queue::{self, AppendError, Group, Mark, OnceKey};
use crate::record::{KeyTemplate, RecordId, Text};

/// When to try again at a full queue: delivery frees whole segments, which takes seconds.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(5);
/// When to try again at a failing disk: the queue tries a new file by itself in that time.
const RETRY_WHEN_BROKEN: Duration = Duration::from_secs(10);

/// So many turns have room in a millisecond before they run ahead of the clock.
const TURN_BITS: u32 = 16;

/// A stream as admission sees it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) max_record_bytes: u64,
    pub(super) partition_key: Option<KeyTemplate>,
    pub(super) plan: Option<String>,
    pub(super) treatment: Treatment,
    /// Records that transforms of the stream, or of routes to it, dropped since the start.
    dropped: Arc<AtomicU64>,
    /// The turn of the last hand-in of which nothing stayed here.
    turn: Arc<AtomicU64>,
    pub(super) tallies: Tallies,
    queue: queue::Writer,
}

/// Records that are valid and keyed, with the marks that belong to them.
#[derive(Debug)]
pub struct Admitted {
    source: Text,
    caller: Text,
    booking: Booking,
    /// There is no room for it in a quota; only a repetition needs none.
    over: Option<Refusal>,
    /// What goes to the stream they were handed in for.
    own: Part,
    /// What transforms lead elsewhere, by the stream.
    led: Vec<Part>,
    first: Option<RecordId>,
    last: Option<RecordId>,
    /// Dropped by transforms.
    dropped: u32,
    once: Option<OnceKey>,
}

/// What one stream gets of a hand-in.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) stream: Arc<Stream>,
    pub(super) payload_bytes: u64,
    group: Group,
}

/// Proof that records are on stable storage; a success answer needs one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::manual_non_exhaustive,
    reason = "no other room of this crate may write one either"
)]
pub struct Receipt {
    /// How many records, with those that transforms dropped.
    pub accepted: u32,
    /// How many of them transforms dropped, as the operator wants it.
    pub dropped: u32,
    /// Id of the first; `None` when there was none.
    pub first: Option<RecordId>,
    /// Id of the last.
    pub last: Option<RecordId>,
    /// It is that of an earlier hand-in with the same key; this one was not stored.
    pub is_repeated: bool,
    /// Place of the last in the queue of its stream; of the one before them, when there was none.
    pub place: u64,
    /// 0, unless none of them stayed in their stream: then a number that tells such hand-ins at one
    /// place apart, and only grows.
    pub turn: u64,
    _durable: (),
}

#[cfg(test)]
impl Receipt {
    /// A receipt that proves nothing, for tests of what follows one.
    pub(crate) fn pretended(accepted: u32) -> Self {
        let (first, last, dropped, place, turn) = (None, None, 0, 0, 0);
        Self { accepted, dropped, first, last, is_repeated: false, place, turn, _durable: () }
    }
}

/// Pairs each stream with its queue; by its name and by its aliases. What is counted goes on from
/// those `before`.
pub(super) fn streams(
    settings: BTreeMap<String, StreamSettings>,
    mut queues: BTreeMap<String, queue::Writer>,
    before: Option<&BTreeMap<String, Arc<Stream>>>,
) -> Result<BTreeMap<String, Arc<Stream>>, String> {
    let mut streams = BTreeMap::new();
    for (name, settings) in settings {
        let queue = queues.remove(&name).ok_or_else(|| format!("stream `{name}` has no queue"))?;
        let StreamSettings { max_record_bytes, partition_key, aliases, plan, treatment } = settings;
        let known = before.and_then(|before| before.get(&name)).filter(|known| known.name == name);
        let (dropped, turn) =
            known.map(|known| (known.dropped.clone(), known.turn.clone())).unwrap_or_default();
        let stream = Arc::new(Stream {
            name: name.clone(),
            max_record_bytes,
            partition_key,
            plan,
            treatment,
            dropped,
            turn,
            tallies: Tallies::default(),
            queue,
        });
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

    /// The next turn: behind all before it, and, unless the clock was set back, behind those of
    /// earlier starts.
    fn take_turn(&self, unix_ms: u64) -> u64 {
        let next = |last: u64| last.saturating_add(1).max(unix_ms << TURN_BITS);
        let taken =
            self.turn.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        taken.map_or(0, next)
    }

    pub(super) fn settled_place(&self) -> u64 {
        self.queue.overview().settled
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn unready(&self) -> Option<String> {
        let why = self.queue.health().err()?;
        Some(format!("stream `{}` takes nothing: {why}", self.name))
    }
}

impl Part {
    fn is_for(&self, stream: &Arc<Stream>) -> bool {
        Arc::ptr_eq(&self.stream, stream) || self.stream.name == stream.name
    }

    fn of(stream: &Arc<Stream>) -> Self {
        Self { stream: stream.clone(), payload_bytes: 0, group: Group::default() }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.group.payloads.len()).unwrap_or(u32::MAX)
    }
}

impl Admitted {
    /// With room for so many records.
    pub(super) fn new(pass: &Pass, count: usize) -> Self {
        let mut own = Part::of(&pass.stream);
        own.group.payloads.reserve_exact(count);
        Self {
            source: pass.source.clone(),
            caller: pass.caller.clone(),
            booking: Booking::default(),
            over: None,
            own,
            led: Vec::new(),
            first: None,
            last: None,
            dropped: 0,
            once: None,
        }
    }

    pub(super) fn push(
        &mut self,
        stream: &Arc<Stream>,
        id: RecordId,
        encoded: Bytes,
        payload_bytes: usize,
    ) {
        self.span(id);
        let is_own = self.own.is_for(stream);
        if !is_own && !self.led.iter().any(|part| part.is_for(stream)) {
            self.led.push(Part::of(stream));
        }
        let mut led = self.led.iter_mut();
        let part = if is_own { Some(&mut self.own) } else { led.find(|part| part.is_for(stream)) };
        let Some(part) = part else { return };
        part.payload_bytes += payload_bytes as u64;
        part.group.payloads.push(encoded);
    }

    /// Counts a record that a transform dropped.
    pub(super) fn drop(&mut self, id: RecordId) {
        self.span(id);
        self.dropped += 1;
    }

    fn span(&mut self, id: RecordId) {
        self.first.get_or_insert(id);
        self.last = Some(id);
    }

    /// Adds a mark that becomes durable together with the records of the stream they were handed in
    /// for, or not at all; those that are led elsewhere are durable before it.
    #[must_use]
    pub fn with_mark(mut self, name: String, value: Option<Bytes>) -> Self {
        self.own.group.marks.push(Mark { name, value });
        self
    }

    /// Has it stored once: a repetition is answered with the receipt of the first.
    #[must_use]
    pub fn once(mut self, pass: &Pass, once: &Once<'_>) -> Self {
        let (accepted, dropped) = (self.accepted(), self.dropped);
        self.once = self.first.map(|first| once.key(pass, Thanked { first, accepted, dropped }));
        self
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        self.led.iter().chain([&self.own])
    }

    /// All records, with those that are dropped.
    fn accepted(&self) -> u32 {
        self.parts().map(Part::count).sum::<u32>() + self.dropped
    }

    /// Bytes of its payloads in the queues.
    pub fn bytes(&self) -> usize {
        self.parts().flat_map(|part| &part.group.payloads).map(Bytes::len).sum()
    }

    /// How many records will be stored.
    pub fn count(&self) -> usize {
        self.parts().map(|part| part.group.payloads.len()).sum()
    }

    #[cfg(test)]
    pub(super) fn encoded(&self) -> Vec<Bytes> {
        self.parts().flat_map(|part| part.group.payloads.clone()).collect()
    }

    /// Where how many records will be stored.
    #[cfg(test)]
    pub(super) fn by_stream(&self) -> Vec<(String, usize)> {
        self.parts().map(|part| (part.stream.name.clone(), part.group.payloads.len())).collect()
    }

    /// Books it in the quotas of those who hold it. Without room there, what may be a repetition is
    /// judged when it is to be stored.
    pub(super) fn book(&mut self, pass: &Pass) -> Result<(), Refusal> {
        let meters = pass.address.iter().chain(&pass.meters);
        let bytes = self.parts().map(|part| part.payload_bytes).sum();
        match Booking::of(meters, self.count() as u64, bytes) {
            Ok(booking) => self.booking = booking,
            Err(over) if pass.may_repeat => self.over = Some(over),
            Err(refusal) => return Err(refusal),
        }
        Ok(())
    }

    fn is_repetition(&self, unix_ms: u64) -> bool {
        let known = |key| self.parts().any(|part| part.stream.queue.is_repetition(key, unix_ms));
        self.once.as_ref().is_some_and(known)
    }

    /// What was booked counts from here on, unless it turns out that nothing was stored.
    /// It takes what it stores.
    pub(super) async fn store(
        &mut self,
        numbers: &Numbers,
        unix_ms: u64,
    ) -> Result<Receipt, Refusal> {
        if let Some(over) = self.over.take()
            && !self.is_repetition(unix_ms)
        {
            return Err(over);
        }
        let mut booking = std::mem::take(&mut self.booking);
        booking.keep();
        let stored = self.append(numbers, unix_ms).await;
        if stored.as_ref().map_or(true, |receipt| receipt.is_repeated) {
            booking.undo();
        }
        stored
    }

    /// What is led elsewhere goes first: if it cannot be stored there, no mark and no answer says
    /// that it was. Whoever hands it in again then stores some of it twice.
    async fn append(&mut self, numbers: &Numbers, unix_ms: u64) -> Result<Receipt, Refusal> {
        let accepted = self.accepted();
        let is_kept_here = self.own.count() > 0;
        let from = From { source: &self.source, caller: &self.caller, once: self.once.as_ref() };
        for part in &mut self.led {
            from.append(part, numbers).await?;
        }
        let Stored { place, told } = from.append(&mut self.own, numbers).await?;
        if let Some(Thanked { first, accepted, dropped }) = told {
            // Ids of one hand-in are in a row, also where some of it was dropped or led elsewhere.
            let last = Some(first.plus(accepted.saturating_sub(1)));
            let (first, is_repeated) = (Some(first), true);
            return Ok(Receipt {
                accepted,
                dropped,
                first,
                last,
                is_repeated,
                place,
                turn: 0,
                _durable: (),
            });
        }
        let Self { first, last, dropped, .. } = *self;
        let stream = &self.own.stream;
        stream.dropped.fetch_add(u64::from(dropped), Ordering::Relaxed);
        numbers.dropped(&stream.name, &self.source, dropped);
        let turn = if is_kept_here { 0 } else { stream.take_turn(unix_ms) };
        let is_repeated = false;
        Ok(Receipt { accepted, dropped, first, last, is_repeated, place, turn, _durable: () })
    }
}

/// What all parts of a hand-in have from it.
pub(super) struct From<'a> {
    pub(super) source: &'a str,
    pub(super) caller: &'a str,
    once: Option<&'a OnceKey>,
}

/// Of one part.
struct Stored {
    /// Of its last record.
    place: u64,
    /// The receipt of an earlier hand-in, which it repeats.
    told: Option<Thanked>,
}

impl From<'_> {
    /// Empties a part into the queue of its stream.
    async fn append(&self, part: &mut Part, numbers: &Numbers) -> Result<Stored, Refusal> {
        let mut group = std::mem::take(&mut part.group);
        group.key = self.once.cloned();
        let span = numbers.tracer.begin_within();
        let durable = part.stream.queue.append(group).await;
        numbers.committed(span, &part.stream.name, &durable);
        let durable = durable.map_err(refusal)?;
        let place = (durable.first().0 + u64::from(durable.count())).saturating_sub(1);
        let Some(earlier) = durable.note_of_earlier() else {
            let bytes = part.payload_bytes;
            numbers.accepted(&part.stream, self, durable.count(), bytes);
            return Ok(Stored { place, told: None });
        };
        let earlier = Note::decode(earlier);
        let own = self.once.and_then(|key| Note::decode(&key.note));
        let same = earlier.filter(|one| own.is_some_and(|own| own.body == one.body));
        Ok(Stored { place, told: Some(same.ok_or(Refusal::KeyReused)?.thanked) })
    }
}

fn refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Full { .. } | AppendError::DiskFull { .. } | AppendError::MarksFull { .. } => {
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
            (AppendError::MarksFull { bytes: 9, max_bytes: 8 }, full.clone()),
            (AppendError::DiskFull { free_bytes: 0 }, full),
            (AppendError::TooLarge { bytes: 9, max_bytes: 8 }, Refusal::TooLarge { limit: 8 }),
            (AppendError::Disk("input/output error".into()), broken),
            (AppendError::Closed, Refusal::Stopping),
        ] {
            assert_eq!(refusal(fault), expected);
        }
    }
}

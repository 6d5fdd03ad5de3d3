//! Read, cut, hand over, again; one chunk is under way at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::SOURCE;
use crate::admission::{Refusal, Rejection};
use crate::base::backoff::Backoff;
use crate::base::clock::Clock;
use crate::base::shutdown::Stopping;
use crate::record::RawRecord;
use crate::source::door::Door;
use crate::source::framing::{Cut, Framed, Framing, Situation};
use crate::source::letter;

/// Read from the pipe at once: as much as a pipe holds.
const READ_BYTES: usize = 64 << 10;
/// Most records handed over at once.
const RECORDS_MAX: usize = 10_000;
/// Waits after a refusal grow between these.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What it counts.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    bytes: Counter,
    refusals: Counter,
    rejected: Counter,
}

impl Numbers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut counter = |name: &str, what: &str| {
            let counter = Counter::default();
            registry.register(name, what, counter.clone());
            counter
        };
        let bytes = counter("stdin_bytes", "Bytes of standard input whose records are durable");
        let refusals = counter("stdin_refusals", "Hand-overs put off because the queue took none");
        let rejected = counter(
            "stdin_rejected_records",
            "Records of standard input set aside as dead letters",
        );
        Self { bytes, refusals, rejected }
    }
}

/// The pump.
#[derive(Debug)]
pub(super) struct Pump<D> {
    door: D,
    clock: Clock,
    stream: String,
    framing: Framing,
    numbers: Numbers,
    /// Read and not used up yet.
    buffer: BytesMut,
    is_skipping: bool,
    quiet_since: Instant,
}

impl<D: Door> Pump<D> {
    pub(super) fn new(
        door: D,
        clock: Clock,
        stream: String,
        framing: Framing,
        numbers: Numbers,
    ) -> Self {
        let (buffer, quiet_since) = (BytesMut::new(), Instant::now());
        Self { door, clock, stream, framing, numbers, buffer, is_skipping: false, quiet_since }
    }

    pub(super) async fn run(
        &mut self,
        mut input: impl AsyncRead + Unpin,
        mut stopping: Stopping,
    ) -> Result<(), String> {
        let mut is_begun = false;
        loop {
            let quiet = self.quiet_since.elapsed();
            let patience = self.framing.patience(quiet).filter(|_| !self.buffer.is_empty());
            let wait = patience.map_or(Duration::MAX, |patience| patience.saturating_sub(quiet));
            self.buffer.reserve(READ_BYTES);
            let read = tokio::select! {
                read = timeout(wait, input.read_buf(&mut self.buffer)) => read,
                // What the producer has not handed over stays with it.
                () = stopping.asked() => return self.hand_over_rest().await,
            };
            let quiet_for = match read {
                Ok(Ok(0)) => return self.hand_over_rest().await,
                Ok(Ok(_)) => {
                    self.quiet_since = Instant::now();
                    None
                }
                Ok(Err(error)) => {
                    self.hand_over_rest().await?;
                    return Err(format!("standard input cannot be read: {error}"));
                }
                Err(_) => Some(self.quiet_since.elapsed()),
            };
            if !is_begun {
                is_begun = true;
                drop(self.buffer.split_to(self.framing.preamble(&self.buffer)));
            }
            self.hand_over(quiet_for).await?;
        }
    }

    async fn hand_over_rest(&mut self) -> Result<(), String> {
        self.hand_over(Some(Situation::END)).await
    }

    /// Hands over what is whole by now.
    async fn hand_over(&mut self, quiet_for: Option<Duration>) -> Result<(), String> {
        loop {
            let (is_skipping, records_max) = (self.is_skipping, RECORDS_MAX);
            let chunk = self.buffer.split().freeze();
            let cut = self.framing.cut(&chunk, &Situation { is_skipping, records_max, quiet_for });
            let (used, is_full) = (cut.used, cut.is_full);
            self.is_skipping = cut.is_skipping;
            let stored = self.store(cut).await;
            self.buffer.extend_from_slice(chunk.get(used..).unwrap_or_default());
            stored?;
            self.numbers.bytes.inc_by(used as u64);
            if !is_full {
                return Ok(());
            }
        }
    }

    /// Stores everything, however long that takes: there is nowhere to give it back to.
    async fn store(&mut self, cut: Cut) -> Result<(), String> {
        let (mut good, mut faulty) = (Vec::new(), Vec::new());
        for Framed { payload, fault, .. } in cut.records {
            match fault {
                Some(fault) => faulty.push(letter::rejection(payload, fault)),
                None => good.push(RawRecord { payload, ..RawRecord::default() }),
            }
        }
        self.shelve(faulty).await;
        let mut groups = VecDeque::from([good]);
        let mut retry = Backoff::new(RETRY_FIRST, RETRY_MAX);
        while let Some(mut group) = groups.pop_front() {
            if group.is_empty() {
                continue;
            }
            let refusal = match self.attempt(&mut group).await {
                Ok(()) => {
                    retry.reset();
                    continue;
                }
                Err(refusal) => refusal,
            };
            self.numbers.refusals.inc();
            match refusal {
                Refusal::TooLarge { limit } | Refusal::OverBurst { limit, .. } => {
                    self.divide(group, limit, &mut groups).await;
                }
                Refusal::Full { retry_after }
                | Refusal::Broken { retry_after }
                | Refusal::TooFast { retry_after }
                | Refusal::OverQuota { retry_after }
                | Refusal::TooManyGuesses { retry_after } => {
                    tracing::debug!(reason = refusal.reason(), "standard input waits");
                    sleep(retry.next_wait().max(retry_after.min(RETRY_MAX))).await;
                    groups.push_front(group);
                }
                Refusal::UnknownStream
                | Refusal::UnknownCaller
                | Refusal::BadSignature(_)
                | Refusal::BadToken { .. }
                | Refusal::Unchecked
                | Refusal::NotAllowed
                | Refusal::KeyReused => {
                    return Err(format!(
                        "standard input may not hand in to stream `{}` ({}); {} records were read \
                         and not stored",
                        self.stream,
                        refusal.reason(),
                        group.len()
                    ));
                }
                Refusal::Stopping => {
                    return Err(format!(
                        "the queue of stream `{}` was closed; {} records of standard input were \
                         read and not stored",
                        self.stream,
                        group.len()
                    ));
                }
            }
        }
        Ok(())
    }

    /// One attempt; what is at fault lies on the shelf afterwards and is no longer in the group.
    async fn attempt(&mut self, group: &mut Vec<RawRecord>) -> Result<(), Refusal> {
        let records = Arc::new(mem::take(group));
        let answer = self.door.admit(Arc::clone(&records)).await;
        *group = Arc::unwrap_or_clone(records);
        let (admitted, rejections) = answer?;
        let at_fault: BTreeSet<_> = rejections.iter().map(|rejection| rejection.index).collect();
        self.shelve(rejections).await;
        let mut index = 0..;
        group.retain(|_| !index.next().is_some_and(|index| at_fault.contains(&index)));
        self.door.store(admitted, BTreeMap::new()).await.map(drop)
    }

    /// Two halves in its place; a single record that is too large is at fault itself.
    async fn divide(
        &mut self,
        mut group: Vec<RawRecord>,
        limit: u64,
        groups: &mut VecDeque<Vec<RawRecord>>,
    ) {
        let half = group.split_off(group.len() / 2);
        if !group.is_empty() {
            groups.push_front(half);
            groups.push_front(group);
            return;
        }
        for raw in half {
            let reason = format!("{} bytes; the queue takes at most {limit}", raw.payload.len());
            self.shelve(vec![Rejection::too_large(0, reason, raw)]).await;
        }
    }

    /// Puts what is at fault on the shelf, however long that takes.
    async fn shelve(&mut self, rejections: Vec<Rejection>) {
        if rejections.is_empty() {
            return;
        }
        let now = self.clock.unix_ms();
        let about = |rejection| letter::about(rejection, &self.stream, SOURCE, now);
        let letters: Vec<_> = rejections.into_iter().map(about).collect();
        let mut retry = Backoff::new(RETRY_FIRST, RETRY_MAX);
        while let Err(error) = self.door.shelve(letters.clone()).await {
            tracing::error!(letters = letters.len(), %error,
                "records of standard input cannot be put on the shelf; nothing more is read until \
                 they can");
            sleep(retry.next_wait()).await;
        }
        self.numbers.rejected.inc_by(letters.len() as u64);
    }
}

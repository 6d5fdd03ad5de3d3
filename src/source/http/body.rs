//! Reading a body under its caps: size, time, and the memory of all bodies together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::Settings;
use super::decode::RECORDS_MAX;
use super::problem::Fault;
use crate::base::serve::Arriving;
use crate::base::units::ByteRate;

/// The memory of all bodies of one listener, so that many large ones at once are told to come
/// back instead of taking what the host does not have. Each byte is held about twice (as it came
/// or was unpacked, and encoded for the queue).
#[derive(Clone, Debug)]
pub(super) struct Budget {
    pieces: Arc<Semaphore>,
    bytes: u64,
    /// What packed bodies unpack to has its own room: it is taken for the whole of a body at once,
    /// and whoever waits for so much must not stand in the way of plain ones.
    unpacked: Arc<Semaphore>,
}

/// What one record costs beside its bytes and its key, in bytes: many tiny ones are no small thing.
const RECORD_BYTES: u64 = 128;
/// It has room for one of the largest bodies with as many records as it may have, and for this
/// much at least.
const BUDGET_BYTES_MIN: u64 = 64 << 20;
/// The budget is counted in pieces of this size.
const PIECE_BYTES: u64 = 1 << 10;
/// Longest wait of a body that is here for what must be free before it is looked into.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What one request holds of the budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    pieces: Option<OwnedSemaphorePermit>,
    unpacked: Option<OwnedSemaphorePermit>,
    bytes: u64,
}

/// Waits for what others have, for a while.
pub(super) async fn in_turn<T>(free: impl Future<Output = T>) -> Result<T, Fault> {
    timeout(WAIT_MAX, free).await.map_err(|_| Fault::Busy)
}

impl Budget {
    pub(super) fn new(settings: &Settings) -> Self {
        Self::for_bodies(settings.max_body_bytes, settings.max_unpacked_bytes)
    }

    pub(super) fn for_bodies(max_body_bytes: u64, max_unpacked_bytes: u64) -> Self {
        // As it came, and copies of what its records are in base64.
        let largest = max_body_bytes.saturating_add(max_unpacked_bytes);
        let largest = largest.saturating_add(RECORDS_MAX as u64 * RECORD_BYTES);
        let bytes = largest.max(BUDGET_BYTES_MIN);
        let room = |bytes: u64| {
            let pieces = usize::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS)))
        };
        Self { pieces: room(bytes), bytes, unpacked: room(max_unpacked_bytes) }
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.clone(), pieces: None, unpacked: None, bytes: 0 }
    }
}

impl Share {
    /// Takes room for further bytes.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        let held = self.pieces.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = self.bytes.div_ceil(PIECE_BYTES).saturating_sub(held as u64);
        let wanted = u32::try_from(wanted).map_err(|_| Fault::Busy)?;
        let free = self.budget.pieces.clone();
        let more = free.try_acquire_many_owned(wanted).map_err(|_| Fault::Busy)?;
        match &mut self.pieces {
            Some(pieces) => pieces.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Waits for room for all that a body may unpack to, in turn: if several took theirs bit by bit,
    /// none of them would get all of it.
    pub(super) async fn take_turn(&mut self, bytes: u64) -> Result<(), Fault> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).map_err(|_| Fault::Busy)?;
        let free = self.budget.unpacked.clone();
        let taken = in_turn(free.acquire_many_owned(pieces)).await?;
        self.unpacked = Some(taken.map_err(|_| Fault::Busy)?);
        Ok(())
    }

    /// Gives back what a body did not unpack to.
    pub(super) fn unpacked(&mut self, bytes: u64) {
        let Some(held) = &mut self.unpacked else { return };
        let needed = usize::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(usize::MAX);
        drop(held.split(held.num_permits().saturating_sub(needed)));
    }

    /// Takes room for what records cost beside their bytes, each with a key of so many bytes,
    /// which is held as it was asked for and encoded. Refuses for good what would never fit.
    pub(super) fn grow_by_records(&mut self, count: usize, key_bytes: usize) -> Result<(), Fault> {
        let each = RECORD_BYTES + 2 * key_bytes as u64;
        let most = self.budget.bytes.saturating_sub(self.bytes) / each;
        if count as u64 > most {
            return Err(Fault::TooManyRecords { limit: usize::try_from(most).unwrap_or(count) });
        }
        self.grow(count as u64 * each)
    }
}

/// How long a body may take.
struct Pace {
    began: Instant,
    timeout: Duration,
    rate: Option<ByteRate>,
}

/// Until then no rate is asked of a body: lines need time to become fast, and small bodies are done.
const RATE_FREE: Duration = Duration::from_secs(5);

impl Pace {
    fn new(settings: &Settings, began: Instant) -> Self {
        Self { began, timeout: settings.body_timeout, rate: settings.min_body_rate }
    }

    /// Until when the next bytes must be there after so many, and what it is if they are not.
    fn deadline(&self, bytes: u64) -> (Instant, Fault) {
        let whole = (self.began + self.timeout, Fault::BodyTooSlow { limit: self.timeout });
        let Some(rate) = self.rate else { return whole };
        let parts = u128::from(bytes) * rate.per.as_nanos() / u128::from(rate.bytes.0.max(1));
        let earned = Duration::from_nanos(u64::try_from(parts).unwrap_or(u64::MAX));
        let due = self.began.checked_add(RATE_FREE.saturating_add(earned));
        match due.filter(|due| *due < whole.0) {
            Some(due) => (due, Fault::BodyTooSlowly { rate: rate.bytes.0, per: rate.per }),
            None => whole,
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(
    mut body: Arriving,
    settings: &Settings,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    let (max, pace) = (settings.max_body_bytes, Pace::new(settings, Instant::now()));
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut bytes = 0_u64;
    loop {
        let (deadline, fault) = pace.deadline(bytes);
        let next = tokio::time::timeout_at(deadline, body.frame()).await;
        let Some(frame) = next.map_err(|_| fault)? else { break };
        let Ok(chunk) = frame.map_err(|_| Fault::BodyCutShort)?.into_data() else { continue };
        bytes = bytes.saturating_add(chunk.len() as u64);
        if bytes > max {
            return Err(Fault::BodyTooLarge { limit: max });
        }
        share.grow(chunk.len() as u64)?;
        // Most bodies come in one piece, which then needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&chunk);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

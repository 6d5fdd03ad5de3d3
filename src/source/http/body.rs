//! Reading a body under its caps: size, time, and the memory of all bodies together.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;
use super::decode::RECORDS_MAX;
use super::problem::Fault;

/// The memory of all bodies of one listener, so that many large ones at once are told to come
/// back instead of taking what the host does not have. Each byte is held about twice (as it came
/// or was unpacked, and encoded for the queue).
#[derive(Debug)]
pub(super) struct Budget {
    pieces: Arc<Semaphore>,
    bytes: u64,
}

/// What one record costs beside its bytes and its key, in bytes: many tiny ones are no small thing.
const RECORD_BYTES: u64 = 128;
/// It has room for one of the largest bodies with as many records as it may have, and for this
/// much at least.
const BUDGET_BYTES_MIN: u64 = 64 << 20;
/// The budget is counted in pieces of this size.
const PIECE_BYTES: u64 = 1 << 10;

/// What one request holds of the budget.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Semaphore>,
    budget_bytes: u64,
    pieces: Option<OwnedSemaphorePermit>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(settings: &Settings) -> Self {
        let largest = settings.max_body_bytes.saturating_add(settings.max_unpacked_bytes);
        let largest = largest.saturating_add(RECORDS_MAX as u64 * RECORD_BYTES);
        let bytes = largest.max(BUDGET_BYTES_MIN);
        let pieces = usize::try_from(bytes / PIECE_BYTES).unwrap_or(usize::MAX);
        Self { pieces: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))), bytes }
    }

    pub(super) fn share(&self) -> Share {
        Share { budget: self.pieces.clone(), budget_bytes: self.bytes, pieces: None, bytes: 0 }
    }
}

impl Share {
    /// Takes room for further bytes.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes);
        let held = self.pieces.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = self.bytes.div_ceil(PIECE_BYTES).saturating_sub(held as u64);
        let wanted = u32::try_from(wanted).map_err(|_| Fault::Busy)?;
        let more = self.budget.clone().try_acquire_many_owned(wanted).map_err(|_| Fault::Busy)?;
        match &mut self.pieces {
            Some(pieces) => pieces.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Takes room for what records cost beside their bytes, each with a key of so many bytes,
    /// which is held as it was asked for and encoded. Refuses for good what would never fit.
    pub(super) fn grow_by_records(&mut self, count: usize, key_bytes: usize) -> Result<(), Fault> {
        let each = RECORD_BYTES + 2 * key_bytes as u64;
        let most = self.budget_bytes.saturating_sub(self.bytes) / each;
        if count as u64 > most {
            return Err(Fault::TooManyRecords { limit: usize::try_from(most).unwrap_or(count) });
        }
        self.grow(count as u64 * each)
    }
}

/// Reads a body to its end.
pub(super) async fn read(
    body: Incoming,
    settings: &Settings,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    let whole = read_whole(body, settings.max_body_bytes, share);
    let limit = settings.body_timeout;
    tokio::time::timeout(limit, whole).await.unwrap_or(Err(Fault::BodyTooSlow { limit }))
}

async fn read_whole(mut body: Incoming, max: u64, share: &mut Share) -> Result<Bytes, Fault> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut bytes = 0_u64;
    while let Some(frame) = body.frame().await {
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

//! Cuts parcels into batches by count, bytes and age; pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::parcel::Parcel;
use crate::queue::Position;
use crate::sink::Limits;

/// Parcels in the order they will be sent, and when each has waited long enough.
#[derive(Debug)]
pub(super) struct Batcher {
    limits: Limits,
    linger: Duration,
    waiting: VecDeque<(Parcel, Instant)>,
    bytes: usize,
}

impl Batcher {
    pub(super) fn new(limits: Limits, linger: Duration) -> Self {
        Self { limits, linger, waiting: VecDeque::new(), bytes: 0 }
    }

    /// Adds a fresh parcel; it may wait for others.
    pub(super) fn push(&mut self, parcel: Parcel, now: Instant) {
        self.bytes = self.bytes.saturating_add(parcel.weight);
        self.waiting.push_back((parcel, now + self.linger));
    }

    /// Adds parcels that waited already: they go first, and at once.
    pub(super) fn push_due(&mut self, parcels: Vec<Parcel>, now: Instant) {
        for parcel in parcels.into_iter().rev() {
            self.bytes = self.bytes.saturating_add(parcel.weight);
            self.waiting.push_front((parcel, now));
        }
    }

    /// The next batch, if one is full or its first parcel has waited long enough.
    pub(super) fn cut(&mut self, now: Instant) -> Option<Vec<Parcel>> {
        let is_full =
            self.waiting.len() >= self.limits.entries || self.bytes >= self.limits.request_bytes;
        if !is_full && self.due().is_none_or(|due| due > now) {
            return None;
        }
        let mut batch = Vec::new();
        let mut bytes = 0_usize;
        while let Some((first, _)) = self.waiting.front() {
            let with_it = bytes.saturating_add(first.weight);
            // One that is too large for any batch travels alone; the sink's word is the last.
            let fits = with_it <= self.limits.request_bytes || batch.is_empty();
            if !fits || batch.len() >= self.limits.entries {
                break;
            }
            bytes = with_it;
            batch.extend(self.waiting.pop_front().map(|(parcel, _)| parcel));
        }
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(batch)
    }

    /// Takes out what stands below a place in the queue.
    pub(super) fn take_below(&mut self, below: Position) -> Vec<Parcel> {
        let (taken, left): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(one, _)| one.position < below);
        self.waiting = left;
        let weight: usize = taken.iter().map(|(parcel, _)| parcel.weight).sum();
        self.bytes = self.bytes.saturating_sub(weight);
        taken.into_iter().map(|(parcel, _)| parcel).collect()
    }

    /// When the next batch is due at the latest; `None` if there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(_, due)| *due)
    }
}

//! The log as a whole: which segments there are, how far it is durable, the newest frames.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::seal::Keyed;
use super::segment;
use crate::base::disk::Listed;

/// Where a frame lies on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// First position of its segment, which names the file.
    pub(super) segment: u64,
    /// The segment's salt: tells it from another file under the same name.
    pub(super) salt: u64,
    pub(super) offset: u64,
    /// From its header to the next.
    pub(super) bytes: u64,
}

/// A durable frame in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) first: u64,
    pub(super) payloads: Vec<Bytes>,
    pub(super) unix_ms: u64,
    pub(super) place: Place,
    /// What it takes in memory.
    bytes: usize,
}

impl Frame {
    pub(super) fn new(first: u64, payloads: Vec<Bytes>, unix_ms: u64, place: Place) -> Self {
        let handles = payloads.len() * size_of::<Bytes>();
        let bytes = payloads.iter().map(Bytes::len).sum::<usize>() + handles;
        Self { first, payloads, unix_ms, place, bytes }
    }

    /// What it takes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes
    }

    /// Position of the first payload behind this frame.
    pub(super) fn end(&self) -> u64 {
        self.first + self.payloads.len() as u64
    }
}

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) first: u64,
    /// `None` if its header is damaged.
    pub(super) salt: Option<u64>,
    /// Length of its file, as far as that can be a segment's.
    pub(super) bytes: u64,
    /// Bytes it takes on disk.
    pub(super) taken_bytes: u64,
    /// Its durable frames end here, as far as that is known; else the length of the file.
    pub(super) used: u64,
    pub(super) unix_ms: u64,
    /// Whether bodies may be packed.
    pub(super) is_packed: bool,
    /// What bodies are sealed with, if they are.
    pub(super) keyed: Option<Keyed>,
}

/// Longer than any segment can become, with the largest group and a whole table of marks. What
/// stands behind is none of ours: a sparse file of a TiB is not read to its end.
const FILE_BYTES_MAX: u64 = 128 << 20;

impl Segment {
    /// One that lies in a folder; `header` is `None` if it is damaged.
    pub(super) fn listed(first: u64, header: Option<segment::Header>, file: &Listed) -> Self {
        Self { taken_bytes: file.taken_bytes, ..Self::of(first, header, file.bytes) }
    }

    /// One in a file of so many bytes.
    pub(super) fn of(first: u64, header: Option<segment::Header>, bytes: u64) -> Self {
        let bytes = bytes.min(FILE_BYTES_MAX);
        Self {
            first,
            salt: header.map(|header| header.salt),
            bytes,
            taken_bytes: bytes,
            used: bytes,
            unix_ms: header.map_or(0, |header| header.unix_ms),
            is_packed: header.is_some_and(|header| header.is_packed),
            keyed: header.and_then(|header| header.keyed),
        }
    }
}

/// What a reader may read of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) segment: Segment,
    /// Position behind its last durable one: a frame that reaches further was refused, and its
    /// positions were given to another in a later segment.
    pub(super) until: u64,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct Log {
    segments: VecDeque<Segment>,
    /// The last position; 0 in a new queue.
    end: u64,
    /// The last position that a sync has covered.
    synced: u64,
    ring: VecDeque<Arc<Frame>>,
    ring_bytes: usize,
}

impl Log {
    pub(super) fn new(segments: impl IntoIterator<Item = Segment>, end: u64) -> Self {
        let segments = segments.into_iter().collect();
        Self { segments, end, synced: end, ..Self::default() }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn synced(&self) -> u64 {
        self.synced
    }

    /// Everything up to `end` is on stable storage.
    pub(super) fn set_synced(&mut self, end: u64) {
        self.synced = end;
    }

    /// What the segments take on disk.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.taken_bytes).sum()
    }

    /// Whether a segment is still part of the log.
    pub(super) fn holds(&self, segment: &Segment) -> bool {
        let at = self.segments.binary_search_by_key(&segment.first, |one| one.first);
        at.is_ok_and(|at| self.segments.get(at).is_some_and(|one| one.salt == segment.salt))
    }

    /// Adds a segment behind the others. One of the same name held no durable payload and was
    /// replaced by it.
    pub(super) fn add(&mut self, new: Segment) {
        self.segments.pop_back_if(|last| last.first == new.first);
        self.segments.push_back(new);
    }

    /// The file of a segment was cut to `bytes`.
    pub(super) fn cut(&mut self, cut: &Segment, bytes: u64) {
        let at = self.segments.binary_search_by_key(&cut.first, |one| one.first);
        let segment = at.ok().and_then(|at| self.segments.get_mut(at));
        if let Some(segment) = segment.filter(|one| one.salt == cut.salt) {
            (segment.bytes, segment.taken_bytes) = (bytes, bytes);
        }
    }

    /// A frame of `count` payloads is durable at `place`.
    pub(super) fn extend(&mut self, place: Place, count: u64) {
        self.end += count;
        let segment = self.segments.back_mut().filter(|last| last.first == place.segment);
        if let Some(segment) = segment {
            segment.used = place.offset + place.bytes;
        }
    }

    /// The segment that holds a durable position, or else the first one behind it.
    pub(super) fn span(&self, position: u64) -> Option<Span> {
        if position > self.end {
            return None;
        }
        let behind = self.segments.partition_point(|segment| segment.first <= position);
        let at = behind.saturating_sub(1);
        let segment = *self.segments.get(at)?;
        let until = self.segments.get(at + 1).map_or(self.end + 1, |next| next.first);
        Some(Span { segment, until })
    }

    /// The first position still on disk; the next one to come if there is none.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.end + 1, |segment| segment.first)
    }

    /// The first position of the segment behind the oldest one.
    pub(super) fn second(&self) -> Option<u64> {
        self.segments.get(1).map(|segment| segment.first)
    }

    /// The first position of the last segment behind `position` for which `is_past` says so of
    /// its beginning; all before it is older.
    pub(super) fn begun_after(
        &self,
        position: u64,
        is_past: impl Fn(u64, u64) -> bool,
    ) -> Option<u64> {
        let later = self.segments.iter().skip_while(|segment| segment.first <= position);
        // A segment with a damaged header has no time.
        later
            .take_while(|segment| segment.unix_ms > 0 && is_past(segment.first, segment.unix_ms))
            .last()
            .map(|segment| segment.first)
    }

    /// The oldest segment, if all of it is settled up to `watermark`; never the newest.
    pub(super) fn removable(&self, watermark: u64) -> Option<Segment> {
        let next = self.segments.get(1)?;
        self.segments.front().filter(|_| next.first <= watermark + 1).copied()
    }

    /// The oldest segment is gone.
    pub(super) fn forget(&mut self, removed: &Segment) {
        let is_same = |one: &Segment| (one.first, one.salt) == (removed.first, removed.salt);
        self.segments.pop_front_if(|front| is_same(front));
    }

    /// Bytes of frames from a place to the end.
    pub(super) fn bytes_from(&self, segment: u64, offset: u64) -> u64 {
        let from = self.segments.partition_point(|one| one.first < segment);
        let length = |one: &Segment| {
            let skipped = if one.first == segment { offset } else { segment::HEADER_BYTES };
            one.used.saturating_sub(skipped)
        };
        self.segments.range(from..).map(length).sum()
    }

    /// About where a position lies and when it was committed, from the segments alone.
    pub(super) fn guess(&self, position: u64) -> Option<(u64, u64, Option<u64>)> {
        let Span { segment, until } = self.span(position)?;
        let count = u128::from(until.saturating_sub(segment.first).max(1));
        let before = u128::from(position.saturating_sub(segment.first));
        let bytes = u128::from(segment.used.saturating_sub(segment::HEADER_BYTES));
        let offset = u64::try_from(bytes * before / count).unwrap_or(0);
        // A segment with a damaged header has no time.
        let unix_ms = Some(segment.unix_ms).filter(|unix_ms| *unix_ms > 0);
        Some((segment.first, segment::HEADER_BYTES + offset, unix_ms))
    }

    /// Keeps a frame in memory, in `bytes_max` together with others; none if every reader is so
    /// far behind that it comes from disk: the one that is furthest stands at `next`.
    pub(super) fn remember(&mut self, frame: Arc<Frame>, bytes_max: usize, next: u64) {
        self.ring_bytes += frame.bytes;
        self.ring.push_back(frame);
        while self.ring_bytes > bytes_max && self.ring.len() > 1 {
            self.forget_oldest();
        }
        if self.ring.front().is_some_and(|oldest| next < oldest.first) {
            self.ring.clear();
            self.ring_bytes = 0;
        }
    }

    /// Forgets the frames that every reader was given: all before `unread`.
    pub(super) fn forget_read(&mut self, unread: u64) {
        while self.ring.front().is_some_and(|frame| frame.end() <= unread) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(frame) = self.ring.pop_front() {
            self.ring_bytes -= frame.bytes;
        }
    }

    /// The frames in memory from the one that holds `position` on, up to about `bytes`.
    pub(super) fn recent(&self, position: u64, bytes: usize) -> Vec<Arc<Frame>> {
        let behind = self.ring.partition_point(|frame| frame.first <= position);
        let from = behind.saturating_sub(1);
        let holds =
            self.ring.get(from).is_some_and(|frame| (frame.first..frame.end()).contains(&position));
        let mut taken = 0;
        let frames = self.ring.iter().skip(if holds { from } else { self.ring.len() });
        let within = |frame: &&Arc<Frame>| {
            let fits = taken < bytes;
            taken += frame.bytes;
            fits
        };
        frames.take_while(within).cloned().collect()
    }

    /// When the frame in memory that holds a position was committed.
    pub(super) fn recent_unix_ms(&self, position: u64) -> Option<u64> {
        let frames = self.recent(position, 1);
        frames.first().map(|frame| frame.unix_ms)
    }
}

//! Reading what is not in memory any more: frame by frame from the segments, past all damage.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::frame;
use super::log::{Frame, Place, Span};
use super::quarantine::Damage;
use super::store::Store;
use super::walk::{self, Step, Walk, Window};

/// What was found.
#[derive(Clone, Debug)]
pub(super) enum Found {
    Frame(Arc<Frame>),
    /// Positions from the first to before the second, which nobody can read any more.
    Lost(u64, u64),
}

/// One reader's place on disk.
pub(super) struct Backlog {
    store: Arc<Store>,
    walk: Option<(Span, Walk)>,
    /// A frame that was given from memory: to go on from there is nearer than from the start.
    hint: Option<(Place, u64)>,
    /// How often the disk could not read, one after the other.
    failures: u32,
}

/// So often the disk may fail to read before its bad blocks count as damage: what a reset of the bus
/// or a bad cable does is over by then.
const TRIES: u32 = 3;

impl Backlog {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, walk: None, hint: None, failures: 0 }
    }

    /// Remembers a frame that was given from memory, and lets go of the file it would have been
    /// read from: an open file keeps its space after it was removed.
    pub(super) fn passed(&mut self, frame: &Frame) {
        self.hint = Some((frame.place, frame.first));
        self.walk = None;
    }

    /// Goes on from there, if that is nearer than where it stands.
    pub(super) fn begin_near(&mut self, frame: Option<(Place, u64)>) {
        self.hint = frame.or(self.hint);
    }

    /// Reads on from `next`, about one window. Finds nothing only where nothing is durable. What the
    /// disk cannot read time and again is damaged.
    pub(super) fn read(&mut self, next: u64, found: &mut VecDeque<Found>) -> io::Result<()> {
        let read = self.read_on(next, found);
        self.failures = if read.is_ok() { 0 } else { self.failures + 1 };
        if read.is_err() {
            self.walk = None;
        }
        read
    }

    /// Whether a read that failed would be done in another way.
    pub(super) fn may_try_again(&self) -> bool {
        self.failures <= TRIES
    }

    fn read_on(&mut self, next: u64, found: &mut VecDeque<Found>) -> io::Result<()> {
        let (mut next, mut taken) = (next, 0);
        while taken < self.store.limits.read_bytes {
            let Some(span) = self.store.log().span(next) else { break };
            if !self.enter(span, next)? {
                // Who removes it takes its name first, and then it off the log.
                self.store.await_removal();
                if self.store.log().first() <= next {
                    self.lose(next, span.until, found);
                } else {
                    // It was let go between the look and the opening of its file.
                    found.push_back(Found::Lost(next, span.until));
                }
                next = span.until;
                continue;
            }
            match self.step(span, next)? {
                Some(Found::Frame(frame)) => {
                    taken += frame::in_memory(frame.place.bytes).max(frame.memory_bytes());
                    next = frame.end();
                    found.push_back(Found::Frame(frame));
                }
                Some(Found::Lost(from, to)) => {
                    found.push_back(Found::Lost(from, to));
                    next = to;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Stands in the segment that holds `next`, not behind it; `false` if its file is gone.
    fn enter(&mut self, span: Span, next: u64) -> io::Result<bool> {
        let segment = span.segment;
        let hint = self.hint.filter(|(place, first)| {
            place.segment == segment.first && Some(place.salt) == segment.salt && *first <= next
        });
        if let Some((known, walk)) = &mut self.walk
            && (known.segment.first, known.segment.salt) == (segment.first, segment.salt)
            && walk.expect <= next
        {
            walk.window.reaches(segment.used);
            if let Some((place, first)) = hint.filter(|(_, first)| *first > walk.expect) {
                (walk.offset, walk.expect) = (place.offset, first);
            }
            *known = span;
            return Ok(true);
        }
        let path = self.store.path_of(segment.first);
        let file = match self.store.disk.open(&path, crate::base::disk::Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            answer => answer?,
        };
        let window = Window::new(file, self.store.limits.read_bytes, segment.used)
            .past_bad_blocks(self.failures >= TRIES);
        let walk = match hint {
            Some((place, first)) => Walk::new(window, segment.salt, place.offset, first),
            None => walk::from_start(window, &segment),
        };
        let cipher = self.store.settings.keys.cipher(segment.salt, segment.keyed);
        self.walk = Some((span, walk.opened_by(cipher)));
        Ok(true)
    }

    /// One frame or one loss that concerns `next` or what follows; `None` if it lay before.
    fn step(&mut self, span: Span, next: u64) -> io::Result<Option<Found>> {
        let Some((_, walk)) = &mut self.walk else { return Ok(None) };
        let expected = walk.expect;
        if expected > next {
            // The first segments are gone, or a place was left out that nobody wrote.
            return Ok(Some(Found::Lost(next, expected)));
        }
        let (offset, bytes, why) = match walk.step(span.until)? {
            Step::Frame { header, .. } if header.end() <= next => return Ok(None),
            Step::Frame { header, offset } => {
                let body = walk.body(&header, offset)?;
                let payloads = body.and_then(|body| {
                    let payloads = frame::payloads(&header, &body);
                    payloads.ok_or("the body of a frame does not hold what its header says")
                });
                match payloads {
                    Ok(payloads) => {
                        let place = Place {
                            segment: span.segment.first,
                            salt: header.salt,
                            offset,
                            bytes: header.total_bytes(),
                        };
                        let frame = Frame::new(header.first, payloads, header.unix_ms, place);
                        return Ok(Some(Found::Frame(Arc::new(frame))));
                    }
                    Err(why) => (offset, header.total_bytes(), why),
                }
            }
            Step::Damage { offset, bytes: 0 } => (offset, 0, "positions are left out"),
            Step::Damage { offset, bytes } => (offset, bytes, "no frame begins where one should"),
            ended @ (Step::Footer | Step::End { .. }) => {
                let offset = walk.offset;
                let bytes = span.segment.used.saturating_sub(offset);
                walk.expect = span.until;
                match ended {
                    Step::End { blank: false } => (offset, bytes, "nothing readable follows"),
                    _ => (offset, 0, "the segment ends before it should"),
                }
            }
        };
        let lost = (expected.max(next), walk.expect);
        if lost.1 <= lost.0 {
            return Ok(None);
        }
        if !self.store.log().holds(&span.segment) {
            // It was settled for this destination meanwhile, or let go; its file may be another's
            // by now.
            return Ok(Some(Found::Lost(lost.0, lost.1)));
        }
        let why = if walk.window.has_bad_blocks() { "the disk cannot read it" } else { why };
        let damage = Damage { segment: span.segment.first, offset, bytes, lost, why };
        if self.store.quarantine.take(self.store.disk.as_ref(), walk.window.file(), &damage) {
            self.store.metrics.damaged_ranges.inc();
        }
        Ok(Some(Found::Lost(lost.0, lost.1)))
    }

    /// A whole segment is gone.
    fn lose(&self, from: u64, to: u64, found: &mut VecDeque<Found>) {
        tracing::warn!(problem = "queue-damaged", stream = %self.store.settings.stream,
            from, lost = to - from, "a segment is missing; its records are lost");
        self.store.metrics.damaged_ranges.inc();
        found.push_back(Found::Lost(from, to));
    }
}

//! The machine that looks through one segment and tells damage from what is being written.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use super::Look;
use crate::base::disk::{Open, SharedDisk};
use crate::queue::frame::{self, Header, POSITION_MAX, SNAPSHOT};
use crate::queue::group::Mark;
use crate::queue::log::Segment;
use crate::queue::seal::Cipher;
use crate::queue::segment;
use crate::queue::walk::{self, Step, Walk, Window};

/// How much is read of each frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Headers only: frames have no payloads and no marks, and a damaged body goes unnoticed.
    Headers,
    /// All of it, and checked.
    Bodies,
}

/// What was found in a segment, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A sound frame.
    Frame(SeenFrame),
    /// A range that cannot be read.
    Damage(DamagedRange),
    /// What stands behind the last sound frame of the newest segment.
    Torn(Torn),
}

/// A sound frame: one group commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFrame {
    /// The segment's file name.
    pub file: String,
    /// Where it begins in the file.
    pub offset: u64,
    /// From its header to the next.
    pub bytes: u64,
    /// Position of its first payload.
    pub first: u64,
    /// Position behind its last payload.
    pub end: u64,
    /// When it was committed, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Whether its marks are the whole table, not changes to it.
    pub is_snapshot: bool,
    /// How many marks it has.
    pub mark_count: u32,
    /// Length of its body on disk, and before it was packed and sealed.
    pub body_bytes: (u64, u64),
    /// Whether its body was packed.
    pub is_packed: bool,
    /// Whether it is sealed with a key that was not given: it has no payloads and no marks here,
    /// and only its checksum was looked at.
    pub is_locked: bool,
    /// Its payloads.
    pub payloads: Vec<Bytes>,
    /// Its marks.
    pub marks: Vec<Mark>,
}

/// A range that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRange {
    /// The segment's file name.
    pub file: String,
    /// Where the range begins in the file.
    pub offset: u64,
    /// Its length; 0 if only positions are left out.
    pub bytes: u64,
    /// Positions that are lost with it.
    pub lost: Range<u64>,
    /// What is wrong.
    pub why: String,
}

/// The end of the newest segment, where a frame is being written just now, or was when the agent
/// ended. Nobody was told that it is stored; the next start cuts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file name.
    pub file: String,
    /// Where it begins in the file.
    pub offset: u64,
}

/// What to look through.
pub(super) struct Part {
    pub(super) disk: SharedDisk,
    pub(super) folder: PathBuf,
    pub(super) segment: Segment,
    /// First position of the next segment; `None` for the newest.
    pub(super) next: Option<u64>,
    pub(super) depth: Depth,
    /// Opens what is sealed; `None` if it is not, or the key is not known.
    pub(super) cipher: Option<Cipher>,
}

/// One look through a segment.
pub(super) struct Scan {
    part: Part,
    walk: Walk,
    /// Bad, and not yet known whether a sound frame follows.
    held: Option<Held>,
    /// Looked at twice: what is bad here now was not merely being written.
    confirmed: Option<u64>,
    ready: VecDeque<Seen>,
    is_done: bool,
}

struct Held {
    offset: u64,
    expect: u64,
    /// Behind the bad range, as far as it is known.
    end: u64,
    why: String,
}

/// Read at once where bodies are, and where only headers are.
const READ_BYTES: usize = 256 << 10;
const HEADER_READ_BYTES: usize = 4 << 10;

impl Scan {
    pub(super) fn new(part: Part) -> io::Result<Self> {
        let walk = walk::from_start(part.window()?, &part.segment).opened_by(part.cipher.clone());
        let mut ready = VecDeque::new();
        if part.segment.salt.is_none() {
            ready.push_back(Seen::Damage(DamagedRange {
                file: part.file(),
                offset: 0,
                bytes: (segment::USED_BYTES as u64).min(part.segment.bytes),
                lost: part.segment.first..part.segment.first,
                why: "the header of the segment is damaged; its frames were looked for".into(),
            }));
        }
        Ok(Self { part, walk, held: None, confirmed: None, ready, is_done: false })
    }

    /// Position behind the last payload that was seen or passed.
    pub(super) fn expect(&self) -> u64 {
        self.held.as_ref().map_or(self.walk.expect, |held| held.expect)
    }

    /// Where the next frame would begin.
    pub(super) fn offset(&self) -> u64 {
        self.held.as_ref().map_or(self.walk.offset, |held| held.offset)
    }

    /// The next thing in the segment; `None` at its end, and where the agent has taken it away.
    pub(super) fn next(&mut self) -> io::Result<Option<Seen>> {
        while self.ready.is_empty() && !self.is_done {
            self.step()?;
        }
        let seen = self.ready.pop_front();
        if matches!(seen, Some(Seen::Damage(_) | Seen::Torn(_))) && !self.part.is_still_there() {
            self.is_done = true;
            self.ready.clear();
            return Ok(None);
        }
        Ok(seen)
    }

    fn step(&mut self) -> io::Result<()> {
        let (offset, expect) = (self.walk.offset, self.walk.expect);
        match self.walk.step(self.part.until())? {
            Step::Frame { header, offset } => match self.frame(&header, offset)? {
                Ok(frame) => {
                    if self.judge(header.first)? {
                        self.ready.push_back(Seen::Frame(frame));
                    }
                }
                Err(why) => self.hold(offset, expect, why),
            },
            Step::Damage { bytes: 0, .. } => {
                self.hold(offset, expect, "positions are left out".into());
            }
            Step::Damage { .. } => {
                self.hold(offset, expect, "no frame begins where one should".into());
            }
            Step::Footer => {
                if self.judge(expect)? {
                    self.end(true, true);
                }
            }
            Step::End { blank } => self.end(blank, false),
        }
        Ok(())
    }

    fn frame(&mut self, header: &Header, offset: u64) -> io::Result<Result<SeenFrame, String>> {
        let mut frame = SeenFrame {
            file: self.part.file(),
            offset,
            bytes: header.total_bytes(),
            first: header.first,
            end: header.end(),
            unix_ms: header.unix_ms,
            is_snapshot: header.has(SNAPSHOT),
            mark_count: header.mark_count,
            body_bytes: (header.body_bytes.into(), header.plain_bytes.into()),
            is_packed: header.is_packed(),
            is_locked: header.is_sealed() && self.part.is_locked(),
            payloads: Vec::new(),
            marks: Vec::new(),
        };
        if !header.is_known() {
            return Ok(Err("the frame uses features that this weir does not know".into()));
        }
        if self.part.depth == Depth::Headers {
            return Ok(Ok(frame));
        }
        let stored = self.walk.stored(header, offset)?;
        if !header.fits(&stored) {
            let (is, expected) = (crc32c::crc32c(&stored), header.body_crc);
            return Ok(Err(format!("checksum is {is:08x}, expected {expected:08x}")));
        }
        if frame.is_locked {
            return Ok(Ok(frame));
        }
        let body = match header.body(stored, offset, self.part.cipher.as_ref()) {
            Ok(body) => body,
            Err(why) => return Ok(Err(why.into())),
        };
        let content = frame::payloads(header, &body).zip(frame::marks(header, &body));
        let Some((payloads, (marks, _))) = content else {
            return Ok(Err("the frame does not hold what its header says".into()));
        };
        (frame.payloads, frame.marks) = (payloads, marks);
        Ok(Ok(frame))
    }

    fn hold(&mut self, offset: u64, expect: u64, why: String) {
        let end = self.walk.offset;
        match &mut self.held {
            Some(held) => held.end = end,
            None => self.held = Some(Held { offset, expect, end, why }),
        }
    }

    /// Something sound follows, with this position: what is held is damage, unless it was read
    /// while it was written. Then this place must be looked at again: `false`.
    fn judge(&mut self, first: u64) -> io::Result<bool> {
        let Some(held) = self.held.take() else { return Ok(true) };
        if self.part.next.is_none() && self.confirmed != Some(held.offset) {
            // Frames are written one after the other: with a sound one behind it, this one is
            // complete by now.
            self.confirmed = Some(held.offset);
            let (window, salt) = (self.part.window()?, self.part.segment.salt);
            let cipher = self.part.cipher.clone();
            self.walk = Walk::new(window, salt, held.offset, held.expect).opened_by(cipher);
            return Ok(false);
        }
        let bytes = held.end.saturating_sub(held.offset);
        self.damage(held.offset, bytes, held.expect..first.max(held.expect), held.why);
        Ok(true)
    }

    fn end(&mut self, is_blank: bool, is_sealed: bool) {
        self.is_done = true;
        let (offset, expect) = (self.offset(), self.expect());
        let Some(next) = self.part.next else {
            if !is_sealed && (self.held.is_some() || !is_blank) {
                self.ready.push_back(Seen::Torn(Torn { file: self.part.file(), offset }));
            }
            return;
        };
        // What a failed write left behind the last frame concerns positions of the next segment.
        if expect >= next {
            return;
        }
        let bytes = self.part.segment.bytes.saturating_sub(offset);
        let bytes = if is_blank && self.held.is_none() { 0 } else { bytes };
        let why = self.held.take().map(|held| held.why).unwrap_or_else(|| {
            let why = if is_blank {
                "the segment ends before it should"
            } else {
                "nothing readable follows"
            };
            why.into()
        });
        self.damage(offset, bytes, expect..next, why);
    }

    fn damage(&mut self, offset: u64, bytes: u64, lost: Range<u64>, why: String) {
        let file = self.part.file();
        self.ready.push_back(Seen::Damage(DamagedRange { file, offset, bytes, lost, why }));
    }
}

impl Part {
    fn file(&self) -> String {
        segment::name(self.segment.first)
    }

    fn is_locked(&self) -> bool {
        self.segment.keyed.is_some() && self.cipher.is_none()
    }

    /// Frames that reach to here belong to the next segment.
    fn until(&self) -> u64 {
        self.next.unwrap_or(POSITION_MAX)
    }

    fn is_still_there(&self) -> bool {
        Look::still_has(self.disk.as_ref(), &self.folder, &self.segment)
    }

    fn window(&self) -> io::Result<Window> {
        let read_bytes = match self.depth {
            Depth::Headers => HEADER_READ_BYTES,
            Depth::Bodies => READ_BYTES,
        };
        let file = self.disk.open(&self.folder.join(self.file()), Open::Read)?;
        Ok(Window::new(file, read_bytes, self.segment.bytes).past_bad_blocks(true))
    }
}

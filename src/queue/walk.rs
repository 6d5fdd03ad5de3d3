//! Walking a segment file from frame to frame, and past what is damaged, by a fixed budget.

use std::io;

use bytes::Bytes;

use super::frame::{self, Header};
use super::seal::Cipher;
use super::segment;
use crate::base::disk::{DiskFile, read_full_at};

/// A part of a file in memory.
pub(super) struct Window {
    file: Box<dyn DiskFile>,
    start: u64,
    bytes: Bytes,
    /// Read at once, unless one frame is longer.
    read_bytes: usize,
    /// Nothing from here on is looked at.
    end: u64,
    passes_bad_blocks: bool,
    has_bad_blocks: bool,
}

impl Window {
    pub(super) fn new(file: Box<dyn DiskFile>, read_bytes: usize, end: u64) -> Self {
        let (start, bytes) = (0, Bytes::new());
        Self {
            file,
            start,
            bytes,
            read_bytes,
            end,
            passes_bad_blocks: false,
            has_bad_blocks: false,
        }
    }

    /// Zeroes stand for blocks that the disk cannot read, if it can read others beside them: what
    /// they belong to is damaged then. A disk that reads nothing is no reason to give anything up.
    pub(super) fn past_bad_blocks(mut self, passes: bool) -> Self {
        self.passes_bad_blocks = passes;
        self
    }

    /// Whether there were any.
    pub(super) fn has_bad_blocks(&self) -> bool {
        self.has_bad_blocks
    }

    /// Lets more of the file be seen; what was seen before was durable and has not changed.
    pub(super) fn reaches(&mut self, end: u64) {
        self.end = self.end.max(end);
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Gives the file back, to copy from it.
    pub(super) fn file(&self) -> &dyn DiskFile {
        self.file.as_ref()
    }

    /// `length` bytes at `offset`; fewer at the end.
    pub(super) fn at(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        let wanted = self.end.saturating_sub(offset).min(length as u64);
        let held = self.start..=self.start + self.bytes.len() as u64;
        if !held.contains(&offset) || !held.contains(&(offset + wanted)) {
            self.load(offset, length)?;
        }
        let from = frame::in_memory(offset - self.start).min(self.bytes.len());
        let to = from.saturating_add(frame::in_memory(wanted)).min(self.bytes.len());
        Ok(self.bytes.slice(from..to))
    }

    /// Moves to `offset`, keeping what overlaps.
    fn load(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let left = self.end.saturating_sub(offset);
        let size = frame::in_memory(left.min(length.max(self.read_bytes) as u64));
        let mut bytes = vec![0; size];
        let mut done = 0;
        if let Some(skip) = offset.checked_sub(self.start)
            && let Some(kept) = self.bytes.get(frame::in_memory(skip)..)
            && let Some(room) = bytes.get_mut(..kept.len())
        {
            room.copy_from_slice(kept);
            done = kept.len();
        }
        if let Some(rest) = bytes.get_mut(done..) {
            let from = offset + done as u64;
            let read = match read_full_at(self.file.as_ref(), rest, from) {
                Err(error) if self.passes_bad_blocks => {
                    let (read, good) = read_around(self.file.as_ref(), rest, from);
                    if good == 0 && done == 0 {
                        return Err(error);
                    }
                    self.has_bad_blocks = true;
                    read
                }
                answer => answer?,
            };
            bytes.truncate(done + read);
        }
        (self.start, self.bytes) = (offset, bytes.into());
        Ok(())
    }
}

/// Reads block by block, with zeroes in place of those that cannot be read; how far that is, and how
/// many bytes of it could be read.
fn read_around(file: &dyn DiskFile, mut room: &mut [u8], mut offset: u64) -> (usize, usize) {
    let (mut read, mut good) = (0, 0);
    while !room.is_empty() {
        let to_block = BLOCK_BYTES as u64 - offset % BLOCK_BYTES as u64;
        let length = frame::in_memory(to_block).min(room.len());
        let (block, rest) = std::mem::take(&mut room).split_at_mut(length);
        let got = match read_full_at(file, block, offset) {
            Ok(got) => {
                good += got;
                got
            }
            Err(_) => {
                block.fill(0);
                length
            }
        };
        read += got;
        if got < length {
            break;
        }
        offset += length as u64;
        room = rest;
    }
    (read, good)
}

/// A place in a segment file: where the next frame should begin, and with which position.
pub(super) struct Walk {
    pub(super) window: Window,
    /// `None` until the first good frame, if the segment's header is damaged.
    salt: Option<u64>,
    /// Opens what is sealed.
    cipher: Option<Cipher>,
    pub(super) offset: u64,
    pub(super) expect: u64,
}

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame with a good header; the walk is behind it now.
    Frame { header: Header, offset: u64 },
    /// No good header; the walk is at the next one, whose first position is expected now.
    Damage { offset: u64, bytes: u64 },
    /// The segment was sealed here.
    Footer,
    /// No good header from here to the end; `blank` if a header of zeroes says so. What stands behind
    /// it may be of an earlier life of the file.
    End { blank: bool },
}

impl Walk {
    /// Begins at a frame of which the first position is known.
    pub(super) fn new(window: Window, salt: Option<u64>, offset: u64, expect: u64) -> Self {
        Self { window, salt, cipher: None, offset, expect }
    }

    /// The same, with what opens its frames.
    pub(super) fn opened_by(mut self, cipher: Option<Cipher>) -> Self {
        self.cipher = cipher;
        self
    }

    /// Looks at this place and moves on. Frames that reach to `until` or beyond are not seen.
    pub(super) fn step(&mut self, until: u64) -> io::Result<Step> {
        let there = self.header_at(self.offset, until)?;
        match there.filter(|header| header.first == self.expect) {
            Some(header) if header.has(frame::FOOTER) => Ok(Step::Footer),
            Some(header) => {
                let offset = self.offset;
                self.salt = Some(header.salt);
                self.offset += header.total_bytes();
                self.expect = header.end();
                Ok(Step::Frame { header, offset })
            }
            None => self.resync(until),
        }
    }

    /// A frame's body as it lies there, unchecked.
    pub(super) fn stored(&mut self, header: &Header, offset: u64) -> io::Result<Bytes> {
        let start = offset + frame::HEADER_BYTES as u64;
        self.window.at(start, frame::in_memory(u64::from(header.body_bytes)))
    }

    /// The body of a frame; or why it is not what was written.
    pub(super) fn body(
        &mut self,
        header: &Header,
        offset: u64,
    ) -> io::Result<Result<Bytes, &'static str>> {
        let stored = self.stored(header, offset)?;
        Ok(header.body(stored, offset, self.cipher.as_ref()))
    }

    /// The header at a place, if it may stand there.
    fn header_at(&mut self, offset: u64, until: u64) -> io::Result<Option<Header>> {
        let bytes = self.window.at(offset, frame::HEADER_BYTES)?;
        let end = self.window.end();
        Ok(Header::decode(&bytes).filter(|header| {
            self.salt.is_none_or(|salt| salt == header.salt)
                && header.first >= self.expect
                && header.end() <= until
                && offset + header.total_bytes() <= end
        }))
    }

    /// Finds the next good header from here on.
    fn resync(&mut self, until: u64) -> io::Result<Step> {
        let (from, mut at) = (self.offset, self.offset);
        let blank = ZEROES.starts_with(&self.window.at(from, frame::HEADER_BYTES)?);
        loop {
            let block = self.window.at(at, BLOCK_BYTES)?;
            if block.is_empty() {
                return Ok(Step::End { blank });
            }
            if ZEROES.starts_with(&block) {
                at += block.len() as u64;
                continue;
            }
            for (offset, word) in (at..).step_by(STEP).zip(block.chunks(STEP)) {
                if !word.starts_with(&frame::MAGIC) {
                    continue;
                }
                if let Some(header) = self.header_at(offset, until)? {
                    (self.offset, self.expect) = (offset, header.first);
                    return Ok(Step::Damage { offset: from, bytes: offset - from });
                }
            }
            at += block.len() as u64;
        }
    }
}

const STEP: usize = 8;
const _: () = assert!(STEP as u64 == frame::ALIGN);
/// Looked through at once; a multiple of the alignment.
const BLOCK_BYTES: usize = 4096;
static ZEROES: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Begins at the first frame of a segment.
pub(super) fn from_start(window: Window, segment: &super::log::Segment) -> Walk {
    Walk::new(window, segment.salt, segment::HEADER_BYTES, segment.first)
}

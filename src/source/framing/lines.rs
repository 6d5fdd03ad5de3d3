//! One line after the other, whatever ends it and however long it is.

use bytes::Bytes;
use memchr::memchr;

use super::text::Encoding;
use super::{Format, Long, Settings};

/// What ends a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// A line feed; a carriage return before it is no part of the line.
    #[default]
    Lf,
    /// A zero byte.
    Nul,
}

/// Cuts lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    ending: Ending,
    encoding: Encoding,
    bytes_max: usize,
    long: Long,
}

/// One line, or a piece of one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// In UTF-8, or as it was if it is none. `None` for what is passed over.
    pub(super) text: Option<Bytes>,
    /// Bytes used up, its end among them.
    pub(super) used: usize,
    /// Its end has not come: it is a piece, or what there was when nothing more came.
    pub(super) is_cut: bool,
    /// It is too long to be a record.
    pub(super) is_at_fault: bool,
    /// What follows belongs to it and is to be passed over.
    pub(super) is_skipping: bool,
}

/// What a runtime writes around a line: braces and names of the JSON of docker, time, stream and
/// tag of CRI.
const WRAPPING_BYTES: usize = 1024;
/// A character may be written as six in JSON: `\u001b`.
const JSON_GROWTH: usize = 6;
/// Docker cuts lines into pieces of 16 KiB.
const DOCKER_PIECE_BYTES: usize = 16 << 10;

impl Lines {
    pub(super) fn new(settings: &Settings) -> Self {
        let record = settings.record_bytes_max.max(1);
        let (bytes_max, long) = match settings.format {
            // A character that takes two bytes may take three in UTF-8.
            Format::Plain if settings.encoding != Encoding::Utf8 => {
                let long = if settings.multiline.is_some() { Long::Split } else { settings.long };
                ((record / 3 * 2).max(2), long)
            }
            Format::Plain if settings.multiline.is_some() => (record, Long::Split),
            Format::Plain => (record, settings.long),
            // The joined line is judged; one physical line is only ever split.
            Format::Cri | Format::Journal => (record + WRAPPING_BYTES, Long::Split),
            Format::Docker => {
                (record.max(DOCKER_PIECE_BYTES) * JSON_GROWTH + WRAPPING_BYTES, Long::Split)
            }
        };
        Self { ending: settings.ending, encoding: settings.encoding, bytes_max, long }
    }

    /// With as many bytes the first line is always found or cut: the longest line and its end.
    pub(super) fn room(&self) -> usize {
        self.bytes_max + 2 * self.encoding.unit()
    }

    /// The line that begins at `from`. `None` if it is not finished; `last`: then what is there is
    /// all of it. Looks no further than needed to see that it is too long.
    pub(super) fn next(
        &self,
        chunk: &Bytes,
        from: usize,
        is_skipping: bool,
        last: bool,
    ) -> Option<Line> {
        let rest = chunk.get(from..).filter(|rest| !rest.is_empty())?;
        if is_skipping {
            return self.skip(rest);
        }
        let window = rest.get(..self.room()).unwrap_or(rest);
        let (length, used) = match self.end(window) {
            Some(end) => (self.without_cr(window, end), end + self.encoding.unit()),
            None if window.len() >= self.room() => (window.len(), window.len()),
            None if last => (self.without_cr(window, window.len()), window.len()),
            None => return None,
        };
        if length > self.bytes_max {
            return Some(self.too_long(chunk, from, rest));
        }
        let is_cut = last && used == length && used == rest.len();
        let text = self.encoding.decode(chunk.slice(from..from + length));
        Some(Line { text: Some(text), used, is_cut, ..Line::default() })
    }

    /// The bytes behind the last line end of `tail`; `None` if there is no end in it.
    pub(super) fn unfinished(&self, tail: &[u8]) -> Option<usize> {
        let unit = self.encoding.unit();
        let ends = tail.rchunks_exact(unit).position(|chunk| self.is_end(chunk))?;
        Some(ends * unit)
    }

    fn too_long(&self, chunk: &Bytes, from: usize, rest: &[u8]) -> Line {
        let piece = self.encoding.whole_characters(rest, self.bytes_max);
        let text = self.encoding.decode(chunk.slice(from..from + piece));
        let (text, is_at_fault, is_skipping) = match self.long {
            Long::Split => (text, false, false),
            Long::Cut => (marked(&text, self.encoding), false, true),
            Long::DeadLetter => (text, true, true),
        };
        Line { text: Some(text), used: piece, is_cut: true, is_at_fault, is_skipping }
    }

    /// Passes over the rest of a line that was too long.
    fn skip(&self, rest: &[u8]) -> Option<Line> {
        let unit = self.encoding.unit();
        let (used, is_skipping) = match self.end(rest) {
            Some(end) => (end + unit, false),
            // Half a character waits for its other half.
            None => (rest.len() / unit * unit, true),
        };
        (used > 0).then(|| Line { used, is_skipping, ..Line::default() })
    }

    /// Place of the first line end.
    fn end(&self, bytes: &[u8]) -> Option<usize> {
        match self.encoding.unit() {
            1 => memchr(self.ending.byte(), bytes),
            unit => {
                let mut units = bytes.chunks_exact(unit);
                units.position(|chunk| self.is_end(chunk)).map(|at| at * unit)
            }
        }
    }

    fn is_end(&self, unit: &[u8]) -> bool {
        self.encoding.is(unit, self.ending.byte())
    }

    fn without_cr(&self, bytes: &[u8], end: usize) -> usize {
        let before = end.checked_sub(self.encoding.unit());
        let last = before.and_then(|before| bytes.get(before..end));
        match (self.ending, before, last) {
            (Ending::Lf, Some(before), Some(last)) if self.encoding.is(last, b'\r') => before,
            _ => end,
        }
    }
}

impl Ending {
    fn byte(self) -> u8 {
        match self {
            Self::Lf => b'\n',
            Self::Nul => 0,
        }
    }
}

/// What stands at the end of a record that was cut.
pub(super) const CUT_NOTE: &str = " [cut by weir]";

/// The beginning of a line, with a note in its last bytes that it goes on; without where there is no
/// room for it, so that it is never longer than it was.
pub(super) fn marked(text: &Bytes, encoding: Encoding) -> Bytes {
    let Some(room) = text.len().checked_sub(CUT_NOTE.len()) else { return text.clone() };
    let kept = match encoding {
        Encoding::Utf8 => encoding.whole_characters(text, room),
        _ => Encoding::Utf8.whole_characters(text, room),
    };
    let kept = text.get(..kept).unwrap_or_default();
    [kept, CUT_NOTE.as_bytes()].concat().into()
}

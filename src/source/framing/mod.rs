//! Bytes become records; pure. Shared by files that are followed and by standard input.
//!
//! Nothing is remembered between two calls: what is not finished yet is simply not used up, and
//! comes again with the bytes behind it. So a position in a file says everything, and a restart in
//! the middle of a stack trace changes nothing.

mod assembly;
mod lines;

mod container;
mod journal;
mod multiline;
mod text;

#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;

use std::time::Duration;

use bytes::Bytes;

use assembly::Assembly;
use lines::Lines;

pub use container::Format;
pub use lines::Ending;
pub use multiline::{Builtin, Multiline, Rule};
pub use text::{Encoding, Invalid};

/// How bytes become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What ends a line.
    pub ending: Ending,
    /// What the bytes mean.
    pub encoding: Encoding,
    /// What becomes of a line that is not text in that encoding.
    pub invalid: Invalid,
    /// What a container runtime wrote around each line.
    pub format: Format,
    /// Which lines belong together.
    pub multiline: Option<Multiline>,
    /// Longest record in bytes.
    pub record_bytes_max: usize,
    /// What becomes of a longer one.
    pub long: Long,
    /// An unfinished last line is a record after so long without more; `None`: it waits.
    pub partial_after: Option<Duration>,
}

/// What becomes of a record that is too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Long {
    /// Pieces of the longest size, none of which tears a UTF-8 character.
    #[default]
    Split,
    /// Its beginning, with a note that it was cut; the rest is passed over.
    Cut,
    /// Its beginning becomes a dead letter; the rest is passed over.
    DeadLetter,
}

/// One record and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Framed {
    /// Its bytes.
    pub payload: Bytes,
    /// Where it begins in the bytes it was cut from.
    pub at: usize,
    /// What the container runtime wrote beside it.
    pub origin: Origin,
    /// Why it is no record but a dead letter.
    pub fault: Option<Fault>,
}

/// What a container runtime says of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// When it was written, as it stands there (RFC 3339).
    pub time: Option<Bytes>,
    /// `stdout` or `stderr`.
    pub stream: Option<Bytes>,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is longer than the longest record.
    TooLong,
    /// It is not text in the encoding that was set.
    NotText,
}

impl Fault {
    /// What a dead letter says of it.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::TooLong => "the line is longer than `max_line`; this is its beginning",
            Self::NotText => "the line is no text in the encoding that is set",
        }
    }
}

/// What was cut from the front of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// The records, in order; where possible they share the bytes they were cut from.
    pub records: Vec<Framed>,
    /// How many bytes were used up; the rest is unfinished or beyond the limit.
    pub used: usize,
    /// In how many places an over-long line was cut.
    pub pieces: u64,
    /// Whether it ended at the limit of records.
    pub is_full: bool,
    /// The bytes used up end within an over-long line whose rest is to be passed over.
    pub is_skipping: bool,
}

/// What the caller knows of the place where the bytes come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Situation {
    /// The bytes begin within an over-long line, whose rest is to be passed over.
    pub is_skipping: bool,
    /// Most records wanted. What was open when they are reached, and the pieces of a line that is cut,
    /// come on top.
    pub records_max: usize,
    /// For how long nothing has come behind these bytes; `None` while more is there to be read.
    pub quiet_for: Option<Duration>,
}

impl Situation {
    /// Nothing will ever follow.
    pub const END: Duration = Duration::MAX;
}

/// The framing of one source.
#[derive(Clone, Debug)]
pub struct Framing {
    lines: Lines,
    settings: Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ending: Ending::Lf,
            encoding: Encoding::Utf8,
            invalid: Invalid::Keep,
            format: Format::Plain,
            multiline: None,
            record_bytes_max: 256 << 10,
            long: Long::Split,
            partial_after: None,
        }
    }
}

impl Framing {
    /// A framing as it was set.
    pub fn new(settings: &Settings) -> Self {
        Self { lines: Lines::new(settings), settings: settings.clone() }
    }

    /// With as many bytes at once something is always used up.
    pub fn room(&self) -> usize {
        if self.is_plain() { self.lines.room() } else { 2 * self.lines.room() }
    }

    /// When something unfinished becomes a record, if nothing has come for `quiet` already: after
    /// how long a silence altogether.
    pub fn patience(&self, quiet: Duration) -> Option<Duration> {
        let group = self.settings.multiline.as_ref().map(|multiline| multiline.timeout);
        let waits = [group, self.settings.partial_after].into_iter().flatten();
        waits.filter(|wait| *wait > quiet).min()
    }

    /// Bytes at the start of a source that are no part of a line: a byte order mark.
    pub fn preamble(&self, start: &[u8]) -> usize {
        self.settings.encoding.preamble(start)
    }

    /// `position`, or where the character begins that it stands in.
    pub fn whole_characters(&self, position: u64) -> u64 {
        position - position % self.settings.encoding.unit() as u64
    }

    /// How many bytes of `tail` stand behind its last line end; `None` if there is none in it. To
    /// find where a source goes on that is joined in the middle.
    pub fn unfinished(&self, tail: &[u8]) -> Option<usize> {
        self.lines.unfinished(tail)
    }

    /// Cuts records off the front.
    pub fn cut(&self, chunk: &Bytes, situation: &Situation) -> Cut {
        if self.is_plain() {
            return self.cut_lines(chunk, situation);
        }
        if self.settings.format == Format::Journal {
            let max = self.settings.record_bytes_max;
            return journal::cut(chunk, situation, max, chunk.len() >= self.room());
        }
        Assembly::new(&self.settings, &self.lines, situation, chunk.len() >= self.room()).run(chunk)
    }

    fn is_plain(&self) -> bool {
        self.settings.format == Format::Plain && self.settings.multiline.is_none()
    }

    /// Every line is a record. An empty one is none.
    fn cut_lines(&self, chunk: &Bytes, situation: &Situation) -> Cut {
        let mut cut = Cut { is_skipping: situation.is_skipping, ..Cut::default() };
        let last = self.takes_partial(situation);
        while cut.used < chunk.len() {
            if cut.records.len() >= situation.records_max {
                cut.is_full = true;
                break;
            }
            let Some(line) = self.lines.next(chunk, cut.used, cut.is_skipping, last) else { break };
            let at = cut.used;
            cut.used += line.used;
            cut.is_skipping = line.is_skipping;
            cut.pieces += u64::from(line.is_cut);
            let Some(text) = line.text.filter(|text| !text.is_empty()) else { continue };
            let mut framed = Framed { payload: text, at, ..Framed::default() };
            framed.fault = line.is_at_fault.then_some(Fault::TooLong);
            cut.records.push(text::judged(framed, &self.settings));
        }
        cut
    }

    fn takes_partial(&self, situation: &Situation) -> bool {
        takes_partial(&self.settings, situation)
    }
}

/// Whether an unfinished last line counts as a whole one by now.
fn takes_partial(settings: &Settings, situation: &Situation) -> bool {
    situation.quiet_for.is_some_and(|quiet| {
        quiet == Situation::END || settings.partial_after.is_some_and(|after| quiet >= after)
    })
}

#[cfg(test)]
mod tests;

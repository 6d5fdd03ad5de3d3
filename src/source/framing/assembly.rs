//! Records of several lines: pieces that a container runtime cut, and lines that belong together.
//!
//! Bytes are used up only as far as nothing is open: up to the first byte of the oldest record that
//! may still grow. What lies behind is assembled again with the next bytes.

use bytes::{Bytes, BytesMut};

use super::container::Part;
use super::lines::{self, Lines};
use super::multiline::{Mood, Multiline, Step};
use super::text::{self, Encoding};
use super::{Cut, Fault, Framed, Long, Origin, Settings, Situation, takes_partial};

/// One call of [`super::Framing::cut`].
pub(super) struct Assembly<'a> {
    settings: &'a Settings,
    lines: &'a Lines,
    situation: &'a Situation,
    /// So much is there that something must be used up, finished or not.
    must_move: bool,
    /// What may still grow, one for each stream of the container.
    open: Vec<Open>,
    done: Vec<Done>,
    pieces: u64,
}

/// A record that may still grow.
struct Open {
    at: usize,
    end: usize,
    origin: Origin,
    text: Text,
    line_count: usize,
    mood: Mood,
    /// The last line lacks its rest.
    is_partial: bool,
    /// It is full: what follows is passed over, or begins a piece.
    is_over: bool,
}

/// A record, and where its last line ends.
struct Done {
    framed: Framed,
    end: usize,
}

/// Bytes that are shared as long as nothing is joined to them.
enum Text {
    One(Bytes),
    Many(BytesMut),
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        lines: &'a Lines,
        situation: &'a Situation,
        must_move: bool,
    ) -> Self {
        let (open, done) = (Vec::new(), Vec::new());
        Self { settings, lines, situation, must_move, open, done, pieces: 0 }
    }

    pub(super) fn run(mut self, chunk: &Bytes) -> Cut {
        let last = takes_partial(self.settings, self.situation);
        let (mut used, mut is_full) = (0, false);
        let mut is_skipping = self.situation.is_skipping;
        while let Some(line) = self.lines.next(chunk, used, false, last) {
            if self.done.len() >= self.situation.records_max.max(1)
                && self.open.iter().all(|open| open.at > 0)
            {
                is_full = true;
                break;
            }
            let mut part = self.settings.format.unwrap(&line.text.unwrap_or_default());
            part.is_partial |= line.is_cut && !last;
            if is_skipping {
                is_skipping = part.is_partial;
            } else {
                self.take(part, used, used + line.used);
            }
            used += line.used;
        }
        self.close_quiet(used == chunk.len());
        let boundary = self.boundary(used);
        if boundary > 0 || !(self.must_move || is_full) {
            return self.finish(boundary, is_full, is_skipping && boundary == used);
        }
        is_skipping |= self.settings.long != Long::Split
            && self.open.iter().any(|open| open.is_over && open.is_partial);
        self.close_all();
        self.finish(used, is_full, is_skipping)
    }

    /// So far nothing is open, and no record reaches beyond.
    fn boundary(&self, used: usize) -> usize {
        let mut boundary = self.open.iter().map(|open| open.at).min().unwrap_or(used);
        // From the last to the first: moving back may put another across.
        let mut spans: Vec<_> = self.done.iter().map(|done| (done.end, done.framed.at)).collect();
        spans.sort_unstable_by(|a, b| b.cmp(a));
        for (end, at) in spans {
            if at < boundary && boundary < end {
                boundary = at;
            }
        }
        boundary
    }

    /// Takes one physical line.
    fn take(&mut self, part: Part, at: usize, end: usize) {
        let same = |open: &Open| open.origin.stream == part.origin.stream;
        let Some(index) = self.open.iter().position(same) else {
            self.begin(part, at, end);
            return;
        };
        let Some(open) = self.open.get_mut(index) else { return };
        if open.is_partial {
            open.join(&part, end, b"", self.settings);
        } else {
            let multiline = self.settings.multiline.as_ref();
            let joins = multiline.is_some_and(|multiline| open.joins(multiline, &part.text));
            if !joins {
                self.close(index);
                self.begin(part, at, end);
                return;
            }
            open.line_count += 1;
            open.join(&part, end, b"\n", self.settings);
        }
        self.settle(index);
    }

    fn begin(&mut self, part: Part, at: usize, end: usize) {
        let mut open = Open {
            at,
            end,
            origin: part.origin,
            text: Text::One(Bytes::new()),
            line_count: 1,
            mood: Mood::default(),
            is_partial: part.is_partial,
            is_over: false,
        };
        if let Some(multiline) = &self.settings.multiline {
            open.mood = multiline.rule.begin(&part.text);
        }
        open.text = Text::One(part.text);
        self.open.push(open);
        self.settle(self.open.len() - 1);
    }

    /// Closes a record that cannot grow any more.
    fn settle(&mut self, index: usize) {
        let Some(open) = self.open.get(index) else { return };
        let is_whole = !open.is_partial && (self.settings.multiline.is_none() || open.mood.is_over);
        let is_too_long = open.text.len() > self.settings.record_bytes_max;
        if is_whole || is_too_long && self.settings.long == Long::Split {
            self.close(index);
        }
    }

    /// Closes what nothing was added to for long enough.
    fn close_quiet(&mut self, saw_everything: bool) {
        let Some(quiet) = self.situation.quiet_for.filter(|_| saw_everything) else { return };
        let group_is_due =
            self.settings.multiline.as_ref().is_some_and(|multiline| quiet >= multiline.timeout);
        let line_is_due = takes_partial(self.settings, self.situation);
        let mut index = 0;
        while let Some(open) = self.open.get(index) {
            if if open.is_partial { line_is_due } else { group_is_due || line_is_due } {
                self.close(index);
            } else {
                index += 1;
            }
        }
    }

    fn close_all(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    fn close(&mut self, index: usize) {
        let open = self.open.remove(index);
        let payload = open.text.freeze();
        let without_end = payload.trim_ascii_end().len();
        let is_blank = without_end == 0;
        let payload = match self.settings.multiline {
            // Blank lines behind a trace are no part of it.
            Some(_) if payload.ends_with(b"\n") => {
                let kept = payload.iter().rposition(|byte| *byte != b'\n').map_or(0, |at| at + 1);
                payload.slice(..kept)
            }
            _ => payload,
        };
        if is_blank && payload.is_empty() {
            return;
        }
        let framed = Framed { payload, at: open.at, origin: open.origin, fault: None };
        self.fit(framed, open.end);
    }

    /// A record that is too long is split, cut or at fault.
    fn fit(&mut self, mut framed: Framed, end: usize) {
        let max = self.settings.record_bytes_max.max(1);
        while framed.payload.len() > max {
            self.pieces += 1;
            let kept = Encoding::Utf8.whole_characters(&framed.payload, max);
            match self.settings.long {
                Long::Split => {
                    let piece = framed.payload.split_to(kept);
                    let piece = Framed { payload: piece, ..framed.clone() };
                    self.put(piece, end);
                }
                Long::Cut => {
                    framed.payload = lines::marked(&framed.payload.slice(..kept), Encoding::Utf8);
                }
                Long::DeadLetter => {
                    framed.payload.truncate(kept);
                    framed.fault = Some(Fault::TooLong);
                }
            }
        }
        self.put(framed, end);
    }

    fn put(&mut self, framed: Framed, end: usize) {
        self.done.push(Done { framed: text::judged(framed, self.settings), end });
    }

    fn finish(mut self, used: usize, is_full: bool, is_skipping: bool) -> Cut {
        self.done.sort_by_key(|done| done.framed.at);
        let due = self.done.into_iter().filter(|done| done.end <= used);
        let records = due.map(|done| done.framed).collect();
        Cut { records, used, pieces: self.pieces, is_full, is_skipping }
    }
}

impl Open {
    fn joins(&mut self, multiline: &Multiline, line: &[u8]) -> bool {
        self.line_count < multiline.lines_max
            && multiline.rule.step(&mut self.mood, line) == Step::Joins
    }

    /// Adds a part. Nothing is added to what is too long already, unless it will be split.
    fn join(&mut self, part: &Part, end: usize, between: &[u8], settings: &Settings) {
        self.end = end;
        self.is_partial = part.is_partial;
        self.is_over |= settings.long != Long::Split && self.text.len() > settings.record_bytes_max;
        if !self.is_over {
            self.text.join(between, &part.text);
        }
    }
}

impl Text {
    fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn join(&mut self, between: &[u8], more: &[u8]) {
        let many = match self {
            Self::Many(many) => many,
            Self::One(one) => {
                let mut many = BytesMut::with_capacity(2 * (one.len() + more.len()));
                many.extend_from_slice(one);
                *self = Self::Many(many);
                match self {
                    Self::Many(many) => many,
                    Self::One(_) => return,
                }
            }
        };
        many.extend_from_slice(between);
        many.extend_from_slice(more);
    }

    fn freeze(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

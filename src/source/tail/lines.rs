//! Bytes become lines; pure.

use bytes::Bytes;
use std::io::BufRead as _;

/// How bytes are framed. A line ends at LF, a CR before it is no part of it, and an empty line is
/// no record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Framing {
    line_bytes_max: usize,
}

/// What was cut from the front of some bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Lines without their ends; they share the bytes they were cut from.
    pub(super) lines: Vec<Bytes>,
    /// How many bytes were used up; the rest is an unfinished line or beyond the limit.
    pub(super) used: usize,
    /// In how many places an over-long line was cut.
    pub(super) pieces: u64,
    /// Whether it ended at the limit of lines.
    pub(super) is_full: bool,
}

impl Framing {
    pub(super) fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max: line_bytes_max.max(1) }
    }

    /// With as many bytes at once the first line is always found or cut: the longest line and CRLF.
    pub(super) fn room(&self) -> usize {
        self.line_bytes_max + 2
    }

    /// Cuts at most `lines_max` lines. `last`: nothing will follow, so that the unfinished rest is
    /// a line too.
    pub(super) fn cut(&self, chunk: &Bytes, lines_max: usize, last: bool) -> Cut {
        let mut cut = Cut::default();
        while let Some(rest) = chunk.get(cut.used..).filter(|rest| !rest.is_empty()) {
            if cut.lines.len() >= lines_max {
                cut.is_full = true;
                break;
            }
            let (line, used) = match self.first_line(rest, last) {
                Some((line, used)) if line <= self.line_bytes_max => (line, used),
                Some(_) => {
                    cut.pieces += 1;
                    let piece = whole_characters(rest, self.line_bytes_max);
                    (piece, piece)
                }
                None => break,
            };
            if line > 0 {
                cut.lines.push(chunk.slice(cut.used..cut.used + line));
            }
            cut.used += used;
        }
        cut
    }

    /// The first line's length without and with its end. Looks no further than needed to see that
    /// it is too long.
    fn first_line(&self, rest: &[u8], last: bool) -> Option<(usize, usize)> {
        let window = rest.get(..self.room()).unwrap_or(rest);
        match newline(window) {
            Some(at) => Some((without_cr(window, at), at + 1)),
            None if window.len() >= self.room() => Some((window.len(), window.len())),
            None if last => Some((without_cr(window, window.len()), window.len())),
            None => None,
        }
    }
}

/// Place of the first LF. `skip_until` is the system's own fast search.
fn newline(mut bytes: &[u8]) -> Option<usize> {
    let whole = bytes;
    let skipped = bytes.skip_until(b'\n').ok()?;
    let at = skipped.checked_sub(1)?;
    (whole.get(at) == Some(&b'\n')).then_some(at)
}

fn without_cr(bytes: &[u8], end: usize) -> usize {
    match end.checked_sub(1) {
        Some(before) if bytes.get(before) == Some(&b'\r') => before,
        _ => end,
    }
}

/// At most `max` bytes, fewer if a UTF-8 character would be torn.
fn whole_characters(bytes: &[u8], max: usize) -> usize {
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    (max.saturating_sub(3).max(1)..=max).rev().find(|at| !continues(*at)).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(max: usize, bytes: &str, last: bool, lines: &[&str], used: usize) {
        let cut = Framing::new(max).cut(&Bytes::copy_from_slice(bytes.as_bytes()), 100, last);
        assert_eq!(cut.lines, lines);
        assert_eq!(cut.used, used);
    }

    #[test]
    fn a_line_ends_at_its_newline_and_the_unfinished_rest_waits() {
        check(10, "", false, &[], 0);
        check(10, "one\ntwo\r\nthr", false, &["one", "two"], 9);
        check(10, "one\ntwo\r\nthr", true, &["one", "two", "thr"], 12);
        check(10, "thr\r", true, &["thr"], 4);
        check(10, "a\rb\n", false, &["a\rb"], 4);
    }

    #[test]
    fn empty_lines_are_passed_over() {
        check(10, "\n\r\n\n a\n\n", false, &[" a"], 8);
        check(10, "\r", true, &[], 1);
    }

    #[test]
    fn a_line_is_cut_into_pieces_from_one_byte_over_the_limit() {
        check(4, "123\n1234\n", false, &["123", "1234"], 9);
        check(4, "1234\r\n", false, &["1234"], 6);
        check(4, "12345\n", false, &["1234", "5"], 6);
        check(4, "12345", false, &[], 0);
        check(4, "123456", false, &["1234"], 4);
        check(4, "12345", true, &["1234", "5"], 5);
        check(4, "12345678\n", false, &["1234", "5678"], 9);
    }

    #[test]
    fn a_cut_tears_no_character_and_bytes_that_are_none_are_left_alone() {
        check(4, "abcé123\n", false, &["abc", "é12", "3"], 9);
        let cut = Framing::new(4).cut(&Bytes::from_static(&[0x80; 9]), 100, true);
        assert_eq!(cut.lines, [&[0x80; 4][..], &[0x80; 4][..], &[0x80; 1][..]]);
    }

    #[test]
    fn it_stops_at_the_limit_of_lines_and_says_so() {
        let cut = Framing::new(9).cut(&Bytes::from_static(b"a\nb\nc\n"), 2, false);
        assert_eq!((cut.lines.len(), cut.used, cut.is_full), (2, 4, true));
    }

    proptest! {
        #[test]
        fn the_same_lines_come_out_however_the_bytes_arrive(
            text in "[ab\r\né]{0,60}",
            max in 1usize..6,
            steps in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let framing = Framing::new(max);
            let whole = Bytes::copy_from_slice(text.as_bytes());
            let expected = framing.cut(&whole, usize::MAX, true).lines;

            let (mut lines, mut from, mut until) = (Vec::new(), 0, 0);
            for step in steps.iter().cycle() {
                until = (until + step).min(whole.len());
                let last = until == whole.len();
                let cut = framing.cut(&whole.slice(from..until), usize::MAX, last);
                from += cut.used;
                lines.extend(cut.lines);
                if last {
                    break;
                }
            }
            prop_assert_eq!(lines, expected);
            prop_assert_eq!(from, whole.len());
        }
    }
}

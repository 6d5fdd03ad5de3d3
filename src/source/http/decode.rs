//! A body into raw records.

use bytes::Bytes;

use super::problem::Fault;
use crate::record::RawRecord;

/// How many records a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The whole body is one.
    One,
    /// One in each line (NDJSON, JSON lines).
    Lines,
}

/// Most records of one request: each costs memory beside its bytes.
pub(super) const RECORDS_MAX: usize = 100_000;

/// The records of a body, and what is wrong with the text of some, by index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) records: Vec<RawRecord>,
    pub(super) faults: Vec<(usize, String)>,
}

/// Splits a body; the records share its bytes. Empty lines are no records, `\r\n` ends a line as
/// `\n` does, and the last line needs no end. Every record gets the key.
pub(super) fn split(
    shape: Shape,
    body: &Bytes,
    partition_key: Option<String>,
) -> Result<Split, Fault> {
    let mut split = Split::default();
    let record = |payload| RawRecord {
        payload,
        partition_key: partition_key.clone(),
        ..RawRecord::default()
    };
    match shape {
        Shape::One if !body.is_empty() => split.records.push(record(body.clone())),
        Shape::One => {}
        Shape::Lines => {
            // Checking it all at once is much faster than line by line, and nearly always enough.
            let is_text = std::str::from_utf8(body).is_ok();
            for (line, payload) in (1_usize..).zip(lines(body)) {
                if payload.trim_ascii().is_empty() {
                    continue;
                }
                if split.records.len() == RECORDS_MAX {
                    return Err(Fault::TooManyRecords { limit: RECORDS_MAX });
                }
                if !is_text && let Err(error) = std::str::from_utf8(&payload) {
                    let byte = error.valid_up_to() + 1;
                    let reason = format!("line {line} is not UTF-8: its byte {byte} is no text");
                    split.faults.push((split.records.len(), reason));
                }
                split.records.push(record(payload));
            }
        }
    }
    if split.records.is_empty() { Err(Fault::EmptyBody) } else { Ok(split) }
}

/// How many records a body may turn out to hold; empty lines are counted, as they are seldom.
pub(super) fn count_at_most(shape: Shape, body: &[u8]) -> usize {
    match shape {
        Shape::One => 1,
        Shape::Lines => {
            let ends = body.iter().filter(|byte| **byte == b'\n').take(RECORDS_MAX);
            (ends.count() + 1).min(RECORDS_MAX)
        }
    }
}

/// The lines without their ends.
fn lines(body: &Bytes) -> impl Iterator<Item = Bytes> {
    body.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .map(|line| body.slice_ref(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: Shape, body: &[u8], expected: &[&[u8]]) {
        let split = split(shape, &Bytes::copy_from_slice(body), Some("k".into())).unwrap();
        let payloads: Vec<&[u8]> = split.records.iter().map(|r| r.payload.as_ref()).collect();
        assert_eq!(payloads, expected);
        assert!(split.records.iter().all(|r| r.partition_key.as_deref() == Some("k")));
    }

    #[test]
    fn lines_end_in_either_way_and_empty_ones_are_no_records() {
        check(Shape::Lines, b"a", &[b"a"]);
        check(Shape::Lines, b"a\nb\n", &[b"a", b"b"]);
        check(Shape::Lines, b"\r\na\r\n\n \t\nb\r\n\r\n c", &[b"a", b"b", b" c"]);
        check(Shape::Lines, b"a\rb\n", &[b"a\rb"]);
    }

    #[test]
    fn any_other_body_is_one_record_as_it_is() {
        check(Shape::One, b"a\nb\n", &[b"a\nb\n"]);
        check(Shape::One, b"\xff\0", &[b"\xff\0"]);
        check(Shape::One, b"\n", &[b"\n"]);
    }

    #[test]
    fn a_body_without_records_is_refused() {
        for (shape, body) in [(Shape::One, ""), (Shape::Lines, ""), (Shape::Lines, "\n \r\n")] {
            assert_eq!(split(shape, &Bytes::from(body), None), Err(Fault::EmptyBody), "{body:?}");
        }
    }

    #[test]
    fn lines_that_are_no_text_are_named_by_record_and_by_line() {
        let body = Bytes::from_static(b"a\n\nb\xffc\nd\n\xe2\x82");

        let split = split(Shape::Lines, &body, None).unwrap();

        assert_eq!(split.records.len(), 4);
        assert_eq!(
            split.faults,
            [
                (1, "line 3 is not UTF-8: its byte 2 is no text".to_owned()),
                (3, "line 5 is not UTF-8: its byte 1 is no text".to_owned()),
            ]
        );
    }

    #[test]
    fn the_number_of_records_is_bounded() {
        let most = Bytes::from("1\n".repeat(RECORDS_MAX));
        let more = Bytes::from("1\n".repeat(RECORDS_MAX) + "\n1");

        assert_eq!(split(Shape::Lines, &most, None).unwrap().records.len(), RECORDS_MAX);
        let limit = RECORDS_MAX;
        assert_eq!(split(Shape::Lines, &more, None), Err(Fault::TooManyRecords { limit }));
    }
}

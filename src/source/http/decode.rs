//! A body into raw records.

use bytes::Bytes;

use super::problem::Fault;
use super::{delivery, events, gateway, json};
use crate::record::RawRecord;

/// How a body holds its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The whole body is one.
    One,
    /// One in each line (NDJSON, JSON lines).
    Lines,
    /// The elements of a JSON array, or the one value that is none.
    Elements,
    /// The data of a CloudEvent whose attributes stood in the head.
    Event(events::Attributes),
    /// A whole CloudEvent, in JSON.
    WholeEvent,
    /// A JSON array of CloudEvents.
    Events,
    /// What Amazon Data Firehose sends to an HTTP endpoint, under this id.
    Delivery { id: String },
    /// `{"Data": …, "PartitionKey": …}`.
    GatewayRecord,
    /// `{"records": [{"data": …, "partition-key": …}]}`.
    GatewayRecords,
}

/// Most records of one request: each costs memory beside its bytes.
pub(super) const RECORDS_MAX: usize = 100_000;

/// The records of a body, and what is wrong with the text of some, by index.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) records: Vec<RawRecord>,
    pub(super) faults: Vec<(usize, String)>,
}

impl Shape {
    /// How many records a body may turn out to hold, where that is cheap to tell before it is split;
    /// empty lines are counted, as they are seldom.
    pub(super) fn count_at_most(&self, body: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => {
                let ends = body.iter().filter(|byte| **byte == b'\n').take(RECORDS_MAX);
                Some((ends.count() + 1).min(RECORDS_MAX))
            }
            Self::Elements | Self::Events | Self::Delivery { .. } | Self::GatewayRecords => None,
            _ => Some(1),
        }
    }

    /// Bytes of records that do not share those of the body, at most: twice as many, where what JSON
    /// must not hold becomes base64.
    pub(super) fn copied_bytes(&self, body: &[u8]) -> u64 {
        let bytes = body.len() as u64;
        match self {
            Self::One | Self::Lines | Self::Elements | Self::WholeEvent | Self::Events => 0,
            Self::Delivery { .. } | Self::GatewayRecord | Self::GatewayRecords => bytes,
            Self::Event(attributes) => (bytes + attributes.bytes()) * 2,
        }
    }

    /// Splits a body; the records share its bytes where they can. A record without a key of its own
    /// gets this one.
    pub(super) fn split(&self, body: &Bytes, key: Option<&str>) -> Result<Split, Fault> {
        let records = match self {
            Self::Lines => {
                let mut split = lines(body)?;
                split.records.iter_mut().for_each(|record| record.take_key(key));
                return if split.records.is_empty() { Err(Fault::EmptyBody) } else { Ok(split) };
            }
            Self::Event(attributes) => vec![attributes.with_data(body)?],
            _ if body.is_empty() => Vec::new(),
            Self::One => vec![RawRecord { payload: body.clone(), ..RawRecord::default() }],
            Self::Elements => json::elements(body)?,
            Self::WholeEvent => vec![events::whole(body)?],
            Self::Events => events::batch(body)?,
            Self::Delivery { id } => delivery::records(body, id)?,
            Self::GatewayRecord => vec![gateway::record(body)?],
            Self::GatewayRecords => gateway::records(body)?,
        };
        if records.is_empty() {
            return Err(Fault::EmptyBody);
        }
        let mut split = Split { records, faults: Vec::new() };
        split.records.iter_mut().for_each(|record| record.take_key(key));
        Ok(split)
    }
}

/// What a record without a key gets.
trait TakeKey {
    fn take_key(&mut self, key: Option<&str>);
}

impl TakeKey for RawRecord {
    fn take_key(&mut self, key: Option<&str>) {
        if self.partition_key.is_none() {
            self.partition_key = key.map(str::to_owned);
        }
    }
}

/// Empty lines are no records, `\r\n` ends a line as `\n` does, and the last line needs no end.
fn lines(body: &Bytes) -> Result<Split, Fault> {
    let mut split = Split::default();
    // Checking it all at once is much faster than line by line, and nearly always enough.
    let is_text = std::str::from_utf8(body).is_ok();
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (line, payload) in (1_usize..).zip(lines) {
        if payload.trim_ascii().is_empty() {
            continue;
        }
        if split.records.len() == RECORDS_MAX {
            return Err(Fault::TooManyRecords { limit: RECORDS_MAX });
        }
        if !is_text && let Err(error) = std::str::from_utf8(payload) {
            let byte = error.valid_up_to() + 1;
            let reason = format!("line {line} is not UTF-8: its byte {byte} is no text");
            split.faults.push((split.records.len(), reason));
        }
        let payload = body.slice_ref(payload);
        split.records.push(RawRecord { payload, ..RawRecord::default() });
    }
    Ok(split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: Shape, body: &[u8], expected: &[&[u8]]) {
        let split = shape.split(&Bytes::copy_from_slice(body), Some("k")).unwrap();
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
        let empty = [
            (Shape::One, ""),
            (Shape::Lines, ""),
            (Shape::Lines, "\n \r\n"),
            (Shape::Elements, ""),
            (Shape::Elements, " [ ] "),
            (Shape::WholeEvent, ""),
            (Shape::Events, "[]"),
            (Shape::Delivery { id: "a".into() }, r#"{"requestId":"a","timestamp":1,"records":[]}"#),
            (Shape::GatewayRecord, ""),
            (Shape::GatewayRecords, r#"{"records":[]}"#),
        ];
        for (shape, body) in empty {
            let split = shape.split(&Bytes::from(body), None);
            assert_eq!(split, Err(Fault::EmptyBody), "{shape:?} {body:?}");
        }
    }

    #[test]
    fn lines_that_are_no_text_are_named_by_record_and_by_line() {
        let body = Bytes::from_static(b"a\n\nb\xffc\nd\n\xe2\x82");

        let split = Shape::Lines.split(&body, None).unwrap();

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
        let limit = RECORDS_MAX;
        let array = |count: usize| Bytes::from(format!("[{}1]", "1,".repeat(count - 1)));
        let lines = |count: usize| Bytes::from("1\n".repeat(count));

        for (shape, most, more) in [
            (Shape::Lines, lines(limit), lines(limit + 1)),
            (Shape::Elements, array(limit), array(limit + 1)),
        ] {
            assert_eq!(shape.split(&most, None).unwrap().records.len(), limit);
            assert_eq!(shape.split(&more, None), Err(Fault::TooManyRecords { limit }));
        }
    }
}

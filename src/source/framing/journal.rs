//! Entries of systemd's journal, in its export format: `journalctl -o export -f`.
//!
//! ```text
//! MESSAGE=hello\n                    a field of text
//! DATA\n<8 bytes length, little-endian><so many bytes>\n     a field of anything
//! \n                                 the end of an entry
//! ```
//!
//! An entry becomes one JSON object, as `journalctl -o json` writes it: a field that is no UTF-8 is
//! an array of numbers, one that stands twice an array of its values. Source: systemd's "Journal
//! Export Formats".

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Cut, Fault, Framed, Situation};

/// Cuts entries; `must_move`: so much is there that something must be used up.
pub(super) fn cut(chunk: &Bytes, situation: &Situation, bytes_max: usize, must_move: bool) -> Cut {
    let mut cut = Cut::default();
    while let Some(rest) = chunk.get(cut.used..).filter(|rest| !rest.is_empty()) {
        if cut.records.len() >= situation.records_max {
            cut.is_full = true;
            return cut;
        }
        let Some((entry, used)) = entry(rest, situation.quiet_for == Some(Situation::END)) else {
            break;
        };
        let at = cut.used;
        cut.used += used;
        if entry.is_empty() {
            continue;
        }
        let payload: Bytes = Value::Object(entry).to_string().into();
        let fault = (payload.len() > bytes_max).then_some(Fault::TooLong);
        let payload = payload.slice(..payload.len().min(bytes_max));
        cut.records.push(Framed { payload, at, fault, ..Framed::default() });
    }
    if cut.used == 0 && must_move {
        // An entry larger than the longest record: its beginning is set aside, and what follows is
        // taken up at the next end of an entry.
        let end =
            chunk.windows(2).position(|pair| pair == b"\n\n").map_or(chunk.len(), |at| at + 2);
        let payload = chunk.slice(..end.min(bytes_max));
        cut.records.push(Framed { payload, fault: Some(Fault::TooLong), ..Framed::default() });
        cut.used = end;
    }
    cut
}

/// The fields of the first entry, and its length. `None` if its end has not come.
fn entry(bytes: &[u8], last: bool) -> Option<(Map<String, Value>, usize)> {
    let mut fields = Map::new();
    let mut used = 0;
    loop {
        let rest = bytes.get(used..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            return last.then_some((fields, bytes.len()));
        };
        let line = rest.get(..end).unwrap_or_default();
        used += end + 1;
        if line.is_empty() {
            return Some((fields, used));
        }
        if let Some(equals) = line.iter().position(|byte| *byte == b'=') {
            let (name, value) = line.split_at(equals);
            add(&mut fields, name, value.get(1..).unwrap_or_default());
            continue;
        }
        let rest = bytes.get(used..).unwrap_or_default();
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let value = rest.get(..length)?;
        // The line feed behind it.
        rest.get(length)?;
        add(&mut fields, line, value);
        used += 8 + length + 1;
    }
}

fn add(fields: &mut Map<String, Value>, name: &[u8], value: &[u8]) {
    let value = match std::str::from_utf8(value) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(value.to_vec()),
    };
    match fields.get_mut(&*String::from_utf8_lossy(name)) {
        None => drop(fields.insert(String::from_utf8_lossy(name).into_owned(), value)),
        Some(Value::Array(all)) if all.first().is_some_and(|first| !first.is_number()) => {
            all.push(value);
        }
        Some(one) => *one = Value::Array(vec![one.take(), value]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8], quiet: bool) -> Cut {
        let quiet_for = quiet.then_some(Situation::END);
        let situation = Situation { records_max: 100, quiet_for, ..Situation::default() };
        cut(&Bytes::copy_from_slice(bytes), &situation, 1000, false)
    }

    #[test]
    fn an_entry_is_one_object_and_waits_for_its_end() {
        let mut bytes = b"MESSAGE=a=b\nDATA\n\x03\0\0\0\0\0\0\0x\ny\nTAG=1\nTAG=2\n\n".to_vec();
        let whole = bytes.len();
        bytes.extend_from_slice(b"MESSAGE=next\n");

        let cut = all(&bytes, false);

        assert_eq!(cut.used, whole);
        assert_eq!(cut.records[0].payload, r#"{"DATA":"x\ny","MESSAGE":"a=b","TAG":["1","2"]}"#);
        let cut = all(&bytes, true);
        assert_eq!(cut.records[1].payload, r#"{"MESSAGE":"next"}"#);
        assert_eq!(cut.used, bytes.len());
    }

    #[test]
    fn what_is_no_text_is_numbers_as_journalctl_writes_it() {
        let cut = all(b"D\n\x02\0\0\0\0\0\0\0\xff\x01\n\n", false);
        assert_eq!(cut.records[0].payload, r#"{"D":[255,1]}"#);
    }

    #[test]
    fn a_length_that_lies_waits_and_then_moves_on() {
        let mut bytes = b"D\n\xff\xff\xff\xff\xff\xff\xff\x7fabc\n\nMESSAGE=x\n\n".to_vec();
        assert_eq!(all(&bytes, false).used, 0);
        bytes.resize(100, b'x');
        let situation = Situation { records_max: 100, ..Situation::default() };
        let cut = cut(&bytes.into(), &situation, 50, true);
        assert_eq!((cut.used, cut.records[0].fault), (15, Some(Fault::TooLong)));
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let cut = all(&bytes, true);
            prop_assert!(cut.used <= bytes.len());
        }
    }
}

//! JSON without looking into its values: they stay the bytes that came, however deep they are.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::RECORDS_MAX;
use super::problem::Fault;
use crate::record::RawRecord;

/// The elements of an array, as many as a request may hold and one more.
#[derive(Default)]
pub(super) struct Elements<'a>(pub(super) Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each<'a>(PhantomData<&'a RawValue>);

        impl<'de: 'a, 'a> Visitor<'de> for Each<'a> {
            type Value = Elements<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = all.next_element::<&'a RawValue>()? {
                    if elements.len() == RECORDS_MAX {
                        return Err(serde::de::Error::custom(TOO_MANY));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }

        from.deserialize_seq(Each(PhantomData))
    }
}

const TOO_MANY: &str = "too many records";

/// Reads a body of this form.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| {
        let why = error.to_string();
        if why.starts_with(TOO_MANY) {
            Fault::TooManyRecords { limit: RECORDS_MAX }
        } else {
            Fault::BadJson(why)
        }
    })
}

/// The bytes of a value, which are bytes of the body.
pub(super) fn bytes_of(body: &Bytes, value: &RawValue) -> Bytes {
    body.slice_ref(value.get().as_bytes())
}

/// The elements of an array, or the one value that is none.
pub(super) fn elements(body: &Bytes) -> Result<Vec<RawRecord>, Fault> {
    let record = |payload| RawRecord { payload, ..RawRecord::default() };
    if body.trim_ascii_start().first() != Some(&b'[') {
        let value: &RawValue = read(body)?;
        return Ok(vec![record(bytes_of(body, value))]);
    }
    let Elements(all) = read(body)?;
    Ok(all.into_iter().map(|value| record(bytes_of(body, value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &[&str]) {
        let records = elements(&Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let payloads: Vec<_> = records.iter().map(|record| record.payload.as_ref()).collect();
        assert_eq!(payloads, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
    }

    #[test]
    fn elements_keep_their_bytes() {
        check("[1]", &["1"]);
        check(
            r#" [ {"a" : [1, 2]} , "x,y]", null,[]] "#,
            &[r#"{"a" : [1, 2]}"#, r#""x,y]""#, "null", "[]"],
        );
        check(r#"{"a":[1,2]}"#, &[r#"{"a":[1,2]}"#]);
        check(" 7 ", &["7"]);
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let fault = |body: &'static [u8]| elements(&Bytes::from_static(body)).unwrap_err();

        assert_eq!(
            fault(b"[1,\n2"),
            Fault::BadJson("EOF while parsing a list at line 2 column 1".into())
        );
        for body in [b"[1,]".as_slice(), b"[1] 2", b"{", b"[\"\xff\"]", b"\xef\xbb\xbf[1]", b"[01]"]
        {
            assert!(matches!(fault(body), Fault::BadJson(_)), "{body:?}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |open: &str, close: &str| open.repeat(1 << 20) + "1" + &close.repeat(1 << 20);

        let array = deep("[", "]");
        check(&format!("[{array}]"), &[&array]);
        let object = deep(r#"{"a":"#, "}");
        check(&object, &[&object]);
        let open = Bytes::from("[".repeat(1 << 20));
        assert!(matches!(elements(&open), Err(Fault::BadJson(_))));
    }
}

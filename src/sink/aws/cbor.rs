//! Answers in CBOR 1.1 as the JSON that the SDK reads.

use std::io::Write as _;

use base64_simd::STANDARD;
use bytes::Bytes;
use minicbor::Decoder;
use minicbor::data::{IanaTag, Type};

use crate::base::cbor::Left;

/// How answers and requests of it are called.
pub(in crate::sink) const MEDIA_TYPE: &str = "application/x-amz-cbor-1.1";

/// Whether this is what it is called, whatever follows.
pub(in crate::sink) fn is_cbor(content_type: &[u8]) -> bool {
    let start = content_type.get(..MEDIA_TYPE.len()).unwrap_or_default();
    start.eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
}

/// How deep lists and maps may stand in each other: those of the services, four.
const DEPTH_MAX: usize = 32;

/// The same document in JSON: blobs in base64, times as the services write them there. `None` if it is
/// none.
pub(super) fn to_json(cbor: &[u8]) -> Option<Bytes> {
    let mut writing =
        Writing { decoder: Decoder::new(cbor), json: Vec::with_capacity(cbor.len() * 2) };
    writing.value(DEPTH_MAX).ok()?;
    (writing.decoder.position() == cbor.len()).then(|| writing.json.into())
}

type Written = Result<(), minicbor::decode::Error>;

struct Writing<'a> {
    decoder: Decoder<'a>,
    json: Vec<u8>,
}

impl Writing<'_> {
    fn value(&mut self, depth: usize) -> Written {
        let depth = depth.checked_sub(1).ok_or_else(|| foreign("lists and maps stand too deep"))?;
        match self.decoder.datatype()? {
            Type::Map | Type::MapIndef => self.map(depth),
            Type::Array | Type::ArrayIndef => self.list(depth),
            Type::String | Type::StringIndef => self.text(),
            Type::Bytes | Type::BytesIndef => self.blob(),
            Type::Tag => self.time(),
            Type::Bool => {
                let flag = self.decoder.bool()?;
                self.plain(flag)
            }
            Type::Null | Type::Undefined => {
                self.decoder.skip()?;
                self.plain("null")
            }
            Type::F32 | Type::F64 => {
                let number = self.decoder.f64()?;
                if number.is_finite() { self.plain(number) } else { self.plain("null") }
            }
            _ => {
                let number = self.decoder.int()?;
                self.plain(number)
            }
        }
    }

    fn map(&mut self, depth: usize) -> Written {
        let length = self.decoder.map()?;
        self.row(*b"{}", length, |writing| {
            writing.text()?;
            writing.json.push(b':');
            writing.value(depth)
        })
    }

    fn list(&mut self, depth: usize) -> Written {
        let length = self.decoder.array()?;
        self.row(*b"[]", length, |writing| writing.value(depth))
    }

    /// Its elements, between these.
    fn row(
        &mut self,
        [open, close]: [u8; 2],
        length: Option<u64>,
        mut element: impl FnMut(&mut Self) -> Written,
    ) -> Written {
        let (mut left, mut is_first) = (Left::of(length), true);
        self.json.push(open);
        while left.has_next(&mut self.decoder)? {
            if !std::mem::take(&mut is_first) {
                self.json.push(b',');
            }
            element(self)?;
        }
        self.json.push(close);
        Ok(())
    }

    fn text(&mut self) -> Written {
        let mut text = String::new();
        for piece in self.decoder.str_iter()? {
            text.push_str(piece?);
        }
        serde_json::to_writer(&mut self.json, &text).map_err(|error| foreign(&error.to_string()))
    }

    fn blob(&mut self) -> Written {
        let mut blob = Vec::new();
        for piece in self.decoder.bytes_iter()? {
            blob.extend_from_slice(piece?);
        }
        self.json.push(b'"');
        STANDARD.encode_append(&blob, &mut self.json);
        self.json.push(b'"');
        Ok(())
    }

    /// The services write milliseconds behind the tag that stands for seconds; in JSON, seconds.
    fn time(&mut self) -> Written {
        if self.decoder.tag()? != IanaTag::Timestamp {
            return Err(foreign("a tag that is no time"));
        }
        let unix_ms = self.decoder.u64()?;
        self.plain(format_args!("{}.{:03}", unix_ms / 1000, unix_ms % 1000))
    }

    fn plain(&mut self, value: impl std::fmt::Display) -> Written {
        write!(self.json, "{value}").map_err(|error| foreign(&error.to_string()))
    }
}

fn foreign(why: &str) -> minicbor::decode::Error {
    minicbor::decode::Error::message(why)
}

#[cfg(test)]
mod tests {
    use ciborium::{Value, cbor};
    use minicbor::Encoder;

    use super::*;

    fn json(cbor: &[u8]) -> Option<serde_json::Value> {
        to_json(cbor).map(|json| serde_json::from_slice(&json).unwrap())
    }

    #[test]
    fn an_answer_of_any_shape_reads_the_same() {
        let answer = cbor!({
            "FailedRecordCount" => 1,
            "EncryptionType" => "KMS",
            "Records" => [
                { "SequenceNumber" => "4963\"\u{7}é", "ShardId" => "shardId-000000000000" },
                { "ErrorCode" => null, "Less" => -7, "Part" => 0.1, "Is" => true, "None" => [] },
            ],
            "Data" => Value::Bytes(vec![0, 255, 62]),
            "At" => Value::Tag(1, Box::new(Value::from(1_795_327_519_007_u64))),
        });
        let mut bytes = Vec::new();
        ciborium::into_writer(&answer.unwrap(), &mut bytes).unwrap();

        let expected = serde_json::json!({
            "FailedRecordCount": 1,
            "EncryptionType": "KMS",
            "Records": [
                { "SequenceNumber": "4963\"\u{7}é", "ShardId": "shardId-000000000000" },
                { "ErrorCode": null, "Less": -7, "Part": 0.1, "Is": true, "None": [] },
            ],
            "Data": "AP8+",
            "At": 1_795_327_519.007,
        });
        assert_eq!(json(&bytes), Some(expected));
    }

    #[test]
    fn open_ends_and_pieces_are_read_as_the_service_writes_them() {
        let mut out = Encoder::new(Vec::new());
        out.begin_map().unwrap().str("Records").unwrap().begin_array().unwrap();
        out.begin_map().unwrap().begin_str().unwrap().str("Sh").unwrap().str("ardId").unwrap();
        out.end().unwrap().str("s").unwrap().end().unwrap().end().unwrap().end().unwrap();

        let whole = out.into_writer();
        assert_eq!(json(&whole), Some(serde_json::json!({ "Records": [{ "ShardId": "s" }] })));
        for cut in 0..whole.len() {
            assert_eq!(json(&whole[..cut]), None, "{cut} of {}", whole.len());
        }
    }

    #[test]
    fn a_media_type_is_known_in_any_case_and_with_parameters() {
        assert!(is_cbor(b"application/x-amz-cbor-1.1"));
        assert!(is_cbor(b"Application/X-Amz-CBOR-1.1; charset=utf-8"));
        assert!(!is_cbor(b"application/x-amz-json-1.1") && !is_cbor(b""));
    }

    #[test]
    fn what_is_no_document_of_the_service_is_none() {
        let deep = |depth: usize| [vec![0x81; depth], vec![0]].concat();
        assert!(json(&deep(DEPTH_MAX - 1)).is_some());
        assert!(json(&deep(DEPTH_MAX)).is_none());
        assert!(json(&deep(1 << 20)).is_none());
        // A number for a name; another tag; something behind the end; a page.
        for wrong in [&b"\xa1\x01\x02"[..], b"\xc2\x41\x01", b"\xa0\xa0", b"<html>", b""] {
            assert!(json(wrong).is_none(), "{wrong:?}");
        }
    }
}

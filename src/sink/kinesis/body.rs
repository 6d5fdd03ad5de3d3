//! The body of a PutRecords request, written once, into memory of its size: here in JSON.
//!
//! The SDK signs and sends it. Its own would be a text that doubles while it grows, of blobs that are
//! copies of the entries: three times the memory that a request needs.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use base64_simd::STANDARD;
use bytes::Bytes;

use super::protocol::Wire;
use super::{StreamName, cbor};
use crate::sink::{Entry, aws};

/// What stands around an entry, its hash key of up to 39 digits included, and an escaped character.
const AROUND_BYTES: usize = 96;

/// Writes the body; the entries are let go one by one.
pub(super) fn write(wire: Wire, stream: &StreamName, entries: Vec<Entry>) -> Bytes {
    match wire {
        Wire::Json => json(stream, entries),
        Wire::Cbor => cbor::write(stream, entries).into(),
    }
}

fn json(stream: &StreamName, entries: Vec<Entry>) -> Bytes {
    let room = |entry: &Entry| entry.data.len().div_ceil(3) * 4 + entry.key.len() + AROUND_BYTES;
    let room = AROUND_BYTES + stream.bytes() + entries.iter().map(room).sum::<usize>();
    let mut body = Vec::with_capacity(room);
    body.extend_from_slice(br#"{"Records":["#);
    for (index, entry) in entries.into_iter().enumerate() {
        let start: &[u8] = if index == 0 { br#"{"Data":""# } else { br#",{"Data":""# };
        body.extend_from_slice(start);
        STANDARD.encode_append(&entry.data, &mut body);
        body.extend_from_slice(br#"","PartitionKey":"#);
        text(&mut body, &entry.key);
        if let Some(hash) = entry.hash_key {
            body.extend_from_slice(br#","ExplicitHashKey":"#);
            text(&mut body, &hash.to_string());
        }
        body.push(b'}');
    }
    body.push(b']');
    for (field, value) in [("StreamName", &stream.name), ("StreamARN", &stream.arn)] {
        if let Some(value) = value {
            body.push(b',');
            text(&mut body, field);
            body.push(b':');
            text(&mut body, value);
        }
    }
    body.push(b'}');
    body.into()
}

fn text(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a text is JSON, and memory takes it");
}

/// Puts it in the place of what the SDK wrote, before it is signed.
pub(super) fn put_into(request: &mut HttpRequest, wire: Wire, body: &Bytes) {
    if wire == Wire::Cbor {
        request.headers_mut().insert("content-type", aws::MEDIA_TYPE_OF_CBOR);
    }
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body.clone());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn check(stream: &StreamName, entries: Vec<Entry>, expected: &Value) {
        let room = entries.iter().map(|entry| entry.data.len() * 2 + 512).sum::<usize>() + 512;
        let body = json(stream, entries);
        assert_eq!(&serde_json::from_slice::<Value>(&body).unwrap(), expected);
        assert!(body.len() < room);
    }

    #[test]
    fn entries_are_written_as_the_service_reads_them() {
        let by_name = StreamName { name: Some("readings".into()), arn: None };
        let keyed = Entry { hash_key: Some(u128::MAX), ..Entry::plain("a".into(), "two".into()) };
        let odd = Entry::plain("\"\\\n\u{1}é".into(), Bytes::from_static(&[0, 255, 62, 63]));
        let expected = serde_json::json!({
            "StreamName": "readings",
            "Records": [
                { "Data": "dHdv", "PartitionKey": "a",
                  "ExplicitHashKey": "340282366920938463463374607431768211455" },
                { "Data": "AP8+Pw==", "PartitionKey": "\"\\\n\u{1}é" },
                { "Data": "", "PartitionKey": "b" },
            ],
        });
        check(&by_name, vec![keyed, odd, Entry::plain("b".into(), Bytes::new())], &expected);
    }

    #[test]
    fn a_stream_is_named_by_its_arn_where_that_is_what_is_known() {
        let arn = "arn:aws:kinesis:eu-west-1:1:stream/readings";
        let stream = StreamName { name: None, arn: Some(arn.into()) };
        check(&stream, Vec::new(), &serde_json::json!({ "StreamARN": arn, "Records": [] }));
    }

    #[test]
    fn its_memory_does_not_grow_while_it_is_written() {
        let stream = StreamName { name: Some("readings".into()), arn: None };
        for bytes in [0, 1, 2, 3, 1_000, 51_200] {
            let entry = Entry {
                hash_key: Some(u128::MAX),
                ..Entry::plain("k".repeat(256), vec![7; bytes].into())
            };
            let written = json(&stream, vec![entry; 20]);
            let (size, memory) = (written.len(), Vec::from(written).capacity());
            assert!(memory - size < 22 * AROUND_BYTES, "{size} in {memory}");
        }
    }
}

//! Records as lines of JSON that keep what a bare line cannot: any bytes, and the keys.
//!
//! ```text
//! {"position":7,"id":"01J…","accepted_at":"2026-11-22T06:05:19.123Z","partition_key":"k",
//!  "explicit_hash_key":"7","source":"http.local","caller":"device-1","only_for":"archive","payload":"…"}
//! ```
//!
//! What there is none of is left out. A payload that is not plain UTF-8 text is kept as
//! `payload_base64`. Reading takes `payload` or `payload_base64` and the keys, and passes over
//! everything else, so that it takes dead letters too.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::base::clock::rfc3339;
use crate::record::{Record, parse_hash_key};

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    id: String,
    accepted_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    source: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    caller: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_for: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// A record at its position as one line, without its newline.
pub(super) fn line(position: u64, record: &Record) -> String {
    let text = plain_text(&record.payload);
    let line = Line {
        position,
        id: record.id.to_string(),
        accepted_at: rfc3339(record.id.unix_ms()),
        partition_key: record.partition_key.as_deref(),
        explicit_hash_key: record.hash_key.map(|key| key.to_string()),
        source: &record.source,
        caller: &record.caller,
        only_for: record.only_for.as_deref(),
        payload: text,
        payload_base64: text.is_none().then(|| BASE64.encode(&record.payload)),
    };
    serde_json::to_string(&line).expect("texts and numbers have a JSON form")
}

/// The payload as text, if it is some without control characters other than those of lines.
pub(super) fn plain_text(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    let is_plain = |byte: u8| byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t');
    text.bytes().all(is_plain).then_some(text)
}

/// What is sent again of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) payload: Vec<u8>,
    pub(super) partition_key: Option<String>,
    pub(super) hash_key: Option<u128>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload_base64: Option<Cow<'a, str>>,
    partition_key: Option<String>,
    explicit_hash_key: Option<String>,
}

/// Reads a line; in words, what is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<Content, String> {
    let written: Written<'_> = serde_json::from_slice(line)
        .map_err(|error| format!("is no JSON object of an export: {error}"))?;
    let payload = match (written.payload, written.payload_base64) {
        (Some(text), None) => text.into_owned().into_bytes(),
        (None, Some(code)) => BASE64
            .decode(code.as_bytes())
            .map_err(|error| format!("has a `payload_base64` that is none: {error}"))?,
        _ => return Err("has not one of `payload` and `payload_base64`".into()),
    };
    let hash_key = written.explicit_hash_key.as_deref().map(parse_hash_key).transpose();
    let hash_key =
        hash_key.map_err(|error| format!("has an `explicit_hash_key` that is none: {error}"))?;
    Ok(Content { payload, partition_key: written.partition_key, hash_key })
}

/// Whether `weir send` and the agent take these bytes as one line and give them back unchanged.
pub(super) fn is_line(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok()
        && !payload.contains(&b'\n')
        && !payload.ends_with(b"\r")
        && !payload.trim_ascii().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::RecordId;

    proptest! {
        #[test]
        fn any_payload_and_key_read_back(
            payload in any::<Vec<u8>>(),
            partition_key in proptest::option::of(".{1,20}"),
            hash_key in proptest::option::of(any::<u128>()),
        ) {
            let record = Record {
                id: RecordId::new(1_000),
                partition_key: partition_key.clone().map(Into::into),
                hash_key,
                source: "http.local".into(),
                caller: "".into(),
                only_for: None,
                payload: payload.clone().into(),
            };

            let line = line(7, &record);

            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(read(line.as_bytes()), Ok(Content { payload, partition_key, hash_key }));
        }
    }

    #[test]
    fn lines_that_hold_no_payload_or_two_are_refused() {
        for wrong in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"payload":"a","payload_base64":"YQ=="}"#,
            r#"{"payload_base64":"?"}"#,
            r#"{"payload":"a","explicit_hash_key":"x"}"#,
        ] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let letter = br#"{"died_at":"x","payload_base64":"YQ==","class":"poison"}"#;
        let content = Content { payload: b"a".to_vec(), partition_key: None, hash_key: None };
        assert_eq!(read(letter), Ok(content));
    }

    #[test]
    fn what_would_change_on_the_way_is_no_line() {
        assert!(is_line(b"a b") && is_line(b" a\rb "));
        for wrong in [&b""[..], b"a\nb", b"a\r", b" \t", b"\xff"] {
            assert!(!is_line(wrong), "{wrong:?}");
        }
    }
}

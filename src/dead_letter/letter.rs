//! A letter's line of JSON.
//!
//! ```text
//! {"id":"01J…","accepted_at":"2026-11-22T06:05:19.123Z","died_at":"…","stream":"access",
//!  "destination":"archive","source":"http.local","caller":"device-1","partition_key":"k",
//!  "explicit_hash_key":"7","attempts":3,"class":"poison","code":"ValidationException","message":"…","payload":"…"}
//! ```
//!
//! `id`, `accepted_at`, `partition_key` and `explicit_hash_key` are left out where there is none. A payload that is not
//! plain UTF-8 text is kept as `payload_base64` instead.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Letter;
use crate::base::clock::rfc3339;
use crate::record::{Record, RecordId, Text, parse_hash_key};

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<String>,
    died_at: String,
    stream: Cow<'a, str>,
    destination: Cow<'a, str>,
    #[serde(default)]
    source: Cow<'a, str>,
    #[serde(default)]
    caller: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explicit_hash_key: Option<String>,
    #[serde(default)]
    attempts: u32,
    class: Cow<'a, str>,
    code: Cow<'a, str>,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// The letter as one line, with its newline.
pub(super) fn encode(letter: &Letter) -> Vec<u8> {
    let record = &letter.record;
    let id = Some(record.id).filter(|id| *id != RecordId::NONE);
    let text = plain_text(&record.payload);
    let line = Line {
        id: id.map(|id| id.to_string()),
        accepted_at: id.map(|id| rfc3339(id.unix_ms())),
        died_at: rfc3339(letter.died_unix_ms),
        stream: Cow::Borrowed(&letter.stream),
        destination: Cow::Borrowed(&letter.destination),
        source: Cow::Borrowed(&record.source),
        caller: Cow::Borrowed(&record.caller),
        partition_key: record.partition_key.as_deref().map(Cow::Borrowed),
        explicit_hash_key: record.hash_key.map(|key| key.to_string()),
        attempts: letter.attempts,
        class: Cow::Borrowed(&letter.class),
        code: Cow::Borrowed(&letter.code),
        message: Cow::Borrowed(&letter.message),
        payload: text.map(Cow::Borrowed),
        payload_base64: text.is_none().then(|| BASE64.encode(&record.payload)),
    };
    let mut bytes =
        serde_json::to_vec(&line).expect("texts and numbers have a JSON form, a Vec takes it");
    bytes.push(b'\n');
    bytes
}

impl Letter {
    /// The letter as it stands in its file: one JSON object, here without its newline.
    pub fn to_line(&self) -> String {
        let line = String::from_utf8(encode(self)).expect("JSON is UTF-8");
        line.trim_end().to_owned()
    }
}

/// Reads a line, with or without its newline.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn decode(line: &[u8]) -> Result<Letter, String> {
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let id = match &line.id {
        Some(id) => id.parse().map_err(|_| format!("`id` is {id:?}, which is no record id"))?,
        None => RecordId::NONE,
    };
    let hash_key = line.explicit_hash_key.as_deref().map(parse_hash_key).transpose();
    let payload = match (line.payload, line.payload_base64) {
        (Some(text), None) => Bytes::from(text.into_owned()),
        (None, Some(code)) => {
            Bytes::from(BASE64.decode(&code).map_err(|error| format!("`payload_base64`: {error}"))?)
        }
        _ => return Err("one of `payload` and `payload_base64` must be there".into()),
    };
    Ok(Letter {
        record: Record {
            id,
            partition_key: line.partition_key.as_deref().map(Text::from),
            hash_key: hash_key.map_err(|error| format!("`explicit_hash_key`: {error}"))?,
            source: line.source.as_ref().into(),
            caller: line.caller.as_ref().into(),
            only_for: None,
            payload,
        },
        stream: line.stream.into_owned(),
        destination: line.destination.into_owned(),
        died_unix_ms: unix_ms(&line.died_at)?,
        attempts: line.attempts,
        class: line.class.into_owned(),
        code: line.code.into_owned(),
        message: line.message.into_owned(),
    })
}

/// The payload as text, if JSON can show it without making it more than twice as long: control
/// characters take six bytes each, so bytes with them are kept in base64.
fn plain_text(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    let is_plain = |byte: u8| byte >= 0x20 || matches!(byte, b'\n' | b'\r' | b'\t');
    text.bytes().all(is_plain).then_some(text)
}

fn unix_ms(written: &str) -> Result<u64, String> {
    // A clock past the year 9999 is written as the bare number.
    if let Ok(number) = written.parse() {
        return Ok(number);
    }
    OffsetDateTime::parse(written, &Rfc3339)
        .ok()
        .and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok())
        .ok_or_else(|| format!("`died_at` is {written:?}, which is no RFC 3339 time since 1970"))
}

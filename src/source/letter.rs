//! A line that admission rejects: nobody can be told, so it becomes a dead letter.

use bytes::Bytes;

use crate::admission::Rejection;
use crate::dead_letter::Letter;
use crate::record::{RawRecord, Record, RecordId, Text};
use crate::source::framing::Fault;

/// A line that framing finds at fault, as admission would put it.
pub(super) fn rejection(payload: Bytes, fault: Fault) -> Rejection {
    let raw = RawRecord { payload, ..RawRecord::default() };
    let too_large = fault == Fault::TooLong;
    Rejection { too_large, ..Rejection::whole(0, fault.in_words(), raw) }
}

/// The letter about a rejected line; it names the source where a destination would stand.
pub(super) fn about(rejection: Rejection, stream: &str, source: &str, now_unix_ms: u64) -> Letter {
    let message = rejection.in_words();
    let code = if rejection.too_large { "record-too-large" } else { "record-rejected" };
    Letter {
        record: Record {
            id: RecordId::new(now_unix_ms),
            partition_key: rejection.raw.partition_key.map(Text::from),
            hash_key: rejection.raw.hash_key,
            source: source.into(),
            caller: Text::default(),
            only_for: None,
            payload: rejection.raw.payload,
        },
        stream: stream.to_owned(),
        destination: source.to_owned(),
        died_unix_ms: now_unix_ms,
        attempts: 0,
        class: "rejected".into(),
        code: code.into(),
        message,
    }
}

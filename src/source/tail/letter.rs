//! A line that admission rejects: nobody can be told, so it becomes a dead letter.

use super::Settings;
use crate::admission::Rejection;
use crate::dead_letter::Letter;
use crate::record::{Record, RecordId};

/// The letter about a rejected line; it names the block where a destination would stand.
pub(super) fn about(rejection: Rejection, settings: &Settings, now_unix_ms: u64) -> Letter {
    let source = format!("tail.{}", settings.name);
    let code = if rejection.too_large { "record-too-large" } else { "record-rejected" };
    Letter {
        record: Record {
            id: RecordId::new(now_unix_ms),
            partition_key: rejection.raw.partition_key,
            source: source.clone(),
            caller: String::new(),
            only_for: None,
            payload: rejection.raw.payload,
        },
        stream: settings.stream.clone(),
        destination: source,
        died_unix_ms: now_unix_ms,
        attempts: 0,
        class: "rejected".into(),
        code: code.into(),
        message: rejection.reason,
    }
}

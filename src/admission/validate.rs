//! Raw records become records, or come back with a reason.

use super::{Admitted, Pass, Rejection};
use crate::record::{
    KeySource, PARTITION_KEY_CHARS_MAX, RawRecord, Record, RecordId, Text, encode,
};

/// Checks a partition key that a sender chose.
///
/// # Errors
/// In words, what would be right.
pub fn check_partition_key(key: &str) -> Result<(), String> {
    let chars = key.chars().count();
    if (1..=PARTITION_KEY_CHARS_MAX).contains(&chars) {
        return Ok(());
    }
    Err(format!(
        "the partition key has {chars} characters; it should have 1 to {PARTITION_KEY_CHARS_MAX}"
    ))
}

/// Takes what is right, with ids in a row, and gives back the rest.
pub(super) fn admit(pass: &Pass, raw: Vec<RawRecord>, unix_ms: u64) -> (Admitted, Vec<Rejection>) {
    let mut admitted = Admitted::new(pass);
    let mut rejections = Vec::new();
    let mut next_id = RecordId::new(unix_ms);
    let (source, caller) = (Text::from(pass.source.as_str()), Text::from(pass.caller.as_str()));
    for (index, raw) in raw.into_iter().enumerate() {
        match fault(&raw, pass.stream.max_record_bytes) {
            None => {
                let payload_bytes = raw.payload.len();
                let record = Record {
                    id: next_id,
                    partition_key: key(pass, &raw).map(Text::from),
                    hash_key: raw.hash_key,
                    source: source.clone(),
                    caller: caller.clone(),
                    only_for: None,
                    payload: raw.payload,
                };
                admitted.push(next_id, encode(&record), payload_bytes);
                next_id = next_id.plus(1);
            }
            Some((reason, too_large)) => {
                rejections.push(Rejection { index, pointer: None, reason, too_large, raw });
            }
        }
    }
    (admitted, rejections)
}

/// The key its sender chose, or else that of the stream's template.
fn key(pass: &Pass, raw: &RawRecord) -> Option<String> {
    if raw.partition_key.is_some() {
        return raw.partition_key.clone();
    }
    pass.stream.partition_key.as_ref()?.key(&KeySource {
        payload: &raw.payload,
        origin: raw.origin.as_deref(),
        caller: &pass.caller,
        source: &pass.source,
    })
}

/// What is wrong with a record, and whether it is its size.
fn fault(raw: &RawRecord, bytes_max: u64) -> Option<(String, bool)> {
    let bytes = raw.payload.len() as u64;
    if bytes > bytes_max {
        let reason = format!("the record has {bytes} bytes; this stream takes at most {bytes_max}");
        return Some((reason, true));
    }
    let key = raw.partition_key.as_deref()?;
    check_partition_key(key).err().map(|reason| (reason, false))
}

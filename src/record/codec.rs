//! A record's bytes in the queue.
//!
//! ```text
//! 1  version: 1
//! 16 id, big-endian
//! then four texts (partition key, source, caller, only-for): u16 little-endian length, UTF-8;
//! a length of 0 stands for "none"
//! the rest is the payload
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::{Record, RecordId};

const VERSION: u8 = 1;

/// Why bytes from the queue are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadCode {
    /// Written by a weir that knows more.
    #[error("record version {0} is unknown; this weir knows version 1")]
    Version(u8),
    /// Shorter than it says of itself.
    #[error("the record ends in the middle of a field")]
    Short,
    /// A text that is none.
    #[error("a text of the record is not UTF-8")]
    Text,
}

/// Encodes a record. A text longer than 65,535 bytes is cut at a character; admission allows none
/// that long.
pub fn encode(record: &Record) -> Bytes {
    let key = record.partition_key.as_deref().unwrap_or_default();
    let only_for = record.only_for.as_deref().unwrap_or_default();
    let texts = [key, record.source.as_str(), record.caller.as_str(), only_for];
    let room = 17 + texts.iter().map(|text| 2 + text.len()).sum::<usize>() + record.payload.len();

    let mut out = BytesMut::with_capacity(room);
    out.put_u8(VERSION);
    out.put_slice(&record.id.to_bytes());
    for text in texts {
        let text = text.get(..text.floor_char_boundary(usize::from(u16::MAX))).unwrap_or(text);
        out.put_u16_le(u16::try_from(text.len()).unwrap_or(u16::MAX));
        out.put_slice(text.as_bytes());
    }
    out.put_slice(&record.payload);
    out.freeze()
}

/// Decodes a record; the payload shares the bytes it came from.
///
/// # Errors
/// [`BadCode`], for any bytes at all.
pub fn decode(mut bytes: Bytes) -> Result<Record, BadCode> {
    let version = *take(&mut bytes, 1)?.first().ok_or(BadCode::Short)?;
    if version != VERSION {
        return Err(BadCode::Version(version));
    }
    let id = take(&mut bytes, 16)?.as_ref().try_into().map_err(|_| BadCode::Short)?;
    let partition_key = take_text(&mut bytes)?;
    let source = take_text(&mut bytes)?.unwrap_or_default();
    let caller = take_text(&mut bytes)?.unwrap_or_default();
    let only_for = take_text(&mut bytes)?;
    let id = RecordId::from_bytes(id);
    Ok(Record { id, partition_key, source, caller, only_for, payload: bytes })
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, BadCode> {
    if bytes.len() < count { Err(BadCode::Short) } else { Ok(bytes.split_to(count)) }
}

fn take_text(bytes: &mut Bytes) -> Result<Option<String>, BadCode> {
    let length = take(bytes, 2)?.as_ref().try_into().map_err(|_| BadCode::Short)?;
    let text = take(bytes, usize::from(u16::from_le_bytes(length)))?;
    let text = std::str::from_utf8(&text).map_err(|_| BadCode::Text)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_record() -> impl Strategy<Value = Record> {
        let text = || "[a-zé/]{1,20}";
        (any::<u64>(), proptest::option::of(text()), text(), "[a-z]{0,3}", any::<Vec<u8>>())
            .prop_map(|(at, partition_key, source, caller, payload)| Record {
                id: RecordId::new(at & 0xffff_ffff_ffff),
                only_for: partition_key.clone(),
                partition_key,
                source,
                caller,
                payload: payload.into(),
            })
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(record in a_record()) {
            prop_assert_eq!(decode(encode(&record)), Ok(record));
        }

        #[test]
        fn cut_bytes_are_refused_or_are_a_shorter_payload(record in a_record(), cut in 1usize..64) {
            let whole = encode(&record);
            let kept = whole.len().saturating_sub(cut);
            match decode(whole.slice(..kept)) {
                Ok(short) => prop_assert!(record.payload.starts_with(&short.payload)),
                Err(error) => prop_assert_eq!(error, BadCode::Short),
            }
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(bytes in any::<Vec<u8>>()) {
            drop(decode(bytes.into()));
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        assert_eq!(decode(Bytes::from_static(&[2, 0])), Err(BadCode::Version(2)));
        assert_eq!(decode(Bytes::new()), Err(BadCode::Short));
    }
}

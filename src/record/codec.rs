//! A record's bytes in the queue.
//!
//! ```text
//! 1  version: 1
//! 16 id, big-endian
//! then four texts (partition key, source, caller, only-for): u16 little-endian length, UTF-8;
//! a length of 0 stands for "none"
//! 1  length of the explicit hash key: 0 for "none", or 16
//! 16 the explicit hash key, if there is one, big-endian
//! the rest is the payload
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use thiserror::Error;

use super::{Record, RecordId, Text};

const VERSION: u8 = 1;

/// Version, id, and the lengths of a key and of an explicit hash key.
const FIXED_BYTES: usize = 1 + 16 + 2 + 1;
const HASH_KEY_BYTES: u8 = 16;

/// Records of one hand-in share memory in pieces of so many bytes: one that stays longer than the
/// others keeps no more than that from being given back.
const PIECE_BYTES: usize = 64 << 10;

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
    /// A hash key of another length than they have.
    #[error("the hash key of the record has {0} bytes; it should have 16, or none")]
    HashKey(u8),
}

/// Encodes a record. A text longer than 65,535 bytes is cut at a character; admission allows none
/// that long.
pub fn encode(record: &Record) -> Bytes {
    let only_for = record.only_for.as_deref().unwrap_or_default();
    let mut encoder = Encoder::of([&record.source, &record.caller, only_for]);
    let key = record.partition_key.as_deref().unwrap_or_default();
    encoder.encode(record.id, key, record.hash_key, &record.payload)
}

/// Encodes the records of one hand-in: what is the same in all of them is written once, and many share
/// one piece of memory.
#[derive(Debug)]
pub struct Encoder {
    /// Source, caller and only-for.
    texts: Vec<u8>,
    piece: BytesMut,
    /// Bytes still to come, as far as is known.
    expected: usize,
}

impl Encoder {
    /// For records from this source and caller, whose payloads have these lengths.
    pub fn new(source: &str, caller: &str, lengths: impl Iterator<Item = usize>) -> Self {
        let mut encoder = Self::of([source, caller, ""]);
        encoder.expected = lengths.map(|payload| encoder.room(payload)).sum();
        encoder
    }

    fn of(texts: [&str; 3]) -> Self {
        let mut out = Vec::with_capacity(texts.map(|text| 2 + text.len()).iter().sum());
        for text in texts {
            let text = within(text);
            out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        Self { texts: out, piece: BytesMut::new(), expected: 0 }
    }

    /// Bytes of a record without keys.
    fn room(&self, payload_bytes: usize) -> usize {
        FIXED_BYTES + self.texts.len() + payload_bytes
    }

    /// The bytes of one record; the key is empty where it has none.
    pub fn encode(
        &mut self,
        id: RecordId,
        key: &str,
        hash_key: Option<u128>,
        payload: &[u8],
    ) -> Bytes {
        let key = within(key);
        let of_hash_key = hash_key.map_or(0, |_| usize::from(HASH_KEY_BYTES));
        let room = self.room(payload.len());
        if self.piece.capacity() < room + key.len() + of_hash_key {
            let piece = self.expected.min(PIECE_BYTES).max(room + key.len() + of_hash_key);
            self.piece = BytesMut::with_capacity(piece);
        }
        self.expected = self.expected.saturating_sub(room);
        let mut front = [VERSION; 1 + 16 + 2];
        front[1..17].copy_from_slice(&id.to_bytes());
        front[17..].copy_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_le_bytes());
        self.piece.extend_from_slice(&front);
        self.piece.extend_from_slice(key.as_bytes());
        self.piece.extend_from_slice(&self.texts);
        match hash_key {
            None => self.piece.put_u8(0),
            Some(hash_key) => {
                self.piece.put_u8(HASH_KEY_BYTES);
                self.piece.put_u128(hash_key);
            }
        }
        self.piece.extend_from_slice(payload);
        if self.expected == 0 {
            return std::mem::take(&mut self.piece).freeze();
        }
        self.piece.split().freeze()
    }
}

/// As much of a text as its length can tell.
fn within(text: &str) -> &str {
    text.get(..text.floor_char_boundary(usize::from(u16::MAX))).unwrap_or(text)
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
    let hash_key = take_hash_key(&mut bytes)?;
    let id = RecordId::from_bytes(id);
    Ok(Record { id, partition_key, hash_key, source, caller, only_for, payload: bytes })
}

fn take(bytes: &mut Bytes, count: usize) -> Result<Bytes, BadCode> {
    if bytes.len() < count { Err(BadCode::Short) } else { Ok(bytes.split_to(count)) }
}

fn take_text(bytes: &mut Bytes) -> Result<Option<Text>, BadCode> {
    let length = take(bytes, 2)?.as_ref().try_into().map_err(|_| BadCode::Short)?;
    let length = u16::from_le_bytes(length);
    if length == 0 {
        return Ok(None);
    }
    let text = take(bytes, usize::from(length))?;
    Text::try_from(text).map(Some).map_err(|_| BadCode::Text)
}

fn take_hash_key(bytes: &mut Bytes) -> Result<Option<u128>, BadCode> {
    match take(bytes, 1)?.first() {
        Some(0) => Ok(None),
        Some(&HASH_KEY_BYTES) => {
            let key = take(bytes, 16)?.as_ref().try_into().map_err(|_| BadCode::Short)?;
            Ok(Some(u128::from_be_bytes(key)))
        }
        Some(&other) => Err(BadCode::HashKey(other)),
        None => Err(BadCode::Short),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn a_record() -> impl Strategy<Value = Record> {
        let text = || "[a-zé/]{1,20}";
        let keys = (proptest::option::of(text()), proptest::option::of(any::<u128>()));
        (any::<u64>(), keys, text(), "[a-z]{0,3}", any::<Vec<u8>>()).prop_map(
            |(at, (partition_key, hash_key), source, caller, payload)| Record {
                id: RecordId::new(at & 0xffff_ffff_ffff),
                only_for: partition_key.clone().map(Text::from),
                partition_key: partition_key.map(Text::from),
                hash_key,
                source: source.into(),
                caller: caller.into(),
                payload: payload.into(),
            },
        )
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

    proptest! {
        #[test]
        fn records_of_one_hand_in_have_the_bytes_they_have_alone(
            records in proptest::collection::vec(a_record(), 1..20),
            filling in 0usize..60_000,
        ) {
            let filling = Bytes::from(vec![7; filling]);
            let each = |record: &Record| Record {
                source: "s".into(),
                caller: "".into(),
                only_for: None,
                ..record.clone()
            };
            let mut records: Vec<_> = records.iter().map(each).collect();
            records.push(Record { payload: filling, ..records[0].clone() });
            let lengths = records.iter().map(|record| record.payload.len());
            let mut encoder = Encoder::new("s", "", lengths);

            for record in &records {
                let key = record.partition_key.as_deref().unwrap_or_default();
                let bytes = encoder.encode(record.id, key, record.hash_key, &record.payload);
                prop_assert_eq!(&bytes, &encode(record));
                prop_assert_eq!(&decode(bytes), &Ok(record.clone()));
            }
        }
    }

    #[test]
    fn a_hash_key_of_another_length_is_refused() {
        let record = Record {
            id: RecordId::NONE,
            partition_key: None,
            hash_key: Some(0),
            source: Text::default(),
            caller: Text::default(),
            only_for: None,
            payload: Bytes::new(),
        };
        let good = encode(&record);
        assert_eq!(good.len(), 1 + 16 + 8 + 1 + 16);
        for length in [1, 15, 17, 255] {
            let mut bad = good.to_vec();
            bad[25] = length;
            assert_eq!(decode(bad.into()), Err(BadCode::HashKey(length)));
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        assert_eq!(decode(Bytes::from_static(&[2, 0])), Err(BadCode::Version(2)));
        assert_eq!(decode(Bytes::new()), Err(BadCode::Short));
    }
}

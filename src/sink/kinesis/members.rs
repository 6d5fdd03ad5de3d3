//! The records of an aggregate that others made, to take it apart where it lies in several shards.

use std::sync::Arc;

use bytes::Bytes;

use super::aggregate::{DIGEST_BYTES, MAGIC};
use super::shards::hash_of;
use crate::record::{PARTITION_KEY_CHARS_MAX, RoutingKey};
use crate::sink::Piece;

/// A record of an aggregate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Shared by all records of the key: it may be far longer than they are.
    key: Arc<str>,
    key_hash: u128,
    explicit: Option<u128>,
    data: Bytes,
}

impl Member {
    /// The number that chooses its shard.
    pub fn hash(&self) -> u128 {
        self.explicit.unwrap_or(self.key_hash)
    }

    /// Its partition key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The number that stands in place of its key's.
    pub fn explicit(&self) -> Option<u128> {
        self.explicit
    }

    /// Its payload.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// What it brings into an entry it shares.
    pub fn piece(&self) -> Piece<'_> {
        let Self { key, key_hash, explicit, data } = self;
        let (key, key_hash, explicit) = (RoutingKey::Own(key), *key_hash, *explicit);
        Piece { key, key_hash, explicit, data }
    }
}

/// What becomes of that which the format does not name: tags of the library, fields of its future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unknown {
    /// What has it is left whole, as it could not be put together again.
    Refused,
    /// Whoever only reads passes over it, as the library's consumers do.
    PassedOver,
}

/// The records of a payload that is an aggregate, in their order. `None` where it has anything in it
/// that would be lost by taking it apart: then it is left whole.
pub(crate) fn members(payload: &Bytes) -> Option<Vec<Member>> {
    taken_apart(payload, Unknown::Refused)
}

/// The same for who only reads: `None` only where it is no aggregate within.
pub(super) fn read_members(payload: &Bytes) -> Option<Vec<Member>> {
    taken_apart(payload, Unknown::PassedOver)
}

fn taken_apart(payload: &Bytes, unknown: Unknown) -> Option<Vec<Member>> {
    let may_pass = unknown == Unknown::PassedOver;
    let end = payload.len().checked_sub(DIGEST_BYTES).filter(|end| *end > MAGIC.len())?;
    let body = payload.slice(MAGIC.len()..end);
    let (mut keys, mut hash_keys, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = Rest(body);
    while !rest.0.is_empty() {
        match rest.field()? {
            (1, Value::Bytes(key)) => {
                let key = str::from_utf8(&key).ok()?;
                // Kinesis knows no longer ones, and each member holds its own.
                if !may_pass && key.chars().nth(PARTITION_KEY_CHARS_MAX).is_some() {
                    return None;
                }
                keys.push((hash_of(key), Arc::from(key)));
            }
            (2, Value::Bytes(hash)) => {
                hash_keys.push(str::from_utf8(&hash).ok()?.parse::<u128>().ok()?);
            }
            (3, Value::Bytes(record)) => records.push(record_of(Rest(record), may_pass)?),
            (1..=3, _) => return None,
            _ if may_pass => {}
            _ => return None,
        }
    }
    let member = |(key, hash_key, data): (usize, Option<usize>, Bytes)| {
        let (key_hash, key) = keys.get(key)?.clone();
        let explicit = match hash_key {
            Some(place) => Some(*hash_keys.get(place)?),
            None => None,
        };
        Some(Member { key, key_hash, explicit, data })
    };
    let members: Vec<_> = records.into_iter().map(member).collect::<Option<_>>()?;
    (!members.is_empty()).then_some(members)
}

/// Where its key stands, where its hash key stands, and its data.
fn record_of(mut rest: Rest, may_pass: bool) -> Option<(usize, Option<usize>, Bytes)> {
    let (mut key, mut hash_key, mut data) = (None, None, None);
    while !rest.0.is_empty() {
        match rest.field()? {
            (1, Value::Number(place)) => key = Some(usize::try_from(place).ok()?),
            (2, Value::Number(place)) => hash_key = Some(usize::try_from(place).ok()?),
            (3, Value::Bytes(bytes)) => data = Some(bytes),
            (1..=3, _) => return None,
            _ if may_pass => {}
            _ => return None,
        }
    }
    Some((key?, hash_key, data?))
}

/// What is left of a message.
struct Rest(Bytes);

enum Value {
    Number(u64),
    Bytes(Bytes),
    /// Of a width that no field of the format has.
    Fixed,
}

impl Rest {
    fn field(&mut self) -> Option<(u64, Value)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for at in 0..10_u32 {
            let byte = *self.0.first()?;
            self.0 = self.0.slice(1..);
            value |= u64::from(byte & 0x7f).checked_shl(7 * at)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use md5::{Digest as _, Md5};
    use proptest::prelude::*;

    use super::super::aggregate::encode;
    use super::*;

    #[test]
    fn an_aggregate_with_a_key_that_kinesis_does_not_know_is_left_whole() {
        for (chars, is_taken_apart) in [(256, true), (257, false)] {
            let key = "é".repeat(chars);
            let one = member(&key, None, b"data");
            let payload = encode(&[(vec![one.piece()], 0)]).remove(0);
            assert_eq!(members(&payload).is_some(), is_taken_apart, "{chars}");
        }
    }

    fn member(key: &str, explicit: Option<u128>, data: &'static [u8]) -> Member {
        Member { key: key.into(), key_hash: hash_of(key), explicit, data: data.into() }
    }

    fn framed(body: &[u8]) -> Bytes {
        [&MAGIC, body, &Md5::digest(body)].concat().into()
    }

    #[test]
    fn what_was_put_together_comes_apart_in_its_order() {
        let all = [
            member("k", None, b"one"),
            member("l", Some(7), b""),
            member("k", Some(7), &[b'x'; 300]),
            member("k", Some(u128::MAX), b"four"),
        ];
        let pieces: Vec<_> = all.iter().map(Member::piece).collect();
        assert_eq!(members(&encode(&[(pieces, 0)]).remove(0)).unwrap(), all);
    }

    #[test]
    fn what_is_not_understood_to_its_end_stays_whole() {
        assert_eq!(members(&Bytes::from_static(b"short")), None);
        let whole = b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x";
        assert_eq!(members(&framed(whole)).unwrap(), [member("k", None, b"x")]);
        for wrong in [
            &b"\x0a\x01k"[..],
            b"\x0a\x01k\x1a\x05\x08\x01\x1a\x01x",
            b"\x0a\x01k\x1a\x07\x08\x00\x10\x00\x1a\x01x",
            b"\x0a\x01k\x12\x01a\x1a\x05\x08\x00\x1a\x01x",
            b"\x0a\x01\xff\x1a\x05\x08\x00\x1a\x01x",
            b"\x0a\x01k\x1a\x02\x08\x00",
            b"\x0a\x01k\x1a\x07\x08\x00\x1a\x01x\x22\x00",
            b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x\x20\x01",
            b"\x0a\x7fk",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(members(&framed(wrong)), None, "{wrong:?}");
        }
    }

    #[test]
    fn who_only_reads_passes_over_tags_and_whatever_else_the_format_does_not_name() {
        for more in [
            &b"\x0a\x01k\x1a\x07\x08\x00\x1a\x01x\x22\x00"[..],
            b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x\x20\x01",
            b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x\x2d\x01\x02\x03\x04",
            b"\x0a\x01k\x1a\x05\x08\x00\x1a\x01x\x29\x01\x02\x03\x04\x05\x06\x07\x08",
        ] {
            let read = read_members(&framed(more));
            assert_eq!(read, Some(vec![member("k", None, b"x")]), "{more:?}");
            assert_eq!(members(&framed(more)), None, "{more:?}");
        }
        for wrong in [&b"\x0a\x01k"[..], b"\x0a\x01k\x1a\x05\x08\x01\x1a\x01x", b"\x0d\x01"] {
            assert_eq!(read_members(&framed(wrong)), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(members(&framed(&body)));
        }
    }
}

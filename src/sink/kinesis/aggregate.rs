//! Many records as one: the format of the Kinesis Producer Library, which its consumers take apart.
//!
//! ```text
//! F3 89 9A C2 | protobuf AggregatedRecord | MD5 of the protobuf, 16 bytes
//! AggregatedRecord { 1: partition keys, 2: explicit hash keys, 3: records }
//! Record { 1: index of its partition key, 2: index of its explicit hash key, if it has one, 3: data }
//! ```
//!
//! Sizes are known exactly before anything is encoded, so the bytes are written once, in place.

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes};
use md5::{Digest as _, Md5};

use super::digest::digests;
use crate::sink::Piece;

pub(super) const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
pub(super) const DIGEST_BYTES: usize = 16;
/// What surrounds the protobuf.
const FRAME_BYTES: usize = MAGIC.len() + DIGEST_BYTES;

/// The partition key of an aggregate, as the library itself writes it. It chooses nothing: an
/// explicit hash key does.
pub(in crate::sink) const KEY: &str = "a";

/// Tags of the protobuf: field number and kind "length-delimited" (2) or "varint" (0).
const KEY_TABLE: u8 = 1 << 3 | 2;
const HASH_KEY_TABLE: u8 = 2 << 3 | 2;
const RECORD: u8 = 3 << 3 | 2;
const KEY_INDEX: u8 = 1 << 3;
const HASH_KEY_INDEX: u8 = 2 << 3;
const DATA: u8 = 3 << 3 | 2;

/// Whether a payload is an aggregate already. Only the digest can tell it from bytes that begin
/// with the same four by chance.
pub(crate) fn is_aggregate(payload: &[u8]) -> bool {
    let Some((body, digest)) =
        payload.strip_prefix(&MAGIC).and_then(<[u8]>::split_last_chunk::<DIGEST_BYTES>)
    else {
        return false;
    };
    !body.is_empty() && Md5::digest(body).as_slice() == digest
}

/// How large an aggregate becomes, record by record, and which keys its records share.
#[derive(Clone, Debug, Default)]
pub(in crate::sink) struct Tally {
    body_bytes: usize,
    records: usize,
    keys: Table,
    hash_keys: Table,
}

impl Tally {
    /// Bytes of the whole aggregate, with the key it is sent by.
    pub(in crate::sink) fn weight(&self) -> usize {
        KEY.len() + FRAME_BYTES + self.body_bytes
    }

    /// Counts one more record, unless the aggregate would weigh more than this; whether it did. The
    /// first is always counted: alone it is sent plain.
    pub(in crate::sink) fn take(&mut self, piece: &Piece<'_>, weight_max: usize) -> bool {
        let key = self.keys.slot_of(piece.key_hash);
        let hash_key = piece.explicit.map(|hash| (self.hash_keys.slot_of(hash), digits(hash)));
        let of_key = if key.is_new { delimited(piece.key.bytes()) } else { 0 };
        let of_hash_key = match hash_key {
            Some((slot, digits)) if slot.is_new => delimited(digits),
            _ => 0,
        };
        let index = hash_key.map(|(slot, _)| slot.index);
        let of_record = delimited(record_bytes(key.index, index, piece.data.len()));
        let bytes = of_key + of_hash_key + of_record;
        if self.records > 0 && self.weight() + bytes > weight_max {
            return false;
        }
        self.keys.add(piece.key_hash, key);
        if let (Some(hash), Some((slot, _))) = (piece.explicit, hash_key) {
            self.hash_keys.add(hash, slot);
        }
        self.body_bytes += bytes;
        self.records += 1;
        true
    }
}

/// Where each key stands. Keys are known by their MD5: who makes two with the same one gets back
/// the first for both, and has deceived nobody else.
#[derive(Clone, Debug, Default)]
struct Table {
    known: HashMap<u128, usize>,
    /// The one that was asked for last: records come in runs of one key.
    last: Option<(u128, usize)>,
}

/// Where a key stands, and whether it must be written there first.
#[derive(Clone, Copy, Debug)]
struct Slot {
    index: usize,
    is_new: bool,
}

impl Table {
    fn slot_of(&self, hash: u128) -> Slot {
        let last = self.last.filter(|last| last.0 == hash).map(|last| last.1);
        match last.or_else(|| self.known.get(&hash).copied()) {
            Some(index) => Slot { index, is_new: false },
            None => Slot { index: self.known.len(), is_new: true },
        }
    }

    fn add(&mut self, hash: u128, slot: Slot) {
        if slot.is_new {
            self.known.insert(hash, slot.index);
        }
        self.last = Some((hash, slot.index));
    }
}

/// Encodes aggregates of records that were counted to weigh so much.
pub(in crate::sink) fn encode(all: &[(Vec<Piece<'_>>, usize)]) -> Vec<Bytes> {
    let mut encoded: Vec<_> = all.iter().map(|(pieces, weight)| begin(pieces, *weight)).collect();
    let bodies: Vec<_> =
        encoded.iter().map(|out| out.get(MAGIC.len()..).unwrap_or_default()).collect();
    let digests = digests(&bodies);
    encoded.iter_mut().zip(digests).for_each(|(out, digest)| out.put_slice(&digest));
    encoded.into_iter().map(Bytes::from).collect()
}

/// All of one but its digest, in one go.
fn begin(pieces: &[Piece<'_>], weight: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(weight);
    out.put_slice(&MAGIC);
    let keys = put_keys(&mut out, pieces);
    let hash_keys = put_hash_keys(&mut out, pieces);
    for ((piece, key), hash_key) in pieces.iter().zip(keys).zip(hash_keys) {
        out.put_u8(RECORD);
        put_varint(&mut out, record_bytes(key, hash_key, piece.data.len()));
        out.put_u8(KEY_INDEX);
        put_varint(&mut out, key);
        if let Some(index) = hash_key {
            out.put_u8(HASH_KEY_INDEX);
            put_varint(&mut out, index);
        }
        put_delimited(&mut out, DATA, piece.data);
    }
    out
}

/// Writes the table of keys; where each record's own stands in it.
fn put_keys(out: &mut Vec<u8>, pieces: &[Piece<'_>]) -> Vec<usize> {
    let mut table = Table::default();
    let mut place = |piece: &Piece<'_>| {
        let slot = table.slot_of(piece.key_hash);
        table.add(piece.key_hash, slot);
        if slot.is_new {
            piece.key.read(|key| put_delimited(out, KEY_TABLE, key.as_bytes()));
        }
        slot.index
    };
    pieces.iter().map(&mut place).collect()
}

/// The same for the explicit hash keys, of those that have one.
fn put_hash_keys(out: &mut Vec<u8>, pieces: &[Piece<'_>]) -> Vec<Option<usize>> {
    let mut table = Table::default();
    let mut place = |hash: u128| {
        let slot = table.slot_of(hash);
        table.add(hash, slot);
        if slot.is_new {
            put_delimited(out, HASH_KEY_TABLE, hash.to_string().as_bytes());
        }
        slot.index
    };
    pieces.iter().map(|piece| piece.explicit.map(&mut place)).collect()
}

/// Bytes of the message of one record, without its own tag and length.
fn record_bytes(key: usize, hash_key: Option<usize>, data_bytes: usize) -> usize {
    let hash_key = hash_key.map_or(0, |index| 1 + varint_bytes(index));
    1 + varint_bytes(key) + hash_key + delimited(data_bytes)
}

/// Bytes of a length-delimited field: tag, length, content.
fn delimited(length: usize) -> usize {
    1 + varint_bytes(length) + length
}

fn varint_bytes(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

fn digits(hash: u128) -> usize {
    hash.checked_ilog10().unwrap_or_default() as usize + 1
}

fn put_delimited(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.put_u8(tag);
    put_varint(out, content.len());
    out.put_slice(content);
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        out.put_u8(low | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::RoutingKey;
    use crate::sink::kinesis::shards::hash_of;

    type Given = (String, Option<u128>, Vec<u8>);

    /// Keys that repeat, and hash keys of every length.
    fn a_record() -> impl Strategy<Value = Given> {
        let hash = prop_oneof![Just(0_u128), 1..=99_u128, any::<u128>(), Just(u128::MAX)];
        let data = proptest::collection::vec(any::<u8>(), 0..300);
        (prop_oneof!["[ab]", "[a-zé/]{1,200}"], proptest::option::of(hash), data)
    }

    fn tallied(records: &[Given]) -> (usize, Bytes) {
        let data: Vec<Bytes> = records.iter().map(|given| given.2.clone().into()).collect();
        let piece = |(given, data): (&'_ Given, &'_ Bytes)| -> (String, Option<u128>, Bytes) {
            (given.0.clone(), given.1, data.clone())
        };
        let owned: Vec<_> = records.iter().zip(&data).map(piece).collect();
        let pieces: Vec<Piece<'_>> = owned
            .iter()
            .map(|(key, explicit, data)| Piece {
                key: RoutingKey::Own(key),
                key_hash: hash_of(key),
                explicit: *explicit,
                data,
            })
            .collect();
        let mut tally = Tally::default();
        assert!(pieces.iter().all(|piece| tally.take(piece, usize::MAX)));
        let encoded = encode(&[(pieces, tally.weight())]).remove(0);
        (tally.weight(), encoded)
    }

    proptest! {
        #[test]
        fn the_size_that_is_foretold_is_the_size_that_is_written(
            records in proptest::collection::vec(a_record(), 1..200),
        ) {
            let (weight, bytes) = tallied(&records);
            prop_assert_eq!(weight, KEY.len() + bytes.len());
            prop_assert!(is_aggregate(&bytes));
        }

        #[test]
        fn a_flipped_bit_makes_it_no_aggregate(
            records in proptest::collection::vec(a_record(), 1..5), at in any::<prop::sample::Index>(),
        ) {
            let (_, bytes) = tallied(&records);
            let mut bytes = bytes.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert!(!is_aggregate(&bytes));
        }
    }

    #[test]
    fn the_bytes_are_those_the_format_names() {
        let (_, bytes) = tallied(&[
            ("k".into(), None, b"one".to_vec()),
            ("l".into(), Some(7), b"".to_vec()),
            ("k".into(), Some(7), vec![b'x'; 200]),
        ]);
        let body = [
            b"\x0a\x01k\x0a\x01l\x12\x017".as_slice(),
            b"\x1a\x07\x08\x00\x1a\x03one",
            b"\x1a\x06\x08\x01\x10\x00\x1a\x00",
            b"\x1a\xcf\x01\x08\x00\x10\x00\x1a\xc8\x01",
            &[b'x'; 200],
        ]
        .concat();
        let digest = Md5::digest(&body);
        assert_eq!(bytes, [MAGIC.as_slice(), &body, &digest].concat());
    }

    #[test]
    fn an_aggregate_takes_no_record_beyond_its_size_and_none_less() {
        let data = Bytes::from(vec![b'x'; 100]);
        let piece = Piece {
            key: RoutingKey::Own("k"),
            key_hash: hash_of("k"),
            explicit: None,
            data: &data,
        };
        let mut two = Tally::default();
        assert!(two.take(&piece, 0), "the first is taken whatever it weighs");
        two.take(&piece, usize::MAX);

        for (weight_max, fits) in [(two.weight() - 1, false), (two.weight(), true)] {
            let mut tally = Tally::default();
            tally.take(&piece, weight_max);
            let before = tally.weight();
            assert_eq!(tally.take(&piece, weight_max), fits);
            assert_eq!(tally.weight() == before, !fits, "what does not fit is not counted");
        }
    }

    #[test]
    fn bytes_that_only_begin_like_one_are_none() {
        assert!(!is_aggregate(b""));
        assert!(!is_aggregate(&MAGIC));
        assert!(!is_aggregate(&[MAGIC.as_slice(), &[0; DIGEST_BYTES]].concat()));
        assert!(!is_aggregate(&[MAGIC.as_slice(), &Md5::digest(b"")].concat()), "no record in it");
        assert!(is_aggregate(&[MAGIC.as_slice(), b"x", &Md5::digest(b"x")].concat()));
    }
}

//! What is written reads back the same; what was flipped, cut or invented is refused, never a panic.

use bytes::Bytes;
use proptest::prelude::*;

use crate::queue::frame::{self, Builder, Form, Header, POSITION_MAX};
use crate::queue::seal::{Cipher, Keyed, SEED_BYTES};
use crate::queue::segment::{self, Read};
use crate::queue::{Key, Mark, frame::HEADER_BYTES};

/// As a body may be written: neither packed nor sealed, one of them, both.
const FORMS: [Form; 4] = [
    Form { is_packed: false, is_sealed: false },
    Form { is_packed: true, is_sealed: false },
    Form { is_packed: false, is_sealed: true },
    Form { is_packed: true, is_sealed: true },
];
const OFFSET: u64 = 4096;

fn cipher() -> Cipher {
    Key::new([1; 32]).cipher(42, &[2; SEED_BYTES])
}

fn some_form() -> impl Strategy<Value = Form> {
    proptest::sample::select(&FORMS[..])
}

fn some_payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..50);
    let lines = (0_usize..50).prop_map(|times| b"a line of a log ".repeat(times));
    proptest::collection::vec(prop_oneof![noise, lines], 0..8)
}

fn built(
    form: Form,
    payloads: &[Vec<u8>],
    marks: &[(String, Option<Vec<u8>>)],
) -> (Vec<u8>, Vec<Mark>) {
    let mut builder = Builder::new(form);
    builder.begin(7, 1234, 0);
    payloads.iter().for_each(|payload| builder.payload(payload));
    let marks: Vec<Mark> = marks
        .iter()
        .map(|(name, value)| Mark { name: name.clone(), value: value.clone().map(Bytes::from) })
        .collect();
    marks.iter().for_each(|mark| builder.mark(&mark.name, mark.value.as_ref()));
    builder.finish();
    (builder.sealed_for(42, Some(&cipher()), OFFSET).to_vec(), marks)
}

fn read(bytes: &[u8], is_sealed: bool) -> Option<(Vec<Bytes>, Vec<Mark>)> {
    read_at(bytes, OFFSET, is_sealed.then(cipher))
}

fn read_at(bytes: &[u8], offset: u64, cipher: Option<Cipher>) -> Option<(Vec<Bytes>, Vec<Mark>)> {
    let header = Header::decode(bytes.get(..HEADER_BYTES)?)?;
    let stored = bytes.get(HEADER_BYTES..)?.get(..header.body_bytes as usize)?;
    let body = header.body(Bytes::copy_from_slice(stored), offset, cipher.as_ref()).ok()?;
    Some((frame::payloads(&header, &body)?, frame::marks(&header, &body)?.0))
}

/// The header with another value in it and a checksum that fits.
fn lie(bytes: &[u8], lie: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::decode(&bytes[..HEADER_BYTES]).unwrap();
    lie(&mut header);
    [&header.encode()[..], &bytes[HEADER_BYTES..]].concat()
}

fn some_marks() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
    proptest::collection::vec(("[a-zé/]{0,20}", value), 0..4)
}

proptest! {
    #[test]
    fn a_frame_reads_back_the_same(
        form in some_form(),
        payloads in some_payloads(),
        marks in some_marks(),
    ) {
        let (bytes, marks) = built(form, &payloads, &marks);

        let header = Header::decode(&bytes[..HEADER_BYTES]).unwrap();
        prop_assert_eq!((header.first, header.salt, header.unix_ms), (7, 42, 1234));
        prop_assert_eq!(header.count as usize, payloads.len());
        prop_assert_eq!(frame::in_memory(header.total_bytes()) + HEADER_BYTES, bytes.len());
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert!(bytes.ends_with(&[0; HEADER_BYTES]));
        let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
        prop_assert_eq!(read(&bytes, form.is_sealed), Some((payloads, marks)));
        prop_assert_eq!(read(&bytes, !form.is_sealed), None);
    }

    #[test]
    fn a_flipped_or_cut_frame_is_refused(
        form in some_form(),
        payloads in some_payloads(),
        marks in some_marks(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (bytes, _) = built(form, &payloads, &marks);
        let used = HEADER_BYTES + Header::decode(&bytes[..HEADER_BYTES]).unwrap().body_bytes as usize;

        let mut flipped = bytes.clone();
        flipped[at.index(used)] ^= 1 << bit;
        prop_assert_eq!(read(&flipped, form.is_sealed), None);
        prop_assert_eq!(read(&bytes[..at.index(used)], form.is_sealed), None);
    }

    #[test]
    fn a_body_that_lies_about_itself_is_refused_without_a_panic(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        count in any::<u32>(),
        mark_count in any::<u32>(),
    ) {
        let body = Bytes::from(body);
        let header = Header { count, mark_count, ..Header::default() };
        let payloads = frame::payloads(&header, &body);
        prop_assert!(payloads.is_none_or(|all| all.len() == count as usize));
        let marks = frame::marks(&header, &body);
        prop_assert!(marks.is_none_or(|(marks, keys)| marks.len() + keys.len() == mark_count as usize));
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(read(&bytes, false), None);
        prop_assert!(!matches!(segment::Header::read(&bytes), Read::Good(_)));
    }

    #[test]
    fn a_segment_header_reads_back_and_one_flipped_bit_is_damage(
        first in 1_u64..POSITION_MAX, salt in any::<u64>(), unix_ms in any::<u64>(),
        is_packed in any::<bool>(), seed in proptest::option::of(any::<[u8; SEED_BYTES]>()),
        at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let keyed = seed.map(|seed| Keyed { key: Key::new([1; 32]).id(), seed });
        let header = segment::Header { first, salt, unix_ms, is_packed, keyed };
        let bytes = header.encode();
        prop_assert_eq!(segment::Header::read(&bytes), Read::Good(header));

        let mut flipped = bytes;
        flipped[at.index(bytes.len())] ^= 1 << bit;
        prop_assert_eq!(segment::Header::read(&flipped), Read::Damaged);
        prop_assert_eq!(segment::Header::read(&bytes[..at.index(bytes.len())]), Read::Damaged);
        prop_assert_eq!(segment::parse_name(&segment::name(first)), Some(first));
    }
}

#[test]
fn a_sealed_frame_that_was_moved_or_lies_about_itself_is_refused_with_a_good_checksum() {
    for form in [FORMS[2], FORMS[3]] {
        let (bytes, _) = built(form, &[vec![b'a'; 500]], &[]);
        let header = Header::decode(&bytes[..HEADER_BYTES]).unwrap();
        assert_eq!(header.is_packed(), form.is_packed);
        assert!(read(&bytes, true).is_some());

        assert_eq!(read_at(&bytes, OFFSET + 8, Some(cipher())), None, "another place");
        let others = [
            Key::new([1; 32]).cipher(43, &[2; SEED_BYTES]),
            Key::new([1; 32]).cipher(42, &[3; SEED_BYTES]),
            Key::new([3; 32]).cipher(42, &[2; SEED_BYTES]),
        ];
        for other in others {
            assert_eq!(read_at(&bytes, OFFSET, Some(other)), None, "another segment, or queue");
        }
        let lies: [fn(&mut Header); 8] = [
            |header| header.first += 1,
            |header| header.count += 1,
            |header| header.mark_count += 1,
            |header| header.unix_ms += 1,
            |header| header.salt += 1,
            |header| header.flags = frame::SNAPSHOT,
            |header| header.codec ^= 1,
            |header| header.plain_bytes += 1,
        ];
        for told in lies {
            assert_eq!(read(&lie(&bytes, told), true), None);
        }
        assert_eq!(read(&lie(&bytes, |header| header.cipher = 0), true), None);
        assert_eq!(read(&lie(&bytes, |header| header.cipher = 0), false), None);
        assert_eq!(read(&lie(&bytes, |header| header.cipher = 2), true), None);
    }
}

#[test]
fn a_packed_frame_that_lies_about_its_length_is_refused_before_memory_is_taken() {
    let (bytes, _) = built(FORMS[1], &[vec![b'a'; 5000]], &[]);
    let plain = Header::decode(&bytes[..HEADER_BYTES]).unwrap().plain_bytes;
    assert!(read(&bytes, false).is_some());
    for told in [0, 1, plain - 1, plain + 1, frame::BODY_BYTES_MAX] {
        assert_eq!(read(&lie(&bytes, |header| header.plain_bytes = told), false), None, "{told}");
    }
    let beyond = lie(&bytes, |header| header.plain_bytes = frame::BODY_BYTES_MAX + 1);
    assert_eq!(Header::decode(&beyond[..HEADER_BYTES]), None);
    assert_eq!(read(&lie(&bytes, |header| header.codec = 2), false), None);
}

#[test]
fn names_that_are_no_segments_are_told_apart() {
    for name in [
        "1.seg",
        "0000000000000000000x.seg",
        "00000000000000000000.seg",
        "a",
        "99999999999999999999.seg",
    ] {
        assert_eq!(segment::parse_name(name), None, "{name}");
    }
    assert!(segment::is_spare("spare-12.seg") && !segment::is_spare("spare-.seg"));
    assert!(!segment::is_spare("spare-x.seg") && !segment::is_spare("00000000000000000001.seg"));
}

#[test]
fn the_bytes_on_disk_are_those_of_the_document() {
    let (bytes, _) = built(FORMS[0], &[b"ab".to_vec()], &[("m".into(), Some(b"v".to_vec()))]);
    let expected: [&[u8]; 14] = [
        b"wfrm",
        &[0, 0],
        &[0, 0],
        &42_u64.to_le_bytes(),
        &7_u64.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &12_u32.to_le_bytes(),
        &12_u32.to_le_bytes(),
        &crc32c::crc32c(&bytes[56..68]).to_le_bytes(),
        &1234_u64.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &crc32c::crc32c(&bytes[..52]).to_le_bytes(),
        b"\x02\0\0\0ab\x01\x01\x01\0mv",
        &[0; 4 + 56],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn the_bytes_of_a_segments_header_are_those_of_the_document() {
    let keyed = Keyed { key: Key::new([1; 32]).id(), seed: [5; SEED_BYTES] };
    let header =
        segment::Header { first: 7, salt: 42, unix_ms: 1234, is_packed: true, keyed: Some(keyed) };
    let header = header.block();
    let expected: [&[u8]; 9] = [
        b"weirseg\0",
        &[1, 0, 0, 0],
        &3_u32.to_le_bytes(),
        &7_u64.to_le_bytes(),
        &42_u64.to_le_bytes(),
        &1234_u64.to_le_bytes(),
        &keyed.key.0.to_le_bytes(),
        &[5; 12],
        &crc32c::crc32c(&header[..60]).to_le_bytes(),
    ];
    assert_eq!(header[..64], expected.concat());
    assert_eq!(header[64..4032], [0; 3968]);
    assert_eq!(header[4032..], header[..64]);
}

/// Nonce, body and tag, and what is bound to them, made here by the page alone.
#[test]
fn a_sealed_body_is_the_one_of_the_document() {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    use ring::{hkdf, hmac};

    let (bytes, _) = built(FORMS[2], &[b"ab".to_vec()], &[]);
    let salt = [&42_u64.to_le_bytes()[..], &[2; 12]].concat();
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&[1; 32]);
    let derived = secret.expand(&[b"weir queue segment"], &AES_256_GCM).unwrap();
    let key = LessSafeKey::new(UnboundKey::from(derived));
    let mut bound = bytes[..52].to_vec();
    bound[36..40].fill(0);
    bound.extend_from_slice(&OFFSET.to_le_bytes());
    let nonce = Nonce::try_assume_unique_for_key(&bytes[56..68]).unwrap();
    let mut sealed = bytes[68..68 + 6 + 16].to_vec();

    assert_eq!(key.open_in_place(nonce, Aad::from(bound), &mut sealed).unwrap(), b"\x02\0\0\0ab");
    assert_eq!(&bytes[6..8], &[0, 1]);
    assert_eq!(&bytes[28..36], &[34, 0, 0, 0, 6, 0, 0, 0]);

    // HKDF in full, for the id: extract with 32 zero bytes, expand once.
    let prk = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &[0; 32]), &[1; 32]);
    let expanding = hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref());
    let block = hmac::sign(&expanding, b"weir queue key id\x01");
    let id: String = block.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(Key::new([1; 32]).id().to_string(), id);
}

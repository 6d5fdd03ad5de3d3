//! What is written reads back the same; what was flipped, cut or invented is refused, never a panic.

use bytes::Bytes;
use proptest::prelude::*;

use crate::queue::frame::{self, Builder, Header};
use crate::queue::segment::{self, Read};
use crate::queue::{Mark, frame::HEADER_BYTES};

fn built(payloads: &[Vec<u8>], marks: &[(String, Option<Vec<u8>>)]) -> (Vec<u8>, Vec<Mark>) {
    let mut builder = Builder::default();
    builder.begin(7, 1234, 0);
    payloads.iter().for_each(|payload| builder.payload(payload));
    let marks: Vec<Mark> = marks
        .iter()
        .map(|(name, value)| Mark { name: name.clone(), value: value.clone().map(Bytes::from) })
        .collect();
    marks.iter().for_each(|mark| builder.mark(&mark.name, mark.value.as_ref()));
    builder.finish();
    (builder.sealed_for(42).to_vec(), marks)
}

fn read(bytes: &[u8]) -> Option<(Vec<Bytes>, Vec<Mark>)> {
    let header = Header::decode(bytes.get(..HEADER_BYTES)?)?;
    let body = bytes.get(HEADER_BYTES..)?.get(..header.body_bytes as usize)?;
    let body = Bytes::copy_from_slice(body);
    if !header.fits(&body) || !header.is_known() {
        return None;
    }
    Some((frame::payloads(&header, &body)?, frame::marks(&header, &body)?))
}

fn some_marks() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
    proptest::collection::vec(("[a-zé/]{0,20}", value), 0..4)
}

proptest! {
    #[test]
    fn a_frame_reads_back_the_same(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
        marks in some_marks(),
    ) {
        let (bytes, marks) = built(&payloads, &marks);

        let header = Header::decode(&bytes[..HEADER_BYTES]).unwrap();
        prop_assert_eq!((header.first, header.salt, header.unix_ms), (7, 42, 1234));
        prop_assert_eq!(header.count as usize, payloads.len());
        prop_assert_eq!(frame::in_memory(header.total_bytes()) + HEADER_BYTES, bytes.len());
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert!(bytes.ends_with(&[0; HEADER_BYTES]));
        let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
        prop_assert_eq!(read(&bytes), Some((payloads, marks)));
    }

    #[test]
    fn a_flipped_or_cut_frame_is_refused(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..8),
        marks in some_marks(),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let (bytes, _) = built(&payloads, &marks);
        let used = HEADER_BYTES + Header::decode(&bytes[..HEADER_BYTES]).unwrap().body_bytes as usize;

        let mut flipped = bytes.clone();
        flipped[at.index(used)] ^= 1 << bit;
        prop_assert_eq!(read(&flipped), None);
        prop_assert_eq!(read(&bytes[..at.index(used)]), None);
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
        prop_assert!(marks.is_none_or(|all| all.len() == mark_count as usize));
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(read(&bytes), None);
        prop_assert!(!matches!(segment::Header::read(&bytes), Read::Good(_)));
    }

    #[test]
    fn a_segment_header_reads_back_and_one_flipped_bit_is_damage(
        first in 1_u64..u64::MAX / 2, salt in any::<u64>(), unix_ms in any::<u64>(),
        at in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let header = segment::Header { first, salt, unix_ms };
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
    let (bytes, _) = built(&[b"ab".to_vec()], &[("m".into(), Some(b"v".to_vec()))]);
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

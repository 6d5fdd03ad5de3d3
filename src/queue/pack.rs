//! Making bodies smaller with zstd, and back to exactly as many bytes as they had.
//!
//! A context lives as long as one body: zstd fits it to the size of what it is given, so that a
//! small body costs little, and a hundred quiet streams keep none.

use zstd::bulk;
use zstd::zstd_safe;

/// Level 3 takes up to 1.8 times as long on log lines, and packs them no better: see
/// docs/decisions/0002.
const LEVEL: i32 = 1;
/// Smaller bodies are mostly what zstd itself adds.
const PLAIN_BYTES_LEAST: usize = 128;

/// The packed bytes; `None` if they would not be an eighth fewer, and unpacking not worth it.
pub(super) fn pack(plain: &[u8]) -> Option<Vec<u8>> {
    if plain.len() < PLAIN_BYTES_LEAST {
        return None;
    }
    // What does not fit does not pay: zstd stops there.
    let mut packed = vec![0; plain.len() - plain.len() / 8];
    let length = bulk::compress_to_buffer(plain, &mut packed, LEVEL).ok()?;
    packed.truncate(length);
    Some(packed)
}

/// The bytes that were packed, if they are as many as was said; no more are ever made.
pub(super) fn unpack(packed: &[u8], plain_bytes: usize) -> Option<Vec<u8>> {
    // Asked before memory is taken: a header of ours says it, and a liar's seldom says the same.
    let said = zstd_safe::get_frame_content_size(packed).ok().flatten()?;
    if said != plain_bytes as u64 {
        return None;
    }
    let mut plain = vec![0; plain_bytes];
    let length = bulk::decompress_to_buffer(packed, &mut plain).ok()?;
    (length == plain_bytes).then_some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked_and_never_larger(
            piece in proptest::collection::vec(any::<u8>(), 1..60), times in 1_usize..200,
        ) {
            let plain = piece.repeat(times);
            if let Some(packed) = pack(&plain) {
                prop_assert!(packed.len() <= plain.len() - plain.len() / 8);
                prop_assert_eq!(unpack(&packed, plain.len()), Some(plain.clone()));
                prop_assert_eq!(unpack(&packed, plain.len() - 1), None);
                prop_assert_eq!(unpack(&packed, plain.len() + 1), None);
                prop_assert_eq!(unpack(&packed[..packed.len() - 1], plain.len()), None);
                let doubled = packed.repeat(2);
                prop_assert_eq!(unpack(&doubled, plain.len()), None);
            }
        }

        #[test]
        fn any_bytes_are_refused_or_unpacked_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), plain_bytes in 0_usize..10_000,
        ) {
            let plain = unpack(&bytes, plain_bytes);
            prop_assert!(plain.is_none_or(|plain| plain.len() == plain_bytes));
        }
    }

    #[test]
    fn what_does_not_pay_is_not_packed() {
        let mut chance = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..10_000).map(|_| chance.u8(..)).collect();
        assert_eq!(pack(&noise), None);
        assert_eq!(pack(&[b'a'; PLAIN_BYTES_LEAST - 1]), None);
        assert!(pack(&[b'a'; PLAIN_BYTES_LEAST]).is_some());
        assert_eq!(pack(&[]), None);
    }

    #[test]
    fn a_bomb_makes_no_more_than_it_says() {
        let bomb = bulk::compress(&vec![0; 32 << 20], 1).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(unpack(&bomb, 1000), None);
    }
}

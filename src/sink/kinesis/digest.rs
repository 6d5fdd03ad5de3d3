//! MD5 of several messages at once: one alone keeps a processor waiting for its own last step, and
//! digests of aggregates were a fifth of what it cost to deliver a log.
//!
//! Steps, numbers and names are those of RFC 1321. Each number is four, one for each message: that is a
//! register of any processor of 64 bits, which the compiler finds by itself.

use md5::{Digest as _, Md5};

use super::aggregate::DIGEST_BYTES;

/// What stands behind an aggregate.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// Messages that are done at once.
const LANES: usize = 4;
const BLOCK: usize = 64;

/// Four at once take no longer than so many hundredths of one: where the others are much shorter than the
/// longest, one after the other is faster.
const COST_PERCENT: usize = 170;

type Block = [u8; BLOCK];
type Word = [u32; LANES];

/// The digests of these, in their order.
pub(super) fn digests(messages: &[&[u8]]) -> Vec<Digest> {
    let few = messages.chunks(LANES).flat_map(|few| {
        let longest = few.iter().map(|message| message.len()).max().unwrap_or_default();
        let all = few.iter().map(|message| message.len()).sum::<usize>();
        if all * 100 > longest * COST_PERCENT {
            at_once(few).to_vec()
        } else {
            few.iter().map(|message| Md5::digest(message).into()).collect()
        }
    });
    // There are none beyond the messages: what fills up the last few is left out.
    few.take(messages.len()).collect()
}

/// A message and what follows it: a one, zeros, and how long it is.
struct Lane<'a> {
    blocks: &'a [Block],
    end: [Block; 2],
    count: usize,
}

impl<'a> Lane<'a> {
    fn of(message: &'a [u8]) -> Self {
        let (blocks, rest) = message.as_chunks::<BLOCK>();
        let mut end = [0; 2 * BLOCK];
        let (start, padding) = end.split_at_mut(rest.len());
        start.copy_from_slice(rest);
        if let Some(one) = padding.first_mut() {
            *one = 0x80;
        }
        // Behind the one there must be room for the length.
        let ends = if rest.len() < BLOCK - size_of::<u64>() { 1 } else { 2 };
        let bits = message.len() as u64 * 8;
        let (whole, _) = end.split_at_mut(ends * BLOCK);
        if let Some(length) = whole.last_chunk_mut() {
            *length = bits.to_le_bytes();
        }
        let (first, second) = end.split_at(BLOCK);
        let block = |half: &[u8]| half.try_into().unwrap_or([0; BLOCK]);
        Self { blocks, end: [block(first), block(second)], count: blocks.len() + ends }
    }

    /// A block of it; behind its end, whatever.
    fn block(&self, at: usize) -> &Block {
        let [first, second] = &self.end;
        match at.checked_sub(self.blocks.len()) {
            None => self.blocks.get(at).unwrap_or(second),
            Some(0) => first,
            Some(_) => second,
        }
    }
}

fn at_once(messages: &[&[u8]]) -> [Digest; LANES] {
    let lanes: [Lane<'_>; LANES] =
        std::array::from_fn(|lane| Lane::of(messages.get(lane).copied().unwrap_or_default()));
    let mut digests = [Digest::default(); LANES];
    let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476].map(|word| [word; LANES]);
    let longest = lanes.iter().map(|lane| lane.count).max().unwrap_or_default();
    for at in 0..longest {
        state = step(state, lanes.each_ref().map(|lane| lane.block(at)));
        for ((place, lane), digest) in lanes.iter().enumerate().zip(&mut digests) {
            if lane.count == at + 1 {
                *digest = read(&state, place);
            }
        }
    }
    digests
}

/// What the state says of one lane.
fn read(state: &[Word; 4], place: usize) -> Digest {
    let mut digest = Digest::default();
    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.get(place).copied().unwrap_or_default().to_le_bytes();
    }
    digest
}

/// Takes one block of each.
fn step(state: [Word; 4], blocks: [&Block; LANES]) -> [Word; 4] {
    let [x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, xa, xb, xc, xd, xe, xf] = words(blocks);

    let f = |b, c, d| xor(d, and(b, xor(c, d)));
    let turns = [7, 12, 17, 22];
    let now =
        four(state, f, turns, [x0, x1, x2, x3], [0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee]);
    let now =
        four(now, f, turns, [x4, x5, x6, x7], [0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501]);
    let now =
        four(now, f, turns, [x8, x9, xa, xb], [0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be]);
    let now =
        four(now, f, turns, [xc, xd, xe, xf], [0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821]);

    let g = |b, c, d| xor(c, and(d, xor(b, c)));
    let turns = [5, 9, 14, 20];
    let now =
        four(now, g, turns, [x1, x6, xb, x0], [0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa]);
    let now =
        four(now, g, turns, [x5, xa, xf, x4], [0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8]);
    let now =
        four(now, g, turns, [x9, xe, x3, x8], [0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed]);
    let now =
        four(now, g, turns, [xd, x2, x7, xc], [0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a]);

    let h = |b, c, d| xor(b, xor(c, d));
    let turns = [4, 11, 16, 23];
    let now =
        four(now, h, turns, [x5, x8, xb, xe], [0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c]);
    let now =
        four(now, h, turns, [x1, x4, x7, xa], [0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70]);
    let now =
        four(now, h, turns, [xd, x0, x3, x6], [0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05]);
    let now =
        four(now, h, turns, [x9, xc, xf, x2], [0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665]);

    let i = |b, c, d| xor(c, or(b, not(d)));
    let turns = [6, 10, 15, 21];
    let now =
        four(now, i, turns, [x0, x7, xe, x5], [0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039]);
    let now =
        four(now, i, turns, [xc, x3, xa, x1], [0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1]);
    let now =
        four(now, i, turns, [x8, xf, x6, xd], [0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1]);
    let [a, b, c, d] =
        four(now, i, turns, [x4, xb, x2, x9], [0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391]);

    let [a0, b0, c0, d0] = state;
    [add(a0, a), add(b0, b), add(c0, c), add(d0, d)]
}

/// The numbers of a block of each, side by side.
fn words([one, two, three, four]: [&Block; LANES]) -> [Word; BLOCK / 4] {
    let numbers = |block| -> [u32; BLOCK / 4] {
        let (numbers, _): (&[[u8; 4]], _) = <[u8]>::as_chunks(block);
        let mut words = [0; BLOCK / 4];
        words.iter_mut().zip(numbers).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
        words
    };
    let mut words = [[0; LANES]; BLOCK / 4];
    let pairs = numbers(one).into_iter().zip(numbers(two));
    let others = numbers(three).into_iter().zip(numbers(four));
    for ((word, (one, two)), (three, four)) in words.iter_mut().zip(pairs).zip(others) {
        *word = [one, two, three, four];
    }
    words
}

/// Four steps of a round: each of the four numbers is changed once.
#[inline(always)]
fn four(
    [a, b, c, d]: [Word; 4],
    mix: impl Fn(Word, Word, Word) -> Word,
    [s1, s2, s3, s4]: [u32; 4],
    [x1, x2, x3, x4]: [Word; 4],
    [t1, t2, t3, t4]: [u32; 4],
) -> [Word; 4] {
    let turn =
        |a, mixed, x, t, s| add(add(a, mixed), add(x, [t; LANES])).map(|word| word.rotate_left(s));
    let a = add(b, turn(a, mix(b, c, d), x1, t1, s1));
    let d = add(a, turn(d, mix(a, b, c), x2, t2, s2));
    let c = add(d, turn(c, mix(d, a, b), x3, t3, s3));
    let b = add(c, turn(b, mix(c, d, a), x4, t4, s4));
    [a, b, c, d]
}

#[inline(always)]
fn both([a0, a1, a2, a3]: Word, [b0, b1, b2, b3]: Word, with: impl Fn(u32, u32) -> u32) -> Word {
    [with(a0, b0), with(a1, b1), with(a2, b2), with(a3, b3)]
}

#[inline(always)]
fn add(a: Word, b: Word) -> Word {
    both(a, b, u32::wrapping_add)
}

#[inline(always)]
fn xor(a: Word, b: Word) -> Word {
    both(a, b, |a, b| a ^ b)
}

#[inline(always)]
fn and(a: Word, b: Word) -> Word {
    both(a, b, |a, b| a & b)
}

#[inline(always)]
fn or(a: Word, b: Word) -> Word {
    both(a, b, |a, b| a | b)
}

#[inline(always)]
fn not(a: Word) -> Word {
    a.map(|a| !a)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(messages: &[Vec<u8>]) {
        let given: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
        let expected: Vec<Digest> =
            given.iter().map(|message| Md5::digest(message).into()).collect();
        assert_eq!(digests(&given), expected);
        for few in given.chunks(LANES) {
            let expected = few.iter().map(|message| Md5::digest(message).into());
            assert!(
                at_once(few)
                    .into_iter()
                    .zip(expected)
                    .all(|(digest, one): (_, Digest)| digest == one)
            );
        }
    }

    #[test]
    fn every_length_around_a_block_ends_as_it_should() {
        let message = |bytes: u8| (0..bytes).map(|at| at.wrapping_mul(7) ^ bytes).collect();
        check(&(0..200).map(message).collect::<Vec<Vec<u8>>>());
        check(&[]);
    }

    proptest! {
        #[test]
        fn the_digests_are_those_of_each_alone(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..2_000), 0..10),
        ) {
            check(&messages);
        }
    }
}

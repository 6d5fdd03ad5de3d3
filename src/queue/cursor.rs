//! What one destination has settled: a watermark, the settled positions beyond it, the counts.

use std::collections::VecDeque;

use super::cut::Cut;
use super::group::Settled;

/// Positions a cursor can hold beyond its watermark.
pub(super) const WINDOW_MAX: u64 = 1 << 16;
/// Words of 64 positions for the whole window, its beginning and end being anywhere in a word.
const WORDS_MAX: usize = 1026;
const _: () = assert!(WORDS_MAX as u64 == WINDOW_MAX / 64 + 2);

/// What became of a position; [`Settled`] and what the queue itself decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    By(Settled),
    Dropped,
    Damaged,
}

/// How many positions ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) dropped: u64,
    pub(super) damaged: u64,
    pub(super) elsewhere: u64,
}

/// The cursor. Positions up to `birth` never concerned this destination; all up to the watermark
/// are settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    birth: u64,
    watermark: u64,
    /// Bit `p % 64` of word `p / 64 - base` says that `p` is settled; all below `base` are.
    words: VecDeque<u64>,
    base: u64,
    counts: Counts,
}

impl Counts {
    fn add(&mut self, how: How, count: u64) {
        let counter = match how {
            How::By(Settled::Delivered) => &mut self.delivered,
            How::By(Settled::Dead) => &mut self.dead,
            How::By(Settled::Elsewhere) => &mut self.elsewhere,
            How::Dropped => &mut self.dropped,
            How::Damaged => &mut self.damaged,
        };
        *counter = counter.saturating_add(count);
    }

    fn sum(&self) -> u64 {
        [self.delivered, self.dead, self.dropped, self.damaged, self.elsewhere]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

impl Cursor {
    /// A cursor that owes everything behind `birth`.
    pub(super) fn new(birth: u64) -> Self {
        let mut cursor = Self {
            birth,
            watermark: birth,
            words: VecDeque::new(),
            base: 0,
            counts: Counts::default(),
        };
        cursor.start_at(birth);
        cursor
    }

    /// Settles one position; `false` if it was settled before or lies beyond the window.
    pub(super) fn settle(&mut self, position: u64, how: How) -> bool {
        if position <= self.watermark || position - self.watermark > WINDOW_MAX {
            return false;
        }
        let (word, bit) = self.bit_of(position);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        match self.words.get_mut(word) {
            Some(bits) if *bits & bit == 0 => *bits |= bit,
            _ => return false,
        }
        self.counts.add(how, 1);
        self.advance();
        true
    }

    /// Settles what is still open from `from` to before `to`, as far as the window reaches; gives
    /// back where it stopped.
    pub(super) fn settle_range(&mut self, from: u64, to: u64, how: How) -> u64 {
        let mut next = from.max(self.watermark + 1);
        while next < to && next - self.watermark <= WINDOW_MAX {
            if next == self.watermark + 1 && self.ahead() == 0 {
                // Nothing beyond the watermark is settled: a range of any length is one step.
                self.counts.add(how, to - next);
                self.start_at(to - 1);
                return to;
            }
            self.settle(next, how);
            next = (next + 1).max(self.watermark + 1);
        }
        next.min(to.max(from))
    }

    pub(super) fn is_settled(&self, position: u64) -> bool {
        let (word, bit) = match position {
            settled if settled <= self.watermark => return true,
            open => self.bit_of(open),
        };
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(super) fn watermark(&self) -> u64 {
        self.watermark
    }

    pub(super) fn birth(&self) -> u64 {
        self.birth
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Settled positions beyond the watermark.
    pub(super) fn ahead(&self) -> u64 {
        self.counts.sum().saturating_sub(self.watermark - self.birth)
    }

    /// The highest position this cursor says anything about.
    pub(super) fn highest(&self) -> u64 {
        let top = self.words.iter().enumerate().rev().find(|(_, bits)| **bits != 0);
        top.map_or(self.watermark, |(word, bits)| {
            let top_bit = 63 - u64::from(bits.leading_zeros());
            ((self.base + word as u64) * 64 + top_bit).max(self.watermark)
        })
    }

    fn bit_of(&self, position: u64) -> (usize, u64) {
        // At most `WINDOW_MAX / 64 + 1`, as both callers keep to the window or look up only.
        let word = usize::try_from((position / 64).saturating_sub(self.base)).unwrap_or(usize::MAX);
        (word, 1 << (position % 64))
    }

    /// Begins anew with everything up to `watermark` settled and nothing beyond.
    fn start_at(&mut self, watermark: u64) {
        self.watermark = watermark;
        self.base = (watermark + 1) / 64;
        self.words.clear();
        self.words.push_back((1 << ((watermark + 1) % 64)) - 1);
    }

    fn advance(&mut self) {
        while self.words.front() == Some(&u64::MAX) {
            self.words.pop_front();
            self.base += 1;
        }
        if self.words.is_empty() {
            // The watermark ends a word: the next one, with nothing settled, stands in its place.
            self.words.push_back(0);
        }
        let settled = self.words.front().map_or(0, |bits| u64::from(bits.trailing_ones()));
        self.watermark = self.base * 64 + settled - 1;
    }
}

/// Length of a slot without its words.
const SLOT_HEADER_BYTES: usize = 80;
const CHECKED_BYTES: usize = SLOT_HEADER_BYTES - 4;
/// Room for one slot in the file; there are two.
pub(super) const SLOT_BYTES: usize = 12_288;
const _: () = assert!(SLOT_HEADER_BYTES + WORDS_MAX * 8 <= SLOT_BYTES);

pub(super) const MAGIC: [u8; 4] = *b"wcur";
const VERSION: u16 = 1;

/// What a slot turned out to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A cursor and its generation; the higher one is valid.
    Good(Cursor, u64),
    /// Nothing, or not what was written.
    Damaged,
    /// Of a weir that knows more; its version.
    Foreign(u16),
}

impl Slot {
    /// The bytes of a slot: fixed little-endian fields, then the words, under one checksum.
    pub(super) fn encode(cursor: &Cursor, generation: u64) -> Vec<u8> {
        let counts = &cursor.counts;
        let mut bytes = Vec::with_capacity(SLOT_HEADER_BYTES + cursor.words.len() * 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        for number in [
            generation,
            cursor.birth,
            cursor.watermark,
            counts.delivered,
            counts.dead,
            counts.dropped,
            counts.damaged,
            counts.elsewhere,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let word_count = u32::try_from(cursor.words.len()).expect("a window has 1026 words");
        bytes.extend_from_slice(&word_count.to_le_bytes());
        let words: Vec<u8> = cursor.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &words);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&words);
        bytes
    }

    /// Judges the bytes of a slot, which may be longer than what was written.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self::read(bytes).unwrap_or(Self::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(CHECKED_BYTES)?;
        let (mut cut, mut rest) = (Cut(header), Cut(rest));
        if cut.bytes(4)? != MAGIC {
            return None;
        }
        let version = cut.u16()?;
        let _reserved = cut.u16()?;
        let generation = cut.u64()?;
        let (birth, watermark) = (cut.u64()?, cut.u64()?);
        let counts = Counts {
            delivered: cut.u64()?,
            dead: cut.u64()?,
            dropped: cut.u64()?,
            damaged: cut.u64()?,
            elsewhere: cut.u64()?,
        };
        let word_count = usize::try_from(cut.u32()?).ok().filter(|count| *count <= WORDS_MAX)?;
        let crc = rest.u32()?;
        let words = rest.bytes(word_count * 8)?;
        if crc != crc32c::crc32c_append(crc32c::crc32c(header), words) {
            return None;
        }
        if version != VERSION {
            return Some(Self::Foreign(version));
        }
        let mut words = Cut(words);
        let words: VecDeque<u64> = std::iter::from_fn(|| words.u64()).collect();
        if watermark >= u64::MAX / 2 || birth > watermark {
            return None;
        }
        let cursor = Cursor { birth, watermark, words, base: (watermark + 1) / 64, counts };
        cursor.is_consistent().then_some(Self::Good(cursor, generation))
    }
}

impl Cursor {
    /// Whether the counts are those of the watermark and the words.
    fn is_consistent(&self) -> bool {
        let Some(front) = self.words.front() else { return false };
        let low = (self.watermark + 1) % 64;
        let settled: u64 = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
        u64::from(front.trailing_ones()) == low
            && self.counts.sum() == self.watermark - self.birth + settled - low
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DELIVERED: How = How::By(Settled::Delivered);

    #[test]
    fn the_watermark_follows_the_lowest_open_position() {
        let mut cursor = Cursor::new(100);

        assert!(cursor.settle(102, DELIVERED) && cursor.settle(103, DELIVERED));
        assert_eq!((cursor.watermark(), cursor.ahead(), cursor.highest()), (100, 2, 103));
        assert!(cursor.is_settled(102) && !cursor.is_settled(101) && !cursor.is_settled(104));

        assert!(cursor.settle(101, DELIVERED));
        assert_eq!((cursor.watermark(), cursor.ahead(), cursor.highest()), (103, 0, 103));
        assert!(!cursor.settle(101, DELIVERED), "settling twice changes nothing");
        assert_eq!(cursor.counts().delivered, 3);
    }

    #[test]
    fn a_position_beyond_the_window_is_not_taken() {
        let mut cursor = Cursor::new(7);

        assert!(!cursor.settle(7 + WINDOW_MAX + 1, DELIVERED));
        assert!(cursor.settle(7 + WINDOW_MAX, DELIVERED));
        assert!(cursor.settle(7 + WINDOW_MAX - 1, DELIVERED));
        assert_eq!(cursor.settle_range(8, 7 + WINDOW_MAX, How::Damaged), 7 + WINDOW_MAX);
        assert_eq!(cursor.watermark(), 7 + WINDOW_MAX);
        assert_eq!(cursor.counts().damaged, WINDOW_MAX - 2);
    }

    #[test]
    fn a_long_range_is_settled_as_far_as_the_window_reaches() {
        let mut cursor = Cursor::new(0);

        assert_eq!(cursor.settle_range(1, 10 * WINDOW_MAX, How::Dropped), 10 * WINDOW_MAX);
        assert_eq!(cursor.watermark(), 10 * WINDOW_MAX - 1);

        let (open, next) = (10 * WINDOW_MAX, 10 * WINDOW_MAX + 1);
        assert_eq!(cursor.settle_range(next, 30 * WINDOW_MAX, How::Dropped), open + WINDOW_MAX);
        assert!(cursor.settle(open, DELIVERED));
        let end = cursor.settle_range(open + WINDOW_MAX, 30 * WINDOW_MAX, How::Dropped);
        assert_eq!((end, cursor.watermark()), (30 * WINDOW_MAX, 30 * WINDOW_MAX - 1));
        assert_eq!(cursor.counts().sum(), cursor.watermark());
    }

    #[test]
    fn a_cursor_reads_back_at_every_watermark_with_and_without_positions_beyond() {
        let mut cursor = Cursor::new(0);
        for position in 1..300 {
            cursor.settle(position, DELIVERED);
            let read = Slot::decode(&Slot::encode(&cursor, 1));
            assert_eq!(read, Slot::Good(cursor.clone(), 1), "watermark {position}");

            let mut ahead = cursor.clone();
            ahead.settle(position + 2, DELIVERED);
            let read = Slot::decode(&Slot::encode(&ahead, 1));
            assert_eq!(read, Slot::Good(ahead, 1), "watermark {position}, one beyond");
        }
    }

    proptest! {
        #[test]
        fn any_order_of_settling_ends_the_same_and_a_slot_reads_back(
            birth in 0_u64..1000,
            order in Just((1..300_u64).collect::<Vec<_>>()).prop_shuffle(),
            until in 0_usize..300,
        ) {
            let mut cursor = Cursor::new(birth);
            let mut model = std::collections::BTreeSet::new();
            for offset in order.into_iter().take(until) {
                prop_assert!(cursor.settle(birth + offset, DELIVERED));
                model.insert(birth + offset);
            }

            let open = (birth + 1..).find(|position| !model.contains(position)).unwrap();
            prop_assert_eq!(cursor.watermark(), open - 1);
            prop_assert_eq!(cursor.ahead(), model.range(open..).count() as u64);
            prop_assert_eq!(cursor.highest(), model.last().copied().unwrap_or(birth));
            let mut bytes = Slot::encode(&cursor, 9);
            prop_assert_eq!(Slot::decode(&bytes), Slot::Good(cursor.clone(), 9));
            bytes.resize(SLOT_BYTES, 0xaa);
            prop_assert_eq!(Slot::decode(&bytes), Slot::Good(cursor, 9));
        }

        #[test]
        fn a_flipped_or_cut_slot_is_damaged_and_never_panics(
            settled in proptest::collection::vec(1_u64..2000, 0..40),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let mut cursor = Cursor::new(0);
            for position in settled {
                cursor.settle(position, DELIVERED);
            }
            let bytes = Slot::encode(&cursor, 1);

            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;
            prop_assert_eq!(Slot::decode(&flipped), Slot::Damaged);
            prop_assert_eq!(Slot::decode(&bytes[..at.index(bytes.len())]), Slot::Damaged);
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(Slot::decode(&bytes), Slot::Damaged);
        }
    }
}

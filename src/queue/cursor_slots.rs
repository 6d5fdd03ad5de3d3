//! The bytes of a cursor's file: a head that says where the cursor begins, and pages of settled
//! positions. Each is there twice, so that one is whole while the other is written.
//!
//! ```text
//! head 0 | head 1 | place 0: half 0, half 1 | place 1: half 0, half 1 | …
//! ```
//!
//! A page takes any place that is free. Head and pages count for themselves alone, so any mixture of
//! older and newer ones is sound: it only knows less.

use std::collections::BTreeMap;

use super::cursor::{Counts, Cursor, Draft, PAGES_MAX};
use super::cut::Cut;
use super::frame::POSITION_MAX;
use super::page::{PAGE_POSITIONS, PAGE_WORDS, Page};

pub(super) const MAGIC: [u8; 4] = *b"wcur";
pub(super) const PAGE_MAGIC: [u8; 4] = *b"wcpg";
const VERSION: u16 = 1;

/// Room for one head; a block of the disk, so that no write touches the other one.
pub(super) const HEAD_ROOM: u64 = 4096;
pub(super) const HEAD_BYTES: usize = 80;
/// Room for one half of a place.
pub(super) const PAGE_ROOM: u64 = 4608;
pub(super) const PAGE_HEAD_BYTES: usize = 80;
/// Both halves of a place.
pub(super) const PLACE_BYTES: usize = 9_216;
const _: () = assert!(PLACE_BYTES as u64 == 2 * PAGE_ROOM);
pub(super) const WORD_BYTES_MAX: usize = PAGE_WORDS * 8;
const _: () = assert!((PAGE_HEAD_BYTES + WORD_BYTES_MAX) as u64 <= PAGE_ROOM);

/// Places a new file has room for: the pages of what is usually under way, so that saving needs no
/// free space.
pub(super) const PLACES_MADE: usize = 4;
/// Most places: those of the last save, and as many new ones.
pub(super) const PLACES_MAX: usize = 1028;
const _: () = assert!(PLACES_MAX as u64 == 2 * PAGES_MAX);

/// No position and no generation comes near it: a cursor holds whatever position can be read.
const NUMBER_MAX: u64 = 2 * POSITION_MAX;

/// Where a half of a place begins.
pub(super) fn page_at(place: usize, half: usize) -> u64 {
    2 * HEAD_ROOM + (2 * place as u64 + half as u64) * PAGE_ROOM
}

/// Length of a file with so many places.
pub(super) fn file_bytes(places: usize) -> u64 {
    page_at(places, 0)
}

/// Where what is valid stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) generation: u64,
    pub(super) head: usize,
    /// Whether the other head is sound as well: a new file has one only.
    pub(super) has_both_heads: bool,
    /// Place and half of each page, by its number.
    pub(super) pages: BTreeMap<u64, (usize, usize)>,
}

/// What the bytes of a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slots {
    Good(Cursor, Layout),
    /// Nothing, or not what was written.
    Damaged,
    /// Of a weir that knows more; its version.
    Foreign(u16),
}

/// A head, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Good { generation: u64, birth: u64, base: u64, counts: Counts },
    Damaged,
    Foreign(u16),
}

/// The bytes of a head.
pub(super) fn head(draft: &Draft, generation: u64, owner: u32) -> Vec<u8> {
    let mut bytes = begun(&MAGIC, 0);
    let fields = [generation, draft.birth, draft.base];
    put(&mut bytes, fields.into_iter().chain(draft.counts.all()));
    bytes.extend_from_slice(&owner.to_le_bytes());
    seal(&mut bytes, HEAD_BYTES - 4);
    bytes
}

/// The bytes of a page: fixed little-endian fields, then the words, under one checksum.
pub(super) fn page(number: u64, page: &Page, generation: u64) -> Vec<u8> {
    let words = page.words();
    let count = u16::try_from(words.len()).expect("a page has 512 words");
    let mut bytes = begun(&PAGE_MAGIC, count);
    put(&mut bytes, [generation, number, page.lead()].into_iter().chain(page.counts().all()));
    bytes.resize(PAGE_HEAD_BYTES - 4, 0);
    put(&mut bytes, words.iter().copied());
    let at = PAGE_HEAD_BYTES - 4;
    seal(&mut bytes, at);
    bytes
}

fn begun(magic: &[u8; 4], count: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAGE_HEAD_BYTES);
    bytes.extend_from_slice(magic);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    numbers.for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
}

/// Puts the checksum of all bytes between those before `at` and those behind.
fn seal(bytes: &mut Vec<u8>, at: usize) {
    let crc = crc32c::crc32c(bytes);
    let behind = bytes.split_off(at);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&behind);
}

/// Judges the bytes of a file, which may be any; those of another owner are as good as damaged.
pub(super) fn read(bytes: &[u8], owner: u32) -> Slots {
    let room = usize::try_from(HEAD_ROOM).unwrap_or(usize::MAX);
    let heads = [0, 1].map(|half| read_head(bytes.get(half * room..).unwrap_or_default(), owner));
    let generation_of = |half: usize| match heads.get(half) {
        Some(Head::Good { generation, .. }) => Some(*generation),
        _ => None,
    };
    let newer = if generation_of(1) > generation_of(0) { 1 } else { 0 };
    let foreign = heads.iter().find_map(|head| match head {
        Head::Foreign(version) => Some(*version),
        _ => None,
    });
    let (generation, birth, base, counts) = match (foreign, heads.get(newer)) {
        (Some(version), _) => return Slots::Foreign(version),
        (None, Some(Head::Good { generation, birth, base, counts })) => {
            (*generation, *birth, *base, *counts)
        }
        _ => return Slots::Damaged,
    };
    let has_both_heads = generation_of(0).is_some() && generation_of(1).is_some();
    let mut layout = Layout { generation, head: newer, has_both_heads, pages: BTreeMap::new() };
    let mut pages: BTreeMap<u64, (u64, Page)> = BTreeMap::new();
    for (place, half) in (0..PLACES_MAX).flat_map(|place| [(place, 0), (place, 1)]) {
        let at = usize::try_from(page_at(place, half)).unwrap_or(usize::MAX);
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { break };
        let Some((number, generation, page)) = read_page(rest) else { continue };
        let is_known = pages.get(&number).is_some_and(|(known, _)| *known >= generation);
        if number >= base && number - base < PAGES_MAX && !is_known {
            pages.insert(number, (generation, page));
            layout.pages.insert(number, (place, half));
        }
        layout.generation = layout.generation.max(generation);
    }
    let pages = pages.into_iter().map(|(number, (_, page))| (number, page));
    Slots::Good(Cursor::of_pages(birth, base, counts, pages), layout)
}

fn read_head(bytes: &[u8], owner: u32) -> Head {
    let read = || {
        let (checked, rest) = bytes.split_at_checked(HEAD_BYTES - 4)?;
        let (mut cut, mut rest) = (Cut(checked), Cut(rest));
        if cut.bytes(4)? != MAGIC || rest.u32()? != crc32c::crc32c(checked) {
            return None;
        }
        let version = cut.u16()?;
        if version != VERSION {
            return Some(Head::Foreign(version));
        }
        let _zero = cut.u16()?;
        let (generation, birth, base) = (cut.u64()?, cut.u64()?, cut.u64()?);
        let counts = counts(&mut cut)?;
        let is_sound = cut.u32()? == owner
            && base < NUMBER_MAX / PAGE_POSITIONS
            && birth.max(generation) < NUMBER_MAX
            && base >= (birth + 1) / PAGE_POSITIONS
            && counts.sum() == (base * PAGE_POSITIONS).saturating_sub(birth + 1);
        is_sound.then_some(Head::Good { generation, birth, base, counts })
    };
    read().unwrap_or(Head::Damaged)
}

/// A page, its number and its generation.
fn read_page(bytes: &[u8]) -> Option<(u64, u64, Page)> {
    let (checked, rest) = bytes.split_at_checked(PAGE_HEAD_BYTES - 4)?;
    let (mut cut, mut rest) = (Cut(checked), Cut(rest));
    if cut.bytes(4)? != PAGE_MAGIC || cut.u16()? != VERSION {
        return None;
    }
    let count = usize::from(cut.u16()?);
    let (generation, number, lead) = (cut.u64()?, cut.u64()?, cut.u64()?);
    let counts = counts(&mut cut)?;
    let _zero = cut.u32()?;
    let crc = rest.u32()?;
    let words = rest.bytes(count.checked_mul(8)?)?;
    let is_whole = crc == crc32c::crc32c_append(crc32c::crc32c(checked), words);
    if !is_whole || generation >= NUMBER_MAX {
        return None;
    }
    let mut words = Cut(words);
    let words: Vec<u64> = std::iter::from_fn(|| words.u64()).collect();
    Some((number, generation, Page::read(lead, &words, counts)?))
}

fn counts(cut: &mut Cut<'_>) -> Option<Counts> {
    Some(Counts::of([cut.u64()?, cut.u64()?, cut.u64()?, cut.u64()?, cut.u64()?]))
}

/// The bytes of a new file: all pages in their order, and room for a few.
pub(super) fn whole(draft: &Draft, generation: u64, owner: u32) -> (Vec<u8>, Layout) {
    let mut layout = Layout { generation, ..Layout::default() };
    let mut bytes = head(draft, generation, owner);
    for (place, (number, one)) in draft.pages.iter().enumerate() {
        bytes.resize(usize::try_from(page_at(place, 0)).unwrap_or(usize::MAX), 0);
        bytes.extend(page(*number, one, generation));
        layout.pages.insert(*number, (place, 0));
    }
    let places = draft.pages.len().max(PLACES_MADE);
    bytes.resize(usize::try_from(file_bytes(places)).unwrap_or(usize::MAX), 0);
    (bytes, layout)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::queue::group::Settled;
    use crate::queue::page::How;

    const OWNER: u32 = 7;
    const DELIVERED: How = How::By(Settled::Delivered);

    #[track_caller]
    fn reads_back(cursor: &Cursor) {
        let (bytes, layout) = whole(&cursor.whole(), 7, OWNER);
        assert_eq!(read(&bytes, OWNER), Slots::Good(cursor.clone(), layout));
    }

    #[test]
    fn a_cursor_reads_back_at_every_watermark_with_and_without_positions_beyond() {
        for birth in [0, PAGE_POSITIONS - 150] {
            let mut cursor = Cursor::new(birth);
            for position in birth + 1..birth + 300 {
                cursor.settle(position, DELIVERED);
                reads_back(&cursor);
                let mut ahead = cursor.clone();
                ahead.settle(position + 2, How::Dropped);
                ahead.settle(position + 3 * PAGE_POSITIONS, How::By(Settled::Dead));
                reads_back(&ahead);
            }
        }
    }

    #[test]
    fn a_cursor_reads_back_wherever_a_frame_can_lie() {
        for birth in [POSITION_MAX - 1, POSITION_MAX + u64::from(u32::MAX)] {
            let mut cursor = Cursor::new(birth);
            cursor.settle(birth + 3, DELIVERED);
            reads_back(&cursor);
        }
    }

    #[test]
    fn an_older_page_or_none_knows_less_and_the_books_of_it_balance() {
        let mut cursor = Cursor::new(0);
        for position in [1, 2, 9, PAGE_POSITIONS + 3] {
            cursor.settle(position, DELIVERED);
        }
        let (bytes, _) = whole(&cursor.whole(), 1, OWNER);
        let mut torn = bytes.clone();
        torn[usize::try_from(page_at(0, 0)).unwrap() + 30] ^= 1;

        let Slots::Good(found, layout) = read(&torn, OWNER) else { panic!() };
        assert_eq!((found.watermark(), found.ahead(), found.counts().delivered), (0, 1, 1));
        assert_eq!(layout.pages.into_iter().collect::<Vec<_>>(), [(1, (1, 0))]);
    }

    #[test]
    fn a_page_of_what_is_settled_since_is_passed_over() {
        let mut cursor = Cursor::new(0);
        cursor.settle(5, DELIVERED);
        let old = cursor.whole();
        cursor.settle_range(1, PAGE_POSITIONS + 10, How::Dropped);
        let (mut bytes, _) = whole(&cursor.whole(), 2, OWNER);
        let place = usize::try_from(page_at(1, 0)).unwrap();
        let page = page(0, &old.pages[0].1, 1);
        bytes[place..place + page.len()].copy_from_slice(&page);

        let Slots::Good(found, layout) = read(&bytes, OWNER) else { panic!() };
        assert_eq!(found, cursor);
        assert_eq!(layout.pages.len(), 1);
    }

    #[test]
    fn the_cursor_of_another_destination_is_none() {
        let (bytes, _) = whole(&Cursor::new(3).whole(), 1, OWNER);
        assert_eq!(read(&bytes, OWNER + 1), Slots::Damaged);
        assert_ne!(read(&bytes, OWNER), Slots::Damaged);
    }

    #[test]
    fn a_head_with_any_bit_flipped_is_none() {
        let (bytes, _) = whole(&Cursor::new(3).whole(), 1, OWNER);
        for bit in 0..HEAD_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped, OWNER), Slots::Damaged, "bit {bit}");
        }
    }

    /// Not even elsewhere: its number is among what may turn over.
    #[test]
    fn a_page_with_any_bit_flipped_settles_nothing() {
        let mut cursor = Cursor::new(0);
        cursor.settle_range(70, 80, DELIVERED);
        let (bytes, layout) = whole(&cursor.whole(), 1, OWNER);
        assert_eq!(layout.pages.len(), 1);
        let (begin, length) = (page_at(0, 0), page(0, &cursor.whole().pages[0].1, 1).len());
        let begin = usize::try_from(begin).unwrap() * 8;
        for bit in begin..begin + length * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let Slots::Good(found, layout) = read(&flipped, OWNER) else { panic!("bit {bit}") };
            assert_eq!((found.counts().sum(), layout.pages.len()), (0, 0), "bit {bit}");
        }
    }

    #[test]
    fn a_head_of_a_weir_that_knows_more_is_named() {
        let mut bytes = head(&Cursor::new(3).whole(), 1, OWNER);
        bytes[4] = 9;
        bytes.truncate(HEAD_BYTES - 4);
        seal(&mut bytes, HEAD_BYTES - 4);

        assert_eq!(read(&bytes, OWNER), Slots::Foreign(9));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_cut_never_settles_anything_more(
            settled in proptest::collection::vec(1_u64..40_000, 0..40),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let mut cursor = Cursor::new(0);
            for position in settled {
                cursor.settle(position, DELIVERED);
            }
            let (bytes, _) = whole(&cursor.whole(), 1, OWNER);
            let mut flipped = bytes.clone();
            flipped[at.index(bytes.len())] ^= 1 << bit;

            for changed in [&flipped[..], &bytes[..at.index(bytes.len())]] {
                if let Slots::Good(found, _) = read(changed, OWNER) {
                    prop_assert!(found.watermark() <= cursor.watermark());
                    prop_assert!((1..40_000).all(|p| cursor.is_settled(p) || !found.is_settled(p)));
                    let ahead = (1..40_000).filter(|p| found.is_settled(*p)).count() as u64;
                    prop_assert_eq!(ahead, found.counts().sum());
                }
            }
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(read(&bytes, OWNER), Slots::Damaged);
        }
    }
}

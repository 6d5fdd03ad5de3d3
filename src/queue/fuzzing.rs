//! Ways in for the fuzz targets in `fuzz/`: any bytes where the queue expects its own. A checksum
//! would stop nearly all of them at the door, so it is mended where the first byte says so.

mod folder;

use bytes::Bytes;

pub use folder::recovery;

use super::cursor_slots::{self as slots, Slots};
use super::frame;
use super::seal::{Cipher, Key, SEAL_BYTES, SEED_BYTES};
use super::segment;

const MENDED: u8 = 1;
const FITTED: u8 = 2;
const SEALED: u8 = 4;

/// A frame's header and its body, packed and sealed too.
pub fn frame(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let (head, body) = bytes.split_at(bytes.len().min(frame::HEADER_BYTES));
    let mut head = head.to_vec();
    if how & MENDED != 0 {
        head = mended(&frame::MAGIC, &head, frame::HEADER_BYTES);
    }
    let Some(mut header) = frame::Header::decode(&head) else { return };
    assert_eq!(header.encode(), *head, "a header is written as it was read");

    let cipher = Key::new([7; 32]).cipher(header.salt, &[6; SEED_BYTES]);
    let mut stored = body.to_vec();
    if how & SEALED != 0 {
        stored = sealed(&mut header, body, &cipher);
    }
    if how & FITTED != 0 {
        header.body_bytes = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        header.body_crc = crc32c::crc32c(&stored);
    }
    for cipher in [None, Some(&cipher)] {
        let Ok(plain) = header.body(Bytes::copy_from_slice(&stored), 0, cipher) else { continue };
        assert_eq!(plain.len() as u64, u64::from(header.plain_bytes), "as long as it says");
        let bytes: usize = frame::payloads(&header, &plain)
            .map_or(0, |payloads| payloads.iter().map(frame::payload_bytes).sum());
        assert!(bytes <= plain.len(), "payloads come out of the body alone");
        drop(frame::marks(&header, &plain));
    }
}

fn sealed(header: &mut frame::Header, body: &[u8], cipher: &Cipher) -> Vec<u8> {
    let mut stored = Vec::with_capacity(body.len() + SEAL_BYTES);
    header.cipher = 1;
    header.body_bytes = u32::try_from(body.len() + SEAL_BYTES).unwrap_or(u32::MAX);
    cipher.seal(&header.bound(0), body, &mut stored);
    stored
}

/// A segment's header.
pub fn segment(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let bytes = if how & MENDED == 0 {
        bytes.to_vec()
    } else {
        mended(&segment::MAGIC, bytes, segment::USED_BYTES)
    };
    if let segment::Read::Good(header) = segment::Header::read(&bytes) {
        assert_eq!(segment::Header::read(&header.block()), segment::Read::Good(header));
    }
    let name = String::from_utf8_lossy(&bytes);
    if let Some(first) = segment::parse_name(&name) {
        assert_eq!(segment::name(first), name);
    }
}

/// Where a head says whose it is.
const OWNER: std::ops::Range<usize> = 72..76;

/// A cursor's file.
pub fn cursor(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let bytes = if how & MENDED == 0 { bytes.to_vec() } else { mended_cursor(bytes) };
    let owner =
        bytes.get(OWNER).and_then(|owner| owner.try_into().ok()).map_or(0, u32::from_le_bytes);
    if let Slots::Good(cursor, _) = slots::read(&bytes, owner) {
        assert!(cursor.highest() >= cursor.watermark() && cursor.watermark() >= cursor.birth());
        assert_eq!(cursor.counts().sum(), cursor.watermark() - cursor.birth() + cursor.ahead());
        // Not the generation behind the one that was read: behind the last there is none.
        let (written, new) = slots::whole(&cursor.whole(), 1, owner);
        assert_eq!(
            slots::read(&written, owner),
            Slots::Good(cursor, new),
            "written as it was read"
        );
    }
}

/// A head and, behind it, the fields and words of a page; magic numbers, the count of words and the
/// checksums are put right.
fn mended_cursor(bytes: &[u8]) -> Vec<u8> {
    let head = bytes.get(..slots::HEAD_BYTES).unwrap_or(bytes);
    let mut whole = mended(&slots::MAGIC, head, slots::HEAD_BYTES);
    let page = bytes.get(slots::HEAD_BYTES..).unwrap_or_default();
    if page.is_empty() {
        return whole;
    }
    let (fields, words) = page.split_at(page.len().min(slots::PAGE_HEAD_BYTES));
    let words = words.get(..words.len().min(slots::WORD_BYTES_MAX) / 8 * 8).unwrap_or_default();
    let mut fields = mended(&slots::PAGE_MAGIC, fields, slots::PAGE_HEAD_BYTES);
    fields.truncate(slots::PAGE_HEAD_BYTES - 4);
    let count = u16::try_from(words.len() / 8).unwrap_or(u16::MAX);
    fields.splice(6..8, count.to_le_bytes());
    let sum = crc32c::crc32c_append(crc32c::crc32c(&fields), words);
    whole.resize(usize::try_from(slots::page_at(0, 0)).unwrap_or_default(), 0);
    whole.extend(fields);
    whole.extend(sum.to_le_bytes());
    whole.extend_from_slice(words);
    whole
}

/// `length` bytes that begin as `magic` does and end in the checksum of what is before.
fn mended(magic: &[u8], bytes: &[u8], length: usize) -> Vec<u8> {
    let mut whole = magic.to_vec();
    whole.extend(bytes.iter().skip(magic.len()));
    whole.resize(length - 4, 0);
    let sum = crc32c::crc32c(&whole);
    whole.extend_from_slice(&sum.to_le_bytes());
    whole
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_cursor_of_the_last_generation_is_written_as_it_was_read() {
        super::cursor(include_bytes!("../../fuzz/corpus/cursor/last-generation"));
    }

    #[test]
    fn what_was_settled_stays_so_however_far_the_positions_are() {
        super::recovery(include_bytes!("../../fuzz/corpus/recovery/far-positions"));
    }
}

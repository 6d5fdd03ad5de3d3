//! The mark of one file in the queue: where it was read to, and how to know it again.
//!
//! ```text
//! name   tail/<block>/<device>-<inode>-<birth>   numbers in hex; birth is random, so that a name
//!                                                never means two files. All three are of the day
//!                                                the file was first seen; what holds is the value.
//! value  1  version: 2
//!        1  1: the position stands within an over-long line, whose rest is passed over; else 0
//!        8  device      8  inode      8  position          all numbers little-endian; of a file
//!           of which nothing is wanted, the position is the largest number
//!        8  when the file had changed as it was last read, in nanoseconds since 1970, signed
//!        2  bytes of the head         4  their CRC-32C
//!        2  bytes of the marker       4  their CRC-32C
//!        the rest is the path at which the globs last found the file
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::progress::{Digest, Progress};
use crate::base::disk::foreign::ForeignId;
use crate::base::random;

const VERSION: u8 = 2;
const FIXED_BYTES: usize = 2 + 4 * 8 + 2 * 6;
/// A mark's value is at most 4 KiB; a longer path is left out, and the file then only found again
/// where the globs find it.
const PATH_BYTES_MAX: usize = 4096 - FIXED_BYTES;
/// A mark's name is at most 255 bytes; three numbers in hex and their dashes take 42.
const BLOCK_BYTES_MAX: usize = 200;

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) id: ForeignId,
    pub(super) progress: Progress,
    pub(super) home: PathBuf,
}

/// What all names of a block's marks begin with.
pub(super) fn prefix(block: &str) -> String {
    let kept = block.get(..block.floor_char_boundary(BLOCK_BYTES_MAX)).unwrap_or(block);
    format!("tail/{kept}/")
}

/// The name of the mark that says that the block has started once.
pub(super) fn started(prefix: &str) -> String {
    format!("{prefix}started")
}

/// A name nobody had before.
pub(super) fn fresh(prefix: &str, id: ForeignId) -> String {
    let birth = u32::try_from(random::bits() >> 96).unwrap_or_default();
    format!("{prefix}{:x}-{:x}-{birth:08x}", id.device, id.inode)
}

/// The bytes of a mark.
pub(super) fn encode(id: ForeignId, progress: &Progress, home: &Path) -> Bytes {
    let home = home.as_os_str().as_bytes();
    let home = if home.len() > PATH_BYTES_MAX { &[] } else { home };
    let mut out = BytesMut::with_capacity(FIXED_BYTES + home.len());
    out.put_u8(VERSION);
    out.put_u8(u8::from(progress.is_skipping));
    out.put_u64_le(id.device);
    out.put_u64_le(id.inode);
    out.put_u64_le(progress.position);
    out.put_i64_le(i64::try_from(progress.changed_unix_ns).unwrap_or_default());
    for digest in [progress.head, progress.marker] {
        out.put_u16_le(digest.bytes);
        out.put_u32_le(digest.crc);
    }
    out.put_slice(home);
    out.freeze()
}

/// What a mark says; in words, why it says nothing.
pub(super) fn decode(mut bytes: Bytes) -> Result<Saved, String> {
    let version = bytes.first().copied().unwrap_or_default();
    if version != VERSION {
        return Err(format!("its version is {version}; this weir knows version {VERSION}"));
    }
    if bytes.len() < FIXED_BYTES {
        return Err(format!("it has {} bytes, but at least {FIXED_BYTES} are due", bytes.len()));
    }
    bytes.advance(1);
    let is_skipping = bytes.get_u8() == 1;
    let id = ForeignId { device: bytes.get_u64_le(), inode: bytes.get_u64_le() };
    let position = bytes.get_u64_le();
    let changed_unix_ns = i128::from(bytes.get_i64_le());
    let head = Digest { bytes: bytes.get_u16_le(), crc: bytes.get_u32_le() };
    let marker = Digest { bytes: bytes.get_u16_le(), crc: bytes.get_u32_le() };
    if u64::from(head.bytes.max(marker.bytes)) > position {
        return Err("it remembers more bytes than were read".into());
    }
    let home = PathBuf::from(OsStr::from_bytes(&bytes));
    let progress = Progress { position, head, marker, is_skipping, changed_unix_ns, recent: None };
    Ok(Saved { id, progress, home })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_reads_back_as_it_was_written(
            (device, inode, position) in (any::<u64>(), any::<u64>(), 1024..=u64::MAX),
            (head, marker) in ((0u16..=1024, any::<u32>()), (0u16..=256, any::<u32>())),
            changed in any::<i64>(),
            home in proptest::collection::vec(1u8.., 0..300),
        ) {
            let saved = Saved {
                id: ForeignId { device, inode },
                progress: Progress {
                    position,
                    head: Digest { bytes: head.0, crc: head.1 },
                    marker: Digest { bytes: marker.0, crc: marker.1 },
                    is_skipping: head.1 % 2 == 1,
                    changed_unix_ns: changed.into(),
                    recent: None,
                },
                home: PathBuf::from(OsStr::from_bytes(&home)),
            };
            let bytes = encode(saved.id, &saved.progress, &saved.home);
            prop_assert!(bytes.len() <= 4096);
            prop_assert_eq!(decode(bytes), Ok(saved));
        }

        #[test]
        fn no_bytes_at_all_make_it_panic(mut bytes in any::<Vec<u8>>(), versioned in any::<bool>()) {
            if let Some(first) = bytes.first_mut().filter(|_| versioned) {
                *first = VERSION;
            }
            drop(decode(bytes.into()));
        }
    }

    #[test]
    fn long_names_and_paths_stay_within_what_a_mark_may_have() {
        let id = ForeignId { device: u64::MAX, inode: u64::MAX };
        assert!(fresh(&prefix(&"é".repeat(300)), id).len() <= 255);
        let long = PathBuf::from("x".repeat(5000));
        let saved = decode(encode(id, &Progress::start(), &long)).unwrap();
        assert_eq!(saved.home, PathBuf::new());
        assert_ne!(fresh("tail/a/", id), fresh("tail/a/", id));
    }
}

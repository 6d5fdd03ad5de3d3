//! The mark of one file in the queue: where it was read to, and how to know it again.
//!
//! ```text
//! name   tail/<block>/<device>-<inode>-<birth>   numbers in hex; birth is random, so that a name
//!                                                never means two files. All three are of the day
//!                                                the file was first seen; what holds is the value.
//! value  1  version: 3
//!        1  bits: 1, the position stands within an over-long line, whose rest is passed over;
//!           2, nothing more is wanted of the file; 4, it was begun behind content nobody wanted
//!        8  device      8  inode      8  position          all numbers little-endian
//!        8  when the file had changed as it was last read, in nanoseconds since 1970, signed
//!        2  bytes of the head         4  their CRC-32C
//!        2  bytes of the marker       4  their CRC-32C
//!        1  places of the trail       4  each: CRC-32C of the bytes before 1, 2, 4, 8…, at most 256
//!        the rest is the path at which the globs last found the file
//! version 2 has one bit and no trail; nothing is wanted of the file if the position is the
//! largest number.
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::progress::{Digest, Progress, Trail};
use crate::base::disk::foreign::ForeignId;
use crate::base::random;

const VERSION: u8 = 3;
const VERSION_WITHOUT_TRAIL: u8 = 2;
const IS_SKIPPING: u8 = 1;
const IS_DONE: u8 = 2;
const IS_PASSED_OVER: u8 = 4;
const FIXED_BYTES: usize = 2 + 4 * 8 + 2 * 6;
/// A trail has as many places as there are powers of two.
const TRAIL_BYTES_MAX: usize = 1 + 64 * 4;
/// A mark's value is at most 4 KiB; a longer path is left out, and the file then only found again
/// where the globs find it.
const PATH_BYTES_MAX: usize = 4096 - FIXED_BYTES - TRAIL_BYTES_MAX;
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
    let mut out = BytesMut::with_capacity(FIXED_BYTES + TRAIL_BYTES_MAX + home.len());
    out.put_u8(VERSION);
    let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
    out.put_u8(
        bit(progress.is_skipping, IS_SKIPPING)
            | bit(progress.is_done, IS_DONE)
            | bit(progress.is_passed_over, IS_PASSED_OVER),
    );
    out.put_u64_le(id.device);
    out.put_u64_le(id.inode);
    out.put_u64_le(progress.position);
    out.put_i64_le(i64::try_from(progress.changed_unix_ns).unwrap_or_default());
    for digest in [progress.head, progress.marker] {
        out.put_u16_le(digest.bytes);
        out.put_u32_le(digest.crc);
    }
    out.put_u8(u8::try_from(progress.trail.0.len()).unwrap_or_default());
    progress.trail.0.iter().for_each(|crc| out.put_u32_le(*crc));
    out.put_slice(home);
    out.freeze()
}

/// What a mark says; in words, why it says nothing.
pub(super) fn decode(mut bytes: Bytes) -> Result<Saved, String> {
    let version = bytes.first().copied().unwrap_or_default();
    if ![VERSION, VERSION_WITHOUT_TRAIL].contains(&version) {
        return Err(format!("its version is {version}; this weir knows version {VERSION}"));
    }
    if bytes.len() < FIXED_BYTES {
        return Err(format!("it has {} bytes, but at least {FIXED_BYTES} are due", bytes.len()));
    }
    bytes.advance(1);
    let bits = bytes.get_u8();
    let id = ForeignId { device: bytes.get_u64_le(), inode: bytes.get_u64_le() };
    let mut position = bytes.get_u64_le();
    let changed_unix_ns = i128::from(bytes.get_i64_le());
    let head = Digest { bytes: bytes.get_u16_le(), crc: bytes.get_u32_le() };
    let marker = Digest { bytes: bytes.get_u16_le(), crc: bytes.get_u32_le() };
    let (mut is_done, mut trail) = (bits & IS_DONE != 0, Trail::default());
    if version == VERSION_WITHOUT_TRAIL {
        is_done = position == u64::MAX;
        position = if is_done { 0 } else { position };
    } else {
        trail = take_trail(&mut bytes).ok_or("it ends within its trail")?;
    }
    if u64::from(head.bytes.max(marker.bytes)) > position {
        return Err("it remembers more bytes than were read".into());
    }
    let home = PathBuf::from(OsStr::from_bytes(&bytes));
    let progress = Progress {
        position,
        head,
        marker,
        trail,
        is_skipping: bits & IS_SKIPPING != 0,
        is_done,
        is_passed_over: bits & IS_PASSED_OVER != 0,
        changed_unix_ns,
        recent: None,
    };
    Ok(Saved { id, progress, home })
}

fn take_trail(bytes: &mut Bytes) -> Option<Trail> {
    let places = bytes.try_get_u8().ok()?;
    let trail: Option<Vec<u32>> = (0..places).map(|_| bytes.try_get_u32_le().ok()).collect();
    trail.filter(|trail| trail.len() <= 64).map(Trail)
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
            trail in proptest::collection::vec(any::<u32>(), 0..=64),
            home in proptest::collection::vec(1u8.., 0..300),
        ) {
            let saved = Saved {
                id: ForeignId { device, inode },
                progress: Progress {
                    position,
                    head: Digest { bytes: head.0, crc: head.1 },
                    marker: Digest { bytes: marker.0, crc: marker.1 },
                    trail: Trail(trail),
                    is_skipping: head.1 % 2 == 1,
                    is_done: marker.1 % 2 == 1,
                    is_passed_over: marker.1 % 3 == 1,
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
                *first = if *first % 2 == 0 { VERSION } else { VERSION_WITHOUT_TRAIL };
            }
            drop(decode(bytes.into()));
        }
    }

    #[test]
    fn what_an_earlier_weir_wrote_is_understood() {
        let mut old = vec![2, 1];
        old.extend([7u64, 8, 3].iter().flat_map(|number| number.to_le_bytes()));
        old.extend(9i64.to_le_bytes());
        let digest = [3, 0, 1, 0, 0, 0];
        old.extend([digest, digest].concat());
        old.extend(b"/l/a.log");
        let saved = decode(old.clone().into()).unwrap();
        let (progress, three) = (&saved.progress, Digest { bytes: 3, crc: 1 });
        assert_eq!((saved.id.device, saved.id.inode, progress.position), (7, 8, 3));
        assert_eq!((progress.head, progress.marker, progress.changed_unix_ns), (three, three, 9));
        assert!(progress.is_skipping && !progress.is_done);
        assert_eq!(saved.home, PathBuf::from("/l/a.log"));

        old.splice(18..26, u64::MAX.to_le_bytes());
        old.splice(34..46, [0; 12]);
        let progress = decode(old.into()).unwrap().progress;
        assert!(progress.is_done && progress.position == 0);
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

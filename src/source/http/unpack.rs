//! Content encodings, under caps: a small body must not become a large one unnoticed.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::body::Share;
use super::problem::Fault;

/// A content encoding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Deflate,
}

/// Logs shrink to a tenth or a thirtieth, rarely to a hundredth; nothing honest goes below this.
const RATIO_MAX: u64 = 512;
/// So much may come out of any body, however small.
const RATIO_FREE_BYTES: u64 = 1 << 20;
/// RFC 9659: what a zstd sender may ask the receiver to keep as window, 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const STEP_BYTES: usize = 64 << 10;

impl Packing {
    /// By its name in `Content-Encoding`.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }
}

/// Most bytes that may come out of a body of so many, where none may be larger than `max`.
pub(super) fn most_bytes(packed_bytes: usize, max: u64) -> u64 {
    let by_ratio = (packed_bytes as u64).saturating_mul(RATIO_MAX).max(RATIO_FREE_BYTES);
    max.min(by_ratio)
}

/// Unpacks a whole body of at most `max` bytes, which its share has room for. Blocks.
pub(super) fn unpack(
    packing: Packing,
    packed: &[u8],
    max: u64,
    share: &mut Share,
) -> Result<Bytes, Fault> {
    let body = unpacked(packing, packed, max)?;
    share.unpacked(body.len() as u64);
    Ok(body)
}

fn unpacked(packing: Packing, packed: &[u8], max: u64) -> Result<Bytes, Fault> {
    let bad = |_: io::Error| Fault::BadCompression;
    match packing {
        Packing::Gzip => drain(MultiGzDecoder::new(packed), packed.len(), max),
        // The name means zlib's format; some senders mean the bare one.
        Packing::Deflate if is_zlib(packed) => {
            let mut decoder = ZlibDecoder::new(packed);
            let body = drain(&mut decoder, packed.len(), max)?;
            whole(body, decoder.total_in(), packed)
        }
        Packing::Deflate => {
            let mut decoder = DeflateDecoder::new(packed);
            let body = drain(&mut decoder, packed.len(), max)?;
            whole(body, decoder.total_in(), packed)
        }
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(bad)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(bad)?;
            drain(decoder, packed.len(), max)
        }
    }
}

/// Unlike the others, this format has no second part: what stands behind its end would be lost.
fn whole(body: Bytes, read: u64, packed: &[u8]) -> Result<Bytes, Fault> {
    if read == packed.len() as u64 { Ok(body) } else { Err(Fault::BadCompression) }
}

fn is_zlib(packed: &[u8]) -> bool {
    let &[method, flags, ..] = packed else { return false };
    method & 0x0f == 8 && u16::from_be_bytes([method, flags]).is_multiple_of(31)
}

fn drain(mut from: impl Read, packed_bytes: usize, max: u64) -> Result<Bytes, Fault> {
    let limit = most_bytes(packed_bytes, max);
    let mut out = Vec::new();
    let mut step = vec![0; STEP_BYTES];
    loop {
        let read = match from.read(&mut step) {
            Ok(0) => return Ok(out.into()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Err(Fault::BadCompression),
        };
        if out.len() as u64 + read as u64 > limit {
            return Err(if limit == max {
                Fault::UnpackedTooLarge { limit }
            } else {
                Fault::UnpacksTooMuch { ratio: RATIO_MAX }
            });
        }
        out.extend_from_slice(step.get(..read).unwrap_or_default());
    }
}

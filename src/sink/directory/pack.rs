//! The bytes of one put: a gzip member or zstd frame of its own, so that each put can be synced
//! and read by itself; both formats allow any number of them in one file.

use std::io::{self, Write as _};

use flate2::write::GzEncoder;

use crate::sink::{Compression, Entry};

/// Zstd's own default.
const ZSTD_LEVEL: i32 = 3;

pub(super) fn pack(entries: &[Entry], packing: Compression) -> io::Result<Vec<u8>> {
    match packing {
        Compression::None => {
            let room = entries.iter().map(|entry| entry.data.len()).sum();
            let mut plain = Vec::with_capacity(room);
            entries.iter().for_each(|entry| plain.extend_from_slice(&entry.data));
            Ok(plain)
        }
        Compression::Gzip => {
            let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::default());
            entries.iter().try_for_each(|entry| gzip.write_all(&entry.data))?;
            gzip.finish()
        }
        Compression::Zstd => {
            let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
            zstd.include_checksum(true)?;
            entries.iter().try_for_each(|entry| zstd.write_all(&entry.data))?;
            zstd.finish()
        }
    }
}

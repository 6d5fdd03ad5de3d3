//! The name of an object, as Firehose builds it:
//! `<name>-1-YYYY-MM-DD-HH-MM-SS-<uuid>.ndjson[.gz|.zst]`, below `YYYY/MM/DD/HH/`, in UTC.

use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use super::folder::OPEN_FOLDER;
use crate::base::random;
use crate::sink::Compression;

/// What a file has behind its name as long as it is not finished.
const PART: &str = ".part";

/// Length of `YYYY-MM-DD-HH-MM-SS`.
const TIME_CHARS: usize = 19;

/// Length of a UUID.
const UUID_CHARS: usize = 36;

/// A name with the time it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    whole: String,
    time: String,
    unix_ms: u64,
}

impl Name {
    /// A fresh name for an object begun at `unix_ms`.
    pub(super) fn new(first_part: &str, unix_ms: u64, compression: Compression) -> Self {
        let time = written(unix_ms);
        let end = ending(compression);
        let whole = format!("{first_part}-1-{time}-{}{end}", uuid());
        Self { whole, time, unix_ms }
    }

    /// Reads the name of a file in `.open`; `None` if it is none of ours.
    pub(super) fn of_part(file: &str) -> Option<Self> {
        let whole = file.strip_prefix('.')?.strip_suffix(PART)?;
        let (stem, _) = whole.rsplit_once(".ndjson")?;
        let rest_at = stem.len().checked_sub(TIME_CHARS + 1 + UUID_CHARS)?;
        let (first_part, rest) = stem.split_at_checked(rest_at)?;
        let is_ours =
            first_part.ends_with("-1-") && rest.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let time = rest.get(..TIME_CHARS).filter(|_| is_ours)?;
        Some(Self { whole: whole.to_owned(), time: time.to_owned(), unix_ms: 0 })
    }

    /// When the object was begun, in milliseconds since 1970; 0 for one read from a folder.
    pub(super) fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// How the object is packed, by its ending.
    pub(super) fn compression(&self) -> Compression {
        [Compression::Gzip, Compression::Zstd]
            .into_iter()
            .find(|packing| self.whole.ends_with(ending(*packing)))
            .unwrap_or_default()
    }

    /// Where it grows.
    pub(super) fn part(&self, path: &Path) -> PathBuf {
        path.join(OPEN_FOLDER).join(format!(".{}{PART}", self.whole))
    }

    /// Where it ends.
    pub(super) fn place(&self, path: &Path) -> PathBuf {
        let mut place = path.to_path_buf();
        // Year, month, day, hour: the first four of the six numbers.
        place.extend(self.time.split('-').take(4));
        place.join(&self.whole)
    }
}

fn ending(compression: Compression) -> &'static str {
    match compression {
        Compression::None => ".ndjson",
        Compression::Gzip => ".ndjson.gz",
        Compression::Zstd => ".ndjson.zst",
    }
}

fn written(unix_ms: u64) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]-[hour]-[minute]-[second]");
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&format).ok())
        // Only a clock past the year 9999 comes here.
        .unwrap_or_else(|| "9999-12-31-23-59-59".into())
}

/// A version 4 UUID.
fn uuid() -> String {
    let bits = random::bits() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let mut text = String::with_capacity(UUID_CHARS);
    for (place, digit) in hex.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_firehoses_shape_and_reads_back_from_the_hidden_file() {
        for packing in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let name = Name::new("my-logs-1", 1_795_327_519_123, packing);
            assert!(name.whole.starts_with("my-logs-1-1-2026-11-22-06-05-19-"), "{name:?}");

            let part = name.part(Path::new("/out"));
            let file = part.file_name().unwrap().to_str().unwrap();
            let read = Name::of_part(file).unwrap();
            assert_eq!(read.compression(), packing);
            assert_eq!(read.place(Path::new("/out")), name.place(Path::new("/out")));
            assert!(name.place(Path::new("/out")).starts_with("/out/2026/11/22/06"));
            for other in [
                ".x.part",
                ".my-logs-1.ndjson.part",
                file.strip_prefix('.').unwrap(),
                &file.replace("-1-2026", "-2-2026"),
            ] {
                assert_eq!(Name::of_part(other), None, "{other}");
            }
        }
    }

    #[test]
    fn uuids_are_of_version_4() {
        let text = uuid();
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
    }
}

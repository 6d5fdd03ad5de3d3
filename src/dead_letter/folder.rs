//! The files of one shelf: names that sort by time, and which of them must go.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use time::PrimitiveDateTime;

use super::Settings;
use super::age::Ages;
use crate::base::disk::{Disk, DiskFile, Kind, Listed, Open, read_full_at};

/// Ending of a file of letters.
pub(super) const LETTERS: &str = ".ndjson";

/// What stands behind that while a file is taken back to its queue.
pub(super) const TAKEN: &str = ".taken";

/// What stands before the ending, with a number behind it, when only some letters are left of a
/// file.
const LEFT: &str = ".left";

/// Largest file of letters, in bytes: small enough to be taken back in one go.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Longest time letters go to the same file.
const FILE_AGE_MAX: Duration = Duration::from_secs(86_400);

/// Bytes read at once while counting or looking for the end of a line.
const CHUNK_BYTES: usize = 64 << 10;

/// How much one file may hold, in bytes: eight files share the bound of a small shelf.
pub(super) fn file_bytes_max(settings: &Settings) -> u64 {
    FILE_BYTES_MAX.min(settings.max_bytes / 8).max(1)
}

/// How long one file is written to.
pub(super) fn file_age_max(settings: &Settings) -> Duration {
    FILE_AGE_MAX.min(settings.max_age / 10)
}

/// The folder of one stream and destination.
pub(super) fn of_shelf(folder: &Path, stream: &str, destination: &str) -> PathBuf {
    folder.join(stream).join(destination)
}

/// The same error, saying where it was met.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// `2026-11-22T06-05-19.123Z.ndjson`.
pub(super) fn name(unix_ms: u64) -> String {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]-[minute]-[second].[subsecond digits:3]Z"
    );
    let written = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&format).ok())
        // Only a clock past the year 9999 comes here; `a` sorts behind every year.
        .unwrap_or_else(|| format!("a{unix_ms:020}"));
    written + LETTERS
}

/// The time in a name, in milliseconds since 1970; `None` if it is no file of letters.
pub(super) fn unix_ms(name: &str) -> Option<u64> {
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]-[minute]-[second].[subsecond digits:3]Z"
    );
    let stem = name.strip_suffix(TAKEN).unwrap_or(name).strip_suffix(LETTERS)?;
    let (stem, _) = split_left(stem);
    if let Some(number) = stem.strip_prefix('a') {
        return number.parse().ok();
    }
    let at = PrimitiveDateTime::parse(stem, &format).ok()?.assume_utc();
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Where those letters of a file stay that are not removed with it. Never the old name again: a
/// shelf that remembers it must not find another file there.
pub(super) fn leftover(name: &str) -> String {
    let stem = name.strip_suffix(TAKEN).unwrap_or(name);
    let (stem, number) = split_left(stem.strip_suffix(LETTERS).unwrap_or(stem));
    format!("{stem}{LEFT}{}{LETTERS}", number.saturating_add(1))
}

/// `time.left2` is `time` and 2; without it the number is 0.
fn split_left(stem: &str) -> (&str, u32) {
    let split = stem.rsplit_once(LEFT);
    let split = split.and_then(|(stem, number)| Some((stem, number.parse().ok()?)));
    split.unwrap_or((stem, 0))
}

/// The files of letters in a folder, oldest first; none if there is no such folder. What was left
/// of a file that is still there is not among them: its removal was cut off, and is done again.
pub(super) fn files(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = match disk.list(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    listed.retain(|file| file.kind == Kind::File && unix_ms(&file.name).is_some());
    let leftovers: Vec<String> = listed.iter().map(|file| leftover(&file.name)).collect();
    listed.retain(|file| !leftovers.contains(&file.name));
    Ok(listed)
}

/// How many files, from the oldest on, must go so that the rest is within the bounds. One that is
/// being taken back counts, but stays; so does the newest, which is written to.
pub(super) fn doomed(files: &[Listed], settings: &Settings, ages: &Ages) -> Vec<String> {
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let mut doomed = Vec::new();
    for file in files.iter().take(files.len().saturating_sub(1)) {
        if file.name.ends_with(TAKEN) {
            continue;
        }
        let is_old = is_too_old(&file.name, settings, ages);
        if !is_old && bytes <= settings.max_bytes {
            continue;
        }
        bytes -= file.bytes;
        doomed.push(file.name.clone());
    }
    let last = files.last().filter(|file| !file.name.ends_with(TAKEN));
    doomed.extend(
        last.filter(|file| is_too_old(&file.name, settings, ages)).map(|file| file.name.clone()),
    );
    doomed
}

/// Whether even the last letter of the file is older than the bound.
fn is_too_old(name: &str, settings: &Settings, ages: &Ages) -> bool {
    let kept = settings.max_age.saturating_add(file_age_max(settings));
    unix_ms(name).is_some_and(|begun| ages.least(begun, settings.max_age) > kept)
}

/// How many whole lines a file has.
pub(super) fn lines(file: &dyn DiskFile) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut at, mut count) = (0, 0);
    loop {
        let read = read_full_at(file, &mut chunk, at)?;
        let there = chunk.get(..read).unwrap_or_default();
        count += there.iter().filter(|byte| **byte == b'\n').count() as u64;
        at += read as u64;
        if read < CHUNK_BYTES {
            return Ok(count);
        }
    }
}

/// Cuts what stands behind the last newline; how many bytes that were.
pub(super) fn cut_torn_line(disk: &dyn Disk, path: &Path) -> io::Result<u64> {
    let file = disk.open(path, Open::Write)?;
    let length = file.bytes()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(CHUNK_BYTES as u64);
        let read = read_full_at(&*file, &mut chunk, begin)?;
        let wanted = usize::try_from(end - begin).unwrap_or(CHUNK_BYTES).min(read);
        let there = chunk.get(..wanted).unwrap_or_default();
        if let Some(at) = there.iter().rposition(|byte| *byte == b'\n') {
            end = begin + at as u64 + 1;
            break;
        }
        end = begin;
    }
    if end < length {
        file.set_bytes(end)?;
        file.sync()?;
    }
    Ok(length - end)
}

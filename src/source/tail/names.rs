//! How files are called once they are rotated; pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Ends of names of compressed files.
const PACKED: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

/// `access.log` becomes `access.log.1`, `access.log-20261122` or `access-20261122.log`; but
/// `access.log.1.gz` is a new file, even with the inode of an old one.
pub(super) fn is_named_after(path: &Path, home: &Path) -> bool {
    let (name, home) = (name(path), name(home));
    let stem = stem(home);
    !stem.is_empty() && name.starts_with(stem) && without_packed(name).is_none()
}

/// Whether a file may be a copy of the one at `home`, compressed or not: its name begins as that one
/// does, and looks rotated.
pub(super) fn may_be_copy(path: &Path, home: &Path) -> bool {
    let (name, home) = (name(path), name(home));
    let stem = stem(home);
    name != home && !stem.is_empty() && name.starts_with(stem) && looks_rotated(path)
}

/// Whether a name looks as if its file was rotated or copied.
pub(super) fn looks_rotated(path: &Path) -> bool {
    let name = name(path);
    let is_number = |pair: &[u8]| matches!(pair, [first, second] if is_between(*first) && second.is_ascii_digit());
    without_packed(name).is_some()
        || [".old", ".bak", "~"].iter().any(|end| name.ends_with(end.as_bytes()))
        || name.get(1..).is_some_and(|rest| rest.windows(2).any(is_number))
}

/// Whether a file can be nothing but a rotated one of `home`: a number or a date stands behind the
/// name, or before its last part, and perhaps `.gz` or `.zst` behind that.
pub(super) fn is_generation(path: &Path, home: &Path) -> bool {
    let (name, home) = (name(path), name(home));
    let name = without_packed(name).unwrap_or(name);
    let is_count = |middle: &[u8]| {
        middle.first().is_some_and(|first| is_between(*first))
            && middle.iter().any(u8::is_ascii_digit)
            && middle.iter().all(|byte| byte.is_ascii_digit() || b".-_:TZ".contains(byte))
    };
    if name.strip_prefix(home).is_some_and(is_count) {
        return true;
    }
    let Some(dot) = home.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
        return false;
    };
    let (stem, end) = home.split_at(dot);
    let middle = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(end));
    middle.is_some_and(is_count)
}

/// The path before `.gz` and the like, if it ends so.
pub(super) fn plain_path(path: &Path) -> Option<PathBuf> {
    without_packed(name(path)).map(|plain| path.with_file_name(OsStr::from_bytes(plain)))
}

fn without_packed(name: &[u8]) -> Option<&[u8]> {
    PACKED.iter().find_map(|end| name.strip_suffix(end.as_bytes()))
}

/// What the names of all copies of the file at `path` begin with.
pub(super) fn stem_of(path: &Path) -> &[u8] {
    stem(name(path))
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

fn stem(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'.').next().unwrap_or_default()
}

fn is_between(byte: u8) -> bool {
    b".-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rotated_files_are_known_and_others_are_not() {
        let home = Path::new("/l/access.log");
        for name in [
            "access.log.1",
            "access.log-20261122",
            "access-20261122.log",
            "access.log.3.gz",
            "access.log-20261122-101500.zst",
            "access.log_2026-11-22T10:15:00Z",
        ] {
            let path = Path::new("/l").join(name);
            assert!(is_generation(&path, home), "{name}");
            assert!(may_be_copy(&path, home), "{name}");
            assert!(looks_rotated(&path), "{name}");
        }
        for name in [
            "access.log",
            "access-errors.log",
            "access.log.old",
            "access.logs.1",
            "error.log.1",
            "access.log.",
            "access2.log",
            "1",
        ] {
            assert!(!is_generation(&Path::new("/l").join(name), home), "{name}");
        }
        assert!(!looks_rotated(home) && !looks_rotated(Path::new("0.log")));
        assert!(!may_be_copy(home, home) && !may_be_copy(Path::new("err.log.1"), home));
        assert!(is_named_after(Path::new("access.log.1"), home));
        assert!(!is_named_after(Path::new("access.log.1.gz"), home));
        assert_eq!(plain_path(Path::new("/l/a.log.1.gz")), Some("/l/a.log.1".into()));
    }
}

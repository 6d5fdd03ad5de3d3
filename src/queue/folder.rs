//! What lies in a queue's folder: segments with headers we can trust, and what is none of ours.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use tracing::{debug, warn};

use super::error::OpenError;
use super::frame;
use super::log::Segment;
use super::seal::{KeyId, Keys};
use super::segment::{self, Header, Read};
use super::settings::Limits;
use crate::base::disk::{Disk, Kind, Listed, Open, read_full_at};

/// What a queue's folder holds.
pub(super) struct Survey {
    /// In order, each as long as its file.
    pub(super) segments: Vec<Segment>,
    /// Names of files that can be written over.
    pub(super) spares: Vec<String>,
}

/// Looks at the segments. Spare files as long as an ordinary segment are kept if they are sure to
/// have no other name; the others are removed.
pub(super) fn survey(
    disk: &dyn Disk,
    folder: &Path,
    limits: &Limits,
    keys: &Keys,
) -> Result<Survey, OpenError> {
    let io = |source| OpenError::Io { folder: folder.to_owned(), source };
    disk.create_folders(folder).map_err(io)?;
    let mut segments = Vec::new();
    let mut found = Vec::new();
    for listed in disk.list(folder).map_err(io)? {
        let path = folder.join(&listed.name);
        if segment::is_spare(&listed.name) && listed.kind == Kind::File {
            found.push(listed);
            continue;
        }
        if !listed.name.ends_with(".seg") {
            continue;
        }
        let foreign = |why: String| OpenError::Foreign { file: path.clone(), why };
        if listed.kind != Kind::File {
            return Err(foreign("it is a link or a folder; a segment is a plain file".into()));
        }
        let Some(first) = segment::parse_name(&listed.name) else {
            let why = "a segment is named by 20 digits, the number of its first payload";
            return Err(foreign(why.into()));
        };
        let header = read_header(disk, &path, first).map_err(io)?.map_err(foreign)?;
        segments.push(known(first, header, &listed));
    }
    check_keys(folder, &segments, keys)?;
    let first = segments.first().map_or(0, |segment| segment.first);
    let mut spares = Vec::new();
    for Listed { name, bytes, .. } in found {
        let keeps = bytes == limits.segment_bytes && spares.len() < limits.settled_max;
        if keeps && has_lost_its_name(disk, folder, &name, first) {
            spares.push(name);
        } else if let Err(why) = disk.remove(&folder.join(&name)) {
            debug!(%why, file = name, "a spare file could not be removed");
        }
    }
    Ok(Survey { segments, spares })
}

/// What a disk says of a bad block; a file that may not be opened is another matter.
fn is_unreadable(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Whether a spare is a settled segment whose old name, below `first`, is sure to be gone. A sync of
/// the folder may have failed in vain before the process ended, and then the change of names would
/// never reach the disk: it is made once more.
fn has_lost_its_name(disk: &dyn Disk, folder: &Path, name: &str, first: u64) -> bool {
    let spare = folder.join(name);
    let mut bytes = [0; segment::USED_BYTES];
    let read = disk.open(&spare, Open::Read).and_then(|file| {
        read_full_at(file.as_ref(), &mut bytes, 0)?;
        Ok(Header::read(&bytes))
    });
    let old = match read {
        Ok(Read::Good(header)) if header.first < first => folder.join(segment::name(header.first)),
        _ => return false,
    };
    if !matches!(disk.open(&old, Open::Read), Err(error) if error.kind() == ErrorKind::NotFound) {
        return false;
    }
    let renamed = disk
        .rename(&spare, &old)
        .and_then(|()| disk.sync_folder(folder))
        .and_then(|()| disk.rename(&old, &spare))
        .and_then(|()| disk.sync_folder(folder));
    if let Err(why) = &renamed
        && disk.remove(&old).is_err()
    {
        debug!(%why, file = name, "a spare file has its old name again; it is settled and goes");
    }
    renamed.is_ok()
}

/// A missing key is no damage: nothing is touched before all are there.
fn check_keys(folder: &Path, segments: &[Segment], keys: &Keys) -> Result<(), OpenError> {
    for segment in segments {
        let Some(keyed) = segment.keyed else { continue };
        if keys.find(keyed.key).is_none() {
            let file = folder.join(segment::name(segment.first));
            return Err(OpenError::NoKey { file, key: keyed.key });
        }
    }
    Ok(())
}

fn known(first: u64, header: Option<Header>, listed: &Listed) -> Segment {
    if header.is_none() {
        warn!(
            problem = "queue-damaged",
            segment = listed.name,
            "the header of a segment is damaged; its frames are looked for"
        );
    }
    Segment::listed(first, header, listed)
}

/// The keys that the segments in a folder are sealed with; none if there is no folder.
///
/// # Errors
/// What the disk says.
pub fn used_keys(disk: &dyn Disk, folder: &Path) -> std::io::Result<BTreeSet<KeyId>> {
    let listed = match disk.list(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        answer => answer?,
    };
    let mut keys = BTreeSet::new();
    for one in listed.iter().filter(|one| one.kind == Kind::File) {
        let Some(first) = segment::parse_name(&one.name) else { continue };
        let header = read_header(disk, &folder.join(&one.name), first)?;
        let keyed = header.ok().flatten().and_then(|header| header.keyed);
        keys.extend(keyed.map(|keyed| keyed.key));
    }
    Ok(keys)
}

/// The header of a segment, `None` if it is damaged; or why the file is none of ours.
pub(super) fn read_header(
    disk: &dyn Disk,
    path: &Path,
    first: u64,
) -> std::io::Result<Result<Option<Header>, String>> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = [0; segment::USED_BYTES];
    let mut judged = match read_full_at(file.as_ref(), &mut bytes, 0) {
        Err(error) if is_unreadable(&error) => Read::Damaged,
        read => Header::read(bytes.get(..read?).unwrap_or_default()),
    };
    // What begins like ours and is whole speaks for itself.
    let is_whole = bytes.starts_with(b"weirseg\0") && judged != Read::Damaged;
    if !is_whole {
        let mut copy = [0; segment::USED_BYTES];
        match read_full_at(file.as_ref(), &mut copy, segment::COPY_AT) {
            // Its frames tell what it is, if the disk can read them.
            Err(error) if is_unreadable(&error) => {}
            read => {
                if let good @ Read::Good(_) = Header::read(copy.get(..read?).unwrap_or_default()) {
                    judged = good;
                }
            }
        }
    }
    Ok(match judged {
        Read::Good(header) if header.first != first => Err(format!(
            "it begins with payload {}, but its name says {first}; it was renamed",
            header.first
        )),
        Read::Good(header) => Ok(Some(header)),
        Read::Damaged => Ok(None),
        Read::Foreign(why) => {
            // Whatever happened to the header: with one of our frames behind it, it is ours.
            let mut there = [0; frame::HEADER_BYTES];
            read_full_at(file.as_ref(), &mut there, segment::HEADER_BYTES)?;
            let is_ours =
                !bytes.starts_with(b"weirseg\0") && frame::Header::decode(&there).is_some();
            if is_ours { Ok(None) } else { Err(why) }
        }
    })
}

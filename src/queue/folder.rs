//! What lies in a queue's folder: segments with headers we can trust, and what is none of ours.

use std::path::Path;

use tracing::{debug, warn};

use super::error::OpenError;
use super::frame;
use super::log::Segment;
use super::segment::{self, Header, Read};
use crate::base::disk::{Disk, Kind, Listed, Open, read_full_at};

/// The segments in order, each as long as its file. Files that never became a segment are removed.
pub(super) fn survey(disk: &dyn Disk, folder: &Path) -> Result<Vec<Segment>, OpenError> {
    let io = |source| OpenError::Io { folder: folder.to_owned(), source };
    disk.create_folders(folder).map_err(io)?;
    let mut segments = Vec::new();
    for listed in disk.list(folder).map_err(io)? {
        let path = folder.join(&listed.name);
        if segment::is_spare(&listed.name) && listed.kind == Kind::File {
            if let Err(why) = disk.remove(&path) {
                debug!(%why, file = listed.name, "a spare file could not be removed");
            }
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
    Ok(segments)
}

fn known(first: u64, header: Option<Header>, listed: &Listed) -> Segment {
    if header.is_none() {
        warn!(
            problem = "queue-damaged",
            segment = listed.name,
            "the header of a segment is damaged; its frames are looked for"
        );
    }
    Segment {
        first,
        salt: header.map(|header| header.salt),
        bytes: listed.bytes,
        used: listed.bytes,
        unix_ms: header.map_or(0, |header| header.unix_ms),
    }
}

/// The header of a segment, `None` if it is damaged; or why the file is none of ours.
pub(super) fn read_header(
    disk: &dyn Disk,
    path: &Path,
    first: u64,
) -> std::io::Result<Result<Option<Header>, String>> {
    let file = disk.open(path, Open::Read)?;
    let mut bytes = [0; segment::USED_BYTES];
    let read = read_full_at(file.as_ref(), &mut bytes, 0)?;
    Ok(match Header::read(bytes.get(..read).unwrap_or_default()) {
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

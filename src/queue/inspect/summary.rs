//! What one segment holds, in numbers.

use std::collections::BTreeSet;
use std::io;

use super::scan::{Depth, Part, Scan, Seen};
use super::{Look, LookError};
use crate::queue::{KeyId, segment};

/// What one segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// Its file name.
    pub file: String,
    /// Bytes it takes on disk.
    pub bytes: u64,
    /// Its frames end here.
    pub used: u64,
    /// The first position that may stand in it.
    pub first: u64,
    /// Position behind its last one.
    pub end: u64,
    /// Sound frames.
    pub frames: u64,
    /// When its first and its last frame were committed, in milliseconds since 1970.
    pub unix_ms: Option<(u64, u64)>,
    /// Ranges that cannot be read.
    pub damaged: u64,
    /// Whether a frame at its end is not complete.
    pub is_torn: bool,
    /// Names of marks that were set and not forgotten as of its end; `None` where only headers
    /// were read.
    pub marks: Option<u64>,
    /// The key it is sealed with.
    pub key: Option<KeyId>,
    /// Frames whose body is packed.
    pub packed: u64,
    /// Length of all bodies on disk, and before they were packed and sealed.
    pub body_bytes: (u64, u64),
}

/// Sums up a segment; `None` if there is none, or the agent removed it meanwhile.
pub(super) fn of(
    look: &Look,
    at: usize,
    depth: Depth,
) -> Result<Option<SegmentSummary>, LookError> {
    let Some(segment) = look.segments.get(at).copied() else { return Ok(None) };
    let file = segment::name(segment.first);
    let io_at = |error| LookError::io(&look.folder.join(&file))(error);
    let mut scan = match scan(look, at, depth) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        answer => answer.map_err(io_at)?,
    };
    let mut summary = SegmentSummary {
        file: file.clone(),
        bytes: segment.bytes,
        used: 0,
        first: segment.first,
        end: segment.first,
        frames: 0,
        unix_ms: None,
        damaged: 0,
        is_torn: false,
        marks: None,
        key: segment.keyed.map(|keyed| keyed.key),
        packed: 0,
        body_bytes: (0, 0),
    };
    let mut is_locked = false;
    let mut names = BTreeSet::new();
    while let Some(seen) = scan.next().map_err(io_at)? {
        match seen {
            Seen::Frame(frame) => {
                summary.frames += 1;
                summary.packed += u64::from(frame.is_packed);
                summary.body_bytes.0 += frame.body_bytes.0;
                summary.body_bytes.1 += frame.body_bytes.1;
                is_locked |= frame.is_locked;
                let begun = summary.unix_ms.map_or(frame.unix_ms, |(begun, _)| begun);
                summary.unix_ms = Some((begun, frame.unix_ms));
                for mark in frame.marks {
                    match mark.value {
                        Some(_) => names.insert(mark.name),
                        None => names.remove(&mark.name),
                    };
                }
            }
            Seen::Damage(_) => summary.damaged += 1,
            Seen::Torn(_) => summary.is_torn = true,
        }
    }
    summary.used = scan.offset().min(segment.bytes);
    summary.end = scan.expect();
    summary.marks = (depth == Depth::Bodies && !is_locked).then_some(names.len() as u64);
    Ok(Some(summary))
}

/// Begins to look through a segment.
pub(super) fn scan(look: &Look, at: usize, depth: Depth) -> io::Result<Scan> {
    let segment = look.segments.get(at).copied().ok_or(io::ErrorKind::NotFound)?;
    Scan::new(Part {
        disk: look.disk.clone(),
        folder: look.folder.clone(),
        segment,
        next: look.segments.get(at + 1).map(|next| next.first),
        depth,
        cipher: look.keys.cipher(segment.salt, segment.keyed),
    })
}

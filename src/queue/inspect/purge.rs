//! Settling what waits as dropped, and giving its space back. For a stopped agent: the caller
//! holds the lock of the state directory.

use bytes::Bytes;

use super::scan::{Depth, Seen};
use super::{CursorState, Look, LookError};
use crate::queue::cursor::{Counts, Cursor, How};
use crate::queue::cursor_file::{self, CursorFile, Found};
use crate::queue::group::Settled;
use crate::queue::segment;
use crate::queue::store::CURSORS;

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// One row per destination that it was for.
    pub rows: Vec<PurgedRow>,
    /// Segments that went, because nobody needs them any more.
    pub segments: u64,
    /// Bytes they and spare files took.
    pub bytes: u64,
}

/// What a purge settled for one destination, as the ledger counts it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurgedRow {
    /// The destination.
    pub destination: String,
    /// Records dropped.
    pub dropped: u64,
    /// Records that could not be read.
    pub damaged: u64,
    /// Records that were for another destination only, and never counted here.
    pub elsewhere: u64,
}

struct Target {
    name: String,
    cursor: Cursor,
    file: CursorFile,
    before: Counts,
}

/// Settles everything that waits for a destination, or for all. `is_elsewhere` says whether a
/// payload is meant for another destination than the named one only. Each cursor is saved before
/// a segment goes, so the books balance whenever this is interrupted.
///
/// # Errors
/// [`LookError`].
pub fn purge(
    look: &Look,
    destination: Option<&str>,
    is_elsewhere: &dyn Fn(&Bytes, &str) -> bool,
) -> Result<Purged, LookError> {
    // Who a record is for stands in it.
    look.unlocked()?;
    let end = look.end()?;
    let mut targets = targets(look, destination)?;
    for target in &mut targets {
        // What is not on disk any more is dropped, as opening the queue would have it.
        target.settle_to(look.first().unwrap_or(end + 1), How::Dropped);
    }
    let from = targets.iter().map(|target| target.cursor.watermark() + 1).min().unwrap_or(end + 1);
    if from <= end {
        for seen in look.walk(from, Depth::Bodies) {
            // What is not seen is damaged, and settled as such by what comes behind it.
            let Seen::Frame(frame) = seen? else { continue };
            for target in targets.iter_mut().filter(|target| target.cursor.watermark() < end) {
                target.drop_frame(frame.first, &frame.payloads, is_elsewhere);
            }
        }
    }
    let mut purged = Purged::default();
    for mut target in targets {
        target.settle_to(end + 1, How::Damaged);
        let path = look.folder.join(CURSORS).join(cursor_file::name(&target.name));
        let saved = target.file.save(look.disk.as_ref(), &target.cursor.whole());
        saved.map_err(LookError::io(&path))?;
        purged.rows.push(target.row());
    }
    remove_settled(look, &mut purged)?;
    Ok(purged)
}

fn targets(look: &Look, destination: Option<&str>) -> Result<Vec<Target>, LookError> {
    let asked = |name: &str| destination.is_none_or(|asked| asked == name);
    let mut all = Vec::new();
    for one in look.destinations().iter().filter(|one| asked(&one.name)) {
        let name = one.name.clone();
        let path = look.folder.join(CURSORS).join(cursor_file::name(&name));
        let found = CursorFile::find(look.disk.as_ref(), &path).map_err(LookError::io(&path))?;
        let Found::Cursor(cursor, mut file) = found else {
            return Err(LookError::CursorUnreadable { destination: name });
        };
        file.make_sure(look.disk.as_ref(), &cursor.whole()).map_err(LookError::io(&path))?;
        let before = *cursor.counts();
        all.push(Target { name, cursor, file, before });
    }
    if let Some(destination) = destination.filter(|_| all.is_empty()) {
        let names = look.destinations().iter().map(|one| format!("`{}`", one.name));
        let known = names.collect::<Vec<_>>().join(", ");
        let known = if known.is_empty() { "none".into() } else { known };
        return Err(LookError::NoDestination { destination: destination.into(), known });
    }
    Ok(all)
}

impl Target {
    fn drop_frame(
        &mut self,
        first: u64,
        payloads: &[Bytes],
        is_elsewhere: &dyn Fn(&Bytes, &str) -> bool,
    ) {
        self.settle_to(first, How::Damaged);
        for (position, payload) in (first..).zip(payloads) {
            if self.cursor.is_settled(position) {
                continue;
            }
            let is_elsewhere = is_elsewhere(payload, &self.name);
            let how = if is_elsewhere { How::By(Settled::Elsewhere) } else { How::Dropped };
            self.cursor.settle(position, how);
        }
    }

    /// Settles what is still open before `to`. The window is never in the way: everything before
    /// was settled.
    fn settle_to(&mut self, to: u64, how: How) {
        self.cursor.settle_range(self.cursor.watermark() + 1, to, how);
    }

    fn row(self) -> PurgedRow {
        let (now, before) = (self.cursor.counts(), self.before);
        PurgedRow {
            dropped: now.dropped - before.dropped,
            damaged: now.damaged - before.damaged,
            elsewhere: now.elsewhere - before.elsewhere,
            destination: self.name,
        }
    }
}

/// Removes the segments that every cursor is past, as it is on disk now; never the newest. A
/// cursor that cannot be read may need all of them.
fn remove_settled(look: &Look, purged: &mut Purged) -> Result<(), LookError> {
    let now = super::cursors::read(look.disk.as_ref(), &look.folder)?.unwrap_or_default();
    let watermarks = now.iter().map(|one| match &one.cursor {
        CursorState::Good(standing) => standing.watermark,
        CursorState::Damaged | CursorState::Foreign(_) => 0,
    });
    let Some(watermark) = watermarks.min() else { return Ok(()) };
    for (oldest, next) in look.segments.iter().zip(look.segments.iter().skip(1)) {
        if next.first > watermark + 1 {
            break;
        }
        let path = look.folder.join(segment::name(oldest.first));
        look.disk.remove(&path).map_err(LookError::io(&path))?;
        purged.segments += 1;
        purged.bytes += oldest.taken_bytes;
    }
    for spare in look.disk.list(&look.folder).map_err(LookError::io(&look.folder))? {
        if segment::is_spare(&spare.name) {
            let path = look.folder.join(&spare.name);
            look.disk.remove(&path).map_err(LookError::io(&path))?;
            purged.bytes += spare.taken_bytes;
        }
    }
    Ok(())
}

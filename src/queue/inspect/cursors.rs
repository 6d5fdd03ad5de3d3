//! The cursors of a folder, as they were saved.

use std::path::Path;

use super::LookError;
use crate::base::disk::{Disk, Kind, Open};
use crate::queue::cursor::Cursor;
use crate::queue::cursor_file::{self, SUFFIX};
use crate::queue::cursor_slots::Slots;
use crate::queue::store::CURSORS;

/// A destination that the queue knows, configured or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Where it stood when its cursor was last saved.
    pub cursor: CursorState,
}

/// What a cursor's file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CursorState {
    /// Where the destination stands.
    Good(Standing),
    /// Both copies are unreadable: the agent will deliver everything on disk again.
    Damaged,
    /// Written by a weir that knows more; its version.
    Foreign(u16),
}

/// Where a destination stands. A running agent may have settled more: it saves a moment later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Positions up to this one never concerned the destination.
    pub birth: u64,
    /// All positions up to this one are settled.
    pub watermark: u64,
    /// Settled positions beyond the watermark.
    pub ahead: u64,
    /// The highest position the cursor says anything about.
    pub highest: u64,
    /// Taken by the destination.
    pub delivered: u64,
    /// Dead letters.
    pub dead: u64,
    /// Dropped by a policy or by the operator.
    pub dropped: u64,
    /// Unreadable on disk.
    pub damaged: u64,
    /// Meant for another destination only; not counted as accepted.
    pub elsewhere: u64,
    cursor: Cursor,
}

impl Standing {
    fn new(cursor: Cursor) -> Self {
        let counts = cursor.counts();
        Self {
            birth: cursor.birth(),
            watermark: cursor.watermark(),
            ahead: cursor.ahead(),
            highest: cursor.highest(),
            delivered: counts.delivered,
            dead: counts.dead,
            dropped: counts.dropped,
            damaged: counts.damaged,
            elsewhere: counts.elsewhere,
            cursor,
        }
    }

    /// Whether the destination is done with a position.
    pub fn is_settled(&self, position: u64) -> bool {
        self.cursor.is_settled(position)
    }

    /// Positions still owed, of a log that ends with `end`.
    pub fn waiting(&self, end: u64) -> u64 {
        end.saturating_sub(self.watermark).saturating_sub(self.ahead)
    }

    /// Positions that concern the destination, of a log that ends with `end`: the other numbers
    /// of its ledger add up to this.
    pub fn accepted(&self, end: u64) -> u64 {
        end.max(self.highest).saturating_sub(self.birth).saturating_sub(self.elsewhere)
    }
}

impl Destination {
    /// Its standing, if the cursor can be read.
    pub fn standing(&self) -> Option<&Standing> {
        match &self.cursor {
            CursorState::Good(standing) => Some(standing),
            CursorState::Damaged | CursorState::Foreign(_) => None,
        }
    }
}

/// Every cursor of the queue in `folder`, by name; `None` if there is no folder for them.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Vec<Destination>>, LookError> {
    let folder = folder.join(CURSORS);
    let listed = match disk.list(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        answer => answer.map_err(LookError::io(&folder))?,
    };
    let mut all = Vec::new();
    for file in listed.into_iter().filter(|one| one.kind == Kind::File) {
        let Some(name) = file.name.strip_suffix(SUFFIX) else { continue };
        let path = folder.join(&file.name);
        let cursor = read_one(disk, &path).map_err(LookError::io(&path))?;
        all.push(Destination { name: unescape(name), cursor });
    }
    Ok(Some(all))
}

fn read_one(disk: &dyn Disk, path: &Path) -> std::io::Result<CursorState> {
    let file = disk.open(path, Open::Read)?;
    Ok(match cursor_file::read(file.as_ref(), path)? {
        Slots::Good(cursor, _) => CursorState::Good(Standing::new(cursor)),
        Slots::Damaged => CursorState::Damaged,
        Slots::Foreign(version) => CursorState::Foreign(version),
    })
}

/// The destination that a file name stands for; see [`cursor_file::name`].
fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *byte == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*byte));
        rest = behind.get(if code.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8(bytes).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod unescaping {
    use super::*;

    #[test]
    fn every_name_reads_back_from_its_file_name() {
        for name in ["cloud", "../a/b", "é.x", "100%", ".hidden", ""] {
            let file = cursor_file::name(name);
            assert_eq!(unescape(file.strip_suffix(SUFFIX).unwrap()), name);
        }
        assert_eq!(unescape("%zz%f"), "%zz%f");
        assert_eq!(unescape("%ff"), "%ff");
    }
}

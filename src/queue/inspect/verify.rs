//! Checking every byte that matters: frames, positions, cursors.

use std::ops::Range;

use super::cursors::{self, CursorState};
use super::scan::{DamagedRange, Depth, Seen, Torn};
use super::{Look, LookError};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Sound frames.
    pub frames: u64,
    /// Payloads in them.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Sound frames of which only the checksum was looked at, as their key is not known.
    pub locked: u64,
    /// The first [`Verdict::KEPT_MAX`] ranges that cannot be read.
    pub damaged: Vec<DamagedRange>,
    /// How many there are.
    pub damaged_count: u64,
    /// Positions lost with them.
    pub lost: u64,
    /// Positions a cursor knows that no segment holds: the log has lost its end.
    pub lost_end: Option<Range<u64>>,
    /// A frame that is not yet complete; no damage.
    pub torn: Option<Torn>,
    /// Destinations whose cursor cannot be read.
    pub bad_cursors: Vec<String>,
    /// Positions that a destination was not done with when their segments were removed.
    pub gone: Vec<Gone>,
}

/// What a destination waits for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The destination.
    pub destination: String,
    /// The positions.
    pub positions: Range<u64>,
}

impl Verdict {
    /// Damaged ranges that are told one by one.
    pub const KEPT_MAX: usize = 1000;

    /// Whether everything is as it was written.
    pub fn is_sound(&self) -> bool {
        self.damaged_count == 0
            && self.lost_end.is_none()
            && self.bad_cursors.is_empty()
            && self.gone.is_empty()
    }

    fn add(&mut self, seen: Seen) -> u64 {
        match seen {
            Seen::Frame(frame) => {
                self.frames += 1;
                self.records += frame.payloads.len() as u64;
                self.bytes += frame.bytes;
                self.locked += u64::from(frame.is_locked);
                return frame.end;
            }
            Seen::Damage(range) => {
                let end = range.lost.end;
                self.damaged_count += 1;
                self.lost += end.saturating_sub(range.lost.start);
                if self.damaged.len() < Self::KEPT_MAX {
                    self.damaged.push(range);
                }
                return end;
            }
            Seen::Torn(torn) => self.torn = Some(torn),
        }
        0
    }
}

/// Reads and checks everything. `progress` is told the bytes done, again and again.
///
/// # Errors
/// [`LookError::Io`].
pub fn verify(look: &Look, progress: &mut dyn FnMut(u64)) -> Result<Verdict, LookError> {
    let mut verdict = Verdict::default();
    let mut end = look.segments.last().map_or(1, |newest| newest.first);
    let mut walk = look.walk(0, Depth::Bodies);
    while let Some(seen) = walk.next() {
        end = end.max(verdict.add(seen?));
        progress(walk.done_bytes());
    }
    let mut known = 0;
    for destination in look.destinations() {
        match &destination.cursor {
            CursorState::Good(standing) => known = known.max(standing.highest),
            _ => verdict.bad_cursors.push(destination.name.clone()),
        }
    }
    verdict.lost_end = (known >= end).then_some(end..known + 1);
    let first = look.first().unwrap_or(known + 1);
    // Again, as a running agent saves a cursor first and then removes what it is past.
    for destination in cursors::read(look.disk.as_ref(), &look.folder)?.unwrap_or_default() {
        let Some(standing) = destination.standing() else { continue };
        let next = standing.watermark + 1;
        if next < first {
            verdict.gone.push(Gone { positions: next..first, destination: destination.name });
        }
    }
    Ok(verdict)
}

//! Whether an open file still is what was read of it.

use std::io;

use super::{Followed, OTHER_MARKER, not_open};
use crate::base::disk::foreign::Look;
use crate::source::tail::body::not_yet;
use crate::source::tail::progress::{Digest, Likeness, Progress, Resume, Seen};

/// Why a file is begun anew.
const OTHER_HEAD: &str = "its head is another one";

impl Followed {
    /// Compares the open file with what is known of it.
    pub(in crate::source::tail) fn recognise(&mut self) -> io::Result<Resume> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let progress = &self.progress;
        if file.is_packed() {
            return self.recognise_packed();
        }
        let head = file.read_at(0, usize::from(progress.head.bytes))?;
        let before = progress.position.saturating_sub(u64::from(progress.marker.bytes));
        let recent = file.read_at(before, usize::from(progress.marker.bytes))?;
        let length = file.length(&file.look()?);
        let seen = Seen {
            bytes: length.unwrap_or(progress.position),
            head: Digest::of(&head),
            marker: Digest::of(&recent),
        };
        let resume = progress.resume(&seen);
        if resume == Resume::Here {
            self.progress.recent = Some(recent);
            return Ok(self.is_itself());
        }
        Ok(resume)
    }

    /// A file that changed and did not grow may have been written anew, to the very same length: then
    /// the bytes before the position are not enough to tell.
    pub(super) fn recognise_unless_grown(
        &mut self,
        look: &Look,
        length: Option<u64>,
    ) -> io::Result<Resume> {
        let Progress { position, changed_unix_ns, .. } = self.progress;
        let has_not_grown = position > 0 && length == Some(position) && !self.is_packed;
        if has_not_grown && look.changed_unix_ns != changed_unix_ns {
            return self.recognise();
        }
        Ok(Resume::Here)
    }

    fn recognise_packed(&mut self) -> io::Result<Resume> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let (head, marker) = (self.progress.head, self.progress.marker);
        if !self.is_head_known {
            if Digest::of(&file.read_at(0, usize::from(head.bytes))?) != head {
                return Ok(Resume::FromStart(OTHER_HEAD));
            }
            self.is_head_known = true;
        }
        if self.progress.is_done {
            // Its end is far; the head says enough.
            file.rest();
            self.progress.recent = Some(Vec::new());
            return Ok(self.is_itself());
        }
        let before = self.progress.position.saturating_sub(u64::from(marker.bytes));
        let recent = file.read_at(before, usize::from(marker.bytes))?;
        if Digest::of(&recent) == marker {
            self.progress.recent = Some(recent);
            return Ok(self.is_itself());
        }
        let length = file.length(&file.look()?);
        if length.is_some_and(|length| length < self.progress.position) {
            // Copied before the last lines were written that were read of the other.
            self.be_done();
            return Ok(self.is_itself());
        }
        if file.is_torn() { Err(not_yet()) } else { Ok(Resume::FromStart(OTHER_MARKER)) }
    }

    /// Nothing more is wanted of it.
    pub(super) fn be_done(&mut self) {
        (self.progress.is_done, self.progress.recent) = (true, Some(Vec::new()));
        self.revision += 1;
    }

    fn is_itself(&mut self) -> Resume {
        self.former_home = None;
        Resume::Here
    }

    /// Whether the open file holds what was read of another one, as far as its first `depth` bytes tell.
    pub(in crate::source::tail) fn holds(
        &mut self,
        other: &Progress,
        depth: u64,
    ) -> io::Result<Likeness> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        other.likeness(depth, |offset, bytes| file.read_at(offset, bytes))
    }
}

//! Where a file begins, and what it is to the others before it is read.

use std::io;
use std::path::{Path, PathBuf};

use super::{Body, Followed, Place, Stand, not_open};
use crate::base::disk::foreign::{ForeignId, Look};
use crate::source::framing::Framing;
use crate::source::tail::names;
use crate::source::tail::progress::{COPY_BYTES_MIN, Digest, HEAD_BYTES, Progress};

impl Followed {
    /// Whether a file may be a copy of it, as far as the name tells.
    pub(in crate::source::tail) fn may_have_copy(&self, path: &Path) -> bool {
        [&self.home, &self.real]
            .into_iter()
            .any(|place| place.parent() == path.parent() && names::may_be_copy(path, place))
    }

    /// Whether a path leads to it.
    pub(in crate::source::tail) fn is_somewhere(&self) -> bool {
        !matches!(self.place, Place::Gone { .. })
    }

    /// Where its events come from: its path, and where that leads.
    pub(in crate::source::tail) fn places(&self) -> impl Iterator<Item = &Path> {
        let is_link = self.real.as_os_str() != self.path.as_os_str();
        [Some(&self.path), is_link.then_some(&self.real)]
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
    }

    /// Two marks had its number: where it is, only its content tells.
    pub(in crate::source::tail) fn lose_number(&mut self) {
        self.id = ForeignId::default();
    }

    pub(in crate::source::tail) fn is_without_number(&self) -> bool {
        self.id == ForeignId::default()
    }

    /// Takes it for a copy as long as it does not change.
    pub(in crate::source::tail) fn judge(&mut self, stand: Stand) {
        self.stand = stand;
        self.judged = self.stamp;
    }

    /// Whether it has changed since it was found to be a copy.
    pub(in crate::source::tail) fn has_changed_since_judged(&self) -> bool {
        self.judged != self.stamp
    }

    /// Whether nothing was read of it yet.
    pub(in crate::source::tail) fn is_unread(&self) -> bool {
        self.latest().position == 0 && !self.progress.is_done
    }

    /// Everything before it is read.
    pub(in crate::source::tail) fn latest(&self) -> &Progress {
        self.pending.as_ref().unwrap_or(&self.progress)
    }

    /// Whether it is known from its mark, which says that nothing was read of it, and was never seen
    /// since; or is shorter now than when it was last seen, and not read in between.
    pub(in crate::source::tail) fn may_have_been_truncated_unread(&self, look: &Look) -> bool {
        let is_unread = self.is_unread() && !self.is_packed;
        is_unread && self.stamp.map_or(self.saved > 0, |(bytes, _)| look.bytes < bytes)
    }

    /// Nothing was read of a new file: what was rotated before it came is no part of it.
    pub(in crate::source::tail) fn begin_after(&mut self, look: &Look) {
        if self.saved == 0 && self.is_never_seen() && self.progress.position == 0 {
            let has_content = i128::from(look.bytes > 0);
            self.progress.changed_unix_ns = look.changed_unix_ns - has_content;
        }
    }

    /// When its content last changed, in nanoseconds since 1970, if it was seen.
    pub(in crate::source::tail) fn changed_unix_ns(&self) -> Option<i128> {
        self.stamp.map(|(_, changed)| changed)
    }

    /// Its length on the disk and when it had changed, when it was last looked at.
    pub(in crate::source::tail) fn stamp(&self) -> Option<(u64, i128)> {
        self.stamp
    }

    /// Whether a look shows what the last one did.
    pub(in crate::source::tail) fn is_as_noted(&self, look: &Look) -> bool {
        self.stamp == Some((look.bytes, look.changed_unix_ns))
    }

    /// Its first bytes.
    pub(in crate::source::tail) fn beginning(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let beginning = match &mut self.handle {
            Some(body) => {
                let was_unpacking = body.is_unpacking();
                let beginning = body.read_at(0, bytes);
                if !was_unpacking {
                    body.rest();
                }
                beginning
            }
            None => Body::open(&self.path)?.read_at(0, bytes),
        }?;
        let first = beginning.get(..COPY_BYTES_MIN).unwrap_or(&beginning);
        self.first = self.stamp.map(|stamp| (stamp, first.to_vec()));
        Ok(beginning)
    }

    /// Whether its first bytes may be those of other content that begins with `head`, as far as is known
    /// without reading it.
    pub(in crate::source::tail) fn may_begin_like(&self, head: &[u8]) -> bool {
        let known = self.first.as_ref().filter(|(stamp, _)| self.stamp == Some(*stamp));
        known.is_none_or(|(_, first)| head.starts_with(first) || first.starts_with(head))
    }

    /// Whether something may have been rotated away that it held before anything was read of it. Asked
    /// once of the same content.
    pub(in crate::source::tail) fn may_have_lost_its_beginning(&mut self) -> bool {
        if !self.is_unread() || self.begun.bytes > 0 {
            return false;
        }
        let beginning = self.beginning(HEAD_BYTES).unwrap_or_default();
        self.begun = Digest::of(&beginning);
        let is_at_home = self.place == Place::Here && !names::looks_rotated(&self.path);
        !beginning.is_empty() && is_at_home
    }

    /// Whether content of which nothing was read begins as it did when it was last looked at: an
    /// unfinished line may have been copied away, and another one begun.
    pub(super) fn begins_as_before(&mut self, content: &[u8]) -> io::Result<bool> {
        let before = self.begun;
        let looked_at = usize::from(before.bytes);
        if content.len() < looked_at {
            // A smaller share than the last one; or it is shorter now.
            return Ok(Digest::of(&self.beginning(looked_at)?) == before);
        }
        self.begun = Digest::of(content.get(..HEAD_BYTES).unwrap_or(content));
        Ok(content.get(..looked_at).map(Digest::of) == Some(before))
    }

    /// Moves behind all that is there; of a compressed file nothing is wanted then.
    pub(in crate::source::tail) fn skip_all(&mut self) -> io::Result<()> {
        let changed_unix_ns = self.look()?.changed_unix_ns;
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let is_done = file.is_packed();
        let all = file.look()?.bytes;
        let position = if is_done { file.read_at(0, HEAD_BYTES)?.len() as u64 } else { all };
        let progress = Progress::at(position, |offset, bytes| file.read_at(offset, bytes))?;
        file.rest();
        self.progress = Progress { is_done, changed_unix_ns, ..progress };
        self.revision += 1;
        Ok(())
    }

    /// Moves behind what is there, or behind so many bytes of it, but before a line that is not
    /// finished yet. Of a compressed file nothing is wanted then.
    pub(in crate::source::tail) fn skip_to_end(
        &mut self,
        framing: &Framing,
        at_most: u64,
    ) -> io::Result<()> {
        let changed_unix_ns = self.look()?.changed_unix_ns;
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        if file.is_packed() {
            self.skip_all()?;
            self.progress.is_passed_over = true;
            return Ok(());
        }
        let end = framing.whole_characters(file.look()?.bytes.min(at_most));
        let window = framing.room().min(usize::try_from(end).unwrap_or(usize::MAX));
        let tail = file.read_at(end.saturating_sub(window as u64), window)?;
        let unfinished = framing.unfinished(&tail);
        // No newline within the longest line: it is in the middle of one in any case.
        let unfinished = unfinished.or((tail.len() as u64 == end).then_some(tail.len()));
        let position = end.saturating_sub(unfinished.unwrap_or(0) as u64);
        let progress = Progress::at(position, |offset, bytes| file.read_at(offset, bytes))?;
        let is_passed_over = position > 0;
        self.progress = Progress { is_passed_over, changed_unix_ns, ..progress };
        self.revision += 1;
        Ok(())
    }
}

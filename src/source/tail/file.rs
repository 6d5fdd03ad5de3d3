//! One followed file: opened, recognised, read on from where its lines are safe.

mod beginning;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::time::Instant;

use super::body::Body;
use super::names;
use super::progress::{Digest, Likeness, Progress, Resume, Seen};
use crate::base::disk::foreign::{self, ForeignId, Look};
use crate::source::framing::{Framed, Framing, Situation};

/// A file and all that is known of it.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) id: ForeignId,
    /// The name of its mark.
    pub(super) mark: String,
    /// Where the globs last found it.
    pub(super) home: PathBuf,
    /// Where they found it before, until it is seen that it is still the same content: its number may
    /// have been used again.
    pub(super) former_home: Option<PathBuf>,
    /// Where it can be opened.
    pub(super) path: PathBuf,
    /// Where its events come from: the path, or where that leads if it is a link.
    pub(super) real: PathBuf,
    pub(super) place: Place,
    pub(super) stand: Stand,
    /// What is durable.
    pub(super) progress: Progress,
    /// What will be, once the lines are that are being handed over.
    pub(super) pending: Option<Progress>,
    /// What was durable when it was found in a copy that ends before what is being handed over.
    pub(super) behind: Option<Progress>,
    /// Counts what the mark has to say; `saved` is what the mark in the queue says.
    pub(super) revision: u64,
    pub(super) saved: u64,
    /// Length of its content when it was last looked at.
    pub(super) bytes: u64,
    /// Whether that lies there compressed.
    pub(super) is_packed: bool,
    /// Set while it leaves its path, until nothing more is expected from it.
    pub(super) leaving: Option<Leaving>,
    /// Whether it was seen, through its handle, to have no name any more.
    pub(super) is_deleted: bool,
    /// Whether it was read to its end after it had left its path.
    pub(super) is_drained: bool,
    /// Whether it was looked for under the names of rotated files.
    pub(super) is_sought: bool,
    /// Whether it was to be read already.
    is_begun: bool,
    /// Whether the last attempt to read it failed; it is tried again at the next scan.
    pub(super) is_in_trouble: bool,
    handle: Option<Body>,
    stamp: Option<(u64, i128)>,
    /// The stamp it had when it was found to be a copy.
    judged: Option<(u64, i128)>,
    /// When it was last seen to change.
    pub(super) changed: Instant,
    /// Grows with each turn of any file: who had none for longest is closed first.
    pub(super) used: u64,
}

/// What a file is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// One of its own.
    Own,
    /// New, and called like a copy of another: not read before that is settled.
    Unjudged,
    /// It begins with what was read of that one, which is still there: it is not read.
    CopyOf(ForeignId),
}

/// Where a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the globs find it.
    Here,
    /// In the folder where the globs once found it, under a name they do not find.
    Aside,
    /// Nowhere; only an open handle still leads to it.
    Gone {
        /// Since when.
        since: Instant,
    },
}

/// A file that was renamed or deleted.
#[derive(Clone, Debug)]
pub(super) struct Leaving {
    /// Since when.
    pub(super) since: Instant,
    /// The path it left.
    pub(super) left: PathBuf,
}

/// What one turn brought.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<Framed>,
    /// Where the bytes stand in the file that the records were cut from.
    pub(super) from: u64,
    /// The progress once they are durable.
    pub(super) next: Progress,
    pub(super) pieces: u64,
    /// Whether there is more to read at once.
    pub(super) has_more: bool,
    /// When what is left of it becomes a record, if nothing more comes.
    pub(super) due: Option<Instant>,
    /// Set if the file was begun anew; it brings nothing then.
    pub(super) restarted: Option<Restart>,
}

/// Other content stands in a file.
#[derive(Debug)]
pub(super) struct Restart {
    /// How that is known.
    pub(super) why: &'static str,
    /// What was known of the content before.
    pub(super) before: Progress,
}

/// How much a turn may bring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) bytes: usize,
    pub(super) records: usize,
    /// Nothing will follow: the unfinished rest is a line.
    pub(super) last: bool,
}

/// Why a file is begun anew.
const OTHER_HEAD: &str = "its head is another one";

impl Followed {
    pub(super) fn new(id: ForeignId, mark: String, home: &Path, now: Instant) -> Self {
        Self {
            id,
            mark,
            home: home.to_path_buf(),
            former_home: None,
            path: home.to_path_buf(),
            real: home.to_path_buf(),
            place: Place::Gone { since: now },
            stand: Stand::Own,
            progress: Progress::start(),
            pending: None,
            behind: None,
            revision: 1,
            saved: 0,
            bytes: 0,
            is_packed: false,
            leaving: None,
            is_deleted: false,
            is_drained: false,
            is_sought: false,
            is_begun: false,
            is_in_trouble: false,
            handle: None,
            stamp: None,
            judged: None,
            changed: now,
            used: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    pub(super) fn is_unsaved(&self) -> bool {
        self.revision != self.saved && self.stand == Stand::Own
    }

    /// Its position, within what is there.
    pub(super) fn shown_position(&self) -> u64 {
        if self.progress.is_done { self.bytes } else { self.progress.position }
    }

    /// Under another name, a file of which nothing was read, and that was not kept open, may be a copy of
    /// another one that got its number.
    pub(super) fn doubt(&mut self) {
        if self.is_unread() && self.stand == Stand::Own && names::looks_rotated(&self.path) {
            self.stand = Stand::Unjudged;
        }
    }

    /// It was somebody else that was looked at.
    pub(super) fn unsee(&mut self) {
        (self.stamp, self.bytes) = (None, self.progress.position);
    }

    /// Whether only its mark is known.
    pub(super) fn is_never_seen(&self) -> bool {
        self.stamp.is_none()
    }

    /// Takes note of a look; `true` if the content may have changed since the last one.
    pub(super) fn note(&mut self, look: &Look, now: Instant) -> bool {
        let stamp = Some((look.bytes, look.changed_unix_ns));
        let changed = self.stamp != stamp;
        if changed {
            self.stamp = stamp;
            self.changed = now;
        }
        if let Some(body) = &self.handle {
            self.is_packed = body.is_packed();
        }
        let length = self.handle.as_ref().map_or(Some(look.bytes), |body| body.length(look));
        self.bytes = match length {
            Some(length) if self.handle.is_some() || !self.is_packed => length,
            _ => self.bytes.max(look.bytes),
        };
        changed
    }

    /// Looks at the open file, or at its path.
    pub(super) fn look(&self) -> io::Result<Look> {
        match &self.handle {
            Some(file) => file.look(),
            None => foreign::look(&self.path),
        }
    }

    /// Opens `path`, which must lead to this very file.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        let file = Body::open(path)?;
        if file.look()?.id != self.id {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file stands there now"));
        }
        self.is_packed = file.is_packed();
        self.handle = Some(file);
        // A closed file may have been changed, or deleted and its inode used again.
        self.progress.recent = None;
        Ok(())
    }

    /// Lets the handle go; the content is compared again when it is next opened.
    pub(super) fn close(&mut self) {
        self.handle = None;
    }

    /// Compares the open file with what is known of it.
    pub(super) fn recognise(&mut self) -> io::Result<Resume> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let progress = &self.progress;
        if progress.is_done && file.is_packed() {
            // Its end is far; the head says enough.
            let head = Digest::of(&file.read_at(0, usize::from(progress.head.bytes))?);
            let is_same = head == progress.head;
            self.progress.recent = is_same.then(Vec::new);
            return Ok(if is_same { self.is_itself() } else { Resume::FromStart(OTHER_HEAD) });
        }
        let head = file.read_at(0, usize::from(progress.head.bytes))?;
        let before = progress.position.saturating_sub(u64::from(progress.marker.bytes));
        let recent = file.read_at(before, usize::from(progress.marker.bytes))?;
        let length = file.length(&file.look()?);
        let seen = Seen {
            // Of compressed content that is not read to its end, the marker tells enough.
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

    fn is_itself(&mut self) -> Resume {
        self.former_home = None;
        Resume::Here
    }

    /// Whether the open file holds what was read of another one, as far as its first `depth` bytes tell.
    pub(super) fn holds(&mut self, other: &Progress, depth: u64) -> io::Result<Likeness> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        other.likeness(depth, |offset, bytes| file.read_at(offset, bytes))
    }

    /// Reads on. The position does not move: that takes a receipt.
    pub(super) fn read(
        &mut self,
        framing: &Framing,
        share: Share,
        now: Instant,
    ) -> io::Result<Taken> {
        if self.progress.recent.is_none()
            && let Resume::FromStart(why) = self.recognise()?
        {
            return Ok(self.restart(why));
        }
        if self.progress.is_done {
            return Ok(Taken::nothing(self.progress.clone()));
        }
        let look = self.handle.as_ref().ok_or_else(not_open)?.look()?;
        self.note(&look, now);
        let length = self.handle.as_ref().and_then(|file| file.length(&look));
        if length.is_some_and(|length| length < self.progress.position) {
            return Ok(self.restart("it is shorter than what was read of it"));
        }
        // One byte more than there is: if it does not come, this was the end.
        let there = length.map(|length| length - self.progress.position + 1);
        let there = there.and_then(|there| usize::try_from(there).ok()).unwrap_or(usize::MAX);
        let (mut room, mut records_max) = (share.bytes.min(there), share.records);
        loop {
            let Some(chunk) = self.behind_the_marker(room)? else {
                return Ok(self.restart("other bytes stand where it was read last"));
            };
            let at_end = chunk.len() < room;
            let quiet = now.duration_since(self.changed);
            let quiet_for = at_end.then_some(if share.last { Situation::END } else { quiet });
            if at_end && self.is_packed {
                // Only now it is known how long the content is.
                self.note(&look, self.changed);
            }
            let is_skipping = self.progress.is_skipping;
            let start = if self.progress.position == 0 { framing.preamble(&chunk) } else { 0 };
            let cut = framing
                .cut(&chunk.slice(start..), &Situation { is_skipping, records_max, quiet_for });
            if cut.used == 0 && !at_end && room < framing.room() {
                // A record longer than the share: that one, and no more.
                (room, records_max) = (framing.room(), 1);
                continue;
            }
            let used = chunk.get(..start + cut.used).unwrap_or_default();
            let mut next = self.progress.advanced(if cut.used > 0 { used } else { &[] });
            (next.is_skipping, next.changed_unix_ns) = (cut.is_skipping, look.changed_unix_ns);
            let is_unfinished = at_end && used.len() < chunk.len();
            let patience = framing.patience(quiet).filter(|_| is_unfinished);
            return Ok(Taken {
                records: cut.records,
                from: self.progress.position + start as u64,
                next,
                pieces: cut.pieces,
                has_more: !at_end || cut.is_full,
                due: patience.map(|patience| self.changed + patience),
                restarted: None,
            });
        }
    }

    /// The bytes behind the position, read in one go with those before it: `None` if these are not
    /// the ones they were, for then the file was cut and written anew.
    fn behind_the_marker(&mut self, room: usize) -> io::Result<Option<Bytes>> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let recent = self.progress.recent.as_deref().unwrap_or_default();
        let from = self.progress.position.saturating_sub(recent.len() as u64);
        let bytes = file.read_at(from, recent.len() + room)?;
        let is_same = bytes.starts_with(recent);
        Ok(is_same.then(|| Bytes::from(bytes).split_off(recent.len())))
    }

    fn restart(&mut self, why: &'static str) -> Taken {
        let changed_unix_ns = self.progress.changed_unix_ns;
        let anew = Progress { changed_unix_ns, ..Progress::start() };
        let before = std::mem::replace(&mut self.progress, anew);
        self.revision += 1;
        let restarted = Some(Restart { why, before });
        Taken { has_more: true, restarted, ..Taken::nothing(self.progress.clone()) }
    }
}

impl Taken {
    fn nothing(next: Progress) -> Self {
        let (records, from, pieces) = (Vec::new(), next.position, 0);
        Self { records, from, next, pieces, has_more: false, due: None, restarted: None }
    }
}

fn not_open() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the file is not open")
}

//! One followed file: opened, recognised, read on from where its lines are safe.

mod beginning;
mod recognise;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::time::Instant;

use super::body::Body;
use super::names;
use super::progress::{Digest, Progress, Resume};
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
    /// Of its first bytes, when they were last looked at and nothing was read of it yet.
    begun: Digest,
    /// The first of its bytes, and the stamp it had when they were read.
    first: Option<((u64, i128), Vec<u8>)>,
    /// Whether the last attempt to read it failed; it is tried again at the next scan.
    pub(super) is_in_trouble: bool,
    /// What the system said then, unless it only was not there.
    pub(super) trouble: Option<String>,
    handle: Option<Body>,
    /// The open file, compressed, begins as it should; the way to the position may take several turns.
    is_head_known: bool,
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

/// A reason why a file is begun anew.
const OTHER_MARKER: &str = "other bytes stand where it was read last";

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
            begun: Digest::default(),
            first: None,
            is_in_trouble: false,
            trouble: None,
            handle: None,
            is_head_known: false,
            stamp: None,
            judged: None,
            changed: now,
            used: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.handle.is_some()
    }

    /// Whether it takes the memory that decompressing takes.
    pub(super) fn is_unpacking(&self) -> bool {
        self.handle.as_ref().is_some_and(Body::is_unpacking)
    }

    /// Whether somebody still writes the compressed file, as far as it was read.
    pub(super) fn is_torn(&self) -> bool {
        self.handle.as_ref().is_some_and(Body::is_torn)
    }

    /// Gives back the memory that decompressing takes.
    pub(super) fn rest(&mut self) {
        self.handle.as_mut().into_iter().for_each(Body::rest);
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
        if let Some(body) = &mut self.handle {
            // If it cannot be told now, whoever reads it meets the same error.
            drop(body.tell_form());
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

    /// How long its content is, compressed or not, if the open file tells that near the position.
    pub(super) fn length(&mut self) -> Option<u64> {
        let body = self.handle.as_mut()?;
        if body.is_packed() {
            // Its end shows only where it is read.
            let read = body.read_at(self.progress.position, 1);
            body.rest();
            read.ok()?;
        }
        body.length(&body.look().ok()?)
    }

    /// Opens `path`, which must lead to this very file.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<()> {
        let file = Body::open(path)?;
        if file.look()?.id != self.id {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another file stands there now"));
        }
        self.is_packed = file.is_packed();
        (self.handle, self.is_head_known) = (Some(file), false);
        // A closed file may have been changed, or deleted and its inode used again.
        self.progress.recent = None;
        Ok(())
    }

    /// Lets the handle go; the content is compared again when it is next opened.
    pub(super) fn close(&mut self) {
        self.handle = None;
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
            if self.is_packed {
                self.be_done();
                return Ok(Taken::nothing(self.progress.clone()));
            }
            return Ok(self.restart("it is shorter than what was read of it"));
        }
        if let Resume::FromStart(why) = self.recognise_unless_grown(&look, length)? {
            return Ok(self.restart(why));
        }
        // One byte more than there is: if it does not come, this was the end.
        let there = length.map(|length| length - self.progress.position + 1);
        let there = there.and_then(|there| usize::try_from(there).ok()).unwrap_or(usize::MAX);
        let (mut room, mut records_max) = (share.bytes.min(there), share.records);
        loop {
            let chunk = match self.behind_the_marker(room)? {
                Ok(chunk) => chunk,
                Err(why) => return Ok(self.restart(why)),
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

    /// The bytes behind the position, read in one go with those before it; or why it is known, by these,
    /// that the file was cut and written anew.
    fn behind_the_marker(&mut self, room: usize) -> io::Result<Result<Bytes, &'static str>> {
        let file = self.handle.as_mut().ok_or_else(not_open)?;
        let recent = self.progress.recent.as_deref().unwrap_or_default();
        let from = self.progress.position.saturating_sub(recent.len() as u64);
        let bytes = file.read_at(from, recent.len() + room)?;
        if !bytes.starts_with(recent) {
            return Ok(Err(OTHER_MARKER));
        }
        let chunk = Bytes::from(bytes).split_off(recent.len());
        if self.progress.position == 0 && !self.begins_as_before(&chunk)? {
            return Ok(Err("it begins with other bytes than it did, and none of those was read"));
        }
        Ok(Ok(chunk))
    }

    fn restart(&mut self, why: &'static str) -> Taken {
        let changed_unix_ns = self.progress.changed_unix_ns;
        let anew = Progress { changed_unix_ns, ..Progress::start() };
        let before = std::mem::replace(&mut self.progress, anew);
        self.revision += 1;
        self.begun = Digest::default();
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

//! Copies: what was read of a file goes on in another one, compressed or not.
//!
//! A file is truncated after it was copied, or deleted after it was compressed. What was not read of
//! it then stands in the copy, behind the position. A copy is known by its name, and by what was read;
//! one whose original is still there is not read at all.

use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::body::Body;
use super::file::{Followed, Place, Restart, Stand};
use super::files::{Files, GRACE};
use super::progress::{COPY_BYTES_MIN, Likeness, Progress, Resume};
use super::round::Batch;
use super::{mark, names};
use crate::base::disk::foreign::ForeignId;

/// So much of a compressed copy is compared to tell whose it is: more is decompressed only where it is read.
pub(super) const PACKED_DEPTH: u64 = 1 << 20;

/// So much of two files is compared of which nothing was read.
const ALIKE_BYTES: usize = 64 << 10;

/// Until when it cannot be told that a file is nobody's copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// It can.
    None,
    /// Until it has not changed for a while.
    UntilQuiet,
    /// Until it has more of what is being written into it.
    UntilItGrows,
}

/// A file that holds what was read of another one.
struct Heir {
    id: ForeignId,
    path: PathBuf,
    /// It ends before the position: all of it was read.
    is_shorter: bool,
}

impl Files {
    /// Whether a file may be read; one that is called like a copy is compared first.
    pub(super) fn may_read(&mut self, id: ForeignId, now: Instant) -> io::Result<bool> {
        let Some(file) = self.all.get_mut(&id) else { return Ok(false) };
        if file.stand == Stand::Own {
            return Ok(true);
        }
        let look = file.look()?;
        file.note(&look, now);
        if let Stand::CopyOf(original) = file.stand
            && !file.has_changed_since_judged()
            && !self.outgrew(id, original)
        {
            return Ok(false);
        }
        let (stand, doubt) = self.compare(id)?;
        let Some(file) = self.all.get_mut(&id) else { return Ok(false) };
        let quiet_at = file.changed + GRACE;
        let is_doubtful =
            doubt == Doubt::UntilItGrows || doubt == Doubt::UntilQuiet && now < quiet_at;
        if stand == Stand::Own && is_doubtful && !self.is_once {
            file.stand = Stand::Unjudged;
            file.rest();
            if now < quiet_at {
                self.due.insert(id, quiet_at);
            }
            return Ok(false);
        }
        file.judge(stand);
        self.may_be_unsaved = true;
        if stand == Stand::Own {
            return Ok(true);
        }
        tracing::debug!(
            tail = self.name,
            path = %file.path.display(),
            "a copy of a followed file is not read again"
        );
        self.close(id);
        // Its original may be gone already.
        self.wants_scan = true;
        Ok(false)
    }

    /// What an open file is to the others, and whether that may change if it grows.
    fn compare(&mut self, id: ForeignId) -> io::Result<(Stand, Doubt)> {
        let originals = self.originals(id)?;
        let Some(file) = self.all.get_mut(&id) else { return Ok((Stand::Own, Doubt::None)) };
        // Compressed, it may be half of what it will be.
        let mut doubt = if file.is_packed { Doubt::UntilQuiet } else { Doubt::None };
        let mut is_like = Vec::new();
        let depth = if file.is_packed { PACKED_DEPTH } else { u64::MAX };
        for (original, progress) in originals {
            match file.holds(&progress, depth)? {
                likeness if likeness.is_copy() => is_like.push(original),
                Likeness::Other => {}
                // Whoever compresses makes an empty file first.
                _ if file.is_torn() || file.bytes == 0 => doubt = Doubt::UntilItGrows,
                _ => doubt = doubt.max(Doubt::UntilQuiet),
            }
        }
        let unread = self.unread_originals(id);
        is_like.extend(unread);
        let original = is_like.into_iter().find(|original| !self.outgrew(id, *original));
        Ok((original.map_or(Stand::Own, Stand::CopyOf), doubt))
    }

    /// Files that a new one begins like, of which it is not known yet what they hold.
    fn unread_originals(&mut self, id: ForeignId) -> Vec<ForeignId> {
        let path = self.all.get(&id).map(|copy| copy.path.clone());
        path.map(|path| self.begin_alike(&path, id)).unwrap_or_default()
    }

    /// Files of which it is not known yet what they hold, and that begin like what stands at `path`.
    pub(super) fn begin_alike(&mut self, path: &Path, id: ForeignId) -> Vec<ForeignId> {
        let unread = |file: &Followed| {
            file.id != id
                && file.stand == Stand::Own
                && (file.is_unread() || file.progress.recent.is_none())
                && (file.is_open() || !matches!(file.place, Place::Gone { .. }))
        };
        let mut originals = self.kin_of(path);
        originals.retain(|kin| self.all.get(kin).is_some_and(unread));
        if originals.is_empty() {
            return Vec::new();
        }
        let Ok(head) = Body::open(path).and_then(|mut body| body.read_at(0, ALIKE_BYTES)) else {
            return Vec::new();
        };
        let alike = originals.into_iter().filter_map(|kin| {
            let file = self.all.get_mut(&kin).filter(|file| file.may_begin_like(&head))?;
            let other = file.beginning(ALIKE_BYTES).ok()?;
            let is_same = head.starts_with(&other) || other.starts_with(&head);
            (is_same && !head.is_empty() && !other.is_empty()).then_some(file.id)
        });
        alike.collect()
    }

    /// Whether a file is longer than the one it would be a copy of, which is still as it was read: then
    /// they only begin the same.
    fn outgrew(&mut self, id: ForeignId, original: ForeignId) -> bool {
        let Some(copy) = self.all.get(&id).filter(|copy| !copy.is_packed) else { return false };
        let Ok(bytes) = copy.look().map(|look| look.bytes) else { return false };
        if self.open(original).is_err() {
            return false;
        }
        let Some(before) = self.all.get_mut(&original) else { return false };
        let is_intact = matches!(before.recognise(), Ok(Resume::Here));
        is_intact && before.length().is_some_and(|length| bytes > length)
    }

    /// Files of which a new one may be a copy.
    fn originals(&mut self, id: ForeignId) -> io::Result<Vec<(ForeignId, Progress)>> {
        let Some(path) = self.all.get(&id).map(|copy| copy.path.clone()) else {
            return Ok(Vec::new());
        };
        let kin = self.kin_of(&path);
        let beginning = match self.all.get_mut(&id).filter(|_| !kin.is_empty()) {
            Some(copy) => copy.beginning(COPY_BYTES_MIN)?,
            None => Vec::new(),
        };
        let may_be = |file: &&Followed| {
            let is_own = file.id != id && file.stand == Stand::Own;
            is_own && file.latest().may_begin_with(&beginning)
        };
        let files = kin.iter().filter_map(|kin| self.all.get(kin)).filter(may_be);
        Ok(files.map(|file| (file.id, file.latest().clone())).collect())
    }

    /// Other content stands in a file. What was not read of the one before may stand in a copy.
    pub(super) fn restarted(
        &mut self,
        id: ForeignId,
        restart: Restart,
        batch: &mut Batch,
        now: Instant,
    ) {
        let Some(file) = self.all.get_mut(&id) else { return };
        self.numbers.restarts.inc();
        tracing::info!(
            tail = self.name,
            path = %file.path.display(),
            why = restart.why,
            "a followed file holds other content; it is read from the beginning"
        );
        let home = file.former_home.take().unwrap_or_else(|| file.home.clone());
        let mut lost = Followed::new(id, file.mark.clone(), &home, now);
        lost.real.clone_from(&file.real);
        (lost.bytes, lost.progress) = (restart.before.position, restart.before);
        let since = lost.progress.changed_unix_ns;
        let heir = self.bequeath(&lost, now);
        if heir.is_some()
            && let Some(file) = self.all.get_mut(&id)
        {
            // The mark goes with the content; both become durable in one group.
            file.mark = mark::fresh(&self.prefix, id);
        }
        self.rehome(now);
        self.take_in_generations(&home, since, heir, now);
        heir.and_then(|heir| self.all.get(&heir)).into_iter().for_each(|file| batch.note(file));
        if let Some(file) = self.all.get_mut(&id) {
            if names::looks_rotated(&file.path) {
                file.stand = Stand::Unjudged;
            } else {
                batch.note(file);
            }
        }
        self.turn.wake(id);
    }

    /// Looks for what was read of a closed file that is gone. `true` if it was found.
    pub(super) fn seek(&mut self, id: ForeignId, now: Instant) -> bool {
        if self.all.get(&id).is_none_or(Followed::is_open) {
            return false;
        }
        let Some(lost) = self.all.remove(&id) else { return false };
        let Some(heir) = self.bequeath(&lost, now) else {
            self.all.insert(id, lost);
            return false;
        };
        self.release_of(&lost);
        self.leaving.remove(&id);
        self.turn.forget(id);
        self.due.remove(&id);
        if !lost.is_drained {
            self.may_have_successors(lost.home.clone(), &lost.progress, Some(heir));
        }
        true
    }

    /// Seeks for those whose place another file's content was found in.
    pub(super) fn rehome(&mut self, now: Instant) {
        while let Some(lost) = self.homeless.pop() {
            if self.bequeath(&lost, now).is_some() {
                continue;
            }
            if lost.is_unread() {
                // What it held may lie under any name that came since.
                self.may_have_successors(lost.home.clone(), &lost.progress, None);
            }
            if lost.stand == Stand::Own {
                self.count_vanished(&lost);
            }
            self.board.strike(&lost.mark);
            self.forgets.push(lost.mark);
        }
    }

    /// Whether a new file may turn out to be a copy of this one.
    pub(super) fn may_have_heir(&self, id: ForeignId) -> bool {
        let Some(lost) = self.all.get(&id) else { return false };
        let is_unjudged = |file: &&Followed| file.stand == Stand::Unjudged && file.bytes > 0;
        self.all.values().filter(is_unjudged).any(|file| lost.may_have_copy(&file.path))
    }

    /// Goes on in a copy, if there is one; whoever was thought to be there becomes homeless.
    fn bequeath(&mut self, lost: &Followed, now: Instant) -> Option<ForeignId> {
        if !lost.latest().is_recognisable() {
            return None;
        }
        let mut best: Option<Heir> = None;
        for path in self.rotated_beside(lost) {
            match self.is_heir(&path, lost) {
                Ok(Some(heir)) if !heir.is_shorter => {
                    best = Some(heir);
                    break;
                }
                Ok(Some(heir)) => best = best.or(Some(heir)),
                Ok(None) | Err(_) => {}
            }
        }
        let heir = best?;
        let displaced = self.vacate(heir.id);
        self.homeless.extend(displaced);
        Some(self.inherit(lost, heir, now))
    }

    /// Names beside a file that may be those of its copies, and its own if only its content can tell.
    fn rotated_beside(&mut self, lost: &Followed) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for place in self.listing.places_of(lost) {
            let named = self.listing.beside(&place).into_iter();
            let may_be = |path: &PathBuf| {
                names::may_be_copy(path, &place) || lost.is_without_number() && *path == place
            };
            paths.extend(named.filter(may_be));
        }
        paths
    }

    /// Whether a file holds what was read of another one, and nothing that weir knows it by.
    fn is_heir(&self, path: &Path, lost: &Followed) -> io::Result<Option<Heir>> {
        let mut body = Body::open(path)?;
        let id = body.look()?.id;
        if id == lost.id || self.is_somebody(id, &mut body, Some(lost.id))? {
            return Ok(None);
        }
        // What is behind is compared on the way to the position.
        let depth = if body.is_packed() { PACKED_DEPTH } else { u64::MAX };
        let likeness =
            lost.latest().likeness(depth, |offset, bytes| body.read_at(offset, bytes))?;
        // Of one that is still being compressed nobody knows where it will end.
        let is_whole = body.length(&body.look()?).is_some();
        let is_shorter = likeness != Likeness::Same;
        let is_copy = likeness.is_copy() && (is_whole || !is_shorter);
        Ok(is_copy.then(|| Heir { id, path: path.to_path_buf(), is_shorter }))
    }

    /// Whether weir follows what an open file holds. Its number alone does not tell: those of files that
    /// are gone are used again.
    pub(super) fn is_somebody(
        &self,
        id: ForeignId,
        body: &mut Body,
        original: Option<ForeignId>,
    ) -> io::Result<bool> {
        let Some(known) = self.all.get(&id) else { return Ok(false) };
        match known.stand {
            Stand::Unjudged => return Ok(original.is_none()),
            Stand::CopyOf(of) => return Ok(Some(of) != original),
            Stand::Own if known.is_open() && known.progress.recent.is_some() => return Ok(true),
            Stand::Own if !known.progress.is_recognisable() => {
                return Ok(original.is_none() && !matches!(known.place, Place::Gone { .. }));
            }
            Stand::Own => {}
        }
        let is_far = known.progress.is_done || body.is_packed();
        let depth = if is_far { PACKED_DEPTH } else { u64::MAX };
        let likeness = known.progress.likeness(depth, |offset, bytes| body.read_at(offset, bytes));
        Ok(likeness? == Likeness::Same)
    }

    /// Takes a file out, as if it had never been known; its mark is left to the caller.
    pub(super) fn vacate(&mut self, id: ForeignId) -> Option<Followed> {
        self.stay(id);
        self.close(id);
        self.turn.forget(id);
        self.due.remove(&id);
        self.all.remove(&id)
    }

    /// Goes on in the copy, and holds up who stands at the old path until it is read.
    fn inherit(&mut self, lost: &Followed, heir: Heir, now: Instant) -> ForeignId {
        let Heir { id, path, is_shorter } = heir;
        tracing::info!(
            tail = self.name,
            path = %lost.home.display(),
            copy = %path.display(),
            position = lost.progress.position,
            "what was read of a file goes on in a copy of it"
        );
        let is_found = self.globs.matches(&path);
        let home = if is_found { &path } else { &lost.home };
        let mut file = Followed::new(id, lost.mark.clone(), home, now);
        (file.path, file.real) = (path.clone(), path.clone());
        file.place = if is_found { Place::Here } else { Place::Aside };
        file.bytes = lost.bytes;
        file.progress = Progress { recent: None, ..lost.progress.clone() };
        file.pending.clone_from(&lost.pending);
        self.all.insert(id, file);
        self.kin.forget();
        self.taken_in.insert(id);
        for copy in self.all.values_mut() {
            if copy.stand == Stand::CopyOf(lost.id) {
                copy.stand = Stand::Unjudged;
                self.turn.wake(copy.id);
            }
        }
        let opened = self.open_at(id, &path);
        if let Some(file) = self.all.get_mut(&id) {
            if is_shorter {
                file.behind = file.pending.take().map(|_| file.progress.clone());
                if opened.and_then(|()| file.skip_all()).is_err() {
                    file.progress.is_done = true;
                }
            }
            file.progress.is_done |= lost.is_drained && file.is_packed;
        }
        self.may_be_unsaved = true;
        self.leave(id, lost.home.clone(), now);
        id
    }
}

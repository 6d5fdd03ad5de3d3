//! Copies: what was read of a file goes on in another one, compressed or not.
//!
//! A file is truncated after it was copied, or deleted after it was compressed. What was not read of
//! it then stands in the copy, behind the position. A copy is known by its name, and by the head and
//! the marker of what was read; one whose original is still there is not read at all.

use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::body::Body;
use super::file::{Followed, Place, Restart, Stand};
use super::files::{Files, GRACE};
use super::progress::{Likeness, Progress, Resume};
use super::round::Batch;
use super::{mark, names};
use crate::base::disk::foreign::{self, ForeignId, ForeignKind};

/// Most rotated files taken in at once that came and went unseen.
const GENERATIONS_MAX: usize = 100;

/// A file that holds what was read of another one.
struct Heir {
    id: ForeignId,
    path: PathBuf,
    /// Where the globs would find it.
    home: PathBuf,
}

impl Files {
    /// Whether a file may be read; one that is called like a copy is compared first.
    pub(super) fn may_read(&mut self, id: ForeignId, now: Instant) -> io::Result<bool> {
        match self.all.get(&id).map(|file| file.stand) {
            Some(Stand::Unjudged) => {}
            Some(Stand::CopyOf(original)) if self.outgrew(id, original) => {}
            stand => return Ok(stand == Some(Stand::Own)),
        }
        let originals = self.originals(id);
        let Some(file) = self.all.get_mut(&id) else { return Ok(false) };
        let look = file.look()?;
        file.note(&look, now);
        // Compressed, it may be half of what it will be.
        let (mut is_like, mut is_unsure) = (Vec::new(), file.is_packed);
        for (original, progress) in originals {
            match file.holds(&progress, file.is_packed)? {
                Likeness::Same => is_like.push(original),
                Likeness::Shorter => is_unsure = true,
                Likeness::Other => {}
            }
        }
        let original = is_like.into_iter().find(|original| !self.outgrew(id, *original));
        let stand = original.map_or(Stand::Own, Stand::CopyOf);
        let Some(file) = self.all.get_mut(&id) else { return Ok(false) };
        let quiet_at = file.changed + GRACE;
        if stand == Stand::Own && is_unsure && !self.is_once && now < quiet_at {
            self.due.insert(id, quiet_at);
            return Ok(false);
        }
        file.stand = stand;
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

    /// Whether a file is longer than the one it would be a copy of, which is still as it was read: then
    /// they only begin the same.
    fn outgrew(&mut self, id: ForeignId, original: ForeignId) -> bool {
        if self.open(original).is_err() {
            return false;
        }
        let Some(before) = self.all.get_mut(&original) else { return false };
        let is_intact = matches!(before.recognise(), Ok(Resume::Here));
        let Ok(most) = before.look().map(|look| look.bytes) else { return false };
        let Some(copy) = self.all.get(&id).filter(|copy| is_intact && !copy.is_packed) else {
            return false;
        };
        copy.look().is_ok_and(|look| look.bytes > most)
    }

    /// Files of which a new one may be a copy.
    fn originals(&self, id: ForeignId) -> Vec<(ForeignId, Progress)> {
        let Some(copy) = self.all.get(&id) else { return Vec::new() };
        let folder = copy.path.parent();
        let may_be = |file: &&Followed| {
            file.id != id
                && file.stand == Stand::Own
                && names::may_be_copy(&copy.path, &file.home)
                && (file.home.parent() == folder || file.real.parent() == folder)
        };
        self.all.values().filter(may_be).map(|file| (file.id, file.progress.clone())).collect()
    }

    /// Other content stands in a file. What was not read of the one before may stand in a copy.
    pub(super) fn restarted(
        &mut self,
        id: ForeignId,
        restart: Restart,
        batch: &mut Batch,
        now: Instant,
    ) {
        let Some(file) = self.all.get(&id) else { return };
        self.numbers.restarts.inc();
        tracing::info!(
            tail = self.name,
            path = %file.path.display(),
            why = restart.why,
            "a followed file holds other content; it is read from the beginning"
        );
        let mut lost = Followed::new(id, file.mark.clone(), &file.home, now);
        lost.real.clone_from(&file.real);
        lost.progress = restart.before;
        if let Some(heir) = self.heir(&lost) {
            // The mark goes with the content; both become durable in one group.
            let fresh = mark::fresh(&self.prefix, id);
            if let Some(file) = self.all.get_mut(&id) {
                file.mark = fresh;
            }
            self.board.renumber(id, heir.id);
            let heir = self.inherit(lost, heir, now);
            self.all.get(&heir).into_iter().for_each(|file| batch.note(file));
            self.take_in_generations(heir, now);
        }
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
        let can_be_sought = |file: &&Followed| !file.is_open() && file.progress.is_recognisable();
        if !self.all.get(&id).is_some_and(|file| can_be_sought(&file)) {
            return false;
        }
        let Some(lost) = self.all.remove(&id) else { return false };
        let Some(heir) = self.heir(&lost) else {
            self.all.insert(id, lost);
            return false;
        };
        self.release_of(&lost);
        self.leaving.remove(&id);
        self.turn.forget(id);
        self.due.remove(&id);
        self.board.renumber(id, heir.id);
        let is_drained = lost.is_drained;
        let heir = self.inherit(lost, heir, now);
        if !is_drained {
            self.take_in_generations(heir, now);
        }
        true
    }

    /// Whether a new file may turn out to be a copy of this one.
    pub(super) fn may_have_heir(&self, id: ForeignId) -> bool {
        let Some(lost) = self.all.get(&id) else { return false };
        self.all
            .values()
            .any(|file| file.stand == Stand::Unjudged && names::may_be_copy(&file.path, &lost.home))
    }

    fn heir(&mut self, lost: &Followed) -> Option<Heir> {
        let may_be = |file: &&Followed| match file.stand {
            // Its number may be that of another file that weir knew: that content is gone.
            Stand::Own => {
                let is_unsure = !file.is_open() || file.progress.recent.is_none();
                is_unsure && names::may_be_copy(&file.path, &lost.home)
            }
            Stand::CopyOf(original) => original == lost.id,
            Stand::Unjudged => names::may_be_copy(&file.path, &lost.home),
        };
        let known: Vec<_> = self.all.values().filter(may_be).map(|file| file.id).collect();
        for id in known {
            if self.open(id).is_err() {
                continue;
            }
            let Some(copy) = self.all.get_mut(&id) else { continue };
            if copy.stand == Stand::Own && !matches!(copy.recognise(), Ok(Resume::FromStart(_))) {
                continue;
            }
            let likeness = copy.holds(&lost.progress, lost.is_drained);
            if matches!(likeness, Ok(Likeness::Same)) {
                let (path, home) = (copy.path.clone(), copy.path.clone());
                self.close(id);
                self.turn.forget(id);
                self.due.remove(&id);
                self.board.strike(id);
                self.forgets.extend(self.all.remove(&id).map(|copy| copy.mark));
                return Some(Heir { id, path, home });
            }
        }
        let heir = lost.folders().into_iter().find_map(|folder| self.heir_in(&folder, lost))?;
        self.forget(heir.id);
        Some(heir)
    }

    /// Whether a number is that of a file that is where it is expected; those of files that are gone
    /// are used again.
    fn is_known(&self, id: ForeignId) -> bool {
        self.all.get(&id).is_some_and(|file| !matches!(file.place, Place::Gone { .. }))
    }

    /// One in a folder that nobody follows.
    fn heir_in(&self, folder: &Path, lost: &Followed) -> Option<Heir> {
        foreign::list(folder).ok()?.into_iter().find_map(|name| {
            let path = folder.join(&name.name);
            if name.kind != ForeignKind::File || !names::may_be_copy(&path, &lost.home) {
                return None;
            }
            let id = foreign::look(&path).ok()?.id;
            if self.is_known(id) || id == lost.id {
                return None;
            }
            let mut body = Body::open(&path).ok()?;
            let read = |offset, bytes| body.read_at(offset, bytes);
            let likeness = lost.progress.likeness(lost.is_drained, read).ok()?;
            let home = lost.home.clone();
            (likeness == Likeness::Same).then_some(Heir { id, path, home })
        })
    }

    /// Goes on in the copy, and holds up who stands at the old path until it is read.
    fn inherit(&mut self, mut lost: Followed, heir: Heir, now: Instant) -> ForeignId {
        let Heir { id, path, home } = heir;
        tracing::info!(
            tail = self.name,
            path = %lost.home.display(),
            copy = %path.display(),
            position = lost.progress.position,
            "what was read of a file goes on in a copy of it"
        );
        if lost.is_drained {
            lost.progress = Progress::done();
        }
        lost.close();
        lost.progress.recent = None;
        let left = std::mem::replace(&mut lost.home, home);
        let place = if lost.home == path { Place::Here } else { Place::Aside };
        let mut file = Followed::new(id, lost.mark, &lost.home, now);
        (file.path, file.real, file.place) = (path.clone(), path, place);
        (file.progress, file.bytes) = (lost.progress, lost.bytes);
        self.all.insert(id, file);
        self.may_be_unsaved = true;
        self.leave(id, left, now);
        id
    }

    /// Files that came to the path of a rotated one and were rotated too before anybody saw them:
    /// they are called after it, were changed later, and are read before who stands there now.
    pub(super) fn take_in_generations(&mut self, id: ForeignId, now: Instant) {
        let Some(first) = self.all.get(&id) else { return };
        let since = first.changed_unix_ns();
        // Of a file that is lost altogether, its successors are all there is.
        let (home, mut before) = match &first.leaving {
            Some(leaving) => (leaving.left.clone(), Some(id)),
            None => (first.home.clone(), None),
        };
        for (path, id) in self.generations(&home, since) {
            tracing::info!(
                tail = self.name,
                path = %path.display(),
                "a file was rotated before it was seen; it is read from its beginning"
            );
            self.forget(id);
            let mut file = Followed::new(id, mark::fresh(&self.prefix, id), &home, now);
            (file.path, file.real, file.place) = (path.clone(), path.clone(), Place::Aside);
            self.all.insert(id, file);
            if let Some(before) = before {
                self.leave(before, path, now);
            }
            self.leave(id, home.clone(), now);
            before = Some(id);
        }
    }

    /// Rotated files of `home` that nobody knows and that changed after `since`, the oldest first.
    fn generations(&self, home: &Path, since: i128) -> Vec<(PathBuf, ForeignId)> {
        let mut found = Vec::new();
        let Some(folder) = home.parent() else { return Vec::new() };
        let names = foreign::list(folder).unwrap_or_default();
        for name in &names {
            let path = folder.join(&name.name);
            let is_one = name.kind == ForeignKind::File && names::is_generation(&path, home);
            // What is being compressed is read where it stands.
            let is_packing = names::plain_name(&path)
                .is_some_and(|plain| names.iter().any(|one| one.name.as_encoded_bytes() == plain));
            if !is_one || is_packing || self.globs.excludes(&path) {
                continue;
            }
            let Ok(look) = foreign::look(&path) else { continue };
            let is_younger = look.changed_unix_ns > since && look.bytes > 0;
            if is_younger && !self.is_known(look.id) && !self.is_copy(&path) {
                found.push((look.changed_unix_ns, path, look.id));
            }
        }
        found.sort();
        found.into_iter().map(|(_, path, id)| (path, id)).take(GENERATIONS_MAX).collect()
    }

    /// Whether a file begins with what was read of another.
    fn is_copy(&self, path: &Path) -> bool {
        let Ok(mut body) = Body::open(path) else { return true };
        let mut originals = self
            .all
            .values()
            .filter(|file| file.stand == Stand::Own && names::may_be_copy(path, &file.home));
        originals.any(|file| {
            let likeness =
                file.progress.likeness(true, |offset, bytes| body.read_at(offset, bytes));
            matches!(likeness, Ok(Likeness::Same))
        })
    }
}

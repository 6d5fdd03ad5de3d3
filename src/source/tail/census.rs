//! What a scan found is compared with what is followed: who is new, who moved, who is gone.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::time::Instant;

use super::StartAt;
use super::body::is_not_yet;
use super::file::{Followed, Place, Stand};
use super::files::{Birth, Files};
use super::progress::Resume;
use super::search::{Found, FoundFile};
use super::unsettled::Unsettled;
use super::{mark, names};
use crate::base::disk::foreign::{self, ForeignId, ForeignKind, Look};

/// The path by which each file is taken.
type Here<'a> = HashMap<ForeignId, &'a PathBuf>;
/// Inode and home.
type Absent = BTreeMap<(u64, PathBuf), ForeignId>;

impl Files {
    /// Takes in a scan. Blocks.
    pub(super) fn census(&mut self, found: &Found, now: Instant) {
        self.complain_about(found);
        self.listing.clear();
        self.kin.forget();
        self.taken_in.clear();
        let here = self.one_path_each(found);
        let mut absent = self.absent(&here);
        // By path, not by inode, so that of several new files the order can be foreseen.
        for (path, file) in &found.files {
            let id = file.look.id;
            if here.get(&id).is_none_or(|chosen| *chosen != path) {
                continue;
            }
            if !self.all.contains_key(&id) {
                self.welcome(path, &file.look, &mut absent, now);
            }
            self.see_here(id, path, file, now);
        }
        let missing: BTreeSet<_> =
            self.all.keys().filter(|id| !here.contains_key(id)).copied().collect();
        let unsure = self.look_aside(&missing, now);
        self.rehome(now);
        self.succeed(now);
        self.follow_links(now);
        for id in missing {
            if !self.taken_in.contains(&id) {
                self.retire(id, unsure.contains(&id), now);
            }
        }
        if self.birth == Birth::Unscanned {
            self.birth = Birth::Unsaved;
        }
        self.may_be_unsaved = true;
        self.weigh_deleted();
        self.draw_up();
    }

    /// Takes in new files without looking through all folders. Gives those back of which only a scan
    /// can tell who they are, and who else came to their folders. Blocks.
    pub(super) fn meet(&mut self, appeared: BTreeSet<PathBuf>, now: Instant) -> Unsettled {
        let names: BTreeSet<_> = appeared.iter().map(|path| path.as_os_str()).collect();
        let paths = self.all.values().flat_map(|file| [&file.home, &file.path]);
        let had = paths.filter(|path| names.contains(path.as_os_str()));
        let had: BTreeSet<_> = had.cloned().collect();
        let mut unmet = Unsettled::default();
        for path in appeared {
            if unmet.touches(&path) || had.contains(&path) || !self.meet_one(&path, now) {
                unmet.note(path);
            }
        }
        unmet
    }

    /// Where nothing can depend on others: a name nobody had, a number nobody has, and no copy of
    /// anybody. `false` if it is not so.
    fn meet_one(&mut self, path: &Path, now: Instant) -> bool {
        let is_straight = foreign::resolve(path).is_ok_and(|real| real == path);
        let is_alone = self.birth == Birth::Done
            && is_straight
            && self.globs.matches(path)
            && self.homeless.is_empty()
            && !self.by_path.contains_key(path)
            && !self.holds.contains_key(path);
        let look = foreign::look(path).ok().filter(|look| look.kind == ForeignKind::File);
        let Some(look) = look.filter(|look| is_alone && look.names == 1) else { return false };
        let may_be_copy = names::looks_rotated(path) && !self.kin_of(path).is_empty();
        if may_be_copy || self.all.contains_key(&look.id) {
            return false;
        }
        self.welcome(path, &look, &mut Absent::new(), now);
        self.see_here(look.id, path, &FoundFile { look, target: None }, now);
        self.by_path.insert(path.to_path_buf(), look.id);
        self.may_be_unsaved = true;
        if let Some(file) = self.all.get(&look.id) {
            self.kin.add(file);
            if file.stand == Stand::Own {
                self.board.show(file);
            }
        }
        true
    }

    /// A file may have several names; the one it is followed by already is kept.
    fn one_path_each<'a>(&self, found: &'a Found) -> Here<'a> {
        let mut here = Here::with_capacity(found.files.len());
        for (path, file) in &found.files {
            let id = file.look.id;
            match here.entry(id) {
                Entry::Vacant(place) => _ = place.insert(path),
                Entry::Occupied(mut place) => {
                    if self.all.get(&id).is_some_and(|known| known.path == *path) {
                        place.insert(path);
                    }
                }
            }
        }
        here
    }

    /// Closed files that were not found, by what stays the same if only the device's number changed.
    fn absent(&self, here: &Here<'_>) -> Absent {
        let absent = |file: &&Followed| !file.is_open() && !here.contains_key(&file.id);
        let files = self.all.values().filter(absent);
        files.map(|file| ((file.id.inode, file.home.clone()), file.id)).collect()
    }

    /// A file nobody knew: one whose device got another number, or really a new one.
    fn welcome(&mut self, path: &Path, look: &Look, absent: &mut Absent, now: Instant) {
        let id = look.id;
        let renumbered = absent.remove(&(id.inode, path.to_path_buf()));
        renumbered.iter().for_each(|before| self.stay(*before));
        if let Some(before) = renumbered
            && let Some(mut file) = self.all.remove(&before)
        {
            self.turn.forget(before);
            file.id = id;
            file.revision += 1;
            self.all.insert(id, file);
            return;
        }
        if self.wants_again(id, path) {
            return;
        }
        let mut file = Followed::new(id, mark::fresh(&self.prefix, id), path, now);
        if self.birth == Birth::Done && names::looks_rotated(path) {
            file.stand = Stand::Unjudged;
        }
        file.begin_after(look);
        self.all.insert(id, file);
        let was_there = self.birth == Birth::Unscanned && self.start_at == StartAt::End;
        if was_there || self.is_too_old(look) {
            self.begin_at_end(id, path);
        }
    }

    /// A file that was renamed while the globs were changed is read on.
    fn wants_again(&mut self, id: ForeignId, path: &Path) -> bool {
        let Some(mut file) = self.unwanted.remove(&id) else { return false };
        (file.home, file.path, file.real) = (path.into(), path.into(), path.into());
        let is_it = file.progress.is_recognisable()
            && file.open(path).is_ok()
            && match file.recognise() {
                Ok(resume) => resume == Resume::Here,
                Err(error) => is_not_yet(&error),
            };
        if is_it {
            file.revision += 1;
            self.opened.add(id, file.used);
            self.all.insert(id, file);
        }
        is_it
    }

    fn is_too_old(&self, look: &Look) -> bool {
        let age = i128::from(self.clock.unix_ms()) * 1_000_000 - look.changed_unix_ns;
        self.ignore_older
            .is_some_and(|oldest| u128::try_from(age).is_ok_and(|age| age > oldest.as_nanos()))
    }

    fn begin_at_end(&mut self, id: ForeignId, path: &Path) {
        let framing = Arc::clone(&self.framing);
        let opened = self.open(id);
        let Some(file) = self.all.get_mut(&id) else { return };
        if opened.and_then(|()| file.skip_to_end(&framing, u64::MAX)).is_err() {
            // It cannot be read now. What is in it was there before, so it is not read later either.
            file.progress.position = foreign::look(path).map(|look| look.bytes).unwrap_or_default();
            (file.progress.recent, file.progress.is_passed_over) = (None, true);
        }
    }

    fn see_here(&mut self, id: ForeignId, path: &Path, found: &FoundFile, now: Instant) {
        let Some(file) = self.all.get_mut(&id) else { return };
        let was_here = file.place == Place::Here;
        let left = (file.home != path).then(|| std::mem::replace(&mut file.home, path.into()));
        if left.is_some() && !file.is_open() && file.former_home.is_none() {
            file.former_home.clone_from(&left);
        }
        let truncated_after = file.may_have_been_truncated_unread(&found.look);
        let truncated_after = truncated_after.then(|| file.progress.clone());
        file.path = path.to_path_buf();
        file.real = found.target.clone().unwrap_or_else(|| path.to_path_buf());
        file.place = Place::Here;
        if left.is_some() {
            file.revision += 1;
        } else if !was_here {
            // It came back to where it was, or weir did.
            self.stay(id);
        }
        let Some(file) = self.all.get_mut(&id) else { return };
        if (left.is_some() || !was_here) && !file.is_open() {
            file.doubt();
        }
        let changed = file.note(&found.look, now);
        if changed || file.is_in_trouble || !was_here {
            let is_open = file.is_open();
            self.turn.wake(id);
            if !is_open && self.has_room() {
                // Opened at once, so that what it holds outlives its deletion; if that fails, its
                // turn to be read meets the same error and reports it.
                drop(self.open(id));
            }
        }
        if let Some(left) = left {
            self.leave(id, left, now);
        }
        if let Some(progress) = truncated_after {
            self.may_have_successors(path.to_path_buf(), &progress, None);
        }
    }

    fn draw_up(&mut self) {
        self.kin.forget();
        self.board.show_all(self.all.values().filter(|file| file.stand == Stand::Own));
        if !self.is_drawn_up() {
            self.by_path.clear();
            for file in self.all.values().filter(|file| file.is_somewhere()) {
                for path in file.places() {
                    self.by_path.insert(path.to_path_buf(), file.id);
                }
            }
        }
    }

    /// Whether it is known of all files, and of no others, by which path they are. Asked first, because
    /// for the most part nothing moved.
    fn is_drawn_up(&self) -> bool {
        let mut places = 0;
        let is_known = self.all.values().filter(|file| file.is_somewhere()).all(|file| {
            file.places().all(|path| {
                places += 1;
                self.by_path.get(path) == Some(&file.id)
            })
        });
        is_known && places == self.by_path.len()
    }

    fn complain_about(&mut self, found: &Found) {
        let said = |(path, error): &(PathBuf, io::Error)| (path.clone(), error.to_string());
        let now: BTreeMap<_, _> = found.unreadable.iter().map(said).collect();
        for (path, error) in &now {
            self.numbers.read_errors.inc();
            if !self.complained.contains_key(path) {
                tracing::warn!(
                    tail = self.name,
                    path = %path.display(),
                    error,
                    "a folder or file cannot be looked at; it is tried again at every scan"
                );
            }
        }
        for path in self.complained.keys().filter(|path| !now.contains_key(*path)) {
            tracing::info!(tail = self.name, path = %path.display(), "it can be looked at again");
        }
        if self.complained != now {
            self.board.show_unreadable(&now);
            self.complained = now;
        }
    }
}

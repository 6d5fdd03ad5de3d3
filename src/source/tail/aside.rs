//! Files that are no longer where they were: searched for beside it, and given up when gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::body::is_not_yet;
use super::file::{Followed, Place};
use super::files::{Files, GRACE};
use super::names;
use super::progress::Resume;
use crate::base::disk::foreign::{self, ForeignId, ForeignKind, Look};

/// How long a file is remembered whose whole folder is gone.
const FOLDER_GRACE: Duration = Duration::from_secs(24 * 3600);

impl Files {
    /// Searches the folders of missing files for them under other names. Gives those back of which
    /// it cannot be said that they are not there.
    pub(super) fn look_aside(
        &mut self,
        missing: &BTreeSet<ForeignId>,
        now: Instant,
    ) -> BTreeSet<ForeignId> {
        let mut folders: BTreeMap<PathBuf, BTreeSet<ForeignId>> = BTreeMap::new();
        for file in missing.iter().filter_map(|id| self.all.get(id)) {
            let places = self.listing.places_of(file);
            for folder in places.iter().filter_map(|place| place.parent()) {
                if !folders.contains_key(folder) {
                    folders.insert(folder.to_path_buf(), BTreeSet::new());
                }
                folders.get_mut(folder).into_iter().for_each(|wanted| _ = wanted.insert(file.id));
            }
        }
        let (mut unsure, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for (folder, wanted) in folders {
            let names = match foreign::list(&folder) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(_) => {
                    unsure.extend(wanted);
                    continue;
                }
            };
            let inodes: BTreeSet<_> = wanted.iter().map(|id| id.inode).collect();
            for name in names {
                if name.kind != ForeignKind::File || !inodes.contains(&name.inode) {
                    continue;
                }
                let path = folder.join(&name.name);
                let Ok(look) = foreign::look(&path) else { continue };
                if !wanted.contains(&look.id) || seen.contains(&look.id) {
                    continue;
                }
                match self.see_aside(&path, &look, now) {
                    Ok(true) => _ = seen.insert(look.id),
                    Ok(false) => {}
                    // It is there, whatever it holds.
                    Err(_) => _ = unsure.insert(look.id),
                }
            }
        }
        for id in missing.difference(&seen) {
            if !self.taken_in.contains(id) {
                self.lose(*id, now);
            }
        }
        unsure
    }

    /// Accepts a renamed file under a name the globs do not find, if it is the one.
    fn see_aside(&mut self, path: &Path, look: &Look, now: Instant) -> io::Result<bool> {
        let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
        let changed = file.note(look, now);
        let was_open = file.is_open();
        let is_known = file.place == Place::Aside && file.path == path && !changed;
        if !is_known && !file.is_open() {
            self.open_at(look.id, path)?;
            let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
            let known = file.progress.is_recognisable()
                || names::is_named_after(path, &file.home)
                || names::is_generation(path, &file.home);
            let is_it = known
                && match file.recognise() {
                    // So far it is the same; the rest shows when it is read.
                    Err(error) if is_not_yet(&error) => true,
                    resume => resume? == Resume::Here,
                };
            if !is_it {
                file.unsee();
                self.close(look.id);
                return Ok(false);
            }
        }
        let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
        file.path = path.to_path_buf();
        file.real = path.to_path_buf();
        if file.place != Place::Aside && !was_open {
            file.doubt();
        }
        let before = std::mem::replace(&mut file.place, Place::Aside);
        if file.leaving.is_none() && (before != Place::Aside || changed) {
            let home = file.home.clone();
            self.leave(look.id, home.clone(), now);
            if before != Place::Aside
                && let Some(file) = self.all.get(&look.id)
            {
                let progress = file.progress.clone();
                self.may_have_successors(home, &progress, Some(look.id));
            }
        } else if changed {
            self.turn.wake(look.id);
        }
        Ok(true)
    }

    fn lose(&mut self, id: ForeignId, now: Instant) {
        let Some(file) = self.all.get_mut(&id) else { return };
        if !matches!(file.place, Place::Gone { .. }) {
            file.place = Place::Gone { since: now };
        }
        if file.is_open() && file.leaving.is_none() {
            let home = file.home.clone();
            self.leave(id, home, now);
        } else if !file.is_open() && !std::mem::replace(&mut file.is_sought, true) {
            let (home, progress) = (file.home.clone(), file.progress.clone());
            let is_never_seen = file.is_never_seen();
            if !self.seek(id, now) && is_never_seen {
                self.may_have_successors(home, &progress, None);
            }
        }
    }

    /// Forgets a file that is gone for good and read as far as it can be.
    pub(super) fn retire(&mut self, id: ForeignId, unsure: bool, now: Instant) {
        let Some(file) = self.all.get(&id) else { return };
        let Place::Gone { since } = file.place else { return };
        let gone_for = now.duration_since(since);
        let is_due = !file.is_open() && gone_for >= GRACE;
        if unsure || !is_due || !(file.is_deleted || is_gone_for_good(file, gone_for)) {
            return;
        }
        // A copy may have been made since, or may still be looked at.
        if self.may_have_heir(id) || self.seek(id, now) {
            return;
        }
        if let Some(file) = self.all.get(&id) {
            self.count_vanished(file);
        }
        self.forget(id);
    }

    /// Reports what was not read of a file that is gone.
    pub(super) fn count_vanished(&self, file: &Followed) {
        let unread = file.bytes.saturating_sub(file.shown_position());
        if unread > 0 {
            self.numbers.vanished_bytes.inc_by(unread);
            tracing::warn!(
                tail = self.name,
                path = %file.path.display(),
                unread_bytes = unread,
                "a file was deleted before it was read to its end; the rest of it is lost"
            );
        }
    }
}

/// Whether the folder in which a file was is there without it: then it was deleted. A whole folder that is
/// gone may have been moved away, and come back; a whole file system may come back at any time.
fn is_gone_for_good(file: &Followed, gone_for: Duration) -> bool {
    let folder = file.real.parent().and_then(|folder| foreign::look(folder).ok());
    let above = || file.real.ancestors().skip(2).find_map(|folder| foreign::look(folder).ok());
    match folder {
        Some(folder) => folder.id.device == file.id.device,
        None => {
            let is_here = above().is_some_and(|folder| folder.id.device == file.id.device);
            is_here && gone_for >= FOLDER_GRACE
        }
    }
}

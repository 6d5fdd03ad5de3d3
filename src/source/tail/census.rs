//! What a scan found is compared with what is followed: who is new, who moved, who is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::StartAt;
use super::file::{Followed, Place};
use super::files::{Birth, Files, GRACE};
use super::find::{Found, FoundFile};
use super::mark;
use super::progress::Resume;
use crate::base::disk::foreign::{self, ForeignId, ForeignKind, Look};

impl Files {
    /// Takes in a scan. Blocks.
    pub(super) fn census(&mut self, found: &Found, now: Instant) {
        self.complain_about(found);
        let here = self.one_path_each(found);
        for (id, (path, file)) in &here {
            if !self.all.contains_key(id) {
                self.welcome(*id, path, &here, now);
            }
            self.see_here(*id, path, file, now);
        }
        let missing: BTreeSet<_> =
            self.all.keys().filter(|id| !here.contains_key(id)).copied().collect();
        let unsure = self.look_aside(&missing, now);
        for id in missing {
            self.retire(id, unsure.contains(&id), now);
        }
        if self.birth == Birth::Unscanned {
            self.birth = Birth::Unsaved;
        }
        self.draw_up();
    }

    /// A file may have several names; the one it is followed by already is kept.
    fn one_path_each<'a>(
        &self,
        found: &'a Found,
    ) -> BTreeMap<ForeignId, (&'a PathBuf, &'a FoundFile)> {
        let mut here = BTreeMap::new();
        for (path, file) in &found.files {
            let id = file.look.id;
            let is_known = self.all.get(&id).is_some_and(|known| known.path == *path);
            if is_known || !here.contains_key(&id) {
                here.insert(id, (path, file));
            }
        }
        here
    }

    /// A file nobody knew: one whose device got another number, or really a new one.
    fn welcome(
        &mut self,
        id: ForeignId,
        path: &Path,
        here: &BTreeMap<ForeignId, (&PathBuf, &FoundFile)>,
        now: Instant,
    ) {
        let renumbered = self.all.values().find(|file| {
            let is_same = file.id.inode == id.inode && file.home == path;
            is_same && !file.is_open() && !here.contains_key(&file.id)
        });
        if let Some(before) = renumbered.map(|file| file.id)
            && let Some(mut file) = self.all.remove(&before)
        {
            self.turn.forget(before);
            self.leaving.remove(&before);
            self.board.strike(before);
            file.id = id;
            file.revision += 1;
            self.all.insert(id, file);
            return;
        }
        self.all.insert(id, Followed::new(id, mark::fresh(&self.prefix, id), path, now));
        if self.birth == Birth::Unscanned && self.start_at == StartAt::End {
            self.begin_at_end(id, path);
        }
    }

    fn begin_at_end(&mut self, id: ForeignId, path: &Path) {
        let framing = self.framing;
        let opened = self.open(id);
        let Some(file) = self.all.get_mut(&id) else { return };
        if opened.and_then(|()| file.skip_to_end(framing)).is_err() {
            // It cannot be read now. What is in it was there before, so it is not read later either.
            file.progress.position = foreign::look(path).map(|look| look.bytes).unwrap_or_default();
            file.progress.recent = None;
        }
    }

    fn see_here(&mut self, id: ForeignId, path: &Path, found: &FoundFile, now: Instant) {
        let Some(file) = self.all.get_mut(&id) else { return };
        let was_here = file.place == Place::Here;
        let left = (file.home != path).then(|| std::mem::replace(&mut file.home, path.into()));
        file.path = path.to_path_buf();
        file.real = found.target.clone().unwrap_or_else(|| path.to_path_buf());
        file.place = Place::Here;
        if left.is_some() {
            file.revision += 1;
        } else if !was_here {
            // It came back to where it was, or weir did.
            file.leaving = None;
            self.leaving.remove(&id);
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
    }

    /// Searches the folders of missing files for them under other names. Gives those back of which
    /// it cannot be said that they are not there.
    fn look_aside(&mut self, missing: &BTreeSet<ForeignId>, now: Instant) -> BTreeSet<ForeignId> {
        let mut folders: BTreeMap<PathBuf, BTreeSet<ForeignId>> = BTreeMap::new();
        for file in missing.iter().filter_map(|id| self.all.get(id)) {
            for folder in file.folders() {
                folders.entry(folder).or_default().insert(file.id);
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
            self.lose(*id, now);
        }
        unsure
    }

    /// Accepts a renamed file under a name the globs do not find, if it is the one.
    fn see_aside(&mut self, path: &Path, look: &Look, now: Instant) -> io::Result<bool> {
        let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
        let changed = file.note(look, now);
        let is_known = file.place == Place::Aside && file.path == path && !changed;
        if !is_known && !file.is_open() {
            self.open_at(look.id, path)?;
            let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
            let known = file.progress.is_recognisable() || is_named_after(path, &file.home);
            if !known || file.recognise()? != Resume::Here {
                self.close(look.id);
                return Ok(false);
            }
        }
        let Some(file) = self.all.get_mut(&look.id) else { return Ok(false) };
        file.path = path.to_path_buf();
        file.real = path.to_path_buf();
        let before = std::mem::replace(&mut file.place, Place::Aside);
        if file.leaving.is_none() && (before != Place::Aside || changed) {
            let home = file.home.clone();
            self.leave(look.id, home, now);
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
        }
    }

    /// Forgets a file that is gone for good and read as far as it can be.
    fn retire(&mut self, id: ForeignId, unsure: bool, now: Instant) {
        let Some(file) = self.all.get(&id) else { return };
        let Place::Gone { since } = file.place else { return };
        let is_due = !file.is_open() && now.duration_since(since) >= GRACE;
        if unsure || !is_due || !(file.is_deleted || is_gone_from_its_device(file)) {
            return;
        }
        let unread = file.bytes.saturating_sub(file.progress.position);
        if unread > 0 {
            self.numbers.vanished_bytes.inc_by(unread);
            tracing::warn!(
                tail = self.name,
                path = %file.path.display(),
                unread_bytes = unread,
                "a file was deleted before it was read to its end; the rest of it is lost"
            );
        }
        self.forget(id);
    }

    fn draw_up(&mut self) {
        self.by_path.clear();
        for file in self.all.values() {
            self.board.show(file);
            if !matches!(file.place, Place::Gone { .. }) {
                self.by_path.insert(file.path.clone(), file.id);
                self.by_path.insert(file.real.clone(), file.id);
            }
        }
    }

    fn complain_about(&mut self, found: &Found) {
        let now: BTreeSet<_> = found.unreadable.iter().map(|(path, _)| path.clone()).collect();
        for (path, error) in &found.unreadable {
            self.numbers.read_errors.inc();
            if !self.complained.contains(path) {
                tracing::warn!(
                    tail = self.name,
                    path = %path.display(),
                    %error,
                    "a folder or file cannot be looked at; it is tried again at every scan"
                );
            }
        }
        self.complained = now;
    }
}

impl Followed {
    /// Where it may lie under another name: beside its path, and beside where a link led.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let resolved = foreign::resolve(&self.home).ok();
        let paths = [Some(&self.home), Some(&self.real), resolved.as_ref()];
        let folders = paths.into_iter().flatten().filter_map(|path| path.parent());
        folders.filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_path_buf).collect()
    }
}

/// Whether the place where a file was is there without it: then it was deleted. If the whole file
/// system is gone instead, it may come back, and the file with it.
fn is_gone_from_its_device(file: &Followed) -> bool {
    let above = file.real.ancestors().skip(1).find_map(|folder| foreign::look(folder).ok());
    above.is_some_and(|folder| folder.id.device == file.id.device)
}

/// `access.log` becomes `access.log.1`, `access.log-20261122` or `access-20261122.log`; but
/// `access.log.1.gz` is a new file, even with the inode of an old one.
fn is_named_after(path: &Path, home: &Path) -> bool {
    let bytes = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    let (name, home) = (bytes(path), bytes(home));
    let stem = home.split(|byte| *byte == b'.').next().unwrap_or_default();
    let is_packed = PACKED.iter().any(|end| name.ends_with(end.as_bytes()));
    !stem.is_empty() && name.starts_with(stem) && !is_packed
}

/// Ends of names of compressed files.
const PACKED: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

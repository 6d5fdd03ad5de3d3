//! Files that came and went before a scan saw them: they are called after a followed path and changed
//! later than what was read of it, or a followed link led to them; they are read before who stands there
//! now.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use super::body::Body;
use super::file::{Followed, Place, Stand};
use super::files::Files;
use super::heirs::PACKED_DEPTH;
use super::progress::Progress;
use super::{mark, names};
use crate::base::disk::foreign::{self, ForeignEntry, ForeignId, ForeignKind};

/// Most rotated files taken in at once that came and went unseen.
const GENERATIONS_MAX: usize = 100;

/// The files that came after what was read of a path.
#[derive(Debug)]
pub(super) struct Succession {
    home: PathBuf,
    /// When that had changed, in nanoseconds since 1970.
    since: i128,
    /// Where it is now, to be read before them.
    before: Option<ForeignId>,
}

/// The folder that was listed last, and where paths led: many files may lie in one folder, or have stood
/// at one path, and ask for the same at once.
#[derive(Debug, Default)]
pub(super) struct Listing {
    folder: PathBuf,
    names: Vec<ForeignEntry>,
    led: HashMap<PathBuf, Option<PathBuf>>,
}

impl Files {
    /// Remembers to look for successors once it is known who is where.
    pub(super) fn may_have_successors(
        &mut self,
        home: PathBuf,
        progress: &Progress,
        before: Option<ForeignId>,
    ) {
        let since = progress.changed_unix_ns;
        self.successions.push(Succession { home, since, before });
    }

    /// A link led there for a while.
    pub(super) fn note_link(&mut self, link: PathBuf, target: PathBuf) {
        let targets = self.led.entry(link).or_default();
        if targets.len() < GENERATIONS_MAX {
            targets.insert(target);
        }
    }

    /// Takes in where links led that had no predecessor, or one that nothing followed.
    pub(super) fn follow_links(&mut self, now: Instant) {
        let links: Vec<_> = self.led.keys().cloned().collect();
        for link in links {
            // Only where it led: what else is called after it is not asked for.
            self.take_in_generations(&link, i128::MAX, None, now);
        }
    }

    /// Takes in all that were remembered.
    pub(super) fn succeed(&mut self, now: Instant) {
        while let Some(Succession { home, since, before }) = self.successions.pop() {
            self.take_in_generations(&home, since, before, now);
        }
    }

    /// Takes in the files that came to `home` after `since` and were rotated before they were seen.
    pub(super) fn take_in_generations(
        &mut self,
        home: &Path,
        since: i128,
        mut before: Option<ForeignId>,
        now: Instant,
    ) {
        for (changed_unix_ns, path, id) in self.generations(home, since) {
            tracing::info!(
                tail = self.name,
                path = %path.display(),
                "a file was rotated before it was seen; it is read from its beginning"
            );
            if let Some(displaced) = self.vacate(id) {
                self.homeless.push(displaced);
            }
            let mut file = Followed::new(id, mark::fresh(&self.prefix, id), home, now);
            (file.path, file.real, file.place) = (path.clone(), path.clone(), Place::Aside);
            file.progress.changed_unix_ns = changed_unix_ns - 1;
            self.all.insert(id, file);
            self.kin.forget();
            self.taken_in.insert(id);
            self.may_be_unsaved = true;
            if let Some(before) = before {
                self.leave(before, path, now);
            }
            self.leave(id, home.to_path_buf(), now);
            before = Some(id);
        }
        self.rehome(now);
    }

    /// Rotated files of `home` that nobody knows and that changed after `since`, and those that it led to
    /// as a link, the oldest first.
    fn generations(&mut self, home: &Path, since: i128) -> Vec<(i128, PathBuf, ForeignId)> {
        let mut found = Vec::new();
        for place in self.listing.places(home) {
            self.generations_of(&place, since, &mut found);
        }
        for target in self.led.remove(home).unwrap_or_default() {
            self.weigh(target, i128::MIN, &mut found);
        }
        found.sort();
        found.truncate(GENERATIONS_MAX);
        found
    }

    fn generations_of(
        &mut self,
        place: &Path,
        since: i128,
        found: &mut Vec<(i128, PathBuf, ForeignId)>,
    ) {
        let beside = self.listing.beside(place);
        for path in &beside {
            // What is being compressed is read where it stands.
            let is_packing = names::plain_path(path).is_some_and(|plain| beside.contains(&plain));
            // What the globs find is met by the scan.
            let is_met = self.globs.matches(path) || self.globs.excludes(path);
            if !names::is_generation(path, place) || is_packing || is_met {
                continue;
            }
            self.weigh(path.clone(), since, found);
        }
    }

    fn weigh(&mut self, path: PathBuf, since: i128, found: &mut Vec<(i128, PathBuf, ForeignId)>) {
        let Ok(look) = foreign::look(&path) else { return };
        let is_younger = look.changed_unix_ns > since && look.bytes > 0;
        let is_new = found.iter().all(|(_, _, id)| *id != look.id);
        if is_younger && is_new && self.is_unknown(&path, look.id) {
            found.push((look.changed_unix_ns, path, look.id));
        }
    }

    /// Whether a file is none that is followed, and does not begin as one of those does.
    fn is_unknown(&mut self, path: &Path, id: ForeignId) -> bool {
        let Ok(mut body) = Body::open(path) else { return false };
        if self.is_somebody(id, &mut body, None).unwrap_or(true) {
            return false;
        }
        if !self.begin_alike(path, id).is_empty() {
            return false;
        }
        let kin = self.kin_of(path);
        let may_be = |file: &&Followed| file.stand == Stand::Own && file.id != id;
        let depth = if body.is_packed() { PACKED_DEPTH } else { u64::MAX };
        !kin.iter().filter_map(|kin| self.all.get(kin)).filter(may_be).any(|file| {
            let likeness =
                file.latest().likeness(depth, |offset, bytes| body.read_at(offset, bytes));
            matches!(likeness, Ok(likeness) if likeness.is_copy())
        })
    }
}

impl Listing {
    /// Forgets what was listed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A path, and where it leads if it is a link.
    pub(super) fn places(&mut self, path: &Path) -> BTreeSet<PathBuf> {
        if path.as_os_str().is_empty() {
            return BTreeSet::new();
        }
        if !self.led.contains_key(path) {
            self.led.insert(path.to_path_buf(), foreign::resolve(path).ok());
        }
        let led = self.led.get(path).cloned().flatten();
        [Some(path.to_path_buf()), led].into_iter().flatten().collect()
    }

    /// The paths that rotated files of this one are called after: its own, and where a link led or leads.
    pub(super) fn places_of(&mut self, file: &Followed) -> BTreeSet<PathBuf> {
        let mut places = self.places(&file.home);
        if !file.real.as_os_str().is_empty() {
            places.insert(file.real.clone());
        }
        places
    }

    /// Regular files in the folder of a path whose names begin as its name does.
    pub(super) fn beside(&mut self, path: &Path) -> Vec<PathBuf> {
        let Some(folder) = path.parent() else { return Vec::new() };
        if self.folder != folder {
            let names = foreign::list(folder).unwrap_or_default();
            (self.folder, self.names) = (folder.to_path_buf(), names);
        }
        let stem = names::stem_of(path);
        let from = self.names.partition_point(|entry| entry.name.as_encoded_bytes() < stem);
        let named = self.names.iter().skip(from);
        named
            .take_while(|entry| entry.name.as_encoded_bytes().starts_with(stem))
            .filter(|entry| entry.kind == ForeignKind::File)
            .map(|entry| folder.join(&entry.name))
            .collect()
    }
}

//! Names that changed since the last scan: who stands there now, only the next one can tell. What
//! appears elsewhere meanwhile need not wait for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most names remembered; beyond it nothing is settled.
const NAMES_MAX: usize = 1000;

/// Where names changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// A folder may be called so, with all that is in it.
    names: BTreeSet<PathBuf>,
    /// The folders in which these are.
    folders: BTreeSet<PathBuf>,
    is_everywhere: bool,
}

impl Unsettled {
    /// Anything may have changed.
    pub(super) fn everywhere() -> Self {
        Self { is_everywhere: true, ..Self::default() }
    }

    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_everywhere && self.names.is_empty()
    }

    /// A name came, went or changed; `false` if that was known.
    pub(super) fn note(&mut self, path: PathBuf) -> bool {
        if self.is_everywhere {
            return false;
        }
        if self.names.len() >= NAMES_MAX && !self.names.contains(&path) {
            return self.note_everywhere();
        }
        if let Some(folder) = path.parent()
            && !self.folders.contains(folder)
        {
            self.folders.insert(folder.to_path_buf());
        }
        self.names.insert(path)
    }

    /// Anything may have changed; `false` if that was known.
    pub(super) fn note_everywhere(&mut self) -> bool {
        let was_everywhere = self.is_everywhere;
        *self = Self::everywhere();
        !was_everywhere
    }

    /// Adds what changed besides.
    pub(super) fn add(&mut self, more: Self) {
        if more.is_everywhere {
            self.note_everywhere();
        }
        more.names.into_iter().for_each(|path| _ = self.note(path));
    }

    /// Whether it takes a scan to tell what stands at a path: a name changed in its folder, or a
    /// folder above it did.
    pub(super) fn touches(&self, path: &Path) -> bool {
        let is_beside = || path.parent().is_some_and(|folder| self.folders.contains(folder));
        let is_below = || path.ancestors().any(|above| self.names.contains(above));
        self.is_everywhere || !self.names.is_empty() && (is_beside() || is_below())
    }

    /// Whether a folder of this name may be another one than it was.
    pub(super) fn may_have_replaced(&self, folder: &Path) -> bool {
        self.is_everywhere
            || !self.names.is_empty() && folder.ancestors().any(|above| self.names.contains(above))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(changed: &[&str], touched: &[&str], others: &[&str]) {
        let mut unsettled = Unsettled::default();
        assert!(unsettled.is_empty());
        for name in changed {
            assert!(unsettled.note(name.into()), "{name}");
            assert!(!unsettled.note(name.into()), "{name}, known already");
        }
        assert!(touched.iter().all(|path| unsettled.touches(Path::new(path))), "{unsettled:?}");
        assert!(!others.iter().any(|path| unsettled.touches(Path::new(path))), "{unsettled:?}");
    }

    #[test]
    fn a_changed_name_touches_its_folder_and_what_is_below_it_and_nothing_else() {
        check(&[], &[], &["/a/x.log"]);
        check(&["/a/x.log"], &["/a/x.log", "/a/y.log"], &["/b/x.log", "/a/b/x.log", "/x.log"]);
        check(&["/a/b"], &["/a/b/c/x.log", "/a/b/x.log", "/a/x.log"], &["/a/c/x.log"]);
    }

    #[test]
    fn beyond_so_many_names_nothing_is_settled() {
        let mut unsettled = Unsettled::default();
        for number in 0..NAMES_MAX {
            unsettled.note(format!("/a/{number}").into());
        }
        assert!(!unsettled.touches(Path::new("/b/x.log")));
        assert!(!unsettled.note("/a/0".into()));
        assert!(unsettled.note("/a/more".into()));
        assert_eq!(unsettled, Unsettled::everywhere());
        assert!(!unsettled.note("/a/0".into()) && !unsettled.note_everywhere());
        assert!(unsettled.touches(Path::new("/b/x.log")) && !unsettled.is_empty());
    }

    #[test]
    fn what_changed_is_added_up() {
        let mut unsettled = Unsettled::default();
        let mut more = Unsettled::default();
        more.note("/a/x.log".into());
        unsettled.add(more);
        assert!(unsettled.touches(Path::new("/a/y.log")));
        assert!(!unsettled.may_have_replaced(Path::new("/a")));
        unsettled.add(Unsettled::everywhere());
        assert_eq!(unsettled, Unsettled::everywhere());
        assert!(unsettled.may_have_replaced(Path::new("/a")));
    }
}

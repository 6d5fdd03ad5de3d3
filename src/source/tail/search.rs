//! A look through folders, and what it brings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::disk::foreign::{self, ForeignId, ForeignKind, Look};

/// What one look through the folders brought.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Regular files with the path the globs give, in the order of its bytes, each once.
    pub(super) files: Vec<(PathBuf, FoundFile)>,
    /// Folders in which a change may bring or take a file.
    pub(super) folders: BTreeMap<PathBuf, ForeignId>,
    /// What could not be looked at.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

/// A look through the folders that is under way.
pub(super) struct Search<'a> {
    found: Found,
    /// Nothing else is looked at than this folder, what is in it, and the way there.
    only: Option<&'a Path>,
    enter: &'a mut dyn FnMut(&Path, ForeignId),
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct FoundFile {
    pub(super) look: Look,
    /// Where its path leads if it is a link.
    pub(super) target: Option<PathBuf>,
}

impl<'a> Search<'a> {
    pub(super) fn new(only: Option<&'a Path>, enter: &'a mut dyn FnMut(&Path, ForeignId)) -> Self {
        Self { found: Found::default(), only, enter }
    }

    /// Several globs may find the same file, and so may one that passes over folders in two ways.
    pub(super) fn end(mut self) -> Found {
        let files = &mut self.found.files;
        files.sort_by(|(a, _), (b, _)| a.as_os_str().cmp(b.as_os_str()));
        files.dedup_by(|(a, _), (b, _)| a.as_os_str() == b.as_os_str());
        self.found
    }

    /// Whether a folder is to be looked at, or on the way there.
    pub(super) fn leads_by(&self, folder: &Path) -> bool {
        self.wants(folder) || self.only.is_some_and(|only| only.starts_with(folder))
    }

    /// Whether what stands at a path is to be looked at.
    pub(super) fn wants(&self, path: &Path) -> bool {
        self.only.is_none_or(|only| path.starts_with(only))
    }

    /// The names in a folder; on the way, the next one alone.
    pub(super) fn list(&mut self, folder: &Path) -> Vec<(PathBuf, ForeignKind)> {
        self.enter(folder);
        if let Some(next) = self.only.and_then(|only| only.strip_prefix(folder).ok()?.iter().next())
        {
            return vec![(folder.join(next), ForeignKind::Folder)];
        }
        match foreign::list(or_here(folder)) {
            Ok(all) => all.into_iter().map(|one| (beneath(folder, &one.name), one.kind)).collect(),
            Err(error) => {
                self.complain(folder.to_path_buf(), error);
                Vec::new()
            }
        }
    }

    /// A folder that is missing is waited for where it would appear.
    pub(super) fn enter(&mut self, folder: &Path) {
        let mut missing = None;
        for folder in or_here(folder).ancestors().map(or_here) {
            if self.found.folders.contains_key(folder) {
                return;
            }
            let Ok(look) = foreign::look(folder) else {
                missing = Some(folder);
                continue;
            };
            if look.kind == ForeignKind::Folder {
                self.found.folders.insert(folder.to_path_buf(), look.id);
                (self.enter)(folder, look.id);
            }
            break;
        }
        // It may have come before the folder above it was entered.
        if missing.is_some_and(|missing| foreign::look(missing).is_ok()) {
            self.enter(folder);
        }
    }

    pub(super) fn add(&mut self, path: PathBuf, file: FoundFile) {
        self.found.files.push((path, file));
    }

    /// What is not there is no fault: it may come.
    pub(super) fn complain(&mut self, path: PathBuf, error: io::Error) {
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            self.found.unreadable.push((path, error));
        }
    }
}

fn or_here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// The path of a name in a folder, in memory that is taken once.
fn beneath(folder: &Path, name: &OsStr) -> PathBuf {
    let mut path = PathBuf::with_capacity(folder.as_os_str().len() + 1 + name.len());
    path.push(folder);
    path.push(name);
    path
}

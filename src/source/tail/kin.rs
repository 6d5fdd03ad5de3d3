//! Who may be a copy of whom, as far as the names tell: asked of every new file that looks rotated, so
//! it must not take a look at all others.

use std::collections::HashMap;
use std::path::Path;

use super::file::Followed;
use super::files::Files;
use super::names;
use crate::base::disk::foreign::ForeignId;

/// The followed files by what the names of their copies begin with.
#[derive(Debug, Default)]
pub(super) struct Kin(Option<ByStem>);

type ByStem = HashMap<Vec<u8>, Vec<ForeignId>>;

impl Kin {
    /// Files were taken in, or have other names.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    /// One more.
    pub(super) fn add(&mut self, file: &Followed) {
        if let Some(by_stem) = &mut self.0 {
            put(by_stem, file);
        }
    }
}

impl Files {
    /// Those of which the file at `path` may be a copy.
    pub(super) fn kin_of(&mut self, path: &Path) -> Vec<ForeignId> {
        let all = &self.all;
        let by_stem = self.kin.0.get_or_insert_with(|| by_stem(all.values()));
        // A stem has no dot, so it is at most as long as that of the name.
        let longest = names::stem_of(path);
        let stems = (1..=longest.len()).filter_map(|end| by_stem.get(longest.get(..end)?));
        let named = stems.flatten().filter_map(|id| all.get(id));
        let kin = named.filter(|file| file.may_have_copy(path)).map(|file| file.id);
        kin.collect()
    }
}

fn by_stem<'a>(all: impl Iterator<Item = &'a Followed>) -> ByStem {
    let mut by_stem = ByStem::new();
    all.for_each(|file| put(&mut by_stem, file));
    by_stem
}

fn put(by_stem: &mut ByStem, file: &Followed) {
    let (home, real) = (names::stem_of(&file.home), names::stem_of(&file.real));
    by_stem.entry(home.to_vec()).or_default().push(file.id);
    if real != home {
        by_stem.entry(real.to_vec()).or_default().push(file.id);
    }
}

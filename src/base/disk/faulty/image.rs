//! What the disk holds: as programs see it, as it would survive, and what lies between.

#![expect(clippy::indexing_slicing, reason = "a test's disk may panic on a test's mistake")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Call;
use crate::base::disk::parent;

#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) folders: BTreeSet<PathBuf>,
    pub(super) links: BTreeSet<PathBuf>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) names_safe: BTreeMap<PathBuf, u64>,
    pub(super) names_dirty: Vec<NameChange>,
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) file_count: u64,
    pub(super) capacity: Option<u64>,
    pub(super) rules: Vec<Rule>,
    pub(super) hanging: BTreeSet<Call>,
    /// Calls that hang now.
    pub(super) hung: usize,
    pub(super) counts: BTreeMap<Call, u64>,
    pub(super) calls: u64,
    pub(super) power_ends_at: Option<u64>,
    /// Syncs succeed and save nothing.
    pub(super) lies: bool,
    /// Grows with each crash; files opened before it are dead.
    pub(super) age: u64,
}

/// One change of names in one folder: what went and what came, together or not at all.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) gone: Option<PathBuf>,
    pub(super) come: Option<(PathBuf, u64)>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) live: Vec<u8>,
    pub(super) safe: Vec<u8>,
    pub(super) dirty: Vec<Change>,
    pub(super) locked: bool,
    /// Sectors that cannot be read until they are written.
    pub(super) bad: BTreeSet<u64>,
}

#[derive(Debug)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) calls: Vec<Call>,
    pub(super) skip: u64,
    pub(super) once: bool,
    pub(super) error: io::ErrorKind,
}

/// The unit a disk writes whole.
const SECTOR: u64 = 512;

impl Image {
    pub(super) fn called(&mut self, call: Call) -> io::Result<()> {
        self.calls += 1;
        *self.counts.entry(call).or_default() += 1;
        if self.power_ends_at.is_some_and(|end| self.calls > end) {
            return Err(io::Error::other("the power was cut"));
        }
        for at in 0..self.rules.len() {
            let rule = &mut self.rules[at];
            if !rule.calls.contains(&call) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            let error = rule.error;
            if rule.once {
                self.rules.remove(at);
            }
            return Err(error.into());
        }
        Ok(())
    }

    pub(super) fn new_file(&mut self) -> u64 {
        self.file_count += 1;
        self.files.insert(self.file_count, Content::default());
        self.file_count
    }

    pub(super) fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.names_dirty.push(change);
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|file| self.files[file].live.len() as u64).sum()
    }

    /// Whether `more` bytes fit.
    pub(super) fn take_room(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn forget_unnamed(&mut self) {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }
}

impl Content {
    /// Whether these bytes lie on good sectors.
    pub(super) fn is_readable(&self, offset: u64, bytes: u64) -> bool {
        self.bad.range(offset / SECTOR..(offset + bytes).div_ceil(SECTOR)).next().is_none()
    }

    /// A sector that cannot be read.
    pub(super) fn spoil(&mut self, offset: u64) {
        self.bad.insert(offset / SECTOR);
    }

    /// What is written whole can be read again.
    pub(super) fn mend(&mut self, offset: u64, bytes: u64) {
        let mended = offset.div_ceil(SECTOR)..(offset + bytes) / SECTOR;
        self.bad.retain(|sector| !mended.contains(sector));
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((come, file)) = &self.come {
            names.insert(come.clone(), *file);
        }
    }

    pub(super) fn touches(&self, folder: &Path) -> bool {
        let of = |path: &Path| parent(path) == folder;
        self.gone.as_deref().is_some_and(of) || self.come.as_ref().is_some_and(|(path, _)| of(path))
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(index(*length), 0),
            Self::Write(offset, new) => {
                let end = index(*offset) + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[index(*offset)..end].copy_from_slice(new);
            }
        }
    }

    /// Applies what a crash leaves of it: each sector is there or not.
    pub(super) fn tear(&self, bytes: &mut Vec<u8>, chance: &mut fastrand::Rng, odds: f64) {
        let Self::Write(offset, new) = self else {
            if chance.f64() < odds {
                self.apply(bytes);
            }
            return;
        };
        let mut done = 0;
        while done < new.len() {
            let at = offset + done as u64;
            let sector = (index(SECTOR - at % SECTOR)).min(new.len() - done);
            if chance.f64() < odds {
                Self::Write(at, new[done..done + sector].to_vec()).apply(bytes);
            }
            done += sector;
        }
    }
}

pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a test's file fits into memory")
}

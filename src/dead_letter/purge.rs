//! Removing letters by the operator's word.

use std::io;
use std::path::{Path, PathBuf};

use super::browse::{LetterFile, Lying, shelves};
use super::folder::named;
use super::take::hold;
use super::{Filter, letters};
use crate::base::disk::Disk;

/// What a purge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Letters that are gone.
    pub letters: u64,
    /// Lines that were no letters, and are gone with their whole shelf.
    pub unreadable: u64,
    /// Files that were left as they are: their letters are on their way back to a queue, or are
    /// just being written.
    pub in_use: Vec<PathBuf>,
}

/// Removes the letters that are meant; what else is in their files stays. Works beside a running
/// agent. Cut off anywhere, it has removed some files and no others. Blocks.
///
/// # Errors
/// What the disk says; what was removed until then stays removed.
pub fn purge(disk: &dyn Disk, folder: &Path, filter: &Filter) -> io::Result<Purged> {
    let mut purged = Purged::default();
    for shelf in shelves(disk, folder)? {
        if filter.fits_shelf(&shelf.stream, &shelf.destination) {
            purge_shelf(disk, &shelf, filter, &mut purged)?;
        }
    }
    Ok(purged)
}

fn purge_shelf(
    disk: &dyn Disk,
    shelf: &Lying,
    filter: &Filter,
    purged: &mut Purged,
) -> io::Result<()> {
    for file in &shelf.files {
        purge_file(disk, file, filter, purged).map_err(|error| named(&file.path, &error))?;
    }
    Ok(())
}

fn purge_file(
    disk: &dyn Disk,
    file: &LetterFile,
    filter: &Filter,
    purged: &mut Purged,
) -> io::Result<()> {
    if sort(disk, &file.path, filter)?.is_empty() {
        return Ok(());
    }
    // Some letters of a file that is taken may be in the queue already; only the replay knows.
    let held = if file.is_taken { None } else { hold(disk, &file.path)? };
    let Some(held) = held else {
        purged.in_use.push(file.path.clone());
        return Ok(());
    };
    // Once more: something may have been written before it was held.
    let sorted = sort(disk, &file.path, filter)?;
    held.finish(disk, &sorted.stay)?;
    purged.letters += sorted.letters;
    purged.unreadable += sorted.unreadable;
    Ok(())
}

/// The lines of one file.
#[derive(Default)]
struct Sorted {
    letters: u64,
    unreadable: u64,
    /// Where those begin that stay.
    stay: Vec<u64>,
}

impl Sorted {
    fn is_empty(&self) -> bool {
        self.letters + self.unreadable == 0
    }
}

fn sort(disk: &dyn Disk, path: &Path, filter: &Filter) -> io::Result<Sorted> {
    let mut sorted = Sorted::default();
    let mut lines = match letters(disk, path) {
        Ok(lines) => lines,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(sorted),
        Err(error) => return Err(error),
    };
    loop {
        let at = lines.offset();
        match lines.next() {
            None => return Ok(sorted),
            Some(Err(error)) => return Err(error),
            Some(Ok(Ok(letter))) if filter.fits(&letter) => sorted.letters += 1,
            Some(Ok(Err(_))) if filter.is_by_shelf() => sorted.unreadable += 1,
            Some(Ok(_)) => sorted.stay.push(at),
        }
    }
}

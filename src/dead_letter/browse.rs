//! Looking at letters, one line at a time.

use std::io;
use std::path::{Path, PathBuf};

use super::letter::decode;
use super::{Letter, folder};
use crate::base::disk::{Disk, DiskFile, Kind, Open};

/// Longest line that is read, in bytes: a payload of 10 MiB, each byte of it escaped, and its story.
const LINE_BYTES_MAX: usize = 32 << 20;

/// Bytes read at once.
const CHUNK_BYTES: usize = 64 << 10;

/// One stream's and destination's letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lying {
    /// The stream.
    pub stream: String,
    /// The destination, or `tail.NAME`.
    pub destination: String,
    /// Its files, oldest first.
    pub files: Vec<LetterFile>,
}

/// One file of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was begun, in milliseconds since 1970.
    pub begun_unix_ms: u64,
    /// Its letters are on their way back to the queue.
    pub is_taken: bool,
}

/// Finds every shelf below [`super::Settings::folder`]; none if the folder is not there. Blocks.
///
/// # Errors
/// What the disk says.
pub fn shelves(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<Lying>> {
    let mut found = Vec::new();
    for stream in folders(disk, folder)? {
        for destination in folders(disk, &folder.join(&stream))? {
            let shelf = folder::of_shelf(folder, &stream, &destination);
            let file = |listed: crate::base::disk::Listed| LetterFile {
                path: shelf.join(&listed.name),
                bytes: listed.bytes,
                begun_unix_ms: folder::unix_ms(&listed.name).unwrap_or_default(),
                is_taken: listed.name.ends_with(folder::TAKEN),
            };
            let files = folder::files(disk, &shelf);
            let files = files.map_err(|error| folder::named(&shelf, &error))?;
            let files = files.into_iter().map(file).collect();
            found.push(Lying { stream: stream.clone(), destination, files });
        }
    }
    Ok(found)
}

fn folders(disk: &dyn Disk, folder: &Path) -> io::Result<Vec<String>> {
    match disk.list(folder) {
        Ok(listed) => Ok(listed
            .into_iter()
            .filter(|entry| entry.kind == Kind::Folder)
            .map(|entry| entry.name)
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(folder::named(folder, &error)),
    }
}

/// Opens a file of letters for reading in order. Blocks, and so does the iterator.
///
/// # Errors
/// What the disk says.
pub fn letters(disk: &dyn Disk, path: &Path) -> io::Result<Letters> {
    let file = disk.open(path, Open::Read)?;
    Ok(Letters { file, at: 0, end: 0, read: Vec::new(), has_failed: false })
}

/// The letters of one file, one at a time; at most one line is in memory. Ends at the last whole
/// line, for the one behind it may just be written.
pub struct Letters {
    file: Box<dyn DiskFile>,
    /// Where the next line begins.
    at: u64,
    /// How far the file was read.
    end: u64,
    /// What was read behind `at`.
    read: Vec<u8>,
    /// The disk failed; an iterator that went on failing would never end.
    has_failed: bool,
}

/// A line that is no letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Where it begins, in bytes.
    pub at: u64,
    /// What is wrong with it.
    pub why: String,
}

impl Letters {
    /// Where the next line begins, in bytes from the start of the file.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Goes on at the beginning of a line.
    #[must_use]
    pub fn from_offset(self, at: u64) -> Self {
        Self { at, end: at, read: Vec::new(), ..self }
    }

    /// The next whole line with its newline, as it stands; `None` at the end.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Result<Vec<u8>, BadLine>>> {
        let (mut searched, mut dropped) = (0, 0_u64);
        loop {
            let fresh = self.read.get(searched..).unwrap_or_default();
            if let Some(newline) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.read.split_off(searched + newline + 1);
                let line = std::mem::replace(&mut self.read, rest);
                let begun = self.at;
                self.at += dropped + line.len() as u64;
                if dropped > 0 {
                    let why = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                    return Ok(Some(Err(BadLine { at: begun, why })));
                }
                return Ok(Some(Ok(line)));
            }
            searched = self.read.len();
            if searched > LINE_BYTES_MAX {
                dropped += searched as u64;
                self.read.clear();
                searched = 0;
            }
            let mut chunk = vec![0; CHUNK_BYTES];
            let read = self.file.read_at(&mut chunk, self.end)?;
            if read == 0 {
                return Ok(None);
            }
            self.end += read as u64;
            self.read.extend_from_slice(chunk.get(..read).unwrap_or_default());
        }
    }
}

impl Iterator for Letters {
    type Item = io::Result<Result<Letter, BadLine>>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        match self.next_line() {
            _ if self.has_failed => None,
            Ok(None) => None,
            Ok(Some(Err(bad))) => Some(Ok(Err(bad))),
            Ok(Some(Ok(line))) => Some(Ok(decode(&line).map_err(|why| BadLine { at, why }))),
            Err(error) => {
                self.has_failed = true;
                Some(Err(error))
            }
        }
    }
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("at", &self.at).finish_non_exhaustive()
    }
}

//! Where each destination stands when a queue is opened: by its cursor, or by what its absence means.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::books::Books;
use super::cursor::{Cursor, How};
use super::cursor_file::{self, CursorFile, Found};
use super::error::OpenError;
use super::log::Log;
use super::settings::Settings;
use super::store::{CURSORS, QUARANTINE};
use crate::base::disk::{Disk, Kind, is_full, read_file, replace_durably};

/// Names of the cursors that there should be, a line each: one that is missing was taken away, and one
/// that is not among them is of a destination that is new.
const KNOWN: &str = "destinations";
/// More than any number of destinations takes; beyond it the file is somebody else's.
const KNOWN_BYTES_MAX: u64 = 1 << 20;
/// Largest damaged cursor that is set aside whole.
const ASIDE_BYTES_MAX: u64 = 16 << 20;

/// The cursors of a queue.
pub(super) struct Cursors<'a> {
    disk: &'a dyn Disk,
    settings: &'a Settings,
    folder: PathBuf,
    /// By file name.
    found: Vec<(String, Found)>,
    known: BTreeSet<String>,
}

impl<'a> Cursors<'a> {
    /// Looks all of them up.
    pub(super) fn find(disk: &'a dyn Disk, settings: &'a Settings) -> Result<Self, OpenError> {
        let folder = settings.folder.join(CURSORS);
        let io = |source| OpenError::Io { folder: settings.folder.clone(), source };
        disk.create_folders(&folder).map_err(io)?;
        let mut found = Vec::new();
        for listed in disk.list(&folder).map_err(io)? {
            if listed.kind == Kind::Folder || !listed.name.ends_with(cursor_file::SUFFIX) {
                continue;
            }
            let file = folder.join(&listed.name);
            let one = CursorFile::find(disk, &file).map_err(io)?;
            if let Found::Foreign(version) = one {
                let why = format!("its format is version {version}, this weir reads 1");
                return Err(OpenError::Foreign { file, why });
            }
            found.push((listed.name, one));
        }
        let known = known(disk, &settings.folder).map_err(io)?;
        Ok(Self { disk, settings, folder, found, known })
    }

    /// The highest position that any of them knows.
    pub(super) fn highest(&self) -> u64 {
        let highest = self.found.iter().filter_map(|(_, found)| match found {
            Found::Cursor(cursor, _) => Some(cursor.highest()),
            _ => None,
        });
        highest.max().unwrap_or(0)
    }

    /// The books of every destination, in the order they are asked for.
    pub(super) fn books(
        mut self,
        destinations: &[String],
        log: &Log,
    ) -> Result<Vec<Books>, OpenError> {
        let io = |source| OpenError::Io { folder: self.settings.folder.clone(), source };
        let names = destinations.iter().map(|destination| cursor_file::name(destination));
        let known: BTreeSet<_> =
            self.found.iter().map(|(name, _)| name.clone()).chain(names).collect();
        let has_any = !self.found.is_empty() || !self.known.is_empty();
        if !has_any {
            // Before the first of them is made: a crash in between must not make the others new.
            self.remember(&known).map_err(io)?;
        }
        let mut all = Vec::new();
        for destination in destinations {
            let name = cursor_file::name(destination);
            let at = self.found.iter().position(|(known, _)| *known == name);
            let found = at.map_or(Found::Nothing, |at| self.found.swap_remove(at).1);
            let (mut cursor, file) = match found {
                Found::Cursor(cursor, mut file) => {
                    file.make_sure(self.disk, &cursor.whole()).map_err(io)?;
                    (cursor, file)
                }
                Found::Damaged | Found::Foreign(_) => {
                    self.set_aside(&name);
                    self.create(&name, log.first() - 1).map_err(io)?
                }
                Found::Nothing => {
                    let begin = self.begin(&name, has_any, log);
                    self.create(&name, begin).map_err(io)?
                }
            };
            self.drop_missing(destination, &mut cursor, log.first());
            all.push(Books::new(destination.clone(), cursor, file));
        }
        self.remember(&known).map_err(io)?;
        self.name_left(log);
        Ok(all)
    }

    fn create(&self, name: &str, begin: u64) -> io::Result<(Cursor, CursorFile)> {
        let cursor = Cursor::new(begin);
        let file = CursorFile::create(self.disk, &self.folder.join(name), &cursor)?;
        Ok((cursor, file))
    }

    /// Where a destination without a cursor begins. One that is new begins behind what is there; but
    /// of one that had a cursor, or where there are records and no cursor at all, nobody knows what
    /// was delivered.
    fn begin(&self, cursor: &str, has_any: bool, log: &Log) -> u64 {
        let (before, end) = (log.first() - 1, log.end());
        let (stream, records) = (&self.settings.stream, end - before);
        if has_any && !self.known.contains(cursor) {
            if records > 0 {
                info!(
                    stream,
                    cursor,
                    records,
                    "a destination is new; it gets what comes in from now on, not what is on disk"
                );
            }
            return end;
        }
        if records > 0 {
            warn!(
                problem = "cursor-damaged",
                stream, cursor, records, "a cursor is gone; everything on disk is delivered again"
            );
        }
        before
    }

    /// What is not on disk any more and was not settled was dropped while this destination was
    /// not configured, or by somebody who removed files.
    fn drop_missing(&self, destination: &str, cursor: &mut Cursor, first: u64) {
        let before = cursor.counts().dropped;
        cursor.settle_range(cursor.watermark() + 1, first, How::Dropped);
        let dropped = cursor.counts().dropped - before;
        if dropped > 0 {
            warn!(problem = "records-dropped", stream = %self.settings.stream, destination, dropped,
                "segments went before this destination had read them");
        }
    }

    /// Keeps a copy of a damaged cursor, which stays until a new one is in its place: without any, the
    /// next start would not know that this destination is owed something.
    fn set_aside(&self, name: &str) {
        let aside = self.settings.folder.join(QUARANTINE);
        let copied = self.disk.create_folders(&aside).and_then(|()| {
            let bytes = read_file(self.disk, &self.folder.join(name), ASIDE_BYTES_MAX)?;
            replace_durably(self.disk, &aside.join(name), &bytes)
        });
        let copy = match &copied {
            Ok(()) => aside.join(name).display().to_string(),
            Err(why) => format!("not copied: {why}"),
        };
        warn!(problem = "cursor-damaged", stream = %self.settings.stream, cursor = name, copy,
            "a cursor is damaged, or another destination's; everything on disk is delivered again");
    }

    /// Writes down which cursors there should be. A full disk is no reason to refuse: the next start
    /// tries again.
    fn remember(&self, known: &BTreeSet<String>) -> io::Result<()> {
        if *known == self.known {
            return Ok(());
        }
        let text: String = known.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        let path = self.settings.folder.join(KNOWN);
        replace_durably(self.disk, &path, text.as_bytes())
            .or_else(|error| if is_full(&error) { Ok(()) } else { Err(error) })
    }

    fn name_left(&self, log: &Log) {
        for (cursor, found) in &self.found {
            if let Found::Cursor(left, _) = found {
                let waiting = log.end().saturating_sub(left.watermark() + left.ahead());
                warn!(stream = %self.settings.stream, cursor, waiting,
                    "a cursor's destination is not configured any more; segments do not wait for it");
            }
        }
    }
}

/// What was written down; nothing, if there is no such file or another's.
fn known(disk: &dyn Disk, folder: &Path) -> io::Result<BTreeSet<String>> {
    let bytes = match read_file(disk, &folder.join(KNOWN), KNOWN_BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        answer => answer?,
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let is_name = |line: &&str| line.ends_with(cursor_file::SUFFIX);
    Ok(text.lines().filter(is_name).map(str::to_owned).collect())
}

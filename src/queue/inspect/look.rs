//! One look at a queue's folder: which cursors and segments there are.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::cursors::{self, Destination};
use super::scan::Depth;
use super::summary::SegmentSummary;
use super::walkthrough::Walkthrough;
use super::{LookError, summary};
use crate::base::disk::{Disk, Kind, Listed, Open, SharedDisk};
use crate::queue::folder;
use crate::queue::log::Segment;
use crate::queue::store::QUARANTINE;
use crate::queue::{KeyId, Keys, segment};

/// What lay in a queue's folder at one moment. A running agent goes on meanwhile: segments that it
/// removes later are passed over, and new ones are not seen.
pub struct Look {
    pub(super) disk: SharedDisk,
    pub(super) folder: PathBuf,
    pub(super) segments: Vec<Segment>,
    pub(super) spare_bytes: u64,
    pub(super) destinations: Vec<Destination>,
    pub(super) keys: Keys,
}

impl Look {
    /// Looks at a folder: 64 bytes of each segment, and every cursor.
    ///
    /// # Errors
    /// [`LookError`]. Damage is none.
    pub fn at(disk: SharedDisk, folder: &Path) -> Result<Self, LookError> {
        let no_queue = |why| LookError::NoQueue { folder: folder.to_owned(), why };
        // Before the segments: what a saved cursor knows was durable by then, so that a look at
        // the segments afterwards must find it.
        let cursors = match cursors::read(disk.as_ref(), folder) {
            Err(LookError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotADirectory && disk.list(folder).is_err() =>
            {
                return Err(no_queue("it is a file"));
            }
            answer => answer?,
        };
        let listed = match disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(no_queue("there is nothing of that name"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(no_queue("it is a file"));
            }
            answer => answer.map_err(LookError::io(folder))?,
        };
        let spares = listed.iter().filter(|one| segment::is_spare(&one.name));
        let spare_bytes = spares.map(|one| one.bytes).sum();
        let mut look = Self {
            disk,
            folder: folder.to_owned(),
            segments: Vec::new(),
            spare_bytes,
            destinations: Vec::new(),
            keys: Keys::default(),
        };
        for one in &listed {
            look.segments.extend(look.segment(one)?);
        }
        match cursors {
            None if look.segments.is_empty() => {
                return Err(no_queue("it has neither segments nor a folder `cursors`"));
            }
            found => look.destinations = found.unwrap_or_default(),
        }
        Ok(look)
    }

    fn segment(&self, listed: &Listed) -> Result<Option<Segment>, LookError> {
        if !listed.name.ends_with(".seg") || segment::is_spare(&listed.name) {
            return Ok(None);
        }
        let path = self.folder.join(&listed.name);
        let foreign = |why: String| LookError::Foreign { file: path.clone(), why };
        if listed.kind != Kind::File {
            return Err(foreign("it is a link or a folder; a segment is a plain file".into()));
        }
        let Some(first) = segment::parse_name(&listed.name) else {
            let why = "a segment is named by 20 digits, the number of its first payload";
            return Err(foreign(why.into()));
        };
        let read = folder::read_header(self.disk.as_ref(), &path, first);
        let header = match read {
            Ok(Ok(Some(header))) => Some(header),
            // The agent removed it since the listing, and may have written over it.
            _ if !is_there(self.disk.as_ref(), &path) => return Ok(None),
            answer => answer.map_err(LookError::io(&path))?.map_err(foreign)?,
        };
        Ok(Some(Segment::listed(first, header, listed)))
    }

    /// The same, with keys for what is sealed.
    #[must_use]
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.keys = keys;
        self
    }

    /// The keys that segments are sealed with and that are not known, each with one of the files.
    pub fn missing_keys(&self) -> BTreeMap<KeyId, PathBuf> {
        let mut missing = BTreeMap::new();
        for segment in &self.segments {
            if let Some(keyed) = segment.keyed.filter(|one| self.keys.find(one.key).is_none()) {
                let file = || self.folder.join(segment::name(segment.first));
                missing.entry(keyed.key).or_insert_with(file);
            }
        }
        missing
    }

    /// Fails unless everything that is sealed can be read.
    ///
    /// # Errors
    /// [`LookError::NoKey`].
    pub fn unlocked(&self) -> Result<(), LookError> {
        let missing = self.missing_keys().into_iter().next();
        missing.map_or(Ok(()), |(key, file)| Err(LookError::NoKey { file, key }))
    }

    /// Whether a segment that was seen still stands where it stood. A running agent takes the name
    /// away before it writes over the file.
    pub(super) fn still_has(disk: &dyn Disk, folder: &Path, segment: &Segment) -> bool {
        let path = folder.join(segment::name(segment.first));
        match folder::read_header(disk, &path, segment.first) {
            Ok(Ok(header)) => header.map(|header| header.salt) == segment.salt,
            _ => is_there(disk, &path),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every destination that has a cursor here, by the name of its file.
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Bytes that the segments, and the one prepared to be the next, take on disk.
    pub fn bytes(&self) -> u64 {
        self.spare_bytes + self.segments.iter().map(|one| one.bytes).sum::<u64>()
    }

    /// The first position that is still on disk; `None` without segments.
    pub fn first(&self) -> Option<u64> {
        self.segments.first().map(|one| one.first)
    }

    /// The last position that was given out to anybody; 0 in a new queue. Reads the newest
    /// segment.
    ///
    /// # Errors
    /// [`LookError::Io`].
    pub fn end(&self) -> Result<u64, LookError> {
        let known = self.destinations.iter().filter_map(Destination::standing);
        let known = known.map(|standing| standing.highest).max().unwrap_or(0);
        let newest = self.segments.len().saturating_sub(1);
        let newest = summary::of(self, newest, Depth::Bodies)?;
        Ok(newest.map_or(0, |newest| newest.end.saturating_sub(1)).max(known))
    }

    /// What each segment holds, oldest first, from the headers of its frames; of the newest also
    /// the bodies are checked.
    ///
    /// # Errors
    /// [`LookError::Io`].
    pub fn summaries(&self) -> Result<Vec<SegmentSummary>, LookError> {
        let mut all = Vec::new();
        for at in 0..self.segments.len() {
            let is_newest = at + 1 == self.segments.len();
            let depth = if is_newest { Depth::Bodies } else { Depth::Headers };
            all.extend(summary::of(self, at, depth)?);
        }
        Ok(all)
    }

    /// Everything from the frame that holds a position on, or from the first one behind it.
    pub fn walk(&self, from: u64, depth: Depth) -> Walkthrough<'_> {
        let behind = self.segments.partition_point(|one| one.first <= from);
        Walkthrough::new(self, behind.saturating_sub(1), depth)
    }

    /// The copies of damaged ranges and cursors: name and bytes.
    ///
    /// # Errors
    /// [`LookError::Io`].
    pub fn quarantine(&self) -> Result<Vec<(String, u64)>, LookError> {
        let folder = self.folder.join(QUARANTINE);
        match self.disk.list(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            answer => {
                let listed = answer.map_err(LookError::io(&folder))?;
                Ok(listed.into_iter().map(|one| (one.name, one.bytes)).collect())
            }
        }
    }
}

fn is_there(disk: &dyn Disk, path: &Path) -> bool {
    let opened = disk.open(path, Open::Read);
    !matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound)
}

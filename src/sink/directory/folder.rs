//! The machine behind the sink: at most one open object, and when it is finished. Blocks.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{info, warn};

use super::leftover::{self, Leftovers};
use super::name::Name;
use super::object::Object;
use super::pack::pack;
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::sink::{Compression, DirectorySettings, Entry};

/// The folder below the objects' own that holds what is not finished.
pub(super) const OPEN_FOLDER: &str = ".open";

/// One directory and its open object.
pub(super) struct Folder {
    disk: SharedDisk,
    clock: Clock,
    path: PathBuf,
    first_part: String,
    object_bytes: u64,
    object_age: Duration,
    compression: Compression,
    object: Option<Object>,
    /// Number of the open object, so that a timer of an earlier one does nothing.
    begun: u64,
    /// Something in `.open` could not be finished, or somebody holds it, and waits for another try.
    has_leftovers: bool,
}

/// What a put did beside storing its bytes.
pub(super) enum Put {
    /// Went into the object that was open.
    Joined,
    /// Began the object of this number.
    Begun(u64),
}

impl Folder {
    pub(super) fn open(
        disk: SharedDisk,
        clock: Clock,
        settings: &DirectorySettings,
    ) -> io::Result<Self> {
        disk.create_folders(&settings.path.join(OPEN_FOLDER))?;
        let mut folder = Self {
            disk,
            clock,
            path: settings.path.clone(),
            first_part: settings.name.clone(),
            object_bytes: settings.object_bytes,
            object_age: settings.object_age,
            compression: settings.compression,
            object: None,
            begun: 0,
            has_leftovers: false,
        };
        folder.finish_leftovers()?;
        Ok(folder)
    }

    /// Appends the entries and syncs them. After an error none of them counts as stored.
    pub(super) fn put(&mut self, entries: &[Entry]) -> io::Result<Put> {
        let packed = pack(entries, self.compression)?;
        if self.object.as_ref().is_some_and(|object| self.is_old(object)) {
            self.finish()?;
        }
        let mut put = Put::Joined;
        if self.object.is_none() {
            self.retry_leftovers();
            self.begun += 1;
            put = Put::Begun(self.begun);
            let name = Name::new(&self.first_part, self.clock.unix_ms(), self.compression);
            self.object = Some(Object::create(&*self.disk, &self.path, name)?);
        }
        let Some(object) = self.object.as_mut() else { return Ok(put) };
        if let Err(error) = object.append(&*self.disk, &packed) {
            // What is synced stands; the file is never written again behind a failure.
            self.give_up();
            return Err(error);
        }
        if object.bytes() >= self.object_bytes
            && let Err(error) = self.finish()
        {
            // The entries are synced all the same; the object is finished at the next occasion.
            warn!(%error, "a full object cannot be finished now");
        }
        Ok(put)
    }

    /// Finishes the open object if it is still this one.
    pub(super) fn finish_if(&mut self, object: u64) -> io::Result<()> {
        if self.begun == object { self.finish() } else { Ok(()) }
    }

    /// Gives the open object its place; it stays open if that fails.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some(object) = &self.object {
            object.finish(&*self.disk, &self.path)?;
            self.object = None;
        }
        Ok(())
    }

    fn is_old(&self, object: &Object) -> bool {
        let age = self.clock.unix_ms().saturating_sub(object.begun_unix_ms());
        Duration::from_millis(age) >= self.object_age
    }

    /// Cuts the object back to what is synced and finishes it, or leaves it to the next start.
    fn give_up(&mut self) {
        let Some(object) = self.object.take() else { return };
        if let Err(error) = object.give_up(&*self.disk, &self.path) {
            warn!(%error, "an object that could not be written stays hidden until the next one");
            self.has_leftovers = true;
        }
    }

    fn retry_leftovers(&mut self) {
        if self.has_leftovers
            && let Err(error) = self.finish_leftovers()
        {
            warn!(%error, "an unfinished object stays hidden until the next one");
        }
    }

    fn finish_leftovers(&mut self) -> io::Result<()> {
        let Leftovers { finished, are_held } = leftover::finish_all(&*self.disk, &self.path)?;
        self.has_leftovers = are_held;
        if finished > 0 {
            info!(objects = finished, folder = %self.path.display(), "unfinished objects were finished");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

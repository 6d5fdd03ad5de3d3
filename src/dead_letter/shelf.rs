//! Putting letters away, durably and within bounds.
//!
//! A shelf holds no file open. Each put opens the newest file, takes its lock and looks whether it
//! is still in its place: taking letters back holds the same lock while it renames the file, so
//! that no letter can be written to a file that is on its way out.

use std::io;
use std::path::PathBuf;

use tracing::warn;

use super::age::Ages;
use super::aged::{AgedOut, Ledger};
use super::letter::encode;
use super::metrics::{OwnMetrics, ShelfMetrics};
use super::take::{hold, remove_if_there};
use super::{Letter, Settings, folder};
use crate::base::disk::{DiskFile, Open, SharedDisk};
use crate::telemetry::Metrics;

/// The letters of one stream and destination.
pub struct Shelf {
    disk: SharedDisk,
    settings: Settings,
    stream: String,
    destination: String,
    folder: PathBuf,
    /// The file this shelf writes to; it began it itself.
    current: Option<Current>,
    /// No name may be older than this, even if the clock goes back.
    newest_ms: u64,
    ages: Ages,
    aged_out: Ledger,
    metrics: OwnMetrics,
}

#[derive(Debug)]
struct Current {
    path: PathBuf,
    begun_ms: u64,
    bytes: u64,
}

impl Shelf {
    /// Opens the folder, or makes it, and cuts a torn last line. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(
        disk: SharedDisk,
        settings: &Settings,
        stream: &str,
        destination: &str,
    ) -> io::Result<Self> {
        let folder = folder::of_shelf(&settings.folder, stream, destination);
        disk.create_folders(&folder)?;
        let mut newest_ms = 0;
        for file in folder::files(&*disk, &folder)? {
            newest_ms = newest_ms.max(folder::unix_ms(&file.name).unwrap_or_default());
            if !file.name.ends_with(folder::TAKEN) {
                let torn = folder::cut_torn_line(&*disk, &folder.join(&file.name))?;
                if torn > 0 {
                    // Its record was never settled, so it comes back from the queue.
                    warn!(
                        stream,
                        destination,
                        file = file.name,
                        bytes = torn,
                        "a torn letter was cut"
                    );
                }
            }
        }
        let aged_out = Ledger::open(&*disk, &folder)?;
        Ok(Self {
            aged_out,
            disk,
            settings: settings.clone(),
            stream: stream.to_owned(),
            destination: destination.to_owned(),
            folder,
            current: None,
            newest_ms,
            ages: Ages::new(),
            metrics: OwnMetrics::default(),
        })
    }

    /// The same shelf, counting into these metrics.
    #[must_use]
    pub fn counted_in(mut self, metrics: &Metrics) -> Self {
        let all = metrics.shared(ShelfMetrics::register);
        self.metrics = all.of(&self.stream, &self.destination);
        // A shelf that was open before is counted already.
        let counted = self.metrics.aged_out.get();
        let letters = self.aged_out.shown().letters();
        self.metrics.aged_out.inc_by(letters.saturating_sub(counted));
        self
    }

    /// How many letters were removed for the bounds, in all the life of the shelf.
    pub fn aged_out(&self) -> AgedOut {
        self.aged_out.shown()
    }

    /// Writes letters and syncs them, then makes room if there are too many. Blocks.
    ///
    /// # Errors
    /// What the disk says; none of the letters counts as put then, and they may be put again.
    pub fn put(&mut self, letters: &[Letter]) -> io::Result<()> {
        let Some(last) = letters.last() else { return Ok(()) };
        let now_ms = last.died_unix_ms;
        if let Err(error) = self.write(letters, now_ms) {
            self.leave_current();
            return Err(folder::named(&self.folder, &error));
        }
        self.metrics.written.inc_by(letters.len() as u64);
        if let Err(error) = self.tidy(now_ms, None) {
            // The letters are safe; an error would have them written again, and again.
            let (stream, destination) = (&self.stream, &self.destination);
            warn!(stream, destination, %error, "no room can be made among the dead letters");
        }
        Ok(())
    }

    /// Removes what is beyond the bounds of size and age, oldest first; to be called now and then
    /// even if nothing is put. The host's clock may be wrong; what a service told of the time counts
    /// more. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn tidy(&mut self, host_unix_ms: u64, told_unix_ms: Option<u64>) -> io::Result<()> {
        self.ages.look(host_unix_ms, told_unix_ms);
        let files = folder::files(&*self.disk, &self.folder)
            .map_err(|error| folder::named(&self.folder, &error))?;
        let times: Vec<_> = files.iter().filter_map(|file| folder::unix_ms(&file.name)).collect();
        self.ages.keep(|begun| times.contains(&begun));
        let doomed = folder::doomed(&files, &self.settings, &self.ages);
        for name in &doomed {
            self.age_out(name).map_err(|error| folder::named(&self.folder.join(name), &error))?;
        }
        Ok(())
    }

    fn write(&mut self, letters: &[Letter], now_ms: u64) -> io::Result<()> {
        let (file, mut end) = match self.current_file(now_ms)? {
            Some(open) => open,
            None => (self.begin(now_ms)?, 0),
        };
        let is_new = end == 0;
        let before = end;
        for letter in letters {
            let line = encode(letter);
            if let Err(error) = file.write_all_at(&line, end) {
                // The lines before are repeated by the caller; a shorter file saves the repetition.
                drop(file.set_bytes(before));
                return Err(error);
            }
            end += line.len() as u64;
        }
        file.sync()?;
        if is_new {
            self.disk.sync_folder(&self.folder)?;
        }
        if let Some(current) = &mut self.current {
            current.bytes = end;
        }
        Ok(())
    }

    /// Nothing is ever written behind a failure: the next put begins a new file.
    fn leave_current(&mut self) {
        let Some(current) = self.current.take() else { return };
        if current.bytes == 0 {
            // It holds nothing that was promised; a full disk must not fill with empty files.
            drop(self.disk.remove(&current.path));
        }
    }

    /// The file of the last put, locked, if it is still there and still has room.
    fn current_file(&self, now_ms: u64) -> io::Result<Option<(Box<dyn DiskFile>, u64)>> {
        let Some(current) = &self.current else { return Ok(None) };
        let age_ms = u128::from(now_ms.saturating_sub(current.begun_ms));
        let is_full = current.bytes >= folder::file_bytes_max(&self.settings);
        if is_full || age_ms >= folder::file_age_max(&self.settings).as_millis() {
            return Ok(None);
        }
        let Some(file) = self.open_existing(current)? else { return Ok(None) };
        if !file.try_lock()? || self.open_existing(current)?.is_none() {
            // Somebody is taking the letters back.
            return Ok(None);
        }
        Ok(Some((file, current.bytes)))
    }

    fn open_existing(&self, current: &Current) -> io::Result<Option<Box<dyn DiskFile>>> {
        match self.disk.open(&current.path, Open::Write) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, now_ms: u64) -> io::Result<Box<dyn DiskFile>> {
        let begun_ms = now_ms.max(self.newest_ms.saturating_add(1));
        let path = self.folder.join(folder::name(begun_ms));
        let file = match self.disk.open(&path, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Somebody removed the folder while weir ran.
                self.disk.create_folders(&self.folder)?;
                self.disk.open(&path, Open::CreateNew)?
            }
            opened => opened?,
        };
        file.try_lock()?;
        self.newest_ms = begun_ms;
        self.ages.begin(begun_ms);
        self.current = Some(Current { path, begun_ms, bytes: 0 });
        Ok(file)
    }

    fn age_out(&mut self, name: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        // Somebody may be taking it back just now.
        let Some(_held) = hold(&*self.disk, &path)? else { return Ok(()) };
        let letters = folder::lines(&*self.disk.open(&path, Open::Read)?)?;
        // What was left of it by a removal that was cut off is part of it.
        remove_if_there(&*self.disk, &self.folder.join(folder::leftover(name)))?;
        let new = self.aged_out.goes(&*self.disk, &self.folder, (name, letters))?;
        self.metrics.aged_out.inc_by(new);
        self.disk.remove(&path)?;
        self.disk.sync_folder(&self.folder)?;
        let (stream, destination) = (&self.stream, &self.destination);
        warn!(stream, destination, file = name, letters, "the oldest dead letters were removed");
        Ok(())
    }
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf").field("folder", &self.folder).finish_non_exhaustive()
    }
}

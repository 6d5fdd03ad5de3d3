//! How many letters of a shelf were removed for its bounds, kept across crashes.
//!
//! `aged_out.json` says how many, and which file is going: it is written before the file goes, so
//! that a crash in between neither forgets nor counts twice.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::base::disk::{Disk, Open, read_full_at, replace_durably};

const NAME: &str = "aged_out.json";

/// Longest file that is read.
const BYTES_MAX: usize = 4 << 10;

/// A window onto the number; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AgedOut(Arc<AtomicU64>);

impl AgedOut {
    /// How many letters were removed.
    pub fn letters(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The number and its file.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    written: Written,
    shown: AgedOut,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    letters: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    going: Option<String>,
}

impl Ledger {
    /// Reads what was counted so far; a file that is no number is told and begun anew.
    pub(super) fn open(disk: &dyn Disk, folder: &Path) -> io::Result<Self> {
        let written = read(disk, folder)?;
        let shown = AgedOut::default();
        shown.0.store(written.letters, Ordering::Release);
        Ok(Self { written, shown })
    }

    pub(super) fn shown(&self) -> AgedOut {
        self.shown.clone()
    }

    /// Counts the letters of a file that goes now; how many are new.
    pub(super) fn goes(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        (name, letters): (&str, u64),
    ) -> io::Result<u64> {
        if self.written.going.as_deref() == Some(name) {
            return Ok(0);
        }
        let total = self.written.letters.saturating_add(letters);
        let written = Written { letters: total, going: Some(name.to_owned()) };
        let line = serde_json::to_vec(&written).map_err(io::Error::other)?;
        replace_durably(disk, &folder.join(NAME), &line)?;
        self.written = written;
        self.shown.0.store(total, Ordering::Release);
        Ok(letters)
    }
}

/// How many letters of a shelf were removed for its bounds. Blocks.
///
/// # Errors
/// What the disk says.
pub fn aged_out(
    disk: &dyn Disk,
    folder: &Path,
    stream: &str,
    destination: &str,
) -> io::Result<u64> {
    let shelf = super::folder::of_shelf(folder, stream, destination);
    Ok(read(disk, &shelf)?.letters)
}

fn read(disk: &dyn Disk, folder: &Path) -> io::Result<Written> {
    let path = folder.join(NAME);
    let file = match disk.open(&path, Open::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Written::default()),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; BYTES_MAX];
    let read = read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(read);
    Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        warn!(path = %path.display(), %error, "the number of aged-out letters is unreadable; it begins at 0");
        Written::default()
    }))
}

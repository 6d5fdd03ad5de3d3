//! The state directory: its layout, its lock, and where the running agent can be reached.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use crate::base::disk::{
    Disk, DiskFile, Kind, Open, SharedDisk, is_full, read_file, replace_durably,
};

/// A state directory that this process holds the lock of, as long as the value lives.
pub struct StateDir {
    disk: SharedDisk,
    path: PathBuf,
    _lock: Box<dyn DiskFile>,
}

/// Why the state directory cannot be used.
#[derive(Debug, Error)]
pub enum StateDirError {
    /// Another agent works in it.
    #[error("the state directory {path} is in use by {holder}; nothing was started", path = path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// `process 4121`, or `another process`.
        holder: String,
    },
    /// It cannot be made, or not be written to.
    #[error("the state directory {path} cannot be written: {source}; nothing was started", path = path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Where a running agent listens, as left for the other commands in `addresses.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// By the name of the HTTP block.
    pub http: BTreeMap<String, Vec<String>>,
    /// The operator's door.
    pub admin: String,
    /// The process.
    pub pid: u32,
}

/// A process id and a line break; anything longer is no lock file of ours.
const LOCK_BYTES_MAX: u64 = 64;
const ADDRESSES_BYTES_MAX: u64 = 1 << 20;

impl StateDir {
    /// Makes the directory if it is missing and takes its lock.
    ///
    /// # Errors
    /// [`StateDirError`].
    pub fn open(disk: SharedDisk, path: &Path) -> Result<Self, StateDirError> {
        let unusable = |source| StateDirError::Unusable { path: path.to_owned(), source };
        disk.create_folders(path).map_err(unusable)?;
        let lock = disk.open(&path.join("lock"), Open::Create).map_err(unusable)?;
        if !lock.try_lock().map_err(unusable)? {
            let holder = read_file(disk.as_ref(), &path.join("lock"), LOCK_BYTES_MAX)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(|text| text.trim().parse::<u32>().ok())
                .map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            return Err(StateDirError::Locked { path: path.to_owned(), holder });
        }
        lock.set_bytes(0).map_err(unusable)?;
        // The pid is for the message above only: on a full disk the lock itself still holds.
        drop(lock.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        Ok(Self { disk, path: path.to_owned(), _lock: lock })
    }

    /// Queues that are here but of none of these streams. What waits in them is kept, and goes
    /// nowhere until their stream is configured again. Blocks.
    pub fn left_queues(&self, is_stream: impl Fn(&str) -> bool) -> Vec<String> {
        // Only for a warning: if the disk is unwell, the queues that are needed say so.
        let listed = self.disk.list(&self.path.join("queue")).unwrap_or_default();
        let left = listed.into_iter().filter(|entry| entry.kind == Kind::Folder);
        let mut names: Vec<_> =
            left.map(|entry| entry.name).filter(|name| !is_stream(name)).collect();
        names.sort();
        names
    }

    /// Leaves word where the agent listens. A full disk is no reason not to start: what waits is to be
    /// delivered, which makes room. Then commands have to be told where the agent is.
    ///
    /// # Errors
    /// What else the disk says.
    pub fn publish(&self, addresses: &Addresses) -> io::Result<()> {
        let text = serde_json::to_vec(addresses).map_err(io::Error::other)?;
        let path = self.path.join("addresses.json");
        match replace_durably(self.disk.as_ref(), &path, &text) {
            Err(error) if is_full(&error) => {
                // An older word would point elsewhere.
                self.withdraw();
                warn!(problem = "disk-full", %error, "addresses.json cannot be written; commands \
                    find this agent only by --to and --admin");
                Ok(())
            }
            written => written,
        }
    }

    /// Takes that word back.
    pub fn withdraw(&self) {
        // Missing is what we want, and a leftover only points to a door that does not answer.
        drop(self.disk.remove(&self.path.join("addresses.json")));
    }
}

impl Addresses {
    /// Reads the word that a running agent left.
    ///
    /// # Errors
    /// `NotFound` when none runs, `InvalidData` when it is none of ours, and what the disk says.
    pub fn read(disk: &dyn Disk, state_dir: &Path) -> io::Result<Self> {
        let bytes = read_file(disk, &state_dir.join("addresses.json"), ADDRESSES_BYTES_MAX)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::disk::{FaultyDisk, RealDisk};
    use crate::base::scratch::Scratch;

    #[test]
    fn on_a_full_disk_the_agent_starts_and_an_older_word_does_not_mislead() {
        let disk = FaultyDisk::new();
        let state_dir = StateDir::open(disk.shared(), Path::new("/state")).unwrap();
        let addresses = Addresses::default();
        state_dir.publish(&addresses).unwrap();
        assert!(Addresses::read(&disk, Path::new("/state")).is_ok());

        disk.set_capacity(Some(0));
        state_dir.publish(&addresses).unwrap();

        let read = Addresses::read(&disk, Path::new("/state"));
        assert_eq!(read.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }

    #[test]
    fn queues_whose_stream_is_gone_are_known_by_name() {
        let scratch = Scratch::new();
        let state_dir = StateDir::open(Arc::new(RealDisk), scratch.path()).unwrap();
        let left = || state_dir.left_queues(|name| name == "orders");
        assert_eq!(left(), [""; 0], "no queue was ever made");

        for name in ["orders", "visits", "access"] {
            RealDisk.create_folders(&scratch.join("queue").join(name)).unwrap();
        }
        RealDisk.open(&scratch.join("queue/file"), Open::Create).unwrap();

        assert_eq!(left(), ["access", "visits"]);
    }
}

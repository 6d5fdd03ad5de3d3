//! A local folder of Firehose-shaped objects.
//!
//! An object grows as a hidden file in `<path>/.open/`, synced after every put, and is renamed to
//! `<path>/YYYY/MM/DD/HH/` when it is large or old enough. What a crash leaves in `.open` is cut
//! to its last whole put and finished at the next opening.

mod folder;

mod leftover;
mod name;
mod object;
mod pack;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use self::folder::{Folder, Put};
use super::firehose::with_newline;
use super::{At, DirectorySettings, Entry, Fate, Fault, Limits, Load, Outcome, Sink};
use crate::base::clock::Clock;
use crate::base::disk::{SharedDisk, is_full};
use crate::base::tasks::{self, Tasks};

/// Most entries of one put: one sync is shared by as many.
const ENTRIES_MAX: usize = 5_000;

/// Most bytes of one put; it is packed and written as a whole.
const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Between two tries to finish an object that is old enough.
const FINISH_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One folder that takes records as newline-delimited objects.
#[derive(Debug)]
pub struct Directory {
    folder: Arc<Mutex<Folder>>,
    object_age: Duration,
    timer: Mutex<Timer>,
}

/// The one task that finishes the open object when it is old enough.
#[derive(Debug, Default)]
struct Timer {
    object: u64,
    _task: Tasks,
}

impl Directory {
    /// Opens the folder, or makes it, and finishes what a crash left behind. Blocks.
    ///
    /// # Errors
    /// What the disk says, in words.
    pub fn open(disk: SharedDisk, clock: Clock, settings: &DirectorySettings) -> io::Result<Self> {
        let folder = Folder::open(disk, clock, settings).map_err(|error| {
            let path = settings.path.display();
            let words = format!("the folder {path} cannot take objects: {error}");
            io::Error::new(error.kind(), words)
        })?;
        Ok(Self {
            folder: Arc::new(Mutex::new(folder)),
            object_age: settings.object_age,
            timer: Mutex::default(),
        })
    }

    /// Has the object that was begun just now finished when its time has come, even if nothing
    /// is put any more.
    fn finish_later(&self, object: u64) {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        if timer.object > object {
            // Another put began the next object meanwhile, so this one is finished.
            return;
        }
        let folder = Arc::downgrade(&self.folder);
        let mut due = Instant::now() + self.object_age;
        let mut task = Tasks::new();
        task.spawn("object-age", async move {
            loop {
                tokio::time::sleep_until(due).await;
                let Some(folder) = folder.upgrade() else { return Ok::<(), String>(()) };
                match on_folder(&folder, move |folder| folder.finish_if(object)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => warn!(%error, "an object that is old enough cannot be finished"),
                }
                due = Instant::now() + FINISH_AGAIN_AFTER;
            }
        });
        // The timer of the object before ends here; that object is finished.
        *timer = Timer { object, _task: task };
    }
}

impl Sink for Directory {
    fn kind(&self) -> &'static str {
        "directory"
    }

    fn limits(&self) -> Limits {
        Limits {
            entries: ENTRIES_MAX,
            request_bytes: REQUEST_BYTES_MAX,
            // A file takes a record of any size.
            entry_bytes: usize::MAX,
        }
    }

    fn weigh(&self, entry: &Entry) -> usize {
        entry.data.len()
    }

    fn wire_bytes(&self, _load: Load) -> u64 {
        0
    }

    fn entry(&self, key: String, payload: Bytes) -> Entry {
        Entry::plain(key, with_newline(payload))
    }

    async fn put(&self, entries: Vec<Entry>) -> Outcome {
        let sent = entries.len();
        match on_folder(&self.folder, move |folder| folder.put(&entries)).await {
            Ok(put) => {
                if let Put::Begun(object) = put {
                    self.finish_later(object);
                }
                Ok(vec![Fate::Taken; sent])
            }
            Err(error) => Err(disk_fault(&error)),
        }
    }

    async fn close(&self) {
        if let Err(error) = on_folder(&self.folder, Folder::finish).await {
            warn!(%error, "the open object stays hidden; the next start finishes it");
        }
    }
}

async fn on_folder<T: Send + 'static>(
    folder: &Arc<Mutex<Folder>>,
    work: impl FnOnce(&mut Folder) -> T + Send + 'static,
) -> T {
    let folder = Arc::clone(folder);
    tasks::blocking(move || work(&mut folder.lock().unwrap_or_else(PoisonError::into_inner))).await
}

fn disk_fault(error: &io::Error) -> Fault {
    let code = if is_full(error) { "disk-full" } else { "disk-failed" };
    Fault { at: At::Disk, code: code.into(), message: error.to_string(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::sink::Compression;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_is_set_late_does_not_end_that_of_the_object_after() {
        let name = format!("weir-timer-{:032x}", crate::base::random::bits());
        let path = std::env::temp_dir().join(name);
        let settings = DirectorySettings {
            path: path.clone(),
            name: "archive".into(),
            object_bytes: 4,
            object_age: Duration::from_secs(60),
            compression: Compression::None,
        };
        let disk = Arc::new(RealDisk);
        let sink = Directory::open(disk, Clock::starting_at(0), &settings).unwrap();
        for text in ["one", "2"] {
            let payload = Bytes::from_static(text.as_bytes());
            let entry = sink.entry(String::new(), payload);
            assert_eq!(sink.put(vec![entry]).await, Ok(vec![Fate::Taken]));
        }

        sink.finish_later(1);
        tokio::time::sleep(Duration::from_secs(61)).await;
        on_folder(&sink.folder, |_| ()).await;

        assert_eq!(std::fs::read_dir(path.join(".open")).unwrap().count(), 0);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

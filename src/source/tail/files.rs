//! All followed files of one block, their marks and their open handles.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::time::Instant;

use super::board::Board;
use super::done::DoneSettings;
use super::envelope::Envelope;
use super::file::{Followed, Leaving, Place};
use super::find::Globs;
use super::generations::{Listing, Succession};
use super::handles::Handles;
use super::kin::Kin;
use super::mark;
use super::metrics::BlockNumbers;
use super::turn::Turn;
use super::{Settings, StartAt};
use crate::base::clock::Clock;
use crate::base::disk::foreign::ForeignId;
use crate::source::framing::Framing;

/// Most files open at once, so that the process stays within the usual limit of 1,024. Beyond it
/// the one that had no turn for longest is closed, and opened again when it is its turn.
pub(super) const OPEN_FILES_MAX: usize = 512;
/// How long a renamed or deleted file must be quiet before nothing more is expected from it.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// Bytes read, and made durable, at once.
pub(super) const ROUND_BYTES: usize = 1536 * 1024;

/// The files of one block.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) framing: Arc<Framing>,
    pub(super) envelope: Option<Envelope>,
    pub(super) start_at: StartAt,
    /// Nothing will be added to any file.
    pub(super) is_once: bool,
    pub(super) globs: Arc<Globs>,
    pub(super) board: Board,
    pub(super) numbers: BlockNumbers,
    pub(super) birth: Birth,
    pub(super) all: BTreeMap<ForeignId, Followed>,
    pub(super) by_path: HashMap<PathBuf, ForeignId>,
    pub(super) turn: Turn<ForeignId>,
    /// Those of which something unfinished becomes a record, unless more comes before.
    pub(super) due: BTreeMap<ForeignId, Instant>,
    /// Those that left their path and may still bring something.
    pub(super) leaving: BTreeSet<ForeignId>,
    /// Paths whose next file waits until these, which left it, are read to their end.
    pub(super) holds: BTreeMap<PathBuf, BTreeSet<ForeignId>>,
    pub(super) settled_at: Option<Instant>,
    /// Whether marks may have changed without lines.
    pub(super) may_be_unsaved: bool,
    /// Marks of files that are gone, to be forgotten with the next group.
    pub(super) forgets: Vec<String>,
    pub(super) round_bytes: usize,
    /// Whether something was met that only a scan can settle.
    pub(super) wants_scan: bool,
    /// What could not be looked at in the last scan, and what the system said; said once.
    pub(super) complained: BTreeMap<PathBuf, String>,
    /// Marks of delivered files that could not be put away, said once.
    pub(super) complained_of_done: BTreeSet<String>,
    /// What becomes of delivered files.
    pub(super) done: DoneSettings,
    /// Most bytes of deleted files that are kept open.
    pub(super) pinned_bytes_max: u64,
    /// Of a file that was not changed for longer when it is first seen, only what is added later is read.
    pub(super) ignore_older: Option<Duration>,
    /// To tell how old a file is.
    pub(super) clock: Clock,
    /// Known files where the globs do not look any more.
    pub(super) unwanted: BTreeMap<ForeignId, Followed>,
    /// Of those who are not where they were thought to be: to be looked for in copies.
    pub(super) homeless: Vec<Followed>,
    /// Paths at which files may have come and gone unseen.
    pub(super) successions: Vec<Succession>,
    /// Where links led since the last scan, by the path of the link.
    pub(super) led: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    pub(super) listing: Listing,
    pub(super) kin: Kin,
    /// Numbers under which a file was taken in during this scan: who had one before is not there.
    pub(super) taken_in: BTreeSet<ForeignId>,
    pub(super) opened: Handles<ForeignId>,
    /// Those that had their turn in this round and are still on the way to what they have to read.
    pub(super) not_yet: BTreeSet<ForeignId>,
    /// Counts turns.
    pub(super) turns: u64,
}

/// How far the very first start of a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Birth {
    /// No scan yet: what it finds was there before.
    Unscanned,
    /// The places where reading begins are to be made durable.
    Unsaved,
    /// What appears from now on is new.
    Done,
}

impl Files {
    /// Takes up what the marks say.
    pub(super) fn new(
        settings: &Settings,
        globs: Arc<Globs>,
        board: Board,
        (numbers, clock): (BlockNumbers, Clock),
        marks: Vec<(String, Bytes)>,
    ) -> Self {
        let mut files = Self {
            name: settings.name.clone(),
            prefix: mark::prefix(&settings.name),
            framing: Arc::new(Framing::new(&settings.framing)),
            envelope: settings.envelope.clone().map(Envelope::new),
            start_at: settings.start_at,
            is_once: settings.is_once,
            globs,
            board,
            numbers,
            birth: Birth::Unscanned,
            all: BTreeMap::new(),
            by_path: HashMap::new(),
            turn: Turn::new(),
            due: BTreeMap::new(),
            leaving: BTreeSet::new(),
            holds: BTreeMap::new(),
            settled_at: None,
            may_be_unsaved: true,
            forgets: Vec::new(),
            round_bytes: ROUND_BYTES,
            wants_scan: false,
            complained: BTreeMap::new(),
            complained_of_done: BTreeSet::new(),
            done: settings.done.clone(),
            pinned_bytes_max: settings.pinned_bytes_max,
            ignore_older: settings.ignore_older,
            clock,
            unwanted: BTreeMap::new(),
            homeless: Vec::new(),
            successions: Vec::new(),
            led: BTreeMap::new(),
            listing: Listing::default(),
            kin: Kin::default(),
            taken_in: BTreeSet::new(),
            opened: Handles::new(),
            not_yet: BTreeSet::new(),
            turns: 0,
        };
        for (name, value) in marks {
            files.take_up(name, value);
        }
        files
    }

    fn take_up(&mut self, name: String, value: Bytes) {
        if name == mark::started(&self.prefix) {
            self.birth = Birth::Done;
            return;
        }
        match mark::decode(value) {
            Ok(saved) => {
                let mut file = Followed::new(saved.id, name, &saved.home, Instant::now());
                file.progress = saved.progress;
                file.saved = file.revision;
                if !saved.home.as_os_str().is_empty() && !self.globs.matches(&saved.home) {
                    // The globs were changed: its mark stays, should they be changed back.
                    self.unwanted.insert(saved.id, file);
                    return;
                }
                // Two of one number: one of them was found in the other's place, and weir died before
                // it was written down where the other is. Which of them is there, only the content
                // tells: one is sought everywhere, there too.
                match self.all.entry(saved.id) {
                    Entry::Occupied(_) => {
                        file.lose_number();
                        self.homeless.push(file);
                    }
                    Entry::Vacant(place) => _ = place.insert(file),
                }
            }
            Err(why) => {
                tracing::warn!(
                    tail = self.name,
                    mark = name,
                    why,
                    "a mark cannot be read; if its file is still there, it is read from the beginning"
                );
            }
        }
    }

    /// A file behind a path may have something to read.
    pub(super) fn wake(&mut self, path: &Path) {
        if let Some(id) = self.by_path.get(path) {
            self.turn.wake(*id);
            if let Some(file) = self.all.get(id) {
                self.board.show_written(&file.mark);
            }
        }
    }

    /// Opens a file at its path, unless it is open.
    pub(super) fn open(&mut self, id: ForeignId) -> io::Result<()> {
        match self.all.get(&id) {
            Some(file) if !file.is_open() => self.open_at(id, &file.path.clone()),
            _ => Ok(()),
        }
    }

    /// Opens a file at a path where it is expected.
    pub(super) fn open_at(&mut self, id: ForeignId, path: &Path) -> io::Result<()> {
        if !self.has_room() {
            self.close_oldest(id);
        }
        let Some(file) = self.all.get_mut(&id) else { return Ok(()) };
        let (opened, used) = (file.open(path), file.used);
        match opened {
            Err(error) if is_out_of_handles(&error) && self.close_oldest(id) => {
                self.open_at(id, path)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.opened.add(id, used);
                Ok(())
            }
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.opened.count() < OPEN_FILES_MAX
    }

    pub(super) fn close(&mut self, id: ForeignId) {
        self.opened.remove(id);
        if let Some(file) = self.all.get_mut(&id) {
            file.close();
        }
    }

    /// Closes the file that had no turn for longest, but none that could not be opened again.
    fn close_oldest(&mut self, but: ForeignId) -> bool {
        let again = |file: &&Followed| file.id != but && !matches!(file.place, Place::Gone { .. });
        let oldest = self.opened.by_age().filter_map(|id| self.all.get(&id)).find(again);
        let oldest = oldest.map(|file| file.id);
        oldest.inspect(|id| self.close(*id)).is_some()
    }

    /// Begins to expect the end of a file that left `path`.
    pub(super) fn leave(&mut self, id: ForeignId, path: PathBuf, now: Instant) {
        self.release(id);
        if let Some(file) = self.all.get_mut(&id) {
            file.leaving = Some(Leaving { since: now, left: path.clone() });
            self.leaving.insert(id);
            self.holds.entry(path).or_default().insert(id);
            self.turn.wake(id);
        }
    }

    /// It did not leave after all.
    pub(super) fn stay(&mut self, id: ForeignId) {
        self.release(id);
        self.leaving.remove(&id);
        if let Some(file) = self.all.get_mut(&id) {
            file.leaving = None;
        }
    }

    /// The next file at the path it left waits no longer.
    pub(super) fn release(&mut self, id: ForeignId) {
        if let Some(file) = self.all.get(&id) {
            let left = file.leaving.as_ref().map(|leaving| leaving.left.clone());
            self.release_path(id, left);
        }
    }

    /// The same of a file that is taken out already.
    pub(super) fn release_of(&mut self, file: &Followed) {
        let left = file.leaving.as_ref().map(|leaving| leaving.left.clone());
        self.release_path(file.id, left);
    }

    fn release_path(&mut self, id: ForeignId, left: Option<PathBuf>) {
        if let Some(left) = left
            && let Some(holding) = self.holds.get_mut(&left)
        {
            holding.remove(&id);
            if holding.is_empty() {
                self.holds.remove(&left);
            }
        }
    }

    /// Whether the file that stood at the same path before is still to be read first.
    pub(super) fn is_held(&self, id: ForeignId) -> bool {
        let holding = self.all.get(&id).and_then(|file| self.holds.get(&file.path));
        holding.is_some_and(|holding| holding.iter().any(|before| *before != id))
    }

    /// Expects nothing more from a file and lets its handle go.
    pub(super) fn let_go(&mut self, id: ForeignId) {
        self.stay(id);
        self.close(id);
        let place = self.all.get(&id).map(|file| file.place);
        self.wants_scan |= matches!(place, Some(Place::Gone { .. }));
    }

    /// Forgets a file that is gone, and its mark.
    pub(super) fn forget(&mut self, id: ForeignId) {
        if let Some(file) = self.vacate(id) {
            self.wants_scan |= matches!(file.place, Place::Gone { .. });
            self.board.strike(&file.mark);
            self.complained_of_done.remove(&file.mark);
            self.forgets.push(file.mark);
        }
    }

    /// Reports a failed read, once per file, and leaves the file alone until the next scan.
    pub(super) fn complain(&mut self, id: ForeignId, error: &io::Error) {
        self.release(id);
        let Some(file) = self.all.get_mut(&id) else { return };
        if error.kind() == io::ErrorKind::NotFound {
            self.wants_scan = true;
        } else {
            self.numbers.read_errors.inc();
            if file.trouble.replace(error.to_string()).is_none() {
                tracing::warn!(
                    tail = self.name,
                    path = %file.path.display(),
                    %error,
                    "a followed file cannot be read; it is tried again at every scan"
                );
            }
        }
        file.is_in_trouble = true;
        self.board.show_trouble(file);
        self.close(id);
    }
}

fn is_out_of_handles(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

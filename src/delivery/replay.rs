//! Puts dead letters back into their queues, each exactly once.
//!
//! A file is taken from the shelf, its letters go to the queue in groups, and each group carries a
//! mark `replay/<destination>/<file>` with how far the file is done (`progress`). A replay that was
//! cut off goes on behind that mark; the file goes first, the mark after it. Letters that are not
//! meant stay, in a file of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::progress::{Progress, Turn};
use super::ways::{self, Way};
use crate::base::disk::SharedDisk;
use crate::base::tasks::blocking;
use crate::dead_letter::{self, Filter, Letter, Letters, Lying, TakenBack, shelves, take};
use crate::queue::{AppendError, Group, Mark, Writer};
use crate::record::{RecordId, Text, encode};

/// Most letters of one group.
const GROUP_COUNT_MAX: usize = 500;

/// A group is closed when it has this many bytes.
const GROUP_BYTES: usize = 1 << 20;

/// What stands before the name of every mark.
const MARKS: &str = "replay/";

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records put back into their queues.
    pub records: u64,
    /// Files that were worked off.
    pub files: u64,
    /// Letters that are still there, because no record can be made of them.
    pub left: u64,
    /// What the operator should know beside that, one sentence each.
    pub notes: Vec<String>,
}

/// Puts letters back, file by file: for whom they were, or all of them `to` one destination of their
/// stream. It may be cut off at any moment and repeated, and a worker may put new letters on the
/// same shelf meanwhile.
///
/// # Errors
/// In words, why it could not go on; what was put back until then is not put back again by the
/// next replay. Nothing is, where some of the letters would be for nobody.
pub async fn replay(
    disk: SharedDisk,
    settings: &dead_letter::Settings,
    order: (&Filter, Option<&str>),
    writers: &BTreeMap<String, Writer>,
) -> Result<Replayed, String> {
    replay_into(disk, &settings.folder, order, writers).await
}

/// What a replay needs of a queue.
pub(super) trait Back {
    /// Commits a group as a whole.
    fn append(&self, group: Group) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// The marks whose names begin with this.
    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)>;

    /// Those whom its records are delivered to.
    fn destinations(&self) -> Vec<String>;
}

impl Back for Writer {
    async fn append(&self, group: Group) -> Result<(), AppendError> {
        Self::append(self, group).await.map(drop)
    }

    fn marks(&self, prefix: &str) -> Vec<(String, Bytes)> {
        Self::marks(self, prefix)
    }

    fn destinations(&self) -> Vec<String> {
        self.overview().ledgers.into_iter().map(|(destination, _)| destination).collect()
    }
}

pub(super) async fn replay_into<W: Back>(
    disk: SharedDisk,
    folder: &Path,
    order: (&Filter, Option<&str>),
    writers: &BTreeMap<String, W>,
) -> Result<Replayed, String> {
    let mut replayed = Replayed::default();
    let ways = |shelf: Lying| Some((writers.get(&shelf.stream)?.destinations(), shelf));
    let lying = meant(&disk, folder, order.0).await?.into_iter().filter_map(ways);
    let lying: Vec<_> = lying.map(|(destinations, shelf)| (shelf, destinations)).collect();
    ways::check(&disk, &lying, order).await?;
    // What lies before the place where another replay was cut off goes back in a second round.
    for _round in 0..2 {
        if !replay_round(&disk, folder, order, (writers, &mut replayed)).await? {
            break;
        }
    }
    Ok(replayed)
}

/// Goes over all files once; whether some letters were left for another round.
async fn replay_round<W: Back>(
    disk: &SharedDisk,
    folder: &Path,
    (filter, to): (&Filter, Option<&str>),
    (writers, replayed): (&BTreeMap<String, W>, &mut Replayed),
) -> Result<bool, String> {
    let mut is_another = false;
    for shelf in meant(disk, folder, filter).await? {
        let Some(writer) = writers.get(&shelf.stream) else {
            if !shelf.files.is_empty() {
                let stream = &shelf.stream;
                replayed.notes.push(format!(
                    "there is no stream `{stream}` any more; its letters stay where they are"
                ));
            }
            continue;
        };
        forget_finished(writer, &shelf).await?;
        let only_for = match Way::of(&shelf, to, &writer.destinations()) {
            Way::All => None,
            Way::Only(destination) => Some(destination),
            // None of its letters is meant.
            Way::Nobody => continue,
        };
        for file in &shelf.files {
            let (disk, only_for) = (disk.clone(), only_for.clone());
            let one = OneFile { disk, writer, shelf: &shelf, filter, only_for };
            is_another |= one.replay(file.path.clone(), replayed).await?;
        }
    }
    Ok(is_another)
}

/// The shelves that may hold what is meant.
async fn meant(disk: &SharedDisk, folder: &Path, filter: &Filter) -> Result<Vec<Lying>, String> {
    let mut lying = {
        let (disk, folder) = (disk.clone(), folder.to_path_buf());
        blocking(move || shelves(&*disk, &folder)).await
    }
    .map_err(|error| {
        format!("the dead letters in {} cannot be listed: {error}", folder.display())
    })?;
    lying.retain(|shelf| filter.fits_shelf(&shelf.stream, &shelf.destination));
    Ok(lying)
}

/// Marks of files that are gone: the replay was cut off between removing the file and this.
async fn forget_finished<W: Back>(writer: &W, shelf: &Lying) -> Result<(), String> {
    let prefix = format!("{MARKS}{}/", shelf.destination);
    let is_there = |name: &str| {
        shelf.files.iter().any(|file| {
            let listed = file.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // While it is taken, something stands behind its name.
            listed.starts_with(name)
        })
    };
    let marks = writer.marks(&prefix).into_iter().map(|(name, _)| name);
    let gone: Vec<_> = marks
        .filter(|name| name.strip_prefix(&prefix).is_some_and(|file| !is_there(file)))
        .map(|name| Mark { name, value: None })
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    let group = Group { payloads: Vec::new(), marks: gone, key: None };
    writer.append(group).await.map_err(|error| format!("old marks cannot be forgotten: {error}"))
}

/// A file on its way back.
struct OneFile<'a, W> {
    disk: SharedDisk,
    writer: &'a W,
    shelf: &'a Lying,
    filter: &'a Filter,
    only_for: Option<String>,
}

/// Lines that stay in a file.
#[derive(Default)]
struct Staying {
    /// Where they begin.
    at: Vec<u64>,
    /// How many of them are no records.
    unreadable: u64,
    /// Whether some go back in another round.
    is_another: bool,
}

/// What one step of reading a file gave.
#[derive(Default)]
struct Step {
    payloads: Vec<Bytes>,
    staying: Staying,
    /// How far the file is read now.
    end: u64,
    is_last: bool,
}

impl<W: Back> OneFile<'_, W> {
    /// Whether some letters were left for another round.
    async fn replay(&self, path: PathBuf, replayed: &mut Replayed) -> Result<bool, String> {
        let shown = path.display().to_string();
        let disk = self.disk.clone();
        let taken = blocking(move || take(&*disk, &path)).await;
        let Some(taken) = taken.map_err(|error| unreadable(&shown, &error))? else {
            replayed.notes.push(format!("{shown} is in use just now; replay once more for it"));
            return Ok(false);
        };
        let mark = format!("{MARKS}{}/{}", self.shelf.destination, taken.name());
        let before = replayed.records;
        match self.put_back_all(&taken, &mark, replayed).await {
            Ok(staying) => {
                self.finish(taken, mark, &staying, replayed).await?;
                Ok(staying.is_another)
            }
            Err(why) => {
                let disk = self.disk.clone();
                // If this fails too, the next replay finds the file by its other name.
                drop(blocking(move || taken.put_back(&*disk)).await);
                let records = replayed.records - before;
                Err(format!(
                    "{shown}: {why}; {records} of its records were put back, and the \
                             next replay goes on behind them"
                ))
            }
        }
    }

    /// Every letter that is meant and not done yet goes to the queue; which lines stay.
    async fn put_back_all(
        &self,
        taken: &TakenBack,
        mark: &str,
        replayed: &mut Replayed,
    ) -> Result<Staying, String> {
        let done = self.writer.marks(mark).into_iter().find(|(name, _)| name == mark);
        let mut progress =
            done.map_or(Ok(Progress::default()), |(_, value)| Progress::read(&value))?;
        // What is done is told by how it stood when this replay began.
        let begun = Arc::new((progress.clone(), self.filter.clone()));
        let mut letters = taken.letters(&*self.disk).map_err(|error| error.to_string())?;
        let mut staying = Staying::default();
        loop {
            let (only_for, begun) = (self.only_for.clone(), Arc::clone(&begun));
            let (step, rest) = blocking(move || {
                let step = read_step(&mut letters, &begun, only_for.as_deref());
                (step, letters)
            })
            .await;
            letters = rest;
            let step = step.map_err(|error| error.to_string())?;
            staying.more(step.staying);
            let records = step.payloads.len() as u64;
            if records > 0 {
                let value = Some(progress.value(step.end, self.filter)?);
                let marks = vec![Mark { name: mark.to_owned(), value }];
                let group = Group { payloads: step.payloads, marks, key: None };
                self.writer.append(group).await.map_err(|error| error.to_string())?;
                replayed.records += records;
            }
            if step.is_last {
                return Ok(staying);
            }
        }
    }

    async fn finish(
        &self,
        taken: TakenBack,
        mark: String,
        staying: &Staying,
        replayed: &mut Replayed,
    ) -> Result<(), String> {
        replayed.left += staying.unreadable;
        let left = &staying.at;
        let has_mark = self.writer.marks(&mark).iter().any(|(name, _)| *name == mark);
        let (disk, left, name) = (self.disk.clone(), left.clone(), taken.name().to_owned());
        // Without a mark nothing of it was ever put back, so there is nothing to take out of it.
        let keeps_all = !has_mark && !left.is_empty();
        let ended =
            blocking(
                move || {
                    if keeps_all { taken.put_back(&*disk) } else { taken.finish(&*disk, &left) }
                },
            )
            .await;
        ended.map_err(|error| format!("`{name}` was put back, but cannot be removed: {error}"))?;
        if keeps_all {
            return Ok(());
        }
        replayed.files += 1;
        if !has_mark {
            return Ok(());
        }
        let marks = vec![Mark { name: mark, value: None }];
        let forgotten = self.writer.append(Group { payloads: Vec::new(), marks, key: None }).await;
        forgotten.map_err(|error| format!("`{name}` was put back, but its mark stays: {error}"))
    }
}

impl Staying {
    fn more(&mut self, other: Self) {
        self.at.extend(other.at);
        self.unreadable += other.unreadable;
        self.is_another |= other.is_another;
    }
}

/// Reads letters until a group is full. Those that are in the queue already are read all the same,
/// for others among them may have stayed behind.
fn read_step(
    letters: &mut Letters,
    (begun, filter): &(Progress, Filter),
    only_for: Option<&str>,
) -> std::io::Result<Step> {
    let mut step = Step::default();
    let mut bytes = 0;
    while step.payloads.len() < GROUP_COUNT_MAX && bytes < GROUP_BYTES {
        let at = letters.offset();
        let Some(read) = letters.next() else {
            step.is_last = true;
            break;
        };
        match read? {
            Ok(letter) if letter.record.id != RecordId::NONE => {
                match begun.turn(at, &letter, filter) {
                    Turn::Done => {}
                    Turn::Now => {
                        let payload = payload(letter, only_for);
                        bytes += payload.len();
                        step.payloads.push(payload);
                    }
                    turn @ (Turn::Stays | Turn::Later) => {
                        step.staying.at.push(at);
                        step.staying.is_another |= turn == Turn::Later;
                    }
                }
            }
            _ => {
                step.staying.at.push(at);
                step.staying.unreadable += 1;
            }
        }
    }
    step.end = letters.offset();
    Ok(step)
}

/// The record as it was, with its id and key.
fn payload(letter: Letter, only_for: Option<&str>) -> Bytes {
    let mut record = letter.record;
    record.only_for = only_for.map(Text::from);
    encode(&record)
}

fn unreadable(path: &str, error: &std::io::Error) -> String {
    format!("{path} cannot be taken from the shelf: {error}; nothing of it was put back")
}

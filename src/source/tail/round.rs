//! One round: everybody who has something gets a turn, and what they bring becomes one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::body::{is_not_yet, not_yet};
use super::file::{Followed, Share, Stand, Taken};
use super::files::{Birth, Files, GRACE, ROUND_BYTES};
use super::mark;
use super::progress::Progress;
use crate::admission::{Receipt, Rejection};
use crate::base::disk::foreign::ForeignId;
use crate::record::{Origin, RawRecord};
use crate::source::letter;

/// Most records of one round: a record costs more in the queue than its bytes.
const ROUND_RECORDS: usize = 15_000;
/// Most bytes of marks without lines in one round, about: the smallest queue takes as many at once.
const ROUND_MARK_BYTES: usize = 512 * 1024;

/// How often files that left their path are looked at, however busy others are.
const SETTLE_EVERY: Duration = Duration::from_millis(200);

/// Lines and the marks that become durable with them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Vec<RawRecord>,
    /// Lines that are no records.
    pub(super) faulty: Vec<Rejection>,
    /// Everything that is at fault lies on the shelf.
    pub(super) is_shelved: bool,
    pub(super) marks: BTreeMap<String, Option<Bytes>>,
    pub(super) bytes: usize,
    steps: Vec<Step>,
    is_birth: bool,
}

/// What will have to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    /// Somebody waits for a turn.
    pub(super) is_waiting: bool,
    /// Somebody is about to leave.
    pub(super) is_leaving: bool,
    /// When an unfinished line becomes a record.
    pub(super) due: Option<Instant>,
}

/// What a batch means for one file.
#[derive(Debug)]
struct Step {
    id: ForeignId,
    mark: String,
    revision: u64,
    next: Option<Progress>,
    pieces: u64,
    has_more: bool,
}

impl Batch {
    /// Adds the mark of a file as it is.
    pub(super) fn note(&mut self, file: &Followed) {
        let value = mark::encode(file.id, &file.progress, &file.home);
        self.bytes += file.mark.len() + value.len();
        self.marks.insert(file.mark.clone(), Some(value));
        self.steps.push(Step {
            id: file.id,
            mark: file.mark.clone(),
            revision: file.revision,
            next: None,
            pieces: 0,
            has_more: false,
        });
    }
}

impl Files {
    /// Reads what is due. `None` if nothing is. Blocks.
    pub(super) fn gather(&mut self, now: Instant) -> Option<Batch> {
        let mut batch = Batch::default();
        self.listing.clear();
        self.kin.forget();
        let all_saved = self.add_unsaved(&mut batch);
        match self.birth {
            // Nothing is read before it is settled where reading begins.
            Birth::Unscanned => {}
            Birth::Unsaved => {
                batch.is_birth = all_saved;
                if all_saved {
                    let started = mark::started(&self.prefix);
                    batch.marks.insert(started, Some(Bytes::from_static(&[1])));
                }
            }
            Birth::Done => {
                self.settle(&mut batch, now);
                self.wake_due(now);
                self.read_round(&mut batch, now);
                // Once in a round, however few others there are.
                std::mem::take(&mut self.not_yet).into_iter().for_each(|id| self.turn.wake(id));
            }
        }
        let forgets = std::mem::take(&mut self.forgets);
        batch.marks.extend(forgets.into_iter().map(|name| (name, None)));
        (!batch.marks.is_empty()).then_some(batch)
    }

    /// Moves the positions: their lines are durable.
    pub(super) fn commit(&mut self, batch: Batch, receipt: &Receipt) {
        self.numbers.lines.inc_by(batch.records.len() as u64);
        if batch.is_birth {
            self.birth = Birth::Done;
        }
        self.judge_copies_anew(&batch.steps);
        for step in batch.steps {
            let Some(file) = followed_by(&mut self.all, step.id, &step.mark) else { continue };
            // Found elsewhere, it has to say so itself.
            file.saved = if file.id == step.id { step.revision } else { 0 };
            self.may_be_unsaved |= file.id != step.id;
            file.pending = None;
            let is_overtaken = file.behind.take().is_some();
            if let Some(next) = step.next.filter(|_| !is_overtaken) {
                self.numbers.bytes.inc_by(next.position.saturating_sub(file.progress.position));
                self.numbers.cuts.inc_by(step.pieces);
                // Closed since it was read: it is compared again when it is opened.
                let recent = file.progress.recent.is_some().then_some(next.recent).flatten();
                file.progress = Progress { recent, ..next };
            }
            if step.has_more {
                self.turn.wake(step.id);
            }
            self.board.show_queued(file, receipt.place);
        }
        self.round_bytes = self.round_bytes.saturating_mul(2).min(ROUND_BYTES);
    }

    /// With the first lines of a file it can be told better what is a copy of it.
    fn judge_copies_anew(&mut self, steps: &[Step]) {
        let is_first = |step: &&Step| {
            step.next.as_ref().is_some_and(|next| next.position > 0)
                && self.all.get(&step.id).is_some_and(|file| file.progress.position == 0)
        };
        let first: BTreeSet<_> = steps.iter().filter(is_first).map(|step| step.id).collect();
        if first.is_empty() {
            return;
        }
        for file in self.all.values_mut() {
            if matches!(file.stand, Stand::CopyOf(original) if first.contains(&original)) {
                file.stand = Stand::Unjudged;
                self.turn.wake(file.id);
            }
        }
    }

    /// Takes back a batch that was too large for the queue; the same lines come again in smaller ones.
    pub(super) fn take_back(&mut self, batch: Batch) {
        self.round_bytes = (batch.bytes.min(self.round_bytes) / 2).max(1);
        self.may_be_unsaved = true;
        for step in &batch.steps {
            let Some(file) = followed_by(&mut self.all, step.id, &step.mark) else { continue };
            file.pending = None;
            if let Some(behind) = file.behind.take() {
                file.progress = behind;
            }
            let id = file.id;
            self.turn.wake(id);
        }
        let forgets = batch.marks.into_iter().filter(|(_, value)| value.is_none());
        self.forgets.extend(forgets.map(|(name, _)| name));
    }

    /// Adds marks that have changed without lines. `true` if no other is left.
    fn add_unsaved(&mut self, batch: &mut Batch) -> bool {
        if !self.may_be_unsaved {
            return true;
        }
        let mut unsaved = self.all.values().filter(|file| file.is_unsaved()).peekable();
        while batch.bytes < ROUND_MARK_BYTES
            && let Some(file) = unsaved.next()
        {
            batch.note(file);
        }
        self.may_be_unsaved = unsaved.peek().is_some();
        !self.may_be_unsaved
    }

    fn read_round(&mut self, batch: &mut Batch, now: Instant) {
        let share = Share {
            bytes: self.turn.share(self.round_bytes),
            records: ROUND_RECORDS,
            last: self.is_once,
        };
        let mut had_turn = self.turn.waiting() == 0;
        // Twice, because a file that waits for its predecessor goes to the end of the ring once.
        for _ in 0..2 * self.turn.waiting() {
            let room = ROUND_RECORDS.saturating_sub(batch.records.len());
            if batch.bytes >= self.round_bytes || room == 0 {
                had_turn = true;
                break;
            }
            let Some(id) = self.turn.next() else { break };
            if self.is_held(id) {
                self.turn.wake(id);
            } else {
                had_turn = true;
                self.read_one(id, Share { records: room, ..share }, batch, now);
            }
        }
        if !had_turn {
            // They wait for each other in a circle, as when an inode is used again for a new file
            // under an old name.
            self.holds.clear();
        }
    }

    /// `true` if it brought anything.
    fn read_one(&mut self, id: ForeignId, share: Share, batch: &mut Batch, now: Instant) -> bool {
        let may_read = self.open(id).and_then(|()| {
            if self.must_wait_to_unpack(id) { Err(not_yet()) } else { self.may_read(id, now) }
        });
        match may_read {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => return self.failed(id, &error),
        }
        if self.all.get_mut(&id).is_some_and(Followed::may_have_lost_its_beginning) {
            // Copied and truncated before it was read at all.
            let known = self.all.get(&id).map(|file| (file.home.clone(), file.progress.clone()));
            let since = known.as_ref().map_or(0, |(_, progress)| progress.changed_unix_ns);
            if let Some((home, _)) = known {
                self.take_in_generations(&home, since, None, now);
            }
            if self.is_held(id) {
                self.turn.wake(id);
                return false;
            }
        }
        self.turns += 1;
        let framing = Arc::clone(&self.framing);
        let Some(file) = self.all.get_mut(&id) else { return false };
        file.used = self.turns;
        self.opened.use_in(id, self.turns);
        match file.read(&framing, share, now) {
            Ok(Taken { restarted: Some(restart), .. }) => {
                self.restarted(id, restart, batch, now);
                true
            }
            Ok(taken) => self.add(id, taken, batch),
            Err(error) => self.failed(id, &error),
        }
    }

    /// Nothing was brought: there is more to decompress first, or it cannot be read.
    fn failed(&mut self, id: ForeignId, error: &std::io::Error) -> bool {
        if !is_not_yet(error) {
            self.complain(id, error);
        } else if self.all.get(&id).is_some_and(|file| !file.is_torn()) {
            self.not_yet.insert(id);
        }
        false
    }

    fn add(&mut self, id: ForeignId, taken: Taken, batch: &mut Batch) -> bool {
        if !taken.has_more {
            self.release(id);
        }
        let Some(file) = self.all.get_mut(&id) else { return false };
        file.is_in_trouble = false;
        if file.trouble.take().is_some() {
            tracing::info!(tail = self.name, path = %file.path.display(), "the file can be read again");
        }
        match taken.due {
            Some(due) => drop(self.due.insert(id, due)),
            None => drop(self.due.remove(&id)),
        }
        if taken.has_more {
            self.board.show(file);
        } else {
            self.board.show_read_through(file);
        }
        if taken.next.position == file.progress.position && !file.is_unsaved() {
            return false;
        }
        let path = file.path.display().to_string();
        let origin = Some(Arc::new(Origin { file: Some(path), ..Origin::default() }));
        batch.records.reserve(taken.records.len());
        for framed in taken.records {
            batch.bytes += framed.payload.len();
            if let Some(fault) = framed.fault {
                batch.faulty.push(letter::rejection(framed.payload, fault));
                continue;
            }
            let payload = match &self.envelope {
                Some(envelope) => envelope.wrap(&framed, &file.path, taken.from),
                None => framed.payload,
            };
            let origin = origin.clone();
            batch.records.push(RawRecord { payload, origin, ..RawRecord::default() });
        }
        self.board.show_read(&file.mark, taken.next.position);
        file.pending = Some(taken.next.clone());
        let mark = mark::encode(id, &taken.next, &file.home);
        batch.bytes += mark.len();
        batch.marks.insert(file.mark.clone(), Some(mark));
        batch.steps.push(Step {
            id,
            mark: file.mark.clone(),
            revision: file.revision,
            next: Some(taken.next),
            pieces: taken.pieces,
            has_more: taken.has_more,
        });
        true
    }

    /// Gives those a turn whose unfinished lines have waited long enough.
    fn wake_due(&mut self, now: Instant) {
        let due: Vec<_> =
            self.due.iter().filter(|(_, due)| **due <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.due.remove(&id);
            self.turn.wake(id);
        }
    }

    /// Brings the files that left their path to their end: what grew is read, what was quiet long
    /// enough gives its unfinished last line and is let go.
    fn settle(&mut self, batch: &mut Batch, now: Instant) {
        if self.settled_at.is_some_and(|at| now.duration_since(at) < SETTLE_EVERY) {
            return;
        }
        self.settled_at = Some(now);
        self.weigh_deleted();
        for id in self.leaving.clone() {
            if batch.bytes >= self.round_bytes || batch.records.len() >= ROUND_RECORDS {
                // The others have time.
                self.settled_at = None;
                break;
            }
            let Some(file) = self.all.get_mut(&id) else { continue };
            let Ok(look) = file.look().and_then(|look| same(look.id == id, look)) else {
                self.let_go(id);
                continue;
            };
            file.is_deleted = look.names == 0;
            let since = file.leaving.as_ref().map_or(now, |leaving| leaving.since);
            if file.note(&look, now) {
                self.turn.wake(id);
            }
            let is_quiet = now.duration_since(file.changed.max(since)) >= GRACE;
            if self.turn.is_waiting(id) || !is_quiet {
                continue;
            }
            let share = Share { bytes: self.round_bytes, records: ROUND_RECORDS, last: true };
            let has_rest = file.bytes > file.shown_position();
            let brings_more = has_rest && self.read_one(id, share, batch, now);
            if !brings_more && !self.not_yet.contains(&id) {
                if let Some(file) = self.all.get_mut(&id) {
                    file.is_drained = file.is_deleted;
                }
                self.let_go(id);
            }
        }
    }

    pub(super) fn outlook(&self) -> Outlook {
        Outlook {
            is_waiting: self.turn.waiting() > 0,
            is_leaving: !self.leaving.is_empty(),
            due: self.due.values().min().copied(),
        }
    }
}

/// The file of a mark; it may have been found elsewhere while its lines waited.
fn followed_by<'a>(
    all: &'a mut BTreeMap<ForeignId, Followed>,
    id: ForeignId,
    mark: &str,
) -> Option<&'a mut Followed> {
    let is_there = all.get(&id).is_some_and(|file| file.mark == mark);
    if is_there {
        return all.get_mut(&id);
    }
    all.values_mut().find(|file| file.mark == mark)
}

fn same<T>(is_same: bool, value: T) -> std::io::Result<T> {
    if is_same { Ok(value) } else { Err(std::io::ErrorKind::NotFound.into()) }
}

//! The machine that writes: groups become one frame, one write, one sync, and then proofs.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::active::Active;
use super::error::AppendError;
use super::frame::{self, Builder};
use super::group::{Durable, Group, Mark};
use super::log::{Frame, Place};
use super::marks::Growth;
use super::once::Kept;
use super::roll::{Newest, Preparing, Rolls};
use super::settings::SyncLevel;
use super::store::Store;
use crate::base::seldom::Seldom;

/// What a group becomes.
pub(super) type Answer = Result<Durable, AppendError>;

/// The committer. Whatever it answers with a [`Durable`] is synced, or at a weaker level written and
/// kept in memory until it is; what it refuses has no position, and what a crash may leave of it lies where a later frame has the right of way.
pub(super) struct Committer {
    store: Arc<Store>,
    /// Where the next frame goes, if it fits.
    active: Option<Active>,
    rolls: Rolls,
    builder: Builder,
    /// Answered at the level of an interval and not synced, oldest first: after a failure they are
    /// written anew.
    owed: Vec<Builder>,
    owed_bytes: usize,
    told: Seldom,
}

/// Groups that go into one frame.
struct Composed {
    /// What becomes of each group.
    verdicts: Vec<Verdict>,
    payloads: Vec<Bytes>,
    marks: Vec<Mark>,
    keys: Vec<Kept>,
}

/// What becomes of a group.
enum Verdict {
    /// It is in the frame, or another with its key is: the proof, once that is synced.
    Composed(Durable),
    /// Nothing depends on the frame: it is refused, or was stored before under its key.
    Final(Answer),
}

/// A disk that fails again and again is told of at most this often.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// After the first file failed, one more is tried; then the groups are refused.
const FILES_TRIED: usize = 2;

impl Committer {
    /// Goes on in the newest segment, or in a new one.
    pub(super) fn new(store: Arc<Store>, newest: Newest) -> Self {
        let (active, unsure) = match newest {
            Newest::GoesOn(active) => (Some(active), None),
            Newest::Unsure(segment) => (None, Some(segment)),
            Newest::Ended => (None, None),
        };
        let rolls = Rolls::new(Arc::clone(&store), unsure);
        let told = Seldom::new(TELL_AGAIN_AFTER);
        let builder = Builder::new(store.settings.form());
        Self { store, active, rolls, builder, owed: Vec::new(), owed_bytes: 0, told }
    }

    /// Commits groups together: all that are not refused for their marks become durable, or none.
    pub(super) fn commit(&mut self, groups: Vec<Group>) -> Vec<Answer> {
        let first = self.store.log().end() + 1;
        let unix_ms = self.store.clock.unix_ms();
        self.store.note_clock(unix_ms, first);
        let composed = self.compose(groups, first, unix_ms);
        let Composed { verdicts, payloads, marks, keys } = composed;
        let composed = verdicts.iter().filter(|one| matches!(one, Verdict::Composed(_))).count();
        let put = if composed > 0 { self.put().map(Some) } else { Ok(None) };
        match &put {
            Ok(Some(place)) => {
                self.publish(Frame::new(first, payloads, unix_ms, *place), marks, keys);
            }
            Ok(None) => {}
            Err(error) => self.store.refused(error, composed as u64),
        }
        let answer = |verdict| match (verdict, &put) {
            (Verdict::Final(answer), _) => answer,
            (Verdict::Composed(proof), Ok(_)) => Ok(proof),
            (Verdict::Composed(_), Err(error)) => Err(error.clone()),
        };
        let answers: Vec<Answer> = verdicts.into_iter().map(answer).collect();
        let is_repeated =
            |answer: &&Answer| answer.as_ref().is_ok_and(|one| one.note_of_earlier().is_some());
        self.store
            .metrics
            .repeated_groups
            .inc_by(answers.iter().filter(is_repeated).count() as u64);
        answers
    }

    /// What can be done while nobody waits: ends of old segments; and what is left for another
    /// thread.
    pub(super) fn tidy(&mut self) -> Option<Preparing> {
        self.rolls.tidy(self.active.as_ref())
    }

    /// Whether a sync is due some time after.
    pub(super) fn is_synced(&self) -> bool {
        self.owed.is_empty() && self.active.as_ref().is_none_or(Active::is_synced)
    }

    /// Puts on stable storage what was answered before: the interval is over, or the queue closes.
    ///
    /// # Errors
    /// As a refusal; what it is about stays in memory and is tried again with the next group.
    pub(super) fn sync(&mut self) -> Result<(), AppendError> {
        if self.is_synced() {
            return Ok(());
        }
        let synced = self.sync_active();
        match synced {
            Ok(()) if self.owed.is_empty() => Ok(()),
            // Where nothing is kept, nothing can be written anew.
            Err(error) if self.owed.is_empty() => Err(self.rolls.in_words(&error)),
            _ => self.write_marker(),
        }
    }

    /// Begins a new segment if there is none, to find out whether the disk works again.
    pub(super) fn mend(&mut self) {
        let trouble = self.store.trouble();
        if !matches!(trouble, Some(AppendError::Disk(_) | AppendError::DiskFull { .. })) {
            return;
        }
        // Said when it began; it is tried again.
        drop(self.write_marker());
    }

    /// Writes a frame of nothing, and with it what is owed.
    fn write_marker(&mut self) -> Result<(), AppendError> {
        self.builder.begin(self.store.log().end() + 1, self.store.clock.unix_ms(), 0);
        self.builder.finish();
        match self.put() {
            Ok(place) => {
                self.store.log().extend(place, 0);
                self.note_synced();
                self.store.stored();
                Ok(())
            }
            Err(error) => {
                self.store.refused(&error, 0);
                Err(error)
            }
        }
    }

    /// Nothing waits: gives back the memory that large frames took.
    pub(super) fn rest(&mut self) {
        self.builder.rest();
        self.store.rest_later();
    }

    /// The active segment is not written any more: it failed, or after a panic nothing is known
    /// about it.
    pub(super) fn abandon(&mut self) {
        if let Some(active) = self.active.take() {
            self.rolls.abandon(active);
        }
    }

    fn compose(&mut self, groups: Vec<Group>, first: u64, unix_ms: u64) -> Composed {
        let limits = &self.store.limits;
        let table = self.store.marks();
        let mut composed = Composed {
            verdicts: Vec::with_capacity(groups.len()),
            payloads: Vec::with_capacity(groups.iter().map(|group| group.payloads.len()).sum()),
            marks: Vec::new(),
            keys: Vec::new(),
        };
        let bounds = limits.once(&self.store.settings.policy);
        let mut growth = Growth::default();
        let mut next = first;
        self.builder.begin(first, unix_ms, 0);
        for group in groups {
            if let Some(key) = &group.key {
                let proof =
                    |kept: &Kept| Durable::earlier(kept.first, kept.count, kept.key.note.clone());
                if let Some(kept) = table.keys.find(&key.print, unix_ms, &bounds) {
                    composed.verdicts.push(Verdict::Final(Ok(proof(kept))));
                    continue;
                }
                if let Some(beside) = composed.keys.iter().find(|one| one.key.print == key.print) {
                    composed.verdicts.push(Verdict::Composed(proof(beside)));
                    continue;
                }
            }
            let grown = table.grown(growth, &group.marks);
            let (count, bytes) = table.size_with(grown);
            let is_over = count > limits.mark_count || bytes > limits.mark_bytes;
            // A bound that was lowered below the table stops neither what is known nor what goes.
            if is_over && grown != growth {
                let (bytes, max_bytes) = (bytes as u64, limits.mark_bytes as u64);
                let refusal = AppendError::MarksFull { bytes, max_bytes };
                composed.verdicts.push(Verdict::Final(Err(refusal)));
                continue;
            }
            growth = grown;
            let count = u32::try_from(group.payloads.len()).unwrap_or(u32::MAX);
            composed.verdicts.push(Verdict::Composed(Durable::new(next, count)));
            let key = group.key.filter(|_| !bounds.age.is_zero());
            composed.keys.extend(key.map(|key| Kept { key, first: next, count, unix_ms }));
            next += u64::from(count);
            group.payloads.iter().for_each(|payload| self.builder.payload(payload));
            composed.payloads.extend(group.payloads);
            composed.marks.extend(group.marks);
        }
        for mark in &composed.marks {
            self.builder.mark(&mark.name, mark.value.as_ref());
        }
        composed.keys.iter().for_each(|kept| self.builder.key(kept));
        self.builder.finish();
        composed
    }

    /// Stores the built frame as the level asks; lets old segments go for it if that is the policy.
    fn put(&mut self) -> Result<Place, AppendError> {
        loop {
            match self.put_once() {
                Err(full) if self.store.let_oldest_go(&full) => self.rolls.room_was_made(),
                answer => return answer,
            }
        }
    }

    /// Into the active segment, or into a new one if it is full or fails.
    fn put_once(&mut self) -> Result<Place, AppendError> {
        self.rolls.check_floor()?;
        let bytes = self.builder.header().total_bytes() + frame::HEADER_BYTES as u64;
        let mut last = None;
        for _ in 0..FILES_TRIED {
            let has_room = self.active.as_ref().is_some_and(|active| active.has_room(bytes));
            let written = if has_room { self.append() } else { self.begin()? };
            match written {
                Ok(place) => return Ok(place),
                Err(error) => last = Some(error),
            }
            self.abandon();
        }
        let error = last.unwrap_or_else(|| io::Error::other("no file was tried"));
        Err(self.rolls.in_words(&error))
    }

    /// One write into the active segment, and the sync that the level asks for.
    fn append(&mut self) -> io::Result<Place> {
        let Some(active) = &mut self.active else { return Err(io::ErrorKind::NotFound.into()) };
        let level = self.store.limits.sync;
        let written = active.append(&mut self.builder).and_then(|place| {
            let bytes = self.owed_bytes + frame::in_memory(place.bytes);
            let owes_too_much = bytes > self.store.limits.unsynced_bytes;
            match level {
                SyncLevel::Every(_) if !owes_too_much => {}
                SyncLevel::Always | SyncLevel::Every(_) => active.sync(&self.store)?,
                SyncLevel::System => {}
            }
            Ok(place)
        });
        let is_synced = active.is_synced();
        match &written {
            Ok(_) if is_synced => self.forgive(),
            Ok(place) if level != SyncLevel::System => {
                self.owed_bytes += frame::in_memory(place.bytes);
                let next = Builder::new(self.store.settings.form());
                self.owed.push(mem::replace(&mut self.builder, next));
            }
            Ok(_) => {}
            Err(why) => self.tell(why),
        }
        written
    }

    /// Begins a new segment with what is owed and the built frame, all in one sync.
    fn begin(&mut self) -> Result<io::Result<Place>, AppendError> {
        if !self.owed.is_empty() {
            // If it fails, what is owed goes along.
            drop(self.sync_active());
        }
        let mut frames = mem::take(&mut self.owed);
        let form = self.store.settings.form();
        frames.push(mem::replace(&mut self.builder, Builder::new(form)));
        let begun = self.rolls.roll(&mut self.active, &mut frames);
        self.builder = frames.pop().unwrap_or_else(|| Builder::new(form));
        self.owed = frames;
        if matches!(begun, Ok(Ok(_))) {
            self.forgive();
        }
        begun
    }

    /// Syncs the active segment, if there is one; after a failure it is not written again.
    fn sync_active(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let synced = active.sync(&self.store);
        match &synced {
            Ok(()) => {
                self.forgive();
                self.note_synced();
            }
            Err(why) => {
                self.tell(why);
                self.abandon();
            }
        }
        synced
    }

    /// Everything owed is on stable storage.
    fn forgive(&mut self) {
        self.owed.clear();
        self.owed_bytes = 0;
    }

    fn note_synced(&self) {
        let mut log = self.store.log();
        let end = log.end();
        log.set_synced(end);
    }

    fn tell(&mut self, why: &io::Error) {
        if let Some(unsaid) = self.told.turn() {
            warn!(problem = "disk-failed", stream = %self.store.settings.stream, %why, unsaid,
                "a write or sync failed; that file is not written again");
        }
    }

    fn publish(&self, frame: Frame, marks: Vec<Mark>, keys: Vec<Kept>) {
        let count = frame.payloads.len() as u64;
        let bytes: usize = frame.payloads.iter().map(Bytes::len).sum();
        self.store.metrics.frames.inc();
        self.store.metrics.frame_bytes.inc_by(frame.place.bytes);
        self.store.metrics.committed_records.inc_by(count);
        self.store.metrics.committed_bytes.inc_by(bytes as u64);
        self.store.marks().apply(marks);
        if !keys.is_empty() {
            let bounds = self.store.limits.once(&self.store.settings.policy);
            let mut table = self.store.marks();
            keys.into_iter().for_each(|kept| table.keys.keep(kept, &bounds));
        }
        {
            let unread = self.store.given_to_all().saturating_add(1);
            let furthest = self.store.given_to_one();
            let mut log = self.store.log();
            log.extend(frame.place, count);
            if self.is_synced() {
                let end = log.end();
                log.set_synced(end);
            }
            log.forget_read(unread);
            // Without readers nobody will come for it.
            if let Some(given) = furthest.filter(|_| count > 0) {
                log.remember(Arc::new(frame), self.store.limits.ring_bytes, given + 1);
            }
        }
        self.store.stored();
        self.store.wake_readers();
    }
}

//! A whole folder of a queue, made from bytes: opened, read, settled, written, opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::committer::Committer;
use super::super::cursor::How;
use super::super::cut::Cut;
use super::super::feed::{Feed, Turn};
use super::super::frame;
use super::super::recover::Opening;
use super::super::seal::{Key, Keys};
use super::super::segment;
use super::super::settings::{Limits, Policy, Settings, SyncLevel, WhenFull};
use super::super::store::Store;
use super::super::{Budget, Group, Ledger, Mark, OpenError, Settled};
use super::{mended, mended_cursor};
use crate::base::clock::Clock;
use crate::base::disk::{Disk as _, FaultyDisk};
use crate::telemetry::Metrics;

const FOLDER: &str = "/queue/s";
const ALL: Budget = Budget { count: usize::MAX, bytes: usize::MAX };
const DESTINATIONS: [&str; 2] = ["a", "b"];
/// Far more turns than there can be frames and ranges of damage in what one input makes.
const TURNS_MAX: usize = 100_000;
const EDITS_MAX: usize = 64;

/// Never a panic; balanced books; what was taken and settled stays so; what is committed last is
/// read last, however bad what stands before it.
pub fn recovery(bytes: &[u8]) {
    let mut cut = Cut(bytes);
    let Some(how) = cut.u8() else { return };
    let disk = FaultyDisk::new();
    if let Ok(mut queue) = Opened::new(&disk, how) {
        queue.write(&mut cut);
    }
    for _ in 0..EDITS_MAX {
        if edit(&disk, &mut cut).is_none() {
            break;
        }
    }
    // A foreign or locked folder is refused, as often as it is tried.
    let Ok(mut queue) = Opened::new(&disk, how) else {
        assert!(Opened::new(&disk, how).is_err(), "what is refused once is refused again");
        return;
    };
    let is_stored = queue.put(b"the last");
    let before: Vec<Ledger> =
        (0..DESTINATIONS.len()).map(|at| queue.drain(at, is_stored)).collect();
    drop(queue);
    let again = Opened::new(&disk, how).expect("what weir has opened and closed opens again");
    for (at, before) in before.iter().enumerate() {
        let after = again.ledger(at);
        assert_eq!(after.waiting, 0, "what was settled stays so: {before:?}, {after:?}");
        assert_eq!(after.delivered, before.delivered);
    }
}

/// A queue on that disk.
struct Opened {
    store: Arc<Store>,
    committer: Committer,
    feeds: Vec<Feed>,
}

impl Opened {
    /// Segments of 16 KiB, eight of them; the bits of `how` say how they are kept.
    fn new(disk: &FaultyDisk, how: u8) -> Result<Self, OpenError> {
        let keys = if how & 1 == 0 { None } else { Some(Key::new([7; 32])) };
        let when_full = if how & 2 == 0 { WhenFull::Reject } else { WhenFull::DropOldest };
        let settings = Settings {
            folder: FOLDER.into(),
            stream: "s".into(),
            max_bytes: 0,
            min_free_disk: 0,
            sync: SyncLevel::Always,
            cursor_save_after: Duration::from_millis(200),
            policy: Policy { when_full, ..Policy::default() },
            compresses: how & 4 != 0,
            keys: Keys::new(keys, Vec::new()),
        };
        let limits = Limits {
            read_bytes: 8 << 10,
            ring_bytes: 8 << 10,
            ..Limits::with_segments(128 << 10, 16 << 10, 0)
        };
        let (destinations, metrics) = (DESTINATIONS.map(str::to_owned), Metrics::default());
        let opening = Opening {
            disk: disk.shared(),
            settings,
            limits,
            clock: Clock::starting_at(1_000_000),
            destinations: &destinations,
            metrics: &metrics,
        };
        let (store, newest) = opening.run()?;
        let committer = Committer::new(Arc::clone(&store), newest);
        let feeds = (0..DESTINATIONS.len()).map(|at| Feed::new(Arc::clone(&store), at)).collect();
        Ok(Self { store, committer, feeds })
    }

    /// Some groups, as the bytes say, and some of them settled.
    fn write(&mut self, cut: &mut Cut<'_>) {
        let groups = cut.u8().unwrap_or(0) % 32;
        for number in 0..groups {
            let payload = vec![number; usize::from(cut.u8().unwrap_or(0)) * 16];
            self.put(&payload);
        }
        let settled = u64::from(cut.u8().unwrap_or(0) % 32);
        for books in &self.store.books {
            self.store.settle(books, 1..=settled, How::By(Settled::Delivered));
        }
        drop(self.store.save());
    }

    /// Commits a payload and a mark; whether that was promised.
    fn put(&mut self, payload: &[u8]) -> bool {
        let mark = Mark { name: "m".into(), value: Some(Bytes::from_static(b"v")) };
        let payloads = vec![Bytes::copy_from_slice(payload)];
        let group = Group { payloads, marks: vec![mark], key: None };
        let answers = self.committer.commit(vec![group]);
        if let Some(preparing) = self.committer.tidy() {
            preparing.run();
        }
        answers.iter().all(Result::is_ok)
    }

    /// Takes and settles everything one destination is owed.
    fn drain(&mut self, at: usize, has_last: bool) -> Ledger {
        self.ledger(at);
        let mut last = None;
        for turns in 0.. {
            assert!(turns < TURNS_MAX, "reading comes to an end");
            let (Some(feed), Some(books)) = (self.feeds.get_mut(at), self.store.books.get(at))
            else {
                break;
            };
            match feed.turn(ALL) {
                Turn::Give(stored) => {
                    let positions: Vec<u64> = stored.iter().map(|one| one.position.0).collect();
                    last = stored.last().map(|one| one.payload.clone());
                    self.store.settle(books, positions, How::By(Settled::Delivered));
                }
                Turn::Read => feed.read().expect("a sound disk reads"),
                Turn::Wait | Turn::End => break,
            }
        }
        if has_last {
            assert_eq!(last.as_deref(), Some(&b"the last"[..]), "the last is given last");
        }
        self.store.save().expect("a sound disk saves");
        let ledger = self.ledger(at);
        assert_eq!(ledger.waiting, 0, "everything was given: {ledger:?}");
        ledger
    }

    fn ledger(&self, at: usize) -> Ledger {
        let ledger = self.store.books.get(at).map(|books| self.store.ledger_of(books));
        let ledger = ledger.unwrap_or_default();
        let Ledger { accepted, delivered, dead, dropped, damaged, waiting, .. } = ledger;
        let ended = [delivered, dead, dropped, damaged, waiting];
        let sum = ended.into_iter().fold(0, u64::saturating_add);
        assert_eq!(accepted, sum, "{ledger:?}");
        ledger
    }
}

/// One change to what lies there; `None` once the bytes are used up.
fn edit(disk: &FaultyDisk, cut: &mut Cut<'_>) -> Option<()> {
    let (what, which) = (cut.u8()?, cut.u8()?);
    let files = disk.files();
    let there = files.get(usize::from(which) % files.len().max(1)).cloned();
    let path = there.unwrap_or_else(|| Path::new(FOLDER).join(segment::name(1)));
    let mut content = disk.content(&path).unwrap_or_default();
    match what % 8 {
        0 => {
            let at = u64::from(cut.u16()?);
            if at < content.len() as u64 {
                disk.flip(&path, at, cut.u8()?);
            }
        }
        1 => {
            let (at, count) = (usize::from(cut.u16()?), usize::from(cut.u8()?));
            let new = take(cut, count);
            content.truncate(MADE_BYTES_MAX);
            let end = at + new.len();
            content.resize(content.len().max(end), 0);
            content.splice(at..end, new.iter().copied());
            disk.put(&path, &content);
        }
        2 => {
            content.truncate(usize::from(cut.u16()?));
            disk.put(&path, &content);
        }
        3 => drop(disk.remove(&path)),
        4 => {
            // A frame with sound checksums where perhaps none should be.
            let (at, count) = (usize::from(cut.u16()?) / 8 * 8, usize::from(cut.u8()?));
            let new = sound_frame(take(cut, frame::HEADER_BYTES), take(cut, count));
            let end = at + new.len();
            content.resize(content.len().max(end), 0);
            content.splice(at..end, new);
            disk.put(&path, &content);
        }
        5 => {
            let head = take(cut, segment::USED_BYTES);
            let mut file = mended(&segment::MAGIC, head, segment::USED_BYTES);
            file.resize(frame::in_memory(segment::HEADER_BYTES), 0);
            let count = usize::from(cut.u8()?);
            file.extend(sound_frame(take(cut, frame::HEADER_BYTES), take(cut, count)));
            disk.put(&Path::new(FOLDER).join(segment::name(u64::from(which))), &file);
        }
        6 => {
            let count = usize::from(cut.u8()?);
            let name = if which.is_multiple_of(2) { "a.cur" } else { "b.cur" };
            disk.put(&cursors().join(name), &mended_cursor(take(cut, count)));
        }
        _ => disk.crash(u64::from(cut.u8()?)),
    }
    Some(())
}

/// No file an input makes is longer.
const MADE_BYTES_MAX: usize = 128 << 10;

fn cursors() -> PathBuf {
    Path::new(FOLDER).join("cursors")
}

fn sound_frame(head: &[u8], body: &[u8]) -> Vec<u8> {
    let whole = mended(&frame::MAGIC, head, frame::HEADER_BYTES);
    let Some(mut header) = frame::Header::decode(&whole) else { return whole };
    header.body_bytes = u32::try_from(body.len()).unwrap_or(u32::MAX);
    header.body_crc = crc32c::crc32c(body);
    [&header.encode()[..], body].concat()
}

/// As many bytes as there are, at most `count`.
fn take<'a>(cut: &mut Cut<'a>, count: usize) -> &'a [u8] {
    cut.bytes(count.min(cut.0.len())).unwrap_or_default()
}

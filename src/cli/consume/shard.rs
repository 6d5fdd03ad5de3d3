//! Reading one shard: as fast as Kinesis allows, through throttles, outages and iterators that
//! expire, to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::base::backoff::Backoff;
use crate::delivery::{Class, classify};
use crate::sink::{Begin, Fault, Offspring, Page, Reading, Taken};

/// A shard takes five calls a second, by all its readers together.
const READ_EVERY: Duration = Duration::from_millis(200);
/// A shard gives so many bytes a second; who took more waits as long as they stand for.
const SHARD_BYTES: f64 = 2_097_152.0;
/// How often a shard is looked at that had nothing new, as the official consumer does.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most records of one call, as the service model says; bytes are bounded by the service, to 10 MiB.
const RECORDS_MAX: u16 = 10_000;
/// Tries of one call before a reader who does not follow gives up: about half a minute.
const TRIES_MAX: u32 = 8;

const RETRY_FIRST: Duration = Duration::from_millis(400);
const RETRY_MAX: Duration = Duration::from_secs(8);

const EXPIRED: &str = "ExpiredIterator";

/// What readers of shards tell.
#[derive(Debug)]
pub(super) enum Event {
    /// Records arrived.
    Page { shard: Arc<Offspring>, taken: Vec<Taken>, behind_ms: u64 },
    /// Something the operator should hear.
    Told(String),
    /// Everything is read that was there at the start.
    UpToDate(String),
    /// The shard is closed and read to its end.
    Closed(String),
    /// It cannot be read.
    Failed(Fault),
}

/// A shard on its way.
pub(super) struct ShardReader {
    pub(super) reading: Reading,
    pub(super) shard: Arc<Offspring>,
    /// When reading it began.
    pub(super) begun_unix_ms: u64,
    pub(super) follow: bool,
    pub(super) events: mpsc::Sender<Event>,
    /// Bounds what is held in memory over all shards.
    pub(super) turns: Arc<Semaphore>,
}

impl ShardReader {
    /// Ends with the shard, or when nobody listens any more.
    pub(super) async fn run(self, begin: Begin) {
        let mut place = Place::new(begin, self.begun_unix_ms, self.follow);
        let mut is_told = false;
        loop {
            let Ok(turn) = self.turns.acquire().await else { return };
            let (next, taken, behind_ms) = match self.ask(&mut place).await {
                Ok(Some(page)) => (place.came(&page), page.taken, page.behind_ms),
                Ok(None) => (Next::Closed, Vec::new(), 0),
                Err(fault) => {
                    if place.should_tell(&fault, &mut is_told)
                        && !self.tell(Event::Told(self.words(&fault))).await
                    {
                        return;
                    }
                    (place.failed(fault), Vec::new(), 0)
                }
            };
            if !taken.is_empty() {
                let page = Event::Page { shard: self.shard.clone(), taken, behind_ms };
                if !self.tell(page).await {
                    return;
                }
            }
            drop(turn);
            let end = match next {
                Next::After(wait) => {
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Next::UpToDate => Event::UpToDate(self.shard.id.clone()),
                Next::Closed => Event::Closed(self.shard.id.clone()),
                Next::GiveUp(fault) => Event::Failed(fault),
            };
            self.tell(end).await;
            return;
        }
    }

    /// One call, and the one for an iterator before it where there is none.
    async fn ask(&self, place: &mut Place) -> Result<Option<Page>, Fault> {
        if place.iterator.is_none() {
            place.iterator = self.reading.iterator(&self.shard.id, &place.begin).await?;
        }
        let Some(iterator) = &place.iterator else { return Ok(None) };
        self.reading.page(iterator, RECORDS_MAX).await.map(Some)
    }

    /// Whether somebody listens.
    async fn tell(&self, event: Event) -> bool {
        self.events.send(event).await.is_ok()
    }

    fn words(&self, fault: &Fault) -> String {
        let id = &self.shard.id;
        match classify(fault) {
            Class::Throttled => {
                format!(
                    "{id} is read by others too, or was read too fast: {}; slowing down",
                    fault.code
                )
            }
            _ => format!(
                "{id} cannot be read just now: {}: {}; trying again",
                fault.code, fault.message
            ),
        }
    }
}

/// The same call again, until it works, cannot work, or was tried often enough.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Fault>
where
    F: Future<Output = Result<T, Fault>>,
{
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    loop {
        match call().await {
            Err(fault) if may_pass(&fault) && backoff.attempts() < TRIES_MAX => {
                tokio::time::sleep(backoff.next_wait()).await;
            }
            ended => return ended,
        }
    }
}

/// Whether the same call may work later. A wrong clock is learned from the answer that says so.
fn may_pass(fault: &Fault) -> bool {
    matches!(classify(fault), Class::Throttled | Class::Transient | Class::Clock)
}

/// What follows.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    After(Duration),
    UpToDate,
    Closed,
    GiveUp(Fault),
}

/// How far the shard is read; pure.
struct Place {
    begin: Begin,
    iterator: Option<String>,
    begun_unix_ms: u64,
    follow: bool,
    backoff: Backoff,
}

impl Place {
    fn new(begin: Begin, begun_unix_ms: u64, follow: bool) -> Self {
        let backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        Self { begin, iterator: None, begun_unix_ms, follow, backoff }
    }

    fn came(&mut self, page: &Page) -> Next {
        self.backoff.reset();
        if let Some(last) = page.taken.last() {
            self.begin = Begin::Behind(last.sequence.clone());
        }
        self.iterator.clone_from(&page.next);
        if page.next.is_none() {
            return Next::Closed;
        }
        let last_ms = page.taken.last().and_then(|last| last.arrived_unix_ms);
        // A stream that is always written to would never be read to its end.
        let is_new = last_ms.is_some_and(|last| last > self.begun_unix_ms);
        let has_none = page.taken.is_empty() && page.behind_ms == 0;
        match (self.follow, has_none) {
            (false, true) => Next::UpToDate,
            (false, false) if is_new => Next::UpToDate,
            (true, true) => Next::After(LOOK_EVERY),
            _ => {
                let bytes: usize =
                    page.taken.iter().map(|one| one.data.len() + one.key.len()).sum();
                #[expect(clippy::cast_precision_loss, reason = "a page has some MiB at most")]
                let wait = Duration::from_secs_f64(bytes as f64 / SHARD_BYTES);
                Next::After(wait.max(READ_EVERY))
            }
        }
    }

    fn failed(&mut self, fault: Fault) -> Next {
        if fault.code.starts_with(EXPIRED) {
            self.iterator = None;
            // Behind the newest is elsewhere by now.
            if self.begin == Begin::Newest {
                self.begin = Begin::At(self.begun_unix_ms);
            }
            return Next::After(READ_EVERY);
        }
        if may_pass(&fault) && (self.follow || self.backoff.attempts() < TRIES_MAX) {
            return Next::After(self.backoff.next_wait());
        }
        Next::GiveUp(fault)
    }

    /// Once for what goes on; a single throttle is of the day.
    fn should_tell(&self, fault: &Fault, is_told: &mut bool) -> bool {
        let is_worth_it = may_pass(fault) && self.backoff.attempts() == 2 && !*is_told;
        *is_told |= is_worth_it;
        is_worth_it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: u64 = 1_000_000;

    fn page(records: usize, bytes: usize, behind_ms: u64, arrived: u64) -> Page {
        let taken = |number: usize| Taken {
            sequence: format!("{number}"),
            key: String::new(),
            arrived_unix_ms: Some(arrived),
            data: vec![b'x'; bytes].into(),
        };
        Page { taken: (1..=records).map(taken).collect(), next: Some("next".into()), behind_ms }
    }

    fn fault(code: &str) -> Fault {
        let at = crate::sink::At::Answer(400);
        Fault { at, code: code.into(), message: String::new(), retry_after: None }
    }

    #[test]
    fn a_shard_is_read_no_faster_than_it_gives() {
        let mut place = Place::new(Begin::Oldest, BEGUN, false);
        assert_eq!(place.came(&page(1, 1, 5, 7)), Next::After(READ_EVERY));
        assert_eq!(place.came(&page(4, 1 << 20, 5, 7)), Next::After(Duration::from_secs(2)));
        assert_eq!(place.begin, Begin::Behind("4".into()));
        assert_eq!(place.came(&page(0, 0, 0, 0)), Next::UpToDate);
        let closed = Page { next: None, ..page(1, 1, 0, 7) };
        assert_eq!(place.came(&closed), Next::Closed);
    }

    #[test]
    fn who_does_not_follow_ends_where_the_stream_was_at_the_start() {
        for (follow, next) in [(false, Next::UpToDate), (true, Next::After(READ_EVERY))] {
            let mut place = Place::new(Begin::Oldest, BEGUN, follow);
            assert_eq!(place.came(&page(1, 1, 700, BEGUN + 1)), next);
        }
        let mut place = Place::new(Begin::Oldest, BEGUN, true);
        assert_eq!(place.came(&page(0, 0, 0, 0)), Next::After(LOOK_EVERY));
        // Kinesis may give none although there are some further on.
        assert_eq!(place.came(&page(0, 0, 9, 0)), Next::After(READ_EVERY));
    }

    #[test]
    fn an_iterator_that_expired_is_replaced_by_one_behind_the_last_record() {
        let mut place = Place::new(Begin::Newest, BEGUN, true);
        place.iterator = Some("old".into());
        assert_eq!(place.failed(fault("ExpiredIteratorException")), Next::After(READ_EVERY));
        assert_eq!((&place.iterator, &place.begin), (&None, &Begin::At(BEGUN)));
        place.came(&page(3, 1, 0, 7));
        place.failed(fault("ExpiredIteratorException"));
        assert_eq!((&place.iterator, &place.begin), (&None, &Begin::Behind("3".into())));
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_cannot_is_given_up_at_once() {
        let throttled = || fault("ProvisionedThroughputExceededException");
        let mut place = Place::new(Begin::Oldest, BEGUN, false);
        let mut is_told = false;
        let mut told = 0;
        for _ in 0..TRIES_MAX {
            told += u32::from(place.should_tell(&throttled(), &mut is_told));
            assert!(matches!(place.failed(throttled()), Next::After(_)));
        }
        assert_eq!(told, 1);
        assert_eq!(place.failed(throttled()), Next::GiveUp(throttled()));
        let denied = || fault("AccessDeniedException");
        let mut place = Place::new(Begin::Oldest, BEGUN, true);
        assert_eq!(place.failed(denied()), Next::GiveUp(denied()));
        for _ in 0..3 * TRIES_MAX {
            assert!(matches!(place.failed(throttled()), Next::After(_)), "who follows waits");
        }
    }
}

//! Links that several workers share, the whole agent's and each destination's: a budget of bytes,
//! windows of time, and whose turn it is.
//!
//! A request is let through while its budget is above zero and is charged with all of its bytes
//! afterwards, so that one request may be larger than a second's budget and the rate is still kept
//! to the byte over time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::window::Window;
use crate::base::units::ByteRate;

/// Longest time without a look at the wall clock, which may be set meanwhile.
const WINDOW_LOOK: Duration = Duration::from_secs(60);

/// What limits a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkSettings {
    /// Most bytes on the wire, in request bodies as they are encoded; `None` for no limit.
    pub bytes: Option<ByteRate>,
    /// When it may be used; always if there are none.
    pub windows: Vec<Window>,
}

/// Who goes first where the agent's budget does not suffice for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Higher numbers first, as long as they have anything to send.
    pub priority: u8,
    /// Shares among those of the same priority.
    pub weight: u32,
}

impl Default for Rank {
    fn default() -> Self {
        Self { priority: 5, weight: 100 }
    }
}

/// The links of an agent; cheap to clone.
#[derive(Clone, Debug)]
pub struct Uplink(Arc<Links>);

#[derive(Debug)]
struct Links {
    rate: Option<ByteRate>,
    agent: Link,
    /// By destination; made when its first worker is.
    destinations: Mutex<BTreeMap<String, Link>>,
}

/// One link, shared.
#[derive(Clone, Debug)]
struct Link {
    line: Arc<Mutex<Line>>,
    /// Told whenever somebody's turn may have come.
    turned: watch::Sender<()>,
}

/// Why somebody has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The window is closed; look again then.
    Window(Instant),
    /// The budget is spent until then.
    Budget(Instant),
    /// It is the turn of others; told when that changes.
    Others,
}

impl Uplink {
    /// Links of which nothing was used yet.
    pub fn new(agent: &LinkSettings) -> Self {
        let (rate, destinations) = (agent.bytes, Mutex::default());
        Self(Arc::new(Links { rate, agent: Link::new(agent), destinations }))
    }

    /// Begins anew with a destination, all of whose workers are gone: its next one brings other limits.
    pub fn forget(&self, destination: &str) {
        locked(&self.0.destinations).remove(destination);
    }

    /// The agent's budget.
    pub(super) fn rate(&self) -> Option<ByteRate> {
        self.0.rate
    }

    /// A place at both links for one worker.
    pub(super) fn seat(&self, destination: &str, own: &LinkSettings, rank: Rank) -> Seat {
        let mut destinations = locked(&self.0.destinations);
        let link = destinations.entry(destination.to_owned()).or_insert_with(|| Link::new(own));
        Seat { places: [Place::at(link, rank), Place::at(&self.0.agent, rank)] }
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self::new(&LinkSettings::default())
    }
}

impl Link {
    fn new(settings: &LinkSettings) -> Self {
        let line = Line::new(settings, Instant::now());
        Self { line: Arc::new(Mutex::new(line)), turned: watch::Sender::new(()) }
    }
}

/// A worker's place at the links that its requests go over.
#[derive(Debug)]
pub(super) struct Seat {
    places: [Place; 2],
}

#[derive(Debug)]
struct Place {
    link: Link,
    number: usize,
    turned: watch::Receiver<()>,
}

impl Seat {
    /// Whether a request may go now; `None` if it may. Until it went, or [`Self::withdraw`], the
    /// worker counts as one who waits for its turn.
    pub(super) fn ask(&mut self, now: Instant, now_unix_ms: u64) -> Option<Wait> {
        let mut wait = None;
        for place in &mut self.places {
            let mut line = locked(&place.link.line);
            if wait.is_some() {
                // It cannot use its turn here, so others shall.
                if line.withdraw(place.number) {
                    place.link.turned.send_replace(());
                }
                continue;
            }
            // What changes from now on is to be told.
            place.turned.mark_unchanged();
            wait = line.ask(place.number, now, now_unix_ms);
        }
        wait
    }

    /// A request of this size went.
    pub(super) fn spent(&mut self, bytes: u64, now: Instant) {
        for place in &self.places {
            locked(&place.link.line).spent(place.number, bytes, now);
            place.link.turned.send_replace(());
        }
    }

    /// Nothing is to be sent now.
    pub(super) fn withdraw(&mut self) {
        for place in &self.places {
            if locked(&place.link.line).withdraw(place.number) {
                place.link.turned.send_replace(());
            }
        }
    }

    /// Returns when the turn may have come.
    pub(super) async fn turned(&mut self) {
        let [own, agent] = &mut self.places;
        // The sender is held by the link itself, which lives as long as the place.
        let _changed = tokio::select! {
            changed = own.turned.changed() => changed.is_ok(),
            changed = agent.turned.changed() => changed.is_ok(),
        };
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Place {
    fn at(link: &Link, rank: Rank) -> Self {
        let number = locked(&link.line).enter(rank);
        Self { turned: link.turned.subscribe(), link: link.clone(), number }
    }
}

/// One link's state; pure.
#[derive(Debug)]
pub(super) struct Line {
    bucket: Option<Bucket>,
    windows: Vec<Window>,
    queue: Vec<Waiting>,
    /// How far each priority has been served, in bytes by weight: nobody saves up a share while it
    /// has nothing to send.
    served: BTreeMap<u8, u128>,
}

#[derive(Debug)]
struct Waiting {
    rank: Rank,
    wants: bool,
    served: u128,
}

impl Line {
    pub(super) fn new(settings: &LinkSettings, now: Instant) -> Self {
        let bucket = settings.bytes.map(|rate| Bucket::new(rate, now));
        let windows = settings.windows.clone();
        Self { bucket, windows, queue: Vec::new(), served: BTreeMap::new() }
    }

    pub(super) fn enter(&mut self, rank: Rank) -> usize {
        self.queue.push(Waiting { rank, wants: false, served: 0 });
        self.queue.len() - 1
    }

    pub(super) fn ask(&mut self, number: usize, now: Instant, now_unix_ms: u64) -> Option<Wait> {
        let least = self.queue.get(number).and_then(|one| self.served.get(&one.rank.priority));
        let least = least.copied().unwrap_or_default();
        let asking = self.queue.get_mut(number)?;
        if !asking.wants {
            asking.wants = true;
            asking.served = asking.served.max(least);
        }
        let opens = self.windows.iter().map(|window| window.opens_in(now_unix_ms));
        if let Some(Some(wait)) = opens.min() {
            return Some(Wait::Window(now + wait.min(WINDOW_LOOK)));
        }
        let bucket = self.bucket.as_mut()?;
        if let Some(at) = bucket.closed_until(now) {
            return Some(Wait::Budget(at));
        }
        let asking = self.queue.get(number)?;
        let goes_first = |other: &Waiting| other.wants && other.is_ahead_of(asking);
        self.queue.iter().any(goes_first).then_some(Wait::Others)
    }

    pub(super) fn spent(&mut self, number: usize, bytes: u64, now: Instant) {
        if let Some(bucket) = &mut self.bucket {
            bucket.take(bytes, now);
        }
        if let Some(one) = self.queue.get_mut(number) {
            one.wants = false;
            self.served.insert(one.rank.priority, one.served);
            one.served += (u128::from(bytes) << 20) / u128::from(one.rank.weight.max(1));
        }
    }

    /// Whether it was waiting.
    pub(super) fn withdraw(&mut self, number: usize) -> bool {
        self.queue.get_mut(number).is_some_and(|one| std::mem::take(&mut one.wants))
    }
}

impl Waiting {
    fn is_ahead_of(&self, other: &Self) -> bool {
        let (mine, its) = (self.rank.priority, other.rank.priority);
        mine > its || mine == its && self.served < other.served
    }
}

/// A budget that fills at a rate and may be overdrawn by one request.
#[derive(Debug)]
pub(super) struct Bucket {
    bytes_per_second: f64,
    /// What may gather while nothing is sent: one second's worth.
    most: f64,
    balance: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: ByteRate, now: Instant) -> Self {
        let bytes_per_second = per_second(rate);
        Self { bytes_per_second, most: bytes_per_second, balance: bytes_per_second, at: now }
    }

    /// When something may be taken again; `None` for at once.
    pub(super) fn closed_until(&mut self, now: Instant) -> Option<Instant> {
        self.fill(now);
        if self.balance > 0.0 {
            return None;
        }
        let missing = 1.0 - self.balance;
        // A timer is not finer than a millisecond.
        Some(
            now + Duration::from_secs_f64(missing / self.bytes_per_second)
                + Duration::from_millis(1),
        )
    }

    pub(super) fn take(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        self.balance -= bytes_f64(bytes);
    }

    fn fill(&mut self, now: Instant) {
        let gone = now.saturating_duration_since(self.at).as_secs_f64();
        self.balance = (self.balance + gone * self.bytes_per_second).min(self.most);
        self.at = self.at.max(now);
    }
}

/// The rate in bytes per second; at least one byte a day, so that no wait is endless.
pub(super) fn per_second(rate: ByteRate) -> f64 {
    let seconds = rate.per.as_secs_f64().max(0.001);
    (bytes_f64(rate.bytes.0) / seconds).max(1.0 / 86_400.0)
}

#[expect(clippy::cast_precision_loss, reason = "sizes beyond 2^53 bytes are not sent over a link")]
fn bytes_f64(bytes: u64) -> f64 {
    bytes as f64
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

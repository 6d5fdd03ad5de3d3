//! How fast one worker sends, all shards together: requests at a time, catching up after an outage,
//! and its place at the links. The machines are pure; the caller brings the time.

use std::time::Duration;

use tokio::time::Instant;

use super::Settings;
use super::class::Class;
use super::settle::Settlement;
use super::uplink::{Bucket, LinkSettings, Rank, Seat, Uplink, Wait};
use super::watch::Paced;
use crate::base::units::ByteRate;

/// Smallest bound of one request under a budget, in bytes.
const REQUEST_BYTES_LEAST: usize = 64 << 10;

/// How long one request may keep a link busy: well below the time limit of a request, and so that
/// others get their turn.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(4);

/// How one worker is paced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// The destination's own link, shared by all streams that feed it.
    pub link: LinkSettings,
    /// Who goes first on the agent's link.
    pub rank: Rank,
    /// Most bytes on the wire while what is sent is old; `None` for no limit of its own.
    pub catch_up_rate: Option<ByteRate>,
    /// From this age on a record is old.
    pub catch_up_after: Duration,
}

impl Default for PaceSettings {
    fn default() -> Self {
        Self {
            link: LinkSettings::default(),
            rank: Rank::default(),
            catch_up_rate: None,
            catch_up_after: Duration::from_secs(60),
        }
    }
}

/// Those whose turn it is tell when it is over; this is for one that cannot tell any more.
const OTHERS_LOOK: Duration = Duration::from_secs(1);

/// One worker's tempo.
#[derive(Debug)]
pub(super) struct Tempo {
    seat: Seat,
    catch_up: Option<Bucket>,
    catch_up_after: Duration,
    concurrency: Concurrency,
    is_exempt: bool,
    /// Whether the last request was old; one stands for the next, which is not cut yet.
    is_old: bool,
    has_asked: bool,
    /// Why the last request that was ready could not go.
    wait: Option<(Paced, Wait)>,
}

impl Tempo {
    pub(super) fn new(settings: &Settings, uplink: &Uplink) -> Self {
        let Settings { destination, in_flight, pace: settings, .. } = settings;
        Self {
            seat: uplink.seat(destination, &settings.link, settings.rank),
            catch_up: settings.catch_up_rate.map(|rate| Bucket::new(rate, Instant::now())),
            catch_up_after: settings.catch_up_after,
            concurrency: Concurrency::new(*in_flight),
            is_exempt: false,
            is_old: false,
            has_asked: false,
            wait: None,
        }
    }

    /// For a destination that no link leads to.
    pub(super) fn exempt(mut self, is_exempt: bool) -> Self {
        self.is_exempt = is_exempt;
        self
    }

    /// How many requests may be under way.
    pub(super) fn in_flight(&self) -> usize {
        self.concurrency.limit()
    }

    /// Whether a request may go.
    pub(super) fn may_send(&mut self, now: Instant, now_unix_ms: u64) -> bool {
        if self.is_exempt {
            return true;
        }
        self.has_asked = true;
        let is_old = self.is_old;
        let catch_up = self.catch_up.as_mut().filter(|_| is_old);
        self.wait = match catch_up.and_then(|bucket| bucket.closed_until(now)) {
            Some(at) => {
                self.seat.withdraw();
                Some((Paced::CatchUp, Wait::Budget(at)))
            }
            None => self.seat.ask(now, now_unix_ms).map(|wait| (wait.into(), wait)),
        };
        self.wait.is_none()
    }

    /// Nothing is ready to be sent.
    pub(super) fn rest(&mut self) {
        self.wait = None;
        if std::mem::take(&mut self.has_asked) {
            self.seat.withdraw();
        }
    }

    /// A request of this size went that begins with a record of this age.
    pub(super) fn sent(&mut self, bytes: u64, age: Duration, now: Instant) {
        if self.is_exempt {
            return;
        }
        self.is_old = age > self.catch_up_after;
        if self.is_old
            && let Some(bucket) = &mut self.catch_up
        {
            bucket.take(bytes, now);
        }
        self.has_asked = false;
        self.seat.spent(bytes, now);
    }

    /// A request with so many entries was answered, or was lost.
    pub(super) fn answered(
        &mut self,
        (entries, settlement): (usize, &Settlement),
        took: Duration,
        now: Instant,
    ) {
        let failed = |wanted: Class| {
            let of = |(class, count): &(Class, u64)| if *class == wanted { *count } else { 0 };
            settlement.faults.iter().map(of).sum::<u64>()
        };
        let too_fast = failed(Class::Throttled);
        let is_throttled = too_fast * 2 > entries as u64;
        let is_lost = settlement.trouble.as_ref().is_some_and(|(_, fault)| fault.is_late());
        if is_throttled || is_lost {
            self.concurrency.cut(now, took);
        } else if !settlement.done.is_empty() {
            self.concurrency.passed(took);
        }
    }

    /// What the worker waits for, and when to ask again at the latest.
    pub(super) fn wait(&self, now: Instant) -> Option<(Paced, Instant)> {
        let (why, wait) = self.wait?;
        let at = match wait {
            Wait::Window(at) | Wait::Budget(at) => at,
            Wait::Others => now + OTHERS_LOOK,
        };
        Some((why, at))
    }

    /// Returns when the worker's turn may have come; never if it does not wait for others.
    pub(super) async fn turned(&mut self) {
        match self.wait {
            Some((_, Wait::Others)) => self.seat.turned().await,
            _ => std::future::pending().await,
        }
    }
}

impl From<Wait> for Paced {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Window(_) => Self::Window,
            Wait::Budget(_) => Self::Budget,
            Wait::Others => Self::Others,
        }
    }
}

/// How large one request may be, so that it does not keep a slow link busy for longer than a
/// request may take.
pub(super) fn request_bytes_max(settings: &PaceSettings, agent: Option<ByteRate>) -> usize {
    let rates = [settings.link.bytes, settings.catch_up_rate, agent];
    let bytes = |rate: ByteRate| {
        u128::from(rate.bytes.0) * REQUEST_TIME.as_millis() / rate.per.as_millis().max(1)
    };
    let slowest = rates.into_iter().flatten().map(bytes).min();
    slowest.map_or(usize::MAX, |bytes| {
        usize::try_from(bytes).unwrap_or(usize::MAX).max(REQUEST_BYTES_LEAST)
    })
}

/// How many requests are sent at once: one more for each round that went well, half as many when
/// the upstream is overrun.
#[derive(Debug)]
pub(super) struct Concurrency {
    /// In thousandths of a request.
    limit: u64,
    most: u64,
    /// The quickest answer of late; slowly forgotten.
    quickest: Option<Duration>,
    cut_at: Option<Instant>,
}

/// An answer may take so much longer than twice the quickest before it counts as slow.
const SLACK: Duration = Duration::from_millis(50);

/// One request.
const ONE: u64 = 1_000;

impl Concurrency {
    /// Begins with all: the settings say how many are in order.
    pub(super) fn new(most: usize) -> Self {
        let most = (most.max(1) as u64).saturating_mul(ONE);
        Self { limit: most, most, quickest: None, cut_at: None }
    }

    pub(super) fn limit(&self) -> usize {
        usize::try_from(self.limit / ONE).unwrap_or(usize::MAX)
    }

    /// A request went well.
    pub(super) fn passed(&mut self, took: Duration) {
        let quickest = self.quickest.map_or(took, |known| known.mul_f64(1.01).min(took));
        self.quickest = Some(quickest);
        let step = ONE * ONE / self.limit;
        if took <= quickest * 2 + SLACK {
            self.limit = (self.limit + step).min(self.most);
        } else if took > quickest * 4 + SLACK * 2 {
            // They wait for each other somewhere on the way: fewer at once take no longer.
            self.limit = self.limit.saturating_sub(step).max(ONE);
        }
    }

    /// A request met an upstream that is overrun, or was lost on the way. Those that were under way
    /// together count once.
    pub(super) fn cut(&mut self, now: Instant, took: Duration) {
        let begun = now.checked_sub(took).unwrap_or(now);
        if self.cut_at.is_none_or(|cut_at| begun >= cut_at) {
            self.limit = (self.limit / 2).max(ONE);
            self.cut_at = Some(now);
        }
    }
}

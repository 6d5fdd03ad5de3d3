//! When again: one machine for parcels that failed among others, one for the destination as a
//! whole. Pure; the caller brings the time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::class::Class;
use super::parcel::Parcel;
use crate::base::backoff::Backoff;
use crate::queue::Position;
use crate::sink::{At, Fault};

/// Longest wait an upstream may ask for: a wrong number must not stop delivery for days.
const ASKED_WAIT_MAX: Duration = Duration::from_secs(300);

/// Parcels that wait for their time.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_time: BTreeMap<(Instant, u64), Vec<Parcel>>,
    count: u64,
}

impl Waiting {
    pub(super) fn push(&mut self, due: Instant, parcels: Vec<Parcel>) {
        self.count += 1;
        self.by_time.insert((due, self.count), parcels);
    }

    /// Those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Parcel> {
        let mut due = Vec::new();
        while let Some(first) = self.by_time.first_entry() {
            if first.key().0 > now {
                break;
            }
            due.append(&mut first.remove());
        }
        due
    }

    /// Takes out what stands below a place in the queue.
    pub(super) fn take_below(&mut self, below: Position) -> Vec<Parcel> {
        let mut taken = Vec::new();
        for parcels in self.by_time.values_mut() {
            taken.extend(parcels.extract_if(.., |parcel| parcel.position < below));
        }
        self.by_time.retain(|_, parcels| !parcels.is_empty());
        taken
    }

    /// When the next ones are due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.by_time.keys().next().map(|(due, _)| *due)
    }
}

/// Whether the destination may be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// As much as is in order.
    Open,
    /// One request, to see whether it is better.
    Probe,
    /// Nothing before this time.
    Closed(Instant),
    /// Nothing before the answer to the probe.
    Probing,
}

/// The destination's state: in order, or in trouble since a while.
#[derive(Debug)]
pub(super) struct Pause {
    backoff: Backoff,
    slow_probe: Backoff,
    trouble: Option<Trouble>,
}

/// A trouble of the destination as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) class: Class,
    pub(super) fault: Fault,
    pub(super) since: Instant,
    /// How often it was met in a row, by requests that were sent to look.
    pub(super) tries: u32,
    until: Instant,
    is_probing: bool,
}

impl Trouble {
    /// One that sending goes on in spite of.
    pub(super) fn passed_by(class: Class, fault: Fault, since: Instant, tries: u32) -> Self {
        Self { class, fault, since, tries, until: since, is_probing: true }
    }

    /// When the next request is sent to look; `None` while one is under way.
    pub(super) fn next_try(&self) -> Option<Instant> {
        (!self.is_probing).then_some(self.until)
    }
}

impl Pause {
    pub(super) fn new(retry_first: Duration, retry_max: Duration) -> Self {
        Self {
            backoff: Backoff::new(retry_first, retry_max),
            slow_probe: Backoff::new(retry_max, retry_max),
            trouble: None,
        }
    }

    pub(super) fn gate(&self, now: Instant) -> Gate {
        match &self.trouble {
            None => Gate::Open,
            Some(trouble) if trouble.is_probing => Gate::Probing,
            Some(trouble) if trouble.until > now => Gate::Closed(trouble.until),
            Some(_) => Gate::Probe,
        }
    }

    /// The present trouble.
    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// The probe is on its way.
    pub(super) fn probe_sent(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.is_probing = true;
        }
    }

    /// A request met a fault of the destination. Requests that were under way when the trouble
    /// began tell nothing new: only a probe lengthens the wait.
    pub(super) fn met(&mut self, now: Instant, class: Class, fault: Fault, was_probe: bool) {
        if self.trouble.is_some() && !was_probe {
            return;
        }
        let until = now + self.wait(class, &fault);
        let (since, tries) = self.trouble.as_ref().map_or((now, 0), |old| (old.since, old.tries));
        let tries = tries + 1;
        self.trouble = Some(Trouble { class, fault, since, tries, until, is_probing: false });
    }

    /// A request was answered by the service itself. Ends the trouble if it was sent to look.
    pub(super) fn answered(&mut self, was_probe: bool) -> Option<Trouble> {
        if !was_probe {
            return None;
        }
        self.backoff.reset();
        self.trouble.take()
    }

    /// How long a parcel waits that failed among others.
    pub(super) fn wait_of_entry(&self, tries: u32, asked: Option<Duration>) -> Duration {
        let own = self.backoff.wait_at(tries.saturating_sub(1));
        own.max(asked.unwrap_or_default().min(ASKED_WAIT_MAX))
    }

    fn wait(&mut self, class: Class, fault: &Fault) -> Duration {
        // Credentials are fetched anew and the clock is set by the answer that refused them, so the
        // first wait is short; if that was in vain, somebody must do something.
        let may_be_mended = class == Class::Clock || class.is_hold() && fault.is_of_old_token();
        let is_slow = class.is_hold() && !(may_be_mended && self.trouble.is_none());
        let own = if is_slow { self.slow_probe.wait_at(0) } else { self.backoff.next_wait() };
        own.max(fault.retry_after.unwrap_or_default().min(ASKED_WAIT_MAX))
    }
}

impl Fault {
    /// The way there, or the service, is too slow for what was sent.
    pub(super) fn is_late(&self) -> bool {
        matches!(self.at, At::Timeout | At::Upload(_))
    }

    /// Temporary credentials ran out: the next ones may be there already.
    fn is_of_old_token(&self) -> bool {
        self.code.starts_with("ExpiredToken")
    }
}

//! Quotas: how much in a day, a week or a month of UTC, across restarts.
//!
//! What is used is counted in memory when records are about to be stored and given back when they
//! were not. [`Quotas::save`], called about once a second, hands what changed to the state store,
//! which writes it about a second later: a crash forgets about two seconds of use, never more, and
//! only in favour of the holder. The store has few keys, so that many counts share one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use time::{Month, OffsetDateTime};

use super::Refusal;
use crate::base::clock::Clock;
use crate::base::seldom::Seldom;
use crate::state::Area;

/// Groups of counts, each a key of the state store.
const GROUPS: usize = 512;
/// Most counts of one group: its value stays well below what the store takes.
const GROUP_MAX: usize = 128;
/// Name (16), period (4) and count (8), fixed-endian.
const ENTRY_BYTES: usize = 28;
const DAY_MS: u64 = 86_400_000;
/// 1970-01-01 was a Thursday; weeks begin on Mondays.
const DAYS_BEFORE_THURSDAY: u64 = 3;
/// How often a lasting fault is written to the log.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// So much in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Most in one.
    pub limit: u64,
    /// How long that is.
    pub period: Period,
}

/// A time that begins anew for everybody at once, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From midnight on.
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
}

impl Period {
    /// Its number since 1970, and when the next one begins.
    fn at(self, unix_ms: u64) -> (u32, u64) {
        let day = unix_ms / DAY_MS;
        let (number, end_day) = match self {
            Self::Day => (day, day + 1),
            Self::Week => {
                let week = (day + DAYS_BEFORE_THURSDAY) / 7;
                (week, (week + 1) * 7 - DAYS_BEFORE_THURSDAY)
            }
            Self::Month => month(unix_ms),
        };
        (u32::try_from(number).unwrap_or(u32::MAX), end_day.saturating_mul(DAY_MS))
    }
}

/// The month's number, and the day on which the next one begins.
fn month(unix_ms: u64) -> (u64, u64) {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or_default();
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let months = u64::from(now.year().unsigned_abs()) * 12 + u64::from(u8::from(now.month())) - 1;
    let year = if now.month() == Month::December { now.year() + 1 } else { now.year() };
    let first = time::Date::from_calendar_date(year, now.month().next(), 1);
    let first = first.map_or(0, |date| date.midnight().assume_utc().unix_timestamp());
    (months, u64::try_from(first).unwrap_or_default() * 1000 / DAY_MS)
}

/// The counts of all holders.
#[derive(Debug)]
pub(super) struct Quotas {
    clock: Clock,
    /// Where they last; `None` in tests that need no restart.
    area: Option<Area>,
    groups: Mutex<Groups>,
    said: Seldom,
}

#[derive(Debug)]
struct Groups {
    all: Vec<Vec<Entry>>,
    changed: BTreeSet<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    name: [u8; 16],
    period: u32,
    used: u64,
}

/// One holder's count.
#[derive(Debug)]
pub(super) struct Count {
    quotas: Arc<Quotas>,
    quota: Quota,
    group: usize,
    name: [u8; 16],
}

/// So much of a count, in this period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Booked {
    count: u64,
    period: u32,
}

impl Quotas {
    /// Takes up what was used before.
    pub(super) fn new(clock: Clock, area: Option<Area>) -> Arc<Self> {
        let mut all = vec![Vec::new(); GROUPS];
        for (key, value) in area.iter().flat_map(|area| area.scan("")) {
            let group = usize::from_str_radix(&key, 16).ok().and_then(|group| all.get_mut(group));
            // What another weir wrote in another shape counts as nothing.
            group.into_iter().for_each(|group| *group = decode(&value));
        }
        let groups = Mutex::new(Groups { all, changed: BTreeSet::new() });
        Arc::new(Self { clock, area, groups, said: Seldom::new(SAY_EVERY) })
    }

    pub(super) fn count(self: &Arc<Self>, quota: Quota, parts: &[&str]) -> Count {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let (name, rest) = hash.split_first_chunk::<16>().expect("a hash has 32 bytes");
        let spread = rest.first_chunk().map_or(0, |bytes| u16::from_le_bytes(*bytes));
        Count { quotas: self.clone(), quota, group: usize::from(spread) % GROUPS, name: *name }
    }

    /// Hands what changed to the state store.
    pub(super) fn save(&self) {
        let Some(area) = &self.area else { return };
        let changed: Vec<(usize, Vec<u8>)> = {
            let mut groups = self.groups();
            let changed = std::mem::take(&mut groups.changed);
            let encoded = |at: usize| Some((at, encode(groups.all.get(at)?)));
            changed.into_iter().filter_map(encoded).collect()
        };
        for (at, value) in changed {
            if let Err(refused) = area.put(&format!("{at:03x}"), value)
                && let Some(unsaid) = self.said.turn()
            {
                tracing::warn!(%refused, unsaid, "quotas are counted in memory only");
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// Adds to what was used; in which period that is.
    ///
    /// # Errors
    /// [`Refusal::OverQuota`], and [`Refusal::OverBurst`] for what no period has room for; nothing was
    /// added.
    pub(super) fn book(&self, count: u64, unit: &'static str) -> Result<Booked, Refusal> {
        self.book_at(self.quotas.clock.unix_ms(), count, unit)
    }

    fn book_at(&self, now_ms: u64, count: u64, unit: &'static str) -> Result<Booked, Refusal> {
        let limit = self.quota.limit;
        if count > limit {
            return Err(Refusal::OverBurst { limit, unit });
        }
        let (period, ends_ms) = self.quota.period.at(now_ms);
        self.with(|entry| {
            entry.enter(period);
            let used = entry.used.saturating_add(count);
            if used > limit {
                // Where the clock was set back the period after this one is under way already.
                let is_ahead = entry.period > period;
                let ends_ms = if is_ahead { self.quota.period.at(ends_ms).1 } else { ends_ms };
                let retry_after = Duration::from_millis(ends_ms.saturating_sub(now_ms));
                return Err(Refusal::OverQuota { retry_after });
            }
            entry.used = used;
            Ok(Booked { count, period: entry.period })
        })
    }

    /// Takes back what was booked; in a later period nothing is left of it.
    pub(super) fn give_back(&self, booked: Booked) {
        self.with(|entry| {
            if entry.period == booked.period {
                entry.used = entry.used.saturating_sub(booked.count);
            }
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut groups = self.quotas.groups();
        groups.changed.insert(self.group);
        let group = groups.all.get_mut(self.group).expect("a group is one of GROUPS");
        let at = group.iter().position(|entry| entry.name == self.name).unwrap_or_else(|| {
            make_room(group);
            group.push(Entry { name: self.name, period: 0, used: 0 });
            group.len() - 1
        });
        change(group.get_mut(at).expect("it was found or added just now"))
    }
}

/// Who has used least has least to gain from being forgotten.
fn make_room(group: &mut Vec<Entry>) {
    if group.len() < GROUP_MAX {
        return;
    }
    let least = group.iter().enumerate().min_by_key(|(_, entry)| (entry.period, entry.used));
    if let Some((at, _)) = least {
        group.swap_remove(at);
    }
}

impl Entry {
    /// Begins anew in another period; a clock that was set back a little does not forgive.
    fn enter(&mut self, period: u32) {
        if self.period != period && self.period != period.saturating_add(1) {
            (self.period, self.used) = (period, 0);
        }
    }
}

fn encode(group: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(group.len() * ENTRY_BYTES);
    for entry in group {
        bytes.extend_from_slice(&entry.name);
        bytes.extend_from_slice(&entry.period.to_le_bytes());
        bytes.extend_from_slice(&entry.used.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Vec<Entry> {
    let entry = |bytes: &[u8]| {
        let (name, rest) = bytes.split_first_chunk()?;
        let (period, used) = rest.split_first_chunk()?;
        let period = u32::from_le_bytes(*period);
        Some(Entry { name: *name, period, used: u64::from_le_bytes(used.try_into().ok()?) })
    };
    bytes.chunks(ENTRY_BYTES).filter_map(entry).take(GROUP_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::parse_rfc3339;

    #[track_caller]
    fn check(period: Period, now: &str, ends: &str) {
        let (now_ms, ends_ms) = (parse_rfc3339(now).unwrap(), parse_rfc3339(ends).unwrap());
        let (number, end) = period.at(now_ms);
        assert_eq!(end, ends_ms, "{now}");
        assert_eq!(period.at(ends_ms - 1).0, number, "{now}");
        assert_eq!(period.at(ends_ms).0, number + 1, "{now}");
    }

    #[test]
    fn periods_begin_with_the_day_the_monday_and_the_first() {
        check(Period::Day, "2026-11-24T18:00:00Z", "2026-11-25T00:00:00Z");
        check(Period::Week, "2026-11-24T18:00:00Z", "2026-11-30T00:00:00Z");
        check(Period::Week, "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z");
        check(Period::Month, "2026-11-24T18:00:00Z", "2026-12-01T00:00:00Z");
        check(Period::Month, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z");
        check(Period::Month, "2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z");
        check(Period::Week, "1970-01-01T00:00:00Z", "1970-01-05T00:00:00Z");
    }

    fn daily(limit: u64) -> Quota {
        Quota { limit, period: Period::Day }
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_ends_at_its_limit_and_begins_anew_with_its_period() {
        let clock = Clock::starting_at(parse_rfc3339("2026-11-24T23:59:50Z").unwrap());
        let quotas = Quotas::new(clock, None);
        let count = quotas.count(daily(10), &["plan", "caller"]);

        count.book(9, "records").unwrap();
        let last = count.book(1, "records").unwrap();
        let over = Refusal::OverQuota { retry_after: Duration::from_secs(10) };
        assert_eq!(count.book(1, "records"), Err(over));
        count.give_back(last);
        assert!(count.book(1, "records").is_ok());
        let other = quotas.count(daily(10), &["plan", "other"]);
        let never = Refusal::OverBurst { limit: 10, unit: "records" };
        assert_eq!(other.book(11, "records"), Err(never), "no day has room for them");
        assert!(other.book(10, "records").is_ok());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(count.book(10, "records").is_ok());
    }

    #[test]
    fn what_was_booked_before_the_change_of_a_period_is_not_given_back_after_it() {
        for (period, before, after) in [
            (Period::Day, "2026-11-24T23:59:59.999Z", "2026-11-25T00:00:00Z"),
            (Period::Week, "2026-11-29T23:59:59.999Z", "2026-11-30T00:00:00Z"),
            (Period::Month, "2026-11-30T23:59:59.999Z", "2026-12-01T00:00:00Z"),
            (Period::Month, "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z"),
        ] {
            let [before, after] = [before, after].map(|at| parse_rfc3339(at).unwrap());
            let quotas = Quotas::new(Clock::starting_at(before), None);
            let count = quotas.count(Quota { limit: 10, period }, &["plan", "caller"]);
            let flying = count.book_at(before, 10, "records").unwrap();
            assert!(count.book_at(before, 1, "records").is_err());
            let full = count.book_at(after, 10, "records").unwrap();

            count.give_back(flying);

            assert!(count.book_at(after, 1, "records").is_err(), "{period:?}");
            count.give_back(full);
            assert!(count.book_at(after, 10, "records").is_ok(), "{period:?}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_over_the_change_finds_what_was_used_and_tells_when_that_ends() {
        let at = |text: &str| parse_rfc3339(text).unwrap();
        let hour = |hours: u64| Duration::from_secs(hours * 3600);
        for (period, before, after, wait) in [
            (Period::Day, "2026-11-24T23:00:00Z", "2026-11-25T00:00:00Z", hour(1 + 24)),
            (Period::Week, "2026-11-29T23:00:00Z", "2026-11-30T00:00:00Z", hour(1 + 7 * 24)),
            (Period::Month, "2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z", hour(1 + 28 * 24)),
        ] {
            let quotas = Quotas::new(Clock::starting_at(0), None);
            let count = quotas.count(Quota { limit: 10, period }, &["plan", "caller"]);
            let early = count.book_at(at(after), 10, "records").unwrap();

            let over = count.book_at(at(before), 1, "records");
            assert_eq!(over, Err(Refusal::OverQuota { retry_after: wait }), "{period:?}");
            // What comes back while the clock is behind is given back all the same.
            count.give_back(early);
            let late = count.book_at(at(before), 10, "records").unwrap();
            assert!(count.book_at(at(after), 1, "records").is_err(), "{period:?}");
            count.give_back(late);
            assert!(count.book_at(at(after), 10, "records").is_ok(), "{period:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_a_little_forgives_nothing() {
        let mut entry = Entry { name: [0; 16], period: 100, used: 7 };
        entry.enter(99);
        assert_eq!(entry.used, 7);
        entry.enter(50);
        assert_eq!((entry.period, entry.used), (50, 0));
    }

    #[test]
    fn counts_read_back_and_torn_bytes_are_no_counts() {
        let entries: Vec<Entry> =
            (0..5).map(|n| Entry { name: [n; 16], period: 7, used: u64::from(n) }).collect();
        let bytes = encode(&entries);
        assert_eq!(decode(&bytes), entries);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), entries[..4]);
        assert_eq!(decode(b"short"), []);
    }

    #[tokio::test(start_paused = true)]
    async fn more_holders_than_there_is_room_for_leave_a_bounded_memory() {
        let quotas = Quotas::new(Clock::starting_at(0), None);
        let whale = quotas.count(daily(u64::MAX), &["plan", "whale"]);
        whale.book(1_000_000, "records").unwrap();
        for n in 0..80_000 {
            quotas.count(daily(10), &["plan", &n.to_string()]).book(1, "records").unwrap();
        }
        assert!(quotas.groups().all.iter().all(|group| group.len() <= GROUP_MAX));
        let used = whale.with(|entry| entry.used);
        assert_eq!(used, 1_000_000, "who used most is not forgotten");
    }
}

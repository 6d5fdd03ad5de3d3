//! How fast one shard is fed, or a destination whose shards are not known: what it is known to take
//! a second, and less after it was too much. Pure; the caller brings the time.

use std::time::Duration;

use tokio::time::Instant;

/// What a shard takes in a second, as the service documents it.
const SHARD: Rate = Rate { entries: 1_000.0, bytes: 1_048_576.0 };
/// A throttled entry takes this much of the speed…
const CUT: f64 = 0.3;
/// …and calm gives so much of it back in a second.
const GROWTH_A_SECOND: f64 = 0.25;
/// Answers to requests that were under way together tell the same once.
const CUTS_APART: Duration = Duration::from_millis(200);
/// It never becomes slower than this part of its limit: what is too slow learns nothing.
const LEAST: f64 = 0.02;
/// A limit that was only guessed is dropped when it grew to this many times the guess.
const GUESS_OUTGROWN: f64 = 4.0;
/// Who may go, goes together: so much of a second is lent, and paid off before the next.
const LENT: f64 = 0.25;
/// What was sent in this time is the guess.
const GUESS_OVER: Duration = Duration::from_millis(500);

/// Entries and bytes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Rate {
    entries: f64,
    bytes: f64,
}

/// The pace of one lane: token buckets of one second, and how much of them is used.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// What may be sent in a second; `None` while nothing limits it.
    limit: Option<Rate>,
    /// Whether the limit is only what was too much once.
    is_guess: bool,
    /// The part of the limit that is used now.
    part: f64,
    /// What may be sent at once; below zero while a large entry is paid off.
    tokens: Rate,
    at: Instant,
    last_cut: Option<Instant>,
    /// What was sent lately, and since when.
    sent: Rate,
    sent_since: Instant,
}

impl Pace {
    /// The pace of one shard, of which so many percent are for this agent.
    pub(super) fn of_shard(percent: usize, now: Instant) -> Self {
        let share = f64::from(u32::try_from(percent).unwrap_or(u32::MAX)) / 100.0;
        let limit = Rate { entries: SHARD.entries * share, bytes: SHARD.bytes * share };
        Self { limit: Some(limit), tokens: limit, ..Self::free(now) }
    }

    /// As fast as it goes, until it was too fast.
    pub(super) fn free(now: Instant) -> Self {
        Self {
            limit: None,
            is_guess: false,
            part: 1.0,
            tokens: Rate::default(),
            at: now,
            last_cut: None,
            sent: Rate::default(),
            sent_since: now,
        }
    }

    /// When the next entry may go; `None` if now.
    pub(super) fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        self.refill(now);
        let limit = self.limit?;
        let wait_of = |tokens: f64, rate: f64| {
            if tokens > 0.0 { 0.0 } else { (1.0 - tokens) / (rate * self.part).max(1.0) }
        };
        let wait = wait_of(self.tokens.entries, limit.entries)
            .max(wait_of(self.tokens.bytes, limit.bytes));
        (wait > 0.0).then(|| now + Duration::from_secs_f64(wait.min(60.0)))
    }

    /// Whether anything limits it now.
    pub(super) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Whether it met a throttle so lately.
    pub(super) fn was_throttled_within(&self, time: Duration, now: Instant) -> bool {
        self.last_cut.is_some_and(|last| now.saturating_duration_since(last) <= time)
    }

    /// Whether another entry may go with one that just went.
    pub(super) fn lends(&self) -> bool {
        let lends = |tokens: f64, rate: f64| tokens > -rate * LENT;
        self.limit.is_none_or(|limit| {
            lends(self.tokens.entries, limit.entries) && lends(self.tokens.bytes, limit.bytes)
        })
    }

    /// An entry of so many bytes goes.
    pub(super) fn spend(&mut self, bytes: usize, now: Instant) {
        let bytes = as_f64(bytes);
        if now - self.sent_since > GUESS_OVER * 2 {
            (self.sent, self.sent_since) = (Rate::default(), now);
        }
        self.sent.entries += 1.0;
        self.sent.bytes += bytes;
        self.tokens.entries -= 1.0;
        self.tokens.bytes -= bytes;
    }

    /// What was to go did not.
    pub(super) fn unspend(&mut self, entries: usize, bytes: usize) {
        let (entries, bytes) = (as_f64(entries), as_f64(bytes));
        self.sent.entries = (self.sent.entries - entries).max(0.0);
        self.sent.bytes = (self.sent.bytes - bytes).max(0.0);
        self.tokens.entries += entries;
        self.tokens.bytes += bytes;
    }

    /// Entries met a throttle: so large a part of what was sent together.
    pub(super) fn throttled(&mut self, part: f64, now: Instant) {
        self.refill(now);
        if self.last_cut.is_some_and(|last| now - last < CUTS_APART) {
            return;
        }
        self.last_cut = Some(now);
        if self.limit.is_none() {
            let over = (now - self.sent_since).max(GUESS_OVER / 10).as_secs_f64();
            let guess = |sent: f64| (sent / over).max(1.0);
            let entries = guess(self.sent.entries);
            self.limit = Some(Rate { entries, bytes: guess(self.sent.bytes) });
            (self.is_guess, self.tokens) = (true, Rate::default());
        }
        self.part = (self.part * (1.0 - CUT * part.clamp(0.0, 1.0))).max(LEAST);
    }

    /// How much of its limit it uses, for the numbers.
    pub(super) fn part(&self) -> f64 {
        self.part
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let Some(limit) = self.limit else { return };
        let grown = self.part + GROWTH_A_SECOND * passed;
        if self.is_guess && grown >= GUESS_OUTGROWN {
            *self = Self::free(now);
            return;
        }
        self.part = if self.is_guess { grown } else { grown.min(1.0) };
        let more = |tokens: f64, rate: f64| (tokens + rate * self.part * passed).min(rate);
        self.tokens.entries = more(self.tokens.entries, limit.entries);
        self.tokens.bytes = more(self.tokens.bytes, limit.bytes);
    }
}

fn as_f64(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    /// Sends entries of this size as fast as the pace lets it, for so many seconds.
    fn run(pace: &mut Pace, now: &mut Instant, seconds: u32, bytes: usize) -> u32 {
        let (end, mut sent) = (*now + Duration::from_secs(seconds.into()), 0);
        while *now < end {
            match pace.opens_at(*now) {
                Some(at) => *now = at,
                None => {
                    pace.spend(bytes, *now);
                    sent += 1;
                }
            }
        }
        sent
    }

    #[track_caller]
    fn check(sent: u32, expected: u32) {
        assert!(sent.abs_diff(expected) <= expected / 20 + 2, "{sent} of {expected}");
    }

    #[test]
    fn a_shard_gets_1000_entries_or_a_mebibyte_a_second_or_its_share_of_them() {
        let mut now = Instant::now();
        // The bucket is full at first: one second more.
        check(run(&mut Pace::of_shard(100, now), &mut now, 9, 100), 10_000);
        check(run(&mut Pace::of_shard(100, now), &mut now, 9, 50 * KIB), 205);
        check(run(&mut Pace::of_shard(25, now), &mut now, 9, 100), 2_500);
        check(run(&mut Pace::of_shard(1_000, now), &mut now, 9, 1 << 20), 100);
    }

    #[test]
    fn an_entry_larger_than_a_second_goes_and_is_paid_off_after() {
        let mut now = Instant::now();
        let mut pace = Pace::of_shard(100, now);
        pace.spend(10 << 20, now);

        let opens = pace.opens_at(now).unwrap();

        now += Duration::from_secs(9);
        assert!(opens.duration_since(now) < Duration::from_millis(10), "{opens:?}");
        assert_eq!(pace.opens_at(opens), None);
    }

    #[test]
    fn a_throttle_slows_the_pace_and_calm_gives_it_back() {
        let mut now = Instant::now();
        let mut pace = Pace::of_shard(100, now);
        pace.throttled(1.0, now);
        let slowed = pace.part();
        assert!((0.69..0.71).contains(&slowed), "{slowed}");
        pace.throttled(1.0, now + CUTS_APART / 2);
        assert!(pace.part() < slowed + 0.1 && pace.part() >= slowed, "answers together count once");

        for _ in 0..200 {
            now += CUTS_APART;
            pace.throttled(1.0, now);
        }
        assert!(pace.part() < 0.2, "{}", pace.part());
        now += Duration::from_secs(10);
        assert_eq!(pace.opens_at(now), None);
        assert!((pace.part() - 1.0).abs() < f64::EPSILON, "{}", pace.part());
    }

    #[test]
    fn without_shards_nothing_is_slowed_until_a_throttle_and_then_to_less_than_what_was_sent() {
        let mut now = Instant::now();
        let mut pace = Pace::free(now);
        for _ in 0..1_000 {
            assert_eq!(pace.opens_at(now), None);
            pace.spend(100, now);
            now += Duration::from_micros(500);
        }
        pace.throttled(1.0, now);

        let sent = run(&mut pace, &mut now, 1, 100);
        assert!((1_200..2_000).contains(&sent), "{sent}: 2000 a second were too much");

        now += Duration::from_secs(20);
        assert_eq!(pace.opens_at(now), None);
        pace.spend(100 << 20, now);
        assert_eq!(pace.opens_at(now), None, "the guess was outgrown");
    }
}

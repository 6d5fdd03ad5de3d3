//! What authorizers answered lately, by what makes one caller another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Answer;

/// Most answers that are kept; a caller whose answer had to go is asked about again.
const ANSWERS_MAX: usize = 10_000;
/// Most bytes of them: ten thousand ordinary policies take a third of it, and whoever gets long ones
/// made for it takes no more.
const BYTES_MAX: usize = 16 << 20;

/// A hash of the identity.
pub(super) type Print = [u8; 32];

#[derive(Debug)]
pub(super) struct Memory {
    ttl: Duration,
    stale: Duration,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    all: HashMap<Print, Entry>,
    /// What the answers take together.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answered: Option<(Arc<Answer>, Instant)>,
    /// Held by the one that asks, so that others with the same identity wait for its answer.
    asking: Arc<tokio::sync::Mutex<()>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.answered.as_ref().map_or(0, |(answer, _)| answer.bytes())
    }
}

impl Memory {
    pub(super) fn new(ttl: Duration, stale: Duration) -> Self {
        Self { ttl, stale, entries: Mutex::default() }
    }

    /// An answer that is still good.
    pub(super) fn fresh(&self, print: &Print) -> Option<Arc<Answer>> {
        self.younger_than(print, self.ttl)
    }

    /// One that is good while nobody can be asked.
    pub(super) fn stale(&self, print: &Print) -> Option<Arc<Answer>> {
        self.younger_than(print, self.ttl + self.stale).filter(|_| !self.stale.is_zero())
    }

    fn younger_than(&self, print: &Print, most: Duration) -> Option<Arc<Answer>> {
        let entries = self.entries();
        let (answer, at) = entries.all.get(print)?.answered.as_ref()?;
        (at.elapsed() < most).then(|| answer.clone())
    }

    /// The turn to ask about somebody.
    pub(super) fn turn(&self, print: Print) -> Arc<tokio::sync::Mutex<()>> {
        let mut entries = self.entries();
        if entries.all.len() >= ANSWERS_MAX && !entries.all.contains_key(&print) {
            self.make_room(&mut entries);
        }
        let new = || Entry { answered: None, asking: Arc::default() };
        entries.all.entry(print).or_insert_with(new).asking.clone()
    }

    pub(super) fn keep(&self, print: &Print, answer: &Arc<Answer>) {
        let mut entries = self.entries();
        if entries.bytes + answer.bytes() > BYTES_MAX {
            self.make_room(&mut entries);
        }
        let Entries { all, bytes } = &mut *entries;
        if let Some(entry) = all.get_mut(print) {
            *bytes -= entry.bytes();
            entry.answered = Some((answer.clone(), Instant::now()));
            *bytes += entry.bytes();
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops what is of no use any more; if that is little, the older half of the rest.
    fn make_room(&self, entries: &mut Entries) {
        let (now, most) = (Instant::now(), self.ttl + self.stale);
        let age = |entry: &Entry| entry.answered.as_ref().map(|(_, at)| now.duration_since(*at));
        let is_asked_about = |entry: &Entry| Arc::strong_count(&entry.asking) > 1;
        let all = &mut entries.all;
        all.retain(|_, entry| is_asked_about(entry) || age(entry).is_some_and(|a| a < most));
        entries.bytes = all.values().map(Entry::bytes).sum();
        if all.len() < ANSWERS_MAX / 2 && entries.bytes < BYTES_MAX / 2 {
            return;
        }
        let mut ages: Vec<Duration> = all.values().filter_map(age).collect();
        let middle = ages.len() / 2;
        if ages.is_empty() {
            return;
        }
        let (_, median, _) = ages.select_nth_unstable(middle);
        let median = *median;
        for entry in all.values_mut().filter(|entry| age(entry).is_some_and(|a| a >= median)) {
            entry.answered = None;
        }
        all.retain(|_, entry| is_asked_about(entry) || entry.answered.is_some());
        entries.bytes = all.values().map(Entry::bytes).sum();
    }
}

#[cfg(test)]
impl Memory {
    fn len(&self) -> usize {
        self.entries().all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(n: u32) -> Print {
        let mut print = [0; 32];
        print[..4].copy_from_slice(&n.to_le_bytes());
        print
    }

    fn yes() -> Arc<Answer> {
        Arc::new(Answer::parse(br#"{"isAuthorized":true}"#, [].into_iter()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_good_for_its_time_and_longer_only_if_that_was_asked_for() {
        for (stale, expected) in [(0, false), (10, true)] {
            let memory = Memory::new(Duration::from_secs(5), Duration::from_secs(stale));
            drop(memory.turn(print(1)));
            memory.keep(&print(1), &yes());

            tokio::time::advance(Duration::from_millis(4_999)).await;
            assert!(memory.fresh(&print(1)).is_some());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(memory.fresh(&print(1)).is_none());
            assert_eq!(memory.stale(&print(1)).is_some(), expected);
            tokio::time::advance(Duration::from_secs(10)).await;
            assert!(memory.stale(&print(1)).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_identities_than_there_is_room_for_leave_a_bounded_memory() {
        let memory = Memory::new(Duration::from_secs(5), Duration::ZERO);
        let answer = yes();
        for n in 0..50_000 {
            if n % 1000 == 0 {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            drop(memory.turn(print(n)));
            memory.keep(&print(n), &answer);
            assert!(memory.len() <= ANSWERS_MAX);
        }
        assert!(memory.fresh(&print(49_999)).is_some());
    }

    /// A stranger chooses a token of its own each time, and may have a say in what is answered.
    #[tokio::test(start_paused = true)]
    async fn long_answers_take_no_more_memory_than_short_ones_may() {
        let memory = Memory::new(Duration::from_secs(300), Duration::ZERO);
        let resource = "r".repeat(60_000);
        let json = format!(
            r#"{{"policyDocument":{{"Statement":{{"Action":"*","Effect":"Deny","Resource":"{resource}"}}}}}}"#
        );
        for n in 0..3_000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            let answer = Arc::new(Answer::parse(json.as_bytes(), [].into_iter()).unwrap());
            let turn = memory.turn(print(n));
            memory.keep(&print(n), &answer);
            drop(turn);

            let entries = memory.entries();
            assert!(entries.bytes <= BYTES_MAX);
            assert_eq!(entries.bytes, entries.all.values().map(Entry::bytes).sum::<usize>());
            drop(entries);
            assert!(memory.fresh(&print(n)).is_some());
        }
    }
}

//! What authorizers answered lately, by what makes one caller another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Answer;

/// Most answers that are kept; a caller whose answer had to go is asked about again.
const ANSWERS_MAX: usize = 10_000;

/// A hash of the identity.
pub(super) type Print = [u8; 32];

#[derive(Debug)]
pub(super) struct Memory {
    ttl: Duration,
    stale: Duration,
    entries: Mutex<HashMap<Print, Entry>>,
}

#[derive(Debug)]
struct Entry {
    answered: Option<(Arc<Answer>, Instant)>,
    /// Held by the one that asks, so that others with the same identity wait for its answer.
    asking: Arc<tokio::sync::Mutex<()>>,
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
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, at) = entries.get(print)?.answered.as_ref()?;
        (at.elapsed() < most).then(|| answer.clone())
    }

    /// The turn to ask about somebody.
    pub(super) fn turn(&self, print: Print) -> Arc<tokio::sync::Mutex<()>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= ANSWERS_MAX && !entries.contains_key(&print) {
            self.make_room(&mut entries);
        }
        let new = || Entry { answered: None, asking: Arc::default() };
        entries.entry(print).or_insert_with(new).asking.clone()
    }

    pub(super) fn keep(&self, print: &Print, answer: &Arc<Answer>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(print) {
            entry.answered = Some((answer.clone(), Instant::now()));
        }
    }

    /// Drops what is of no use any more; if that is little, the older half of the rest.
    fn make_room(&self, entries: &mut HashMap<Print, Entry>) {
        let (now, most) = (Instant::now(), self.ttl + self.stale);
        let age = |entry: &Entry| entry.answered.as_ref().map(|(_, at)| now.duration_since(*at));
        let is_asked_about = |entry: &Entry| Arc::strong_count(&entry.asking) > 1;
        entries.retain(|_, entry| is_asked_about(entry) || age(entry).is_some_and(|a| a < most));
        if entries.len() < ANSWERS_MAX / 2 {
            return;
        }
        let mut ages: Vec<Duration> = entries.values().filter_map(age).collect();
        let middle = ages.len() / 2;
        if ages.is_empty() {
            return;
        }
        let (_, median, _) = ages.select_nth_unstable(middle);
        let median = *median;
        entries.retain(|_, entry| is_asked_about(entry) || age(entry).is_some_and(|a| a < median));
    }
}

#[cfg(test)]
impl Memory {
    fn len(&self) -> usize {
        self.entries.lock().unwrap().len()
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
        Arc::new(Answer::parse(br#"{"isAuthorized":true}"#).unwrap())
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
}

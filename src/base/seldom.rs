//! Saying a thing once, and then seldom, with a count of what was not said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one of many equal log lines through in each period.
#[derive(Debug)]
pub struct Seldom {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// At most one line in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// `Some` when the line may be said now: how many were left unsaid since the last one.
    pub fn turn(&self) -> Option<u64> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < self.every) {
            state.unsaid += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_in_a_period_and_the_rest_is_counted() {
        let seldom = Seldom::new(Duration::from_secs(10));

        let said: Vec<_> = (0..4).map(|_| seldom.turn()).collect();
        tokio::time::advance(Duration::from_secs(10)).await;

        assert_eq!(said, [Some(0), None, None, None]);
        assert_eq!([seldom.turn(), seldom.turn()], [Some(3), None]);
    }
}

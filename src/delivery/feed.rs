//! What a worker needs of its queue.

use crate::queue::{AppendError, Budget, Position, Reader, Settled, Stored};

/// One destination's way out of a queue.
pub(super) trait Feed: Send {
    /// The next payloads, each given once; waits for one. Dropping the future loses none: what it
    /// would have given, the next call gives.
    fn next(
        &mut self,
        budget: Budget,
    ) -> impl Future<Output = Result<Vec<Stored>, AppendError>> + Send;

    /// Says what became of payloads that were given.
    fn settle(&self, positions: &[Position], how: Settled);

    /// How many payloads are still owed, for the log.
    fn waiting(&self) -> u64;
}

impl Feed for Reader {
    async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        Self::next(self, budget).await
    }

    fn settle(&self, positions: &[Position], how: Settled) {
        Self::settle(self, positions, how);
    }

    fn waiting(&self) -> u64 {
        self.ledger().waiting
    }
}

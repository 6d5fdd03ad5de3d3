//! What a worker needs of its queue.

use crate::queue::{Again, AppendError, Budget, Lapse, Lapsed, Position, Reader, Settled, Stored};

/// One destination's way out of a queue.
pub(super) trait Feed: Send {
    /// The next payloads, each given once; waits for one. Dropping the future loses none: what it
    /// would have given, the next call gives.
    fn next(
        &mut self,
        budget: Budget,
    ) -> impl Future<Output = Result<Vec<Stored>, AppendError>> + Send;

    /// Payloads that were given before and are not settled, once more; the oldest first, up to so
    /// many bytes and at least one.
    fn again(
        &self,
        wanted: Vec<Position>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Again, AppendError>> + Send + 'static;

    /// Says what became of payloads that were given.
    fn settle(&self, positions: &[Position], how: Settled);

    /// Everything below this place was let go by the queue's policy.
    fn lapsed_below(&self) -> Position;

    /// Why a payload was let go, and what is to become of it; `None` if it was not.
    fn lapse_of(&self, position: Position) -> Option<(Lapse, Lapsed)>;

    /// How many payloads are still owed, for the log.
    fn waiting(&self) -> u64;
}

impl Feed for Reader {
    async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        Self::next(self, budget).await
    }

    fn again(
        &self,
        wanted: Vec<Position>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Again, AppendError>> + Send + 'static {
        Self::again(self, wanted, bytes_max)
    }

    fn settle(&self, positions: &[Position], how: Settled) {
        Self::settle(self, positions, how);
    }

    fn lapsed_below(&self) -> Position {
        Self::lapsed_below(self)
    }

    fn lapse_of(&self, position: Position) -> Option<(Lapse, Lapsed)> {
        Self::lapse_of(self, position)
    }

    fn waiting(&self) -> u64 {
        self.ledger().waiting
    }
}

//! What a worker needs of its queue.

use bytes::Bytes;

use crate::queue::{
    Again, AppendError, Budget, Group, Lapse, Lapsed, Position, Reader, Settled, Stored, Writer,
};

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

    /// Adds payloads to the queue, all or none of them; they are given as any others.
    fn put_back(
        &self,
        payloads: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + 'static;
}

/// Both ends of a queue.
pub(super) struct Ends {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

impl Feed for Ends {
    async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        self.reader.next(budget).await
    }

    fn again(
        &self,
        wanted: Vec<Position>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Again, AppendError>> + Send + 'static {
        self.reader.again(wanted, bytes_max)
    }

    fn settle(&self, positions: &[Position], how: Settled) {
        self.reader.settle(positions, how);
    }

    fn lapsed_below(&self) -> Position {
        self.reader.lapsed_below()
    }

    fn lapse_of(&self, position: Position) -> Option<(Lapse, Lapsed)> {
        self.reader.lapse_of(position)
    }

    fn waiting(&self) -> u64 {
        self.reader.ledger().waiting
    }

    fn put_back(
        &self,
        payloads: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), AppendError>> + Send + 'static {
        let writer = self.writer.clone();
        async move {
            let group = Group { payloads, ..Group::default() };
            writer.append(group).await.map(drop)
        }
    }
}

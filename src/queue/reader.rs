//! The way out, as other rooms see it.

use std::fmt;
use std::sync::{Arc, Mutex, TryLockError};

use super::again::{Again, again};
use super::cursor::How;
use super::error::AppendError;
use super::feed::{Feed, Turn};
use super::group::{Budget, Position, Settled, Stored};
use super::lapse::Lapse;
use super::ledger::Ledger;
use super::settings::Lapsed;
use super::store::{Store, lock};
use crate::base::tasks;

/// Gives one destination what is durable and not yet settled, in order.
pub struct Reader {
    store: Arc<Store>,
    /// Index of its books in the store.
    at: usize,
    destination: String,
    /// Locked for long only by a read whose caller went away.
    feed: Arc<Mutex<Feed>>,
}

impl Reader {
    pub(super) fn new(store: Arc<Store>, at: usize, destination: &str) -> Self {
        let feed = Arc::new(Mutex::new(Feed::new(Arc::clone(&store), at)));
        Self { store, at, destination: destination.to_owned(), feed }
    }

    /// The destination it reads for.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// The next payloads, each given once per opening. Waits until there is at least one, and as
    /// long as too many given ones are not settled. Damage on disk is counted, set aside and
    /// passed. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`AppendError::Disk`] when the disk cannot be read now, [`AppendError::Closed`] when the
    /// queue was closed and everything in it was given.
    pub async fn next(&mut self, budget: Budget) -> Result<Vec<Stored>, AppendError> {
        loop {
            let turn = match self.feed.try_lock() {
                Ok(mut feed) => feed.turn(budget),
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().turn(budget),
                Err(TryLockError::WouldBlock) => Turn::Read,
            };
            match turn {
                Turn::Give(stored) => return Ok(stored),
                Turn::End => return Err(AppendError::Closed),
                Turn::Read => self.read().await?,
                Turn::Wait => match self.store.books.get(self.at) {
                    Some(books) => books.wake.notified().await,
                    None => return Err(AppendError::Closed),
                },
            }
        }
    }

    /// Payloads that were given out and are not settled, once more: who has no memory for all of
    /// them may let some go. The positions ascend; the oldest come first, up to so many bytes and
    /// at least one.
    ///
    /// # Errors
    /// [`AppendError::Disk`] when the disk cannot be read now.
    pub fn again(
        &self,
        wanted: Vec<Position>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Again, AppendError>> + Send + 'static {
        let (store, at) = (Arc::clone(&self.store), self.at);
        async move {
            let read = tasks::blocking(move || again(&store, at, &wanted, bytes_max)).await;
            read.map_err(|error| AppendError::Disk(error.to_string()))
        }
    }

    /// Settles payloads that were given out, in any order. The cursor is saved later, within
    /// [`crate::queue::Settings::cursor_save_after`]; settling twice changes nothing.
    pub fn settle(&self, positions: &[Position], how: Settled) {
        if let Some(books) = self.store.books.get(self.at) {
            let positions = positions.iter().map(|position| position.0);
            self.store.settle(books, positions, How::By(how));
        }
    }

    /// Everything below this place lapsed: a payload of it that was given is to be let go.
    pub fn lapsed_below(&self) -> Position {
        Position(self.store.lapses.below())
    }

    /// Why a payload lapsed, and what is to become of it: with [`Lapsed::Discard`] it is settled
    /// already. `None` if it did not lapse.
    pub fn lapse_of(&self, position: Position) -> Option<(Lapse, Lapsed)> {
        let lapsed = self.store.settings.policy.lapsed;
        self.store.lapses.of(position.0).map(|lapse| (lapse, lapsed))
    }

    /// The books of this destination.
    pub fn ledger(&self) -> Ledger {
        let books = self.store.books.get(self.at);
        books.map_or_else(Ledger::default, |books| self.store.ledger_of(books))
    }

    async fn read(&self) -> Result<(), AppendError> {
        let feed = Arc::clone(&self.feed);
        let read = tasks::blocking(move || lock(&feed).read()).await;
        read.map_err(|error| AppendError::Disk(error.to_string()))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({}, {})", self.store.settings.stream, self.destination)
    }
}

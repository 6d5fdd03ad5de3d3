//! The machine that gives out: what to give next, whether to read, whether to wait.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use super::backlog::{Backlog, Found};
use super::books::Books;
use super::cursor::How;
use super::group::{Budget, Position, Stored};
use super::store::Store;

/// One destination's way out.
pub(super) struct Feed {
    store: Arc<Store>,
    /// Index of its books in the store.
    at: usize,
    /// The next position to give.
    next: u64,
    ready: VecDeque<Found>,
    backlog: Backlog,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Hand these over.
    Give(Vec<Stored>),
    /// Call [`Feed::read`], away from async threads.
    Read,
    /// Wait for the books' bell.
    Wait,
    /// The queue was closed and everything was given.
    End,
}

impl Feed {
    pub(super) fn new(store: Arc<Store>, at: usize) -> Self {
        let next = store.books.get(at).map_or(0, Books::given) + 1;
        let backlog = Backlog::new(Arc::clone(&store));
        Self { store, at, next, ready: VecDeque::new(), backlog }
    }

    /// What to do next. Never touches the disk.
    pub(super) fn turn(&mut self, budget: Budget) -> Turn {
        let store = Arc::clone(&self.store);
        let Some(books) = store.books.get(self.at) else { return Turn::End };
        loop {
            let mut given = Vec::new();
            if self.take(books, budget, &mut given) {
                store.save_later(store.settings.cursor_save_after);
            }
            if !given.is_empty() {
                return Turn::Give(given);
            }
            if !self.ready.is_empty() {
                return Turn::Wait;
            }
            if let Some(turn) = self.refill() {
                return turn;
            }
        }
    }

    /// Reads from disk what memory does not hold.
    pub(super) fn read(&mut self) -> io::Result<()> {
        if self.ready.is_empty() {
            self.backlog.read(self.next, &mut self.ready)?;
            self.follow();
        }
        Ok(())
    }

    /// Gives from what is ready, as far as the budget and the window allow; whether something was
    /// lost on the way.
    fn take(&mut self, books: &Books, budget: Budget, given: &mut Vec<Stored>) -> bool {
        let mut open = books.open();
        // What lapsed was settled without being given.
        self.next = self.next.max(open.cursor.watermark() + 1);
        let (mut bytes, mut has_lost) = (0_usize, false);
        while let Some(first) = self.ready.front() {
            let window_end = open.cursor.watermark().saturating_add(self.store.limits.window);
            let done = match first {
                Found::Lost(from, to) => {
                    let from = (*from).max(self.next);
                    self.next = open.settle_range(from, *to, How::Damaged);
                    has_lost = true;
                    self.next >= *to
                }
                Found::Frame(frame) => {
                    let skip = usize::try_from(self.next.saturating_sub(frame.first));
                    let payloads = frame.payloads.iter().skip(skip.unwrap_or(usize::MAX));
                    self.next = self.next.max(frame.first);
                    let mut done = true;
                    for payload in payloads {
                        let is_settled = open.cursor.is_settled(self.next);
                        let within = given.is_empty()
                            || given.len() < budget.count
                                && bytes.saturating_add(payload.len()) <= budget.bytes;
                        if !is_settled && (!within || self.next > window_end) {
                            done = false;
                            break;
                        }
                        if !is_settled {
                            bytes += payload.len();
                            let position = Position(self.next);
                            given.push(Stored { position, payload: payload.clone() });
                        }
                        self.next += 1;
                    }
                    done
                }
            };
            if !done {
                break;
            }
            self.ready.pop_front();
        }
        books.give(self.next - 1);
        has_lost
    }

    /// Nothing is ready: takes from memory, or says what else to do.
    fn refill(&mut self) -> Option<Turn> {
        let unread = self.store.given_to_all().saturating_add(1);
        let recent = {
            let mut log = self.store.log();
            if self.next > log.end() {
                return Some(if self.store.is_closed() { Turn::End } else { Turn::Wait });
            }
            log.forget_read(unread);
            log.recent(self.next, self.store.limits.read_bytes)
        };
        let Some(last) = recent.last() else { return Some(Turn::Read) };
        self.backlog.passed(last);
        self.ready.extend(recent.into_iter().map(Found::Frame));
        self.follow();
        None
    }

    /// Lets the books know where the frames lie that are ready.
    fn follow(&self) {
        let Some(books) = self.store.books.get(self.at) else { return };
        let mut open = books.open();
        for found in &self.ready {
            if let Found::Frame(frame) = found {
                open.follow(frame);
            }
        }
    }
}

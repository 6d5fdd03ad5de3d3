//! Payloads that were given before and were let go: read once more, by their positions.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::backlog::{Backlog, Found};
use super::cursor::How;
use super::group::{Position, Stored};
use super::store::Store;

/// What a second look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Again {
    /// The oldest of those that were asked for, as many as were allowed.
    pub found: Vec<Stored>,
    /// Nobody can read these any more; they are settled as damaged.
    pub lost: Vec<Position>,
}

/// Reads these positions, which ascend and are not settled, up to so many bytes and at least one.
pub(super) fn again(
    store: &Arc<Store>,
    at: usize,
    wanted: &[Position],
    bytes_max: usize,
) -> io::Result<Again> {
    let mut backlog = Backlog::new(Arc::clone(store));
    let (mut again, mut rest, mut bytes) = (Again::default(), wanted, 0);
    let mut read = VecDeque::new();
    while let Some(first) = rest.first().filter(|_| bytes < bytes_max) {
        if read.is_empty() {
            let near = store.books.get(at).and_then(|books| books.open().place_near(first.0));
            backlog.begin_near(near);
            let mut tried = backlog.read(first.0, &mut read);
            while tried.is_err() && backlog.may_try_again() {
                tried = backlog.read(first.0, &mut read);
            }
            tried?;
        }
        match read.pop_front() {
            // They were durable when they were given.
            None => break,
            Some(Found::Lost(_, end)) => {
                let gone = rest.partition_point(|position| position.0 < end);
                let (lost, left) = rest.split_at(gone);
                again.lost.extend_from_slice(lost);
                rest = left;
            }
            Some(Found::Frame(frame)) => {
                while let Some((first, left)) = rest.split_first() {
                    let place = first.0.checked_sub(frame.first).map(usize::try_from);
                    let Some(Ok(place)) = place else { break };
                    let Some(payload) = frame.payloads.get(place) else { break };
                    // A copy: few of a frame are asked for, and the rest shall not stay for them.
                    let payload = Bytes::copy_from_slice(payload);
                    bytes += payload.len();
                    again.found.push(Stored { position: *first, payload });
                    rest = left;
                    if bytes >= bytes_max {
                        break;
                    }
                }
            }
        }
    }
    if let Some(books) = store.books.get(at).filter(|_| !again.lost.is_empty()) {
        store.settle(books, again.lost.iter().map(|position| position.0), How::Damaged);
    }
    Ok(again)
}

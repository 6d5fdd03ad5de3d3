//! Room for what is made of records while they are looked into: values take much more memory than
//! the text they are read from, and nobody sees it in the size of a body.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all hand-ins that are looked into take together, in bytes.
const ROOM_BYTES: u64 = 256 << 20;
/// It is counted in pieces of this size.
const PIECE_BYTES: u64 = 1 << 10;
/// Bytes of values for each byte of a record, at most: `{"":1},` is an object of its own, in a schema's
/// values and in a program's.
const VALUE_BYTES_PER_BYTE: u64 = 100;
/// A hand-in takes no less than this, so that no more than 16 of them are looked into at once: programs
/// may make more of a record than it was.
const LEAST_BYTES: u64 = ROOM_BYTES / 16;

/// The room of one agent, whatever way records come in.
#[derive(Clone, Debug)]
pub(super) struct Rooms(Arc<Semaphore>);

/// A part of it, until it is dropped.
#[derive(Debug)]
pub struct Room {
    held: OwnedSemaphorePermit,
}

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(pieces(ROOM_BYTES) as usize)))
    }
}

impl Rooms {
    /// Waits until there is room for records of which the largest has so many bytes; who came first
    /// goes first. What is larger than all of the room has it alone.
    pub(super) async fn take(&self, bytes: u64) -> Room {
        let values = bytes.saturating_mul(VALUE_BYTES_PER_BYTE);
        let wanted = pieces(values.clamp(LEAST_BYTES, ROOM_BYTES));
        let taken = self.0.clone().acquire_many_owned(wanted).await;
        Room { held: taken.expect("nobody closes it") }
    }
}

impl Room {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        self.held.num_permits() as u64 * PIECE_BYTES
    }
}

fn pieces(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_record_has_room_for_its_values_and_all_have_no_more_than_there_is() {
        for (bytes, expected) in [
            (0, 16 << 20),
            (100 << 10, 16 << 20),
            (1 << 20, 100 << 20),
            (10 << 20, 256 << 20),
            (u64::MAX, 256 << 20),
        ] {
            assert_eq!(Rooms::default().take(bytes).await.bytes(), expected, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_looked_into_at_once_and_the_others_wait_in_turn() {
        let rooms = Rooms::default();
        let is_taken = async |bytes| timeout(Duration::from_secs(60), rooms.take(bytes)).await.ok();
        let mut small = Vec::new();
        while let Some(room) = is_taken(1).await {
            small.push(room);
        }
        assert_eq!(small.len(), 16);
        small.truncate(14);
        assert!(is_taken(1 << 20).await.is_none(), "32 MiB are left, and it takes 100");

        small.truncate(2);
        let (first, second) = (is_taken(1 << 20).await, is_taken(1 << 20).await);
        assert!(first.is_some() && second.is_some());
        assert!(is_taken(1 << 20).await.is_none());
        drop(first);
        assert!(is_taken(1 << 20).await.is_some());
    }
}

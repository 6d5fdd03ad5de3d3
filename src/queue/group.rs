//! What goes in together, the proof that it is stored, and what comes out.

use bytes::Bytes;

/// A place in the log: the number of the payload, counted from 1 at the queue's birth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// A named position of a source, or any other small state that must change together with the
/// payloads of its frame. The last value written under a name is the valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// At most 255 bytes: `tail/nginx/<file id>`.
    pub name: String,
    /// At most 4 KiB; `None` forgets the name.
    pub value: Option<Bytes>,
}

/// Makes a group be stored once: who hands another one in under the same key, within the time
/// that the queue remembers keys, is given the proof of the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    /// A fingerprint of the key and of everything it is valid for.
    pub print: [u8; 16],
    /// At most 64 bytes, for who comes with the same key again.
    pub note: Bytes,
}

/// What is committed together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Any number of payloads, in order.
    pub payloads: Vec<Bytes>,
    /// Any number of marks.
    pub marks: Vec<Mark>,
    /// Set where a repetition is to be recognised.
    pub key: Option<OnceKey>,
}

/// Proof that a group is stored as the `sync` of its stream asks: on stable storage at `always`, the
/// default; at a weaker level written, where a crash of the process cannot take it and a power cut
/// can. Only the committer makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    first: Position,
    count: u32,
    earlier: Option<Bytes>,
}

/// One payload that a reader gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place.
    pub position: Position,
    /// Its bytes.
    pub payload: Bytes,
}

/// How much a reader gives out at once. At least one payload is given, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Most payloads.
    pub count: usize,
    /// Most bytes of payload.
    pub bytes: usize,
}

/// What became of a payload, for the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The destination took it.
    Delivered,
    /// It lies in the dead-letter directory, synced.
    Dead,
    /// It was meant for another destination only and does not count here.
    Elsewhere,
}

impl Durable {
    /// Place of the first payload of the group.
    pub fn first(&self) -> Position {
        self.first
    }

    /// The note of the earlier group with the same key; this one was not stored then, and the
    /// proof is about the earlier one.
    pub fn note_of_earlier(&self) -> Option<&Bytes> {
        self.earlier.as_ref()
    }

    /// How many payloads the group had.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Durable {
    /// Only the committer calls this, after the sync, or after the write at a weaker level; and a
    /// group of nothing needs neither.
    pub(super) fn new(first: u64, count: u32) -> Self {
        Self { first: Position(first), count, earlier: None }
    }

    /// The proof of an earlier group, for one with the same key.
    pub(super) fn earlier(first: u64, count: u32, note: Bytes) -> Self {
        Self { first: Position(first), count, earlier: Some(note) }
    }
}

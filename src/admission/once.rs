//! Storing a hand-in once: its key, what it is valid for, and what the first receipt said.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Pass;
use crate::queue::OnceKey;
use crate::record::RecordId;

/// Longest idempotency key, in characters.
const KEY_CHARS_MAX: usize = 255;
/// So much of a hash tells a body from another that came under the same key by mistake.
const BODY_BYTES: usize = 8;

/// What a sender says so that a repetition is recognised.
#[derive(Clone, Copy, Debug)]
pub struct Once<'a> {
    /// The key; valid for this caller and stream, and at an open door for the listener.
    pub key: &'a str,
    /// Everything that makes the hand-in the same: another one under the same key is refused.
    pub content: &'a [&'a [u8]],
}

/// What the receipt of a hand-in needs, in the words the queue keeps for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) body: [u8; BODY_BYTES],
    pub(super) thanked: Thanked,
}

/// The numbers of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thanked {
    pub(super) first: RecordId,
    pub(super) accepted: u32,
    pub(super) dropped: u32,
}

/// Checks an idempotency key that a sender chose.
///
/// # Errors
/// In words, what would be right.
pub fn check_idempotency_key(key: &[u8]) -> Result<&str, String> {
    let right = format!("it should be 1 to {KEY_CHARS_MAX} visible ASCII characters");
    if !(1..=KEY_CHARS_MAX).contains(&key.len()) {
        return Err(format!("the key has {} bytes; {right}", key.len()));
    }
    let text =
        std::str::from_utf8(key).ok().filter(|text| text.bytes().all(|b| b.is_ascii_graphic()));
    text.ok_or_else(|| format!("the key holds another character; {right}"))
}

impl Once<'_> {
    /// The key as the queue knows it, with the note for a repetition.
    pub(super) fn key(&self, pass: &Pass, thanked: Thanked) -> OnceKey {
        let note = Note { body: cut(&hash(self.content)), thanked };
        let (stream, key) = (pass.stream.name.as_bytes(), self.key.as_bytes());
        let mut parts = vec![stream, pass.block.as_bytes(), pass.caller.as_bytes(), key];
        // Those whom nobody knows share no more than the door that they came by.
        if pass.block.is_empty() {
            parts.push(pass.source.as_bytes());
        }
        OnceKey { print: cut(&hash(&parts)), note: note.encode() }
    }
}

impl Note {
    fn encode(&self) -> Bytes {
        let Thanked { first, accepted, dropped } = self.thanked;
        let numbers = [accepted.to_le_bytes(), dropped.to_le_bytes()];
        [&self.body[..], &first.to_bytes(), numbers.as_flattened()].concat().into()
    }

    /// `None` if another weir wrote it.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, rest) = bytes.split_first_chunk::<BODY_BYTES>()?;
        let (first, rest) = rest.split_first_chunk::<16>()?;
        let (accepted, dropped) = rest.split_first_chunk::<4>()?;
        let thanked = Thanked {
            first: RecordId::from_bytes(*first),
            accepted: u32::from_le_bytes(*accepted),
            dropped: u32::from_le_bytes(dropped.try_into().ok()?),
        };
        Some(Self { body: *body, thanked })
    }
}

/// Parts of any length, none of which can pass for a piece of its neighbour.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The first bytes of a hash.
fn cut<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    *hash.first_chunk().expect("a hash has 32 bytes, more than any cut of it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_255_visible_characters() {
        for (key, is_right) in [
            ("", false),
            ("a", true),
            (&*"k".repeat(254), true),
            (&*"k".repeat(255), true),
            (&*"k".repeat(256), false),
            ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", true),
            ("two words", false),
            ("tab\t", false),
            ("schl\u{fc}ssel", false),
            ("\u{7f}", false),
        ] {
            assert_eq!(check_idempotency_key(key.as_bytes()).is_ok(), is_right, "{key:?}");
        }
        assert!(check_idempotency_key(b"\xff").is_err());
    }

    #[test]
    fn no_part_passes_for_a_piece_of_its_neighbour() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab", b""]), hash(&[b"ab"]));
    }

    #[test]
    fn a_note_reads_back_and_other_bytes_are_none() {
        let thanked = Thanked { first: RecordId::new(7), accepted: 300, dropped: 1 };
        let note = Note { body: *b"8 bytes.", thanked };

        assert_eq!(Note::decode(&note.encode()), Some(note));
        assert_eq!(Note::decode(&note.encode()[1..]), None);
        assert_eq!(Note::decode(b"short"), None);
    }
}

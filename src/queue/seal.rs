//! Sealing bodies with AES-256-GCM: keys, and what a segment's frames are sealed with.
//!
//! A key seals nothing itself. Each segment has a key of its own, derived from it and from random
//! bytes in the segment's header, so no number of frames wears a key out; each frame has a random
//! nonce, and its header and its place in the file are sealed with it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

/// What sealing adds to a body: the nonce before it, the tag behind.
pub(super) const SEAL_BYTES: usize = NONCE_LEN + TAG_BYTES;
const TAG_BYTES: usize = 16;
/// Length of a key.
pub const KEY_BYTES: usize = 32;
/// Random bytes in a segment's header; with its salt there are 20.
pub(super) const SEED_BYTES: usize = 12;

const OF_SEGMENT: &[u8] = b"weir queue segment";
const OF_ID: &[u8] = b"weir queue key id";

/// A key, which never prints; its id does.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    id: KeyId,
}

/// Tells a key from others and says nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(super) u64);

/// The keys of one queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    current: Option<Key>,
    old: Vec<Key>,
}

/// What a segment's header says about its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) key: KeyId,
    pub(super) seed: [u8; SEED_BYTES],
}

/// Seals and opens the frames of one segment.
#[derive(Clone)]
pub(super) struct Cipher(Arc<LessSafeKey>);

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let mut id = [0; 8];
        derive(&[], &bytes, OF_ID, &mut id);
        Self { bytes, id: KeyId(u64::from_be_bytes(id)) }
    }

    /// A key of bytes that are as many as they should be.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self::new(bytes.try_into().ok()?))
    }

    /// Reads a key as people keep it: 64 hex digits, or 32 bytes in base64.
    ///
    /// # Errors
    /// In words, without any of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bytes = if text.len() == 2 * KEY_BYTES && text.bytes().all(|c| c.is_ascii_hexdigit()) {
            text.as_bytes().chunks(2).map(hex).collect()
        } else {
            let wrong = "it is neither 64 hex digits nor base64 of 32 bytes";
            BASE64.decode(text).map_err(|_| wrong.to_owned())?
        };
        Self::of(&bytes)
            .ok_or_else(|| format!("it has {} bytes, but a key has {KEY_BYTES}", bytes.len()))
    }

    /// A fingerprint.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn cipher(&self, salt: u64, seed: &[u8; SEED_BYTES]) -> Cipher {
        let salt = [&salt.to_le_bytes()[..], seed].concat();
        let mut bytes = [0; KEY_BYTES];
        derive(&salt, &self.bytes, OF_SEGMENT, &mut bytes);
        let key = UnboundKey::new(&AES_256_GCM, &bytes);
        Cipher(Arc::new(LessSafeKey::new(key.expect("the key has the length of the algorithm's"))))
    }
}

fn hex(pair: &[u8]) -> u8 {
    pair.iter().fold(0, |byte, digit| byte * 16 + char::from(*digit).to_digit(16).map_or(0, low))
}

fn low(digit: u32) -> u8 {
    u8::try_from(digit).unwrap_or(0)
}

/// HKDF with SHA-256.
fn derive(salt: &[u8], key: &[u8], purpose: &[u8], out: &mut [u8]) {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let derived = Salt::new(HKDF_SHA256, salt).extract(key);
    let length = Length(out.len());
    let filled = derived.expand(&[purpose], length).and_then(|okm| okm.fill(out));
    filled.expect("fewer than 8,160 bytes are asked for");
}

impl Keys {
    /// New segments are sealed with `current`, or not at all; those of the others can be read.
    pub fn new(current: Option<Key>, old: Vec<Key>) -> Self {
        Self { current, old }
    }

    /// The key of new segments.
    pub fn current(&self) -> Option<&Key> {
        self.current.as_ref()
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        self.current.iter().chain(&self.old).find(|key| key.id == id)
    }

    /// The keys of what was written before.
    pub fn old(&self) -> &[Key] {
        &self.old
    }

    /// What opens the frames of a segment; `None` if they are not sealed, or nobody can.
    pub(super) fn cipher(&self, salt: Option<u64>, keyed: Option<Keyed>) -> Option<Cipher> {
        let (salt, keyed) = (salt?, keyed?);
        Some(self.find(keyed.key)?.cipher(salt, &keyed.seed))
    }
}

impl Keyed {
    /// For a new segment.
    pub(super) fn new(key: &Key) -> Self {
        Self { key: key.id, seed: random() }
    }
}

impl Cipher {
    /// Appends a sealed body to `out`.
    pub(super) fn seal(&self, bound: &[u8], body: &[u8], out: &mut Vec<u8>) {
        let nonce: [u8; NONCE_LEN] = random();
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(body);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let content = out.get_mut(start..).unwrap_or_default();
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(bound), content);
        // It refuses 64 GiB and more.
        out.extend_from_slice(tag.expect("bodies have at most 64 MiB").as_ref());
    }

    /// The body; `None` if anything about it is not as it was sealed.
    pub(super) fn open(&self, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut body = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(bound), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.expect("the system's generator does not fail once it has begun");
    bytes
}

impl KeyId {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let id = u64::from_str_radix(text, 16).ok().map(Self);
        id.filter(|id| id.to_string() == text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher")
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_hex_or_base64_and_never_printed() {
        let key = Key::new([7; 32]);
        assert_eq!(Key::parse(&"07".repeat(32)), Ok(key.clone()));
        assert_eq!(Key::parse(&format!(" {}\n", BASE64.encode([7; 32]))), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
        assert_ne!(key.id(), Key::new([8; 32]).id());
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        for (text, why) in [
            (BASE64.encode([7; 31]), "it has 31 bytes, but a key has 32"),
            (BASE64.encode([7; 33]), "it has 33 bytes, but a key has 32"),
            ("07".repeat(31), "it is neither 64 hex digits nor base64 of 32 bytes"),
            ("07".repeat(34), "it has 51 bytes, but a key has 32"),
            ("0".repeat(63), "it is neither 64 hex digits nor base64 of 32 bytes"),
            ("hunter2 hunter2".into(), "it is neither 64 hex digits nor base64 of 32 bytes"),
            (String::new(), "it has 0 bytes, but a key has 32"),
        ] {
            assert_eq!(Key::parse(&text), Err(why.into()));
        }
    }

    #[test]
    fn a_sealed_body_opens_only_as_a_whole_at_its_place_and_with_its_key() {
        let cipher = Key::new([1; 32]).cipher(5, &[6; SEED_BYTES]);
        let mut sealed = Vec::new();
        cipher.seal(b"here", b"body", &mut sealed);
        assert_eq!(sealed.len(), 4 + SEAL_BYTES);
        assert_eq!(cipher.open(b"here", &sealed).as_deref(), Some(&b"body"[..]));
        assert_eq!(cipher.open(b"there", &sealed), None);
        for (at, bit) in (0..sealed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1 << bit;
            assert_eq!(cipher.open(b"here", &flipped), None);
        }
        for length in 0..sealed.len() {
            assert_eq!(cipher.open(b"here", &sealed[..length]), None);
        }
        let others = [
            Key::new([1; 32]).cipher(5, &[7; SEED_BYTES]),
            Key::new([1; 32]).cipher(6, &[6; SEED_BYTES]),
            Key::new([2; 32]).cipher(5, &[6; SEED_BYTES]),
        ];
        assert!(others.iter().all(|other| other.open(b"here", &sealed).is_none()));
    }
}

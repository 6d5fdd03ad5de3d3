//! The file as written, and as checked.

use std::collections::HashMap;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::Spanned;

use crate::base::clock::parse_rfc3339;
use crate::base::random;

/// Most bytes of a keys file: some ten thousand keys.
pub(in crate::admission) const FILE_BYTES_MAX: u64 = 4 << 20;
/// Longest name of a caller.
const NAME_CHARS_MAX: usize = 64;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admission) struct Key {
    pub(in crate::admission) name: String,
    pub(in crate::admission) hash: [u8; 32],
    pub(in crate::admission) plan: Option<String>,
    pub(in crate::admission) streams: Option<Vec<String>>,
    pub(in crate::admission) expires_unix_ms: Option<u64>,
    pub(in crate::admission) written: Written,
}

/// A key as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admission) struct Written {
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) plan: Option<String>,
    pub(super) streams: Option<Vec<String>>,
    pub(super) expires: Option<String>,
    pub(super) created: Option<String>,
}

/// All keys of one file.
#[derive(Clone, Debug, Default)]
pub(in crate::admission) struct Keys {
    /// In the order of the file.
    pub(in crate::admission) all: Vec<Key>,
    /// The place of each key by its hash, hashed once more together with `blind`: how long it takes
    /// to look one up then tells nothing about the hashes in the file, however many there are.
    places: HashMap<[u8; 32], usize>,
    /// A secret of this process.
    blind: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    key: Vec<Spanned<Written>>,
}

/// What is kept of a secret.
pub(super) fn hash_of(secret: &str) -> [u8; 32] {
    hash_of_bytes(secret.as_bytes())
}

pub(in crate::admission) fn hash_of_bytes(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Keys {
    /// Reads a whole file.
    ///
    /// # Errors
    /// In words, with the line.
    pub(in crate::admission) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            format!("line {}: this is not UTF-8 text", line_at(bytes, error.valid_up_to()))
        })?;
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            format!("line {}: {}", line_at(bytes, at), error.message())
        })?;
        let mut keys = Self::default();
        random::secret_bytes(&mut keys.blind)
            .map_err(|error| format!("this host gives no random numbers: {error}"))?;
        for written in document.key {
            let at = written.span().start;
            let in_line = |why: String| format!("line {}: {why}", line_at(bytes, at));
            let key = checked(written.into_inner()).map_err(in_line)?;
            let blinded = keys.blinded(&key.hash);
            if keys.places.insert(blinded, keys.all.len()).is_some() {
                return Err(in_line("the same `hash` stands above; remove one".into()));
            }
            keys.all.push(key);
        }
        Ok(keys)
    }

    /// The key of a secret. The time it takes tells nothing about any key.
    pub(in crate::admission) fn find(&self, secret: &str) -> Option<&Key> {
        let place = self.places.get(&self.blinded(&hash_of(secret)))?;
        self.all.get(*place)
    }

    fn blinded(&self, hash: &[u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update(self.blind).chain_update(hash).finalize().into()
    }
}

fn checked(written: Written) -> Result<Key, String> {
    check_name(&written.name)?;
    let hash = parse_hash(&written.hash)
        .ok_or("`hash` should be `sha256:` and 64 hex digits; `weir keys add` writes it for you")?;
    let expires_unix_ms = match &written.expires {
        Some(text) => Some(parse_expiry(text)?),
        None => None,
    };
    let (name, plan) = (written.name.clone(), written.plan.clone());
    Ok(Key { name, hash, plan, streams: written.streams.clone(), expires_unix_ms, written })
}

pub(in crate::admission) fn check_name(name: &str) -> Result<(), String> {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(right) && (1..=NAME_CHARS_MAX).contains(&name.len()) {
        return Ok(());
    }
    Err(format!(
        "`{}` is no name for a caller; it should have 1 to {NAME_CHARS_MAX} letters, digits, `.`, `_` or `-`",
        name.escape_debug()
    ))
}

pub(in crate::admission) fn parse_expiry(text: &str) -> Result<u64, String> {
    parse_rfc3339(text).ok_or_else(|| {
        format!("`{text}` is no time to expire; it should look like `2027-01-01T00:00:00Z`")
    })
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64)?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        if pair.starts_with('+') {
            return None;
        }
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(hash)
}

pub(super) fn print_hash(hash: &[u8; 32]) -> String {
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

pub(in crate::admission) fn line_at(bytes: &[u8], at: usize) -> usize {
    1 + bytes.iter().take(at).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(digit: char) -> String {
        format!("sha256:{}", String::from(digit).repeat(64))
    }

    #[test]
    fn a_key_is_found_by_its_secret_wherever_it_stands() {
        let row = |name: &str| {
            format!("[[key]]\nname = \"{name}\"\nhash = \"{}\"\n", print_hash(&hash_of(name)))
        };
        let keys = Keys::parse((row("first") + &row("second") + &row("third")).as_bytes()).unwrap();

        for name in ["first", "second", "third"] {
            assert_eq!(keys.find(name).map(|key| key.name.as_str()), Some(name));
        }
        assert_eq!(keys.find("fourth"), None);
        assert_eq!(Keys::default().find(""), None);
    }

    #[track_caller]
    fn check_refused(text: &str, words: &str) {
        let said = Keys::parse(text.as_bytes()).unwrap_err();
        assert!(said.starts_with(words), "{said}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let hash = hex('a');
        check_refused("[[key]\n", "line 1: ");
        check_refused("\n\n[[key]]\nname = \"a\"\n", "line 3: missing field `hash`");
        check_refused(
            &format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\nsecret = \"x\"\n"),
            "line 4: unknown field `secret`",
        );
        check_refused(
            "# keys\n[[key]]\nname = \"a\"\nhash = \"sha256:abc\"\n",
            "line 2: `hash` should be `sha256:` and 64 hex digits",
        );
        check_refused(
            &format!("[[key]]\nname = \"a b\"\nhash = \"{hash}\"\n"),
            "line 1: `a b` is no name for a caller",
        );
        check_refused(
            &format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\nexpires = \"soon\"\n"),
            "line 1: `soon` is no time to expire",
        );
        let row = format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\n");
        check_refused(&row.repeat(2), "line 4: the same `hash` stands above");
        let said = Keys::parse(b"# fine\n\xff\xfe\n").unwrap_err();
        assert_eq!(said, "line 2: this is not UTF-8 text");
    }

    #[test]
    fn names_are_bounded() {
        for right in ["a", "A.b_c-9", &"x".repeat(64)] {
            assert_eq!(check_name(right), Ok(()));
        }
        for wrong in ["", "a b", "é", "a\n", &"x".repeat(65)] {
            assert!(check_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn hashes_read_back_as_they_are_printed() {
        let hash = hash_of("secret");
        assert_eq!(parse_hash(&print_hash(&hash)), Some(hash));
        for wrong in ["", "sha256:", "md5:00", &hex('g'), &hex('+'), &hex('é')] {
            assert_eq!(parse_hash(wrong), None, "{wrong}");
        }
    }
}

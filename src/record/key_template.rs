//! Partition keys from what a record holds and where it came from.
//!
//! ```text
//! template = choice *( "|" choice )          the first choice that has all its values is the key
//! choice   = 1*( text | "{" field "}" )      "{{", "}}" and "||" stand for the characters themselves
//! field    = "json:" pointer                 a text, number or boolean of a JSON payload (RFC 6901)
//!          | "header:" name | "route:" name  of the request, in any case of letters
//!          | "file" | "caller" | "source"    path of the tailed file; who; `http.lan`, `tail.nginx`
//!          | "hash" | "random"               of the payload; anew for each record
//! ```
//!
//! An empty value is a missing one, and a record of which no choice has all values has no key: it is
//! spread evenly, never dropped. A key ends at 256 characters, as far as Kinesis takes them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::{Origin, PARTITION_KEY_CHARS_MAX};
use crate::base::random;

/// Bytes of the payload's SHA-256 that make a key: as many as Kinesis hashes keys to.
const HASH_BYTES: usize = 16;

/// A template, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    choices: Vec<Vec<Piece>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Json(Vec<String>),
    Header(String),
    Route(String),
    File,
    Caller,
    Source,
    Hash,
    Random,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{words}")]
pub struct BadTemplate {
    /// The byte from which on it is wrong.
    pub at: usize,
    /// What is wrong, and what would be right.
    pub words: String,
}

/// What a key is made from.
#[derive(Clone, Copy, Debug)]
pub struct KeySource<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// Where the record came from.
    pub origin: Option<&'a Origin>,
    /// Who handed it in; empty at an open door.
    pub caller: &'a str,
    /// `http.lan`, `tail.nginx`.
    pub source: &'a str,
}

impl KeyTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`BadTemplate`] with the place of the first fault.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut choices = vec![Vec::new()];
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let at = text.len() - rest.len();
            let doubled = rest.chars().nth(1) == Some(next);
            rest = match next {
                '{' | '}' | '|' if doubled => {
                    push_text(&mut choices, next);
                    after(rest, 2)
                }
                '{' => {
                    let inside = after(rest, 1);
                    let end =
                        inside.find('}').ok_or_else(|| bad(at, "`{` has no `}` behind it"))?;
                    let (name, behind) = inside.split_at(end);
                    push(&mut choices, field(at + 1, name)?);
                    after(behind, 1)
                }
                '}' => return Err(bad(at, "`}` has no `{` before it; `}}` stands for itself")),
                '|' => {
                    check_choice(at, choices.last())?;
                    choices.push(Vec::new());
                    after(rest, 1)
                }
                other => {
                    push_text(&mut choices, other);
                    after(rest, other.len_utf8())
                }
            };
        }
        check_choice(text.len(), choices.last())?;
        Ok(Self { choices })
    }

    /// The key of a record; `None` when no choice has all its values.
    pub fn key(&self, from: &KeySource<'_>) -> Option<String> {
        self.choices.iter().find_map(|choice| {
            let mut key = String::new();
            for piece in choice {
                key.push_str(&piece.value(from)?);
            }
            let end =
                key.char_indices().nth(PARTITION_KEY_CHARS_MAX).map_or(key.len(), |(at, _)| at);
            key.truncate(end);
            (!key.is_empty()).then_some(key)
        })
    }

    /// Names of the headers it asks for, in small letters.
    pub fn headers(&self) -> impl Iterator<Item = &str> {
        self.choices.iter().flatten().filter_map(|piece| match piece {
            Piece::Header(name) => Some(name.as_str()),
            _ => None,
        })
    }
}

fn bad(at: usize, words: impl Into<String>) -> BadTemplate {
    BadTemplate { at, words: words.into() }
}

fn after(text: &str, bytes: usize) -> &str {
    text.get(bytes..).unwrap_or_default()
}

fn push(choices: &mut [Vec<Piece>], piece: Piece) {
    if let Some(choice) = choices.last_mut() {
        choice.push(piece);
    }
}

fn push_text(choices: &mut [Vec<Piece>], character: char) {
    if let Some(Piece::Text(text)) = choices.last_mut().and_then(|choice| choice.last_mut()) {
        text.push(character);
    } else {
        push(choices, Piece::Text(character.to_string()));
    }
}

fn check_choice(at: usize, choice: Option<&Vec<Piece>>) -> Result<(), BadTemplate> {
    if choice.is_some_and(|choice| !choice.is_empty()) {
        return Ok(());
    }
    Err(bad(at, "a choice is empty; leave it out: without any value the record is spread evenly"))
}

fn field(at: usize, name: &str) -> Result<Piece, BadTemplate> {
    let (kind, argument) = match name.split_once(':') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (name, None),
    };
    let inside = at + kind.len() + 1;
    let piece = match (kind, argument) {
        ("json", Some(pointer)) => Piece::Json(steps(inside, pointer)?),
        ("header", Some(name)) if is_name(name) => Piece::Header(name.to_ascii_lowercase()),
        ("route", Some(name)) if is_name(name) => Piece::Route(name.to_owned()),
        ("header" | "route", Some(_)) => {
            return Err(bad(inside, format!("`{kind}:` should be followed by a name")));
        }
        ("file", None) => Piece::File,
        ("caller", None) => Piece::Caller,
        ("source", None) => Piece::Source,
        ("hash", None) => Piece::Hash,
        ("random", None) => Piece::Random,
        ("json", None) => return Err(bad(at, "`json` needs a pointer, like {json:/user/id}")),
        ("header" | "route", None) => {
            return Err(bad(at, format!("`{kind}` needs a name, like {{{kind}:name}}")));
        }
        ("file" | "caller" | "source" | "hash" | "random", Some(_)) => {
            return Err(bad(at, format!("`{kind}` takes nothing behind a colon")));
        }
        _ => {
            let words = "there is no such field; there are json:/POINTER, header:NAME, route:NAME, \
                         file, caller, source, hash and random";
            return Err(bad(at, words));
        }
    };
    Ok(piece)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(plain)
}

/// The steps of a JSON pointer; none for the whole payload.
fn steps(at: usize, pointer: &str) -> Result<Vec<String>, BadTemplate> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let rest = pointer
        .strip_prefix('/')
        .ok_or_else(|| bad(at, "a JSON pointer begins with `/`, like /user/id"))?;
    let mut at = at;
    rest.split('/')
        .map(|step| {
            at += 1;
            let wrong = step
                .match_indices('~')
                .find(|(tilde, _)| !matches!(step.as_bytes().get(tilde + 1), Some(b'0' | b'1')));
            if let Some((tilde, _)) = wrong {
                return Err(bad(at + tilde, "in a JSON pointer `~` is written `~0`, and `/` `~1`"));
            }
            at += step.len();
            Ok(step.replace("~1", "/").replace("~0", "~"))
        })
        .collect()
}

impl Piece {
    fn value<'a>(&'a self, from: &KeySource<'a>) -> Option<Cow<'a, str>> {
        let named = |values: &'a [(String, String)], name: &str| {
            let of = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
            values.iter().find(of).map(|(_, value)| Cow::Borrowed(value.as_str()))
        };
        let value = match self {
            Self::Text(text) => return Some(Cow::Borrowed(text)),
            Self::Json(steps) => Cow::Owned(pointed_at(from.payload, steps)?),
            Self::Header(name) => named(&from.origin?.headers, name)?,
            Self::Route(name) => named(&from.origin?.route, name)?,
            Self::File => Cow::Borrowed(from.origin?.file.as_deref()?),
            Self::Caller => Cow::Borrowed(from.caller),
            Self::Source => Cow::Borrowed(from.source),
            Self::Hash => Cow::Owned(hash(from.payload)),
            Self::Random => Cow::Owned(format!("{:032x}", random::bits())),
        };
        (!value.is_empty()).then_some(value)
    }
}

fn hash(payload: &[u8]) -> String {
    let digest = Sha256::digest(payload);
    digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// The text, number or boolean there. Reads the payload as far as that value and no further, and
/// builds nothing of what lies before it.
fn pointed_at(payload: &[u8], steps: &[String]) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(payload);
    // An error means "found, so stop", or that it is no JSON up to there.
    drop(Walk { steps, found: &mut found }.deserialize(&mut reader));
    found
}

struct Walk<'w> {
    steps: &'w [String],
    found: &'w mut Option<String>,
}

/// Found, or not to be found any more: no need to read on.
fn stop<T, E: de::Error>() -> Result<T, E> {
    Err(E::custom(""))
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn end<E: de::Error>(self, value: impl ToString) -> Result<(), E> {
        if self.steps.is_empty() {
            *self.found = Some(value.to_string());
        }
        stop()
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, steps)) = self.steps.split_first() else { return stop() };
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if name == step.as_str() {
                map.next_value_seed(Walk { steps, found: self.found })?;
                return stop();
            }
            map.next_value::<IgnoredAny>()?;
        }
        stop()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some((step, steps)) = self.steps.split_first() else { return stop() };
        let is_index = step == "0" || !step.starts_with(['0', '+']);
        let Some(index) = step.parse::<usize>().ok().filter(|_| is_index) else { return stop() };
        for _ in 0..index {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return stop();
            }
        }
        list.next_element_seed(Walk { steps, found: self.found })?;
        stop()
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.end(value)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.end(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.end(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.end(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.end(value)
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        stop()
    }
}

#[cfg(test)]
#[path = "tests/key_template.rs"]
mod tests;

//! What bytes mean as text, and what becomes of those that mean nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Fault, Framed, Settings};

/// What the bytes of a source mean. Records are UTF-8 whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, and whatever is a superset of ASCII.
    #[default]
    Utf8,
    /// UTF-16, the low byte first (Windows).
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
}

/// What becomes of a line that is no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invalid {
    /// It stays as it is: a record is bytes.
    #[default]
    Keep,
    /// What means nothing is replaced by U+FFFD.
    Replace,
    /// The whole line is written in base64.
    Base64,
    /// It becomes a dead letter.
    DeadLetter,
}

impl Encoding {
    /// Bytes of its smallest unit.
    pub(super) fn unit(self) -> usize {
        match self {
            Self::Utf8 => 1,
            Self::Utf16Le | Self::Utf16Be => 2,
        }
    }

    /// Whether one unit is this ASCII character.
    pub(super) fn is(self, unit: &[u8], ascii: u8) -> bool {
        match self {
            Self::Utf8 => unit == [ascii],
            Self::Utf16Le => unit == [ascii, 0],
            Self::Utf16Be => unit == [0, ascii],
        }
    }

    /// Length of the byte order mark these bytes begin with.
    pub(super) fn preamble(self, start: &[u8]) -> usize {
        let mark: &[u8] = match self {
            Self::Utf8 => b"\xef\xbb\xbf",
            Self::Utf16Le => b"\xff\xfe",
            Self::Utf16Be => b"\xfe\xff",
        };
        if start.starts_with(mark) { mark.len() } else { 0 }
    }

    /// As UTF-8. A unit that is half of nothing becomes a byte that is no UTF-8 either, so that
    /// the policy for invalid bytes sees it.
    #[inline]
    pub(super) fn decode(self, bytes: Bytes) -> Bytes {
        match self {
            Self::Utf8 => bytes,
            Self::Utf16Le => decode_utf16(&bytes, u16::from_le_bytes),
            Self::Utf16Be => decode_utf16(&bytes, u16::from_be_bytes),
        }
    }

    /// At most `max` bytes, fewer if a character would be torn.
    pub(super) fn whole_characters(self, bytes: &[u8], max: usize) -> usize {
        match self {
            Self::Utf8 => {
                let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
                let at = (max.saturating_sub(3).max(1)..=max).rev().find(|at| !continues(*at));
                at.unwrap_or(max)
            }
            Self::Utf16Le | Self::Utf16Be => {
                let whole = max / 2 * 2;
                let high = if self == Self::Utf16Le { 1 } else { 0 };
                let next = bytes.get(whole + high).copied().unwrap_or(0);
                // The second half of a pair stays with its first.
                if (0xdc..=0xdf).contains(&next) && whole > 2 { whole - 2 } else { whole }
            }
        }
    }
}

fn decode_utf16(bytes: &[u8], pair: fn([u8; 2]) -> u16) -> Bytes {
    let units = bytes.chunks(2).map(|unit| match unit {
        [first, second] => pair([*first, *second]),
        // The other half of the last character never came.
        _ => 0xd800,
    });
    let mut text = Vec::with_capacity(bytes.len());
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => {
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Err(_) => text.push(0xff),
        }
    }
    text.into()
}

/// A record after the policy for invalid bytes.
#[inline]
pub(super) fn judged(framed: Framed, settings: &Settings) -> Framed {
    if settings.invalid == Invalid::Keep || std::str::from_utf8(&framed.payload).is_ok() {
        return framed;
    }
    no_text(framed, settings)
}

fn no_text(mut framed: Framed, settings: &Settings) -> Framed {
    match settings.invalid {
        Invalid::Keep => {}
        Invalid::Replace => {
            framed.payload = String::from_utf8_lossy(&framed.payload).into_owned().into();
        }
        Invalid::Base64 => framed.payload = STANDARD.encode(&framed.payload).into(),
        Invalid::DeadLetter => framed.fault = framed.fault.or(Some(Fault::NotText)),
    }
    framed
}

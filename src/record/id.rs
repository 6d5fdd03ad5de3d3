//! The id a record keeps all its life: a ULID, sorted by time of acceptance.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use ulid::Ulid;

use crate::base::random;

/// So many records that were accepted in a row are one run at most.
const RUN_RECORDS: u128 = 64;

/// 48 bits of milliseconds since 1970, 80 random bits; printed as 26 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(Ulid);

impl RecordId {
    /// Letters of its text.
    pub const TEXT_BYTES: usize = ulid::ULID_LEN;

    /// Stands where there is no id: bytes that are no record any more.
    pub const NONE: Self = Self(Ulid(0));

    /// A fresh id for a record accepted at `unix_ms`.
    pub fn new(unix_ms: u64) -> Self {
        // Half of the random space is kept free, so that `plus` cannot run into the time.
        Self(Ulid::from_parts(unix_ms, random::bits() >> 49))
    }

    /// The id `offset` places behind this one: the records of one request stand in a row.
    #[must_use]
    pub fn plus(self, offset: u32) -> Self {
        Self(Ulid(self.0.0.wrapping_add(u128::from(offset))))
    }

    /// The id that it shares with its neighbours: those whose last six bits differ only.
    #[must_use]
    pub fn of_run(self) -> Self {
        Self(Ulid(self.0.0 & !(RUN_RECORDS - 1)))
    }

    /// When the record was accepted, in milliseconds since 1970.
    pub fn unix_ms(self) -> u64 {
        self.0.timestamp_ms()
    }

    /// As 16 big-endian bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// From 16 big-endian bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }
}

impl RecordId {
    /// As text, without memory of its own.
    pub fn text(self) -> IdText {
        let mut text = [0; ulid::ULID_LEN];
        self.0.array_to_str(&mut text);
        IdText(text)
    }
}

/// The text of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdText([u8; ulid::ULID_LEN]);

impl Deref for IdText {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is written in letters and digits, see `text`")
    }
}

impl Serialize for IdText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl From<RecordId> for u128 {
    fn from(id: RecordId) -> Self {
        id.0.0
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RecordId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back_from_text_and_bytes() {
        let early = RecordId::new(1_000);
        let late = RecordId::new(1_001);

        assert!(early < early.plus(1) && early.plus(u32::MAX) < late);
        assert_eq!(late.unix_ms(), 1_001);
        assert_eq!(early.plus(u32::MAX).unix_ms(), 1_000);
        assert_eq!(late.to_string().parse(), Ok(late));
        assert_eq!(RecordId::from_bytes(late.to_bytes()), late);
    }
}

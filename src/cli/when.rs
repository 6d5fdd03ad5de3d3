//! Times as an operator writes them.

use std::time::Duration;

use crate::base::clock::parse_rfc3339;
use crate::base::units::Span;

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    At(u64),
    Ago(Duration),
}

impl When {
    pub(super) fn unix_ms(self, now_unix_ms: u64) -> u64 {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => {
                now_unix_ms.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Reads one.
pub(super) fn when(text: &str) -> Result<When, String> {
    let day = || parse_rfc3339(&format!("{text}T00:00:00Z"));
    if let Some(at) = parse_rfc3339(text).or_else(day) {
        return Ok(When::At(at));
    }
    text.parse().map(|Span(span)| When::Ago(span)).map_err(|_| {
        "a time is like 2026-11-22T06:00:00Z, 2026-11-22 (its begin in UTC), or \"2 h\" (ago)"
            .into()
    })
}

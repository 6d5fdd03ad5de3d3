//! Wall time, so that tests can own it. Waiting goes through tokio, whose clock tests can pause.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where wall time comes from: the host, or a chosen start that moves with tokio's clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    chosen: Option<(u64, Instant)>,
}

impl Clock {
    /// The clock of the host.
    pub fn real() -> Self {
        Self { chosen: None }
    }

    /// A clock that stands at `unix_ms` now and moves with tokio's, paused or not.
    pub fn starting_at(unix_ms: u64) -> Self {
        Self { chosen: Some((unix_ms, Instant::now())) }
    }

    /// Milliseconds since 1970; 0 on a host whose clock stands before that.
    pub fn unix_ms(&self) -> u64 {
        match self.chosen {
            Some((start, since)) => start + millis(since.elapsed()),
            None => millis(host_time()),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that asks the host for wall time")]
fn host_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// `2026-11-22T06:05:19.123Z`, as RFC 3339 writes it.
pub fn rfc3339(unix_ms: u64) -> String {
    let nanos = i128::from(unix_ms) * 1_000_000;
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|at| at.format(&format).ok())
        // Only a clock past the year 9999 comes here; the number is then the honest answer.
        .unwrap_or_else(|| unix_ms.to_string())
}

/// Milliseconds since 1970 of a time as RFC 3339 writes it; `None` if it is none, or before 1970.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let at =
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Milliseconds since 1970 of a time as HTTP writes it (`Tue, 24 Nov 2026 15:00:00 GMT`); `None` if
/// it is none, or before 1970.
pub fn parse_http_date(text: &str) -> Option<u64> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let at = time::PrimitiveDateTime::parse(text.trim(), &format).ok()?.assume_utc();
    u64::try_from(at.unix_timestamp()).ok()?.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_chosen_clock_moves_with_tokios() {
        let clock = Clock::starting_at(1_000);

        tokio::time::advance(Duration::from_millis(250)).await;

        assert_eq!(clock.unix_ms(), 1_250);
    }

    #[test]
    fn times_are_written_as_rfc_3339_says() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_327_519_123), "2026-11-22T06:05:19.123Z");
        assert_eq!(rfc3339(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn times_with_any_offset_are_read_and_other_texts_are_not() {
        assert_eq!(parse_rfc3339("1970-01-01T01:00:01+01:00"), Some(1_000));
        assert_eq!(parse_rfc3339("2026-11-22T06:05:19.123Z"), Some(1_795_327_519_123));
        for wrong in ["", "2026-11-22", "tomorrow", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"]
        {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_http_writes_them() {
        assert_eq!(parse_http_date("Thu, 01 Jan 1970 00:00:01 GMT"), Some(1_000));
        assert_eq!(parse_http_date("Tue, 24 Nov 2026 15:00:00 GMT"), Some(1_795_532_400_000));
        for wrong in [
            "",
            "Tue, 24 Nov 2026 15:00:00",
            "Tue, 24 Nov 2026 25:00:00 GMT",
            "24 Nov 2026 15:00:00 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
        ] {
            assert_eq!(parse_http_date(wrong), None, "{wrong}");
        }
    }
}

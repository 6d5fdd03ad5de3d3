//! Hours of the day in which a link may be used; pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const DAY_MINUTES: i64 = 24 * 60;
const MINUTE_MS: u64 = 60_000;

/// From one time of day to another, over midnight if it is the earlier one: `22:00-06:00` in UTC,
/// `22:00-06:00 +02:00` two hours ahead of it.
///
/// Gateways often have no time zones and no clock that knows summer, and a bill is written by the
/// provider's clock: an offset that stands still is what both sides can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Minutes of the day, UTC after the offset was taken off; the end is not in it.
    from: i64,
    to: i64,
    offset: i64,
}

impl Window {
    /// How long until it opens; `None` while it is open.
    pub(super) fn opens_in(self, now_unix_ms: u64) -> Option<Duration> {
        let day_ms = DAY_MINUTES.unsigned_abs() * MINUTE_MS;
        let ms_of = |minutes: i64| {
            let shifted = (minutes - self.offset).rem_euclid(DAY_MINUTES);
            shifted.unsigned_abs() * MINUTE_MS
        };
        let length = (self.to - self.from).rem_euclid(DAY_MINUTES);
        let length = if length == 0 { DAY_MINUTES } else { length };
        let since_opening = (now_unix_ms % day_ms + day_ms - ms_of(self.from)) % day_ms;
        let is_open = since_opening < length.unsigned_abs() * MINUTE_MS;
        (!is_open).then(|| Duration::from_millis(day_ms - since_opening))
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = "a window is two times of day, like \"22:00-06:00\" (UTC) or \
                     \"22:00-06:00 +02:00\"";
        let (times, offset) = match text.trim().split_once(' ') {
            Some((times, offset)) => (times, offset_minutes(offset.trim())),
            None => (text.trim(), Some(0)),
        };
        let (from, to) = times.split_once('-').ok_or(right)?;
        let from = minutes(from).filter(|from| *from < DAY_MINUTES).ok_or(right)?;
        let to = minutes(to).ok_or(right)?;
        let offset = offset.ok_or(right)?;
        if from == to {
            return Err("it ends when it begins; leave it out for the whole day".into());
        }
        Ok(Self { from, to, offset })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, offset } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        if *offset == 0 {
            return Ok(());
        }
        let (sign, ahead) = if *offset < 0 { ('-', -offset) } else { ('+', *offset) };
        write!(f, " {sign}{:02}:{:02}", ahead / 60, ahead % 60)
    }
}

/// `06:00`, up to `24:00`.
fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str, most: i64| {
        let is_pair = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| is_pair && (0..=most).contains(number))
    };
    let whole = number(hours, 24)? * 60 + number(minutes, 59)?;
    (whole <= DAY_MINUTES).then_some(whole)
}

fn offset_minutes(text: &str) -> Option<i64> {
    let ahead = text.strip_prefix('+').and_then(minutes);
    let behind = text.strip_prefix('-').and_then(minutes).map(|minutes| -minutes);
    ahead.or(behind).filter(|minutes| minutes.abs() <= 14 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const MINUTE: u64 = 60_000;

    #[track_caller]
    fn check(window: &str, at: u64, opens_in: Option<u64>) {
        let window: Window = window.parse().unwrap();
        for days in [0, 20_781] {
            let now = days * 24 * HOUR + at;
            assert_eq!(
                window.opens_in(now),
                opens_in.map(Duration::from_millis),
                "{window} at {at}"
            );
        }
    }

    #[test]
    fn a_window_over_midnight_is_open_from_its_first_minute_and_closed_at_its_last() {
        check("22:00-06:00", 22 * HOUR - 1, Some(1));
        check("22:00-06:00", 22 * HOUR, None);
        check("22:00-06:00", 0, None);
        check("22:00-06:00", 6 * HOUR - 1, None);
        check("22:00-06:00", 6 * HOUR, Some(16 * HOUR));
    }

    #[test]
    fn a_window_of_one_day_and_one_with_an_offset_are_kept() {
        check("08:30-12:00", 8 * HOUR, Some(30 * MINUTE));
        check("08:30-12:00", 8 * HOUR + 30 * MINUTE, None);
        check("08:30-12:00", 12 * HOUR, Some(20 * HOUR + 30 * MINUTE));
        check("00:00-24:00", 23 * HOUR, None);
        check("22:00-24:00", 24 * HOUR - 1, None);
        check("22:00-24:00", 0, Some(22 * HOUR));
        check("00:00-06:00 +02:00", 22 * HOUR, None);
        check("00:00-06:00 +02:00", 4 * HOUR, Some(18 * HOUR));
        check("22:00-02:00 -05:30", 3 * HOUR + 29 * MINUTE, Some(MINUTE));
        check("22:00-02:00 -05:30", 3 * HOUR + 30 * MINUTE, None);
    }

    #[test]
    fn what_is_no_window_is_refused_and_one_is_shown_as_it_is_written() {
        for wrong in [
            "",
            "22:00",
            "22-06",
            "25:00-06:00",
            "24:00-06:00",
            "22:60-06:00",
            "06:00-06:00",
            "22:00-24:01",
            "2:00-06:00",
            "22:00-06:00 CET",
            "22:00-06:00 +15:00",
            "+2:00-06:00",
        ] {
            assert!(wrong.parse::<Window>().is_err(), "{wrong}");
        }
        for right in ["22:00-06:00", "00:00-24:00", "00:00-06:30 +02:00", "22:00-02:00 -05:30"] {
            assert_eq!(right.parse::<Window>().unwrap().to_string(), right);
        }
    }
}

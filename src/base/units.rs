//! Numbers with units, as people write them in the configuration and read them in answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes: `"64 MiB"`, `"500 kB"`, `"0 B"`. Printed in the largest binary unit that
/// keeps it whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A length of time: `"250 ms"`, `"30 s"`, `"5 min"`, `"2 h"`, `"30 d"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// How many of something in which time: `"500/s"`, `"10000000/day"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountRate {
    /// How many.
    pub count: u64,
    /// In which time.
    pub per: Duration,
}

/// How many bytes in which time: `"2 MiB/s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate {
    /// How many bytes.
    pub bytes: ByteSize,
    /// In which time.
    pub per: Duration,
}

/// What is wrong with a written quantity, in words that stand behind the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUnit(String);

impl fmt::Display for BadUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadUnit {}

const BYTE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const TIME_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("s", 1_000),
    ("ms", 1),
    ("day", 86_400_000),
];

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let right = "a size is a whole number with a unit, like \"64 MiB\" (B, KiB, MiB, GiB, TiB, kB, MB, GB, TB)";
        quantity(text, &BYTE_UNITS, right).map(ByteSize)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole =
            BYTE_UNITS.iter().take(4).find(|(_, size)| self.0 > 0 && self.0.is_multiple_of(*size));
        match whole {
            Some((unit, size)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl ByteSize {
    /// For people: `3.9 GiB`, one digit behind the point, never exact.
    pub fn rounded(self) -> String {
        let fitting = BYTE_UNITS.iter().take(4).find(|(_, size)| self.0 >= *size);
        match fitting {
            Some((unit, size)) => {
                let tenths = u128::from(self.0) * 10 / u128::from(*size);
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            }
            None => format!("{} B", self.0),
        }
    }
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let right = "a time is a whole number with a unit, like \"30 s\" (ms, s, min, h, d)";
        quantity(text, &TIME_UNITS, right).map(|ms| Self(Duration::from_millis(ms)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let whole = TIME_UNITS.iter().take(5).find(|(_, size)| ms > 0 && ms.is_multiple_of(*size));
        match whole {
            Some((unit, size)) => write!(f, "{} {unit}", ms / size),
            None => write!(f, "{ms} ms"),
        }
    }
}

impl FromStr for CountRate {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || {
            BadUnit("a rate is a whole number per time, like \"500/s\" (ms, s, min, h, d)".into())
        };
        let (count, per) = text.split_once('/').ok_or_else(bad)?;
        let count = count.trim().parse().map_err(|_| bad())?;
        Ok(Self { count, per: period(per).ok_or_else(bad)? })
    }
}

impl fmt::Display for CountRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, per_unit(self.per))
    }
}

impl FromStr for ByteRate {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, BadUnit> {
        let bad = || {
            BadUnit("a byte rate is a size per time, like \"2 MiB/s\" (ms, s, min, h, d)".into())
        };
        let (bytes, per) = text.split_once('/').ok_or_else(bad)?;
        let bytes = bytes.trim().parse().map_err(|_| bad())?;
        Ok(Self { bytes, per: period(per).ok_or_else(bad)? })
    }
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bytes, per_unit(self.per))
    }
}

fn quantity(text: &str, units: &[(&str, u64)], right: &str) -> Result<u64, BadUnit> {
    let bad = || BadUnit(right.into());
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let size = units.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(bad)?.1;
    number.checked_mul(size).ok_or_else(|| BadUnit("that is more than 2^64".into()))
}

fn period(unit: &str) -> Option<Duration> {
    let size = TIME_UNITS.iter().find(|(name, _)| *name == unit.trim())?.1;
    Some(Duration::from_millis(size))
}

fn per_unit(per: Duration) -> String {
    let one = Span(per).to_string();
    one.strip_prefix("1 ").map_or(one.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T>(written: &str, printed: &str)
    where
        T: FromStr<Err = BadUnit> + fmt::Display + PartialEq + fmt::Debug,
    {
        let value: T = written.parse().unwrap();
        assert_eq!(value.to_string(), printed);
        assert_eq!(printed.parse::<T>().unwrap(), value, "what is printed can be read back");
    }

    #[test]
    fn quantities_are_printed_in_their_largest_whole_unit_and_read_back_the_same() {
        check::<ByteSize>("64 MiB", "64 MiB");
        check::<ByteSize>("65536KiB", "64 MiB");
        check::<ByteSize>(" 0 B ", "0 B");
        check::<ByteSize>("500 kB", "500000 B");
        check::<ByteSize>("1025 B", "1025 B");
        check::<Span>("90 s", "90 s");
        check::<Span>("120 s", "2 min");
        check::<Span>("0 ms", "0 ms");
        check::<Span>("1500ms", "1500 ms");
        check::<CountRate>("500/s", "500/s");
        check::<CountRate>("10000000/day", "10000000/d");
        check::<ByteRate>("2 MiB/s", "2 MiB/s");
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_what_would_be_right() {
        for wrong in ["", "64", "MiB", "-1 B", "1.5 MiB", "64 mib", "64 MiB x", "99999999 TiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        for wrong in ["", "30", "30 sec", "s", "99999999999999999999 s"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
        for wrong in ["500", "/s", "500/", "500/fortnight", "5 x/s"] {
            assert!(wrong.parse::<CountRate>().is_err(), "{wrong}");
        }
        assert!("2/s".parse::<ByteRate>().is_err());
    }

    #[test]
    fn rounded_sizes_have_one_digit_behind_the_point() {
        assert_eq!(ByteSize(0).rounded(), "0 B");
        assert_eq!(ByteSize(1023).rounded(), "1023 B");
        assert_eq!(ByteSize(1536).rounded(), "1.5 KiB");
        assert_eq!(ByteSize(u64::MAX).rounded(), "16777215.9 TiB");
    }
}

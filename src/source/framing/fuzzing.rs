//! The way in for the fuzz target `lines`: any bytes under any settings.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Builtin, Encoding, Ending, Format, Framing, Invalid, Long, Multiline, Rule, Settings, Situation,
};

/// However it is cut, it comes to an end, and nothing is used up twice or past the end.
pub fn lines(bytes: &[u8]) {
    let Some((&[how, kinds, most], rest)) = bytes.split_first_chunk::<3>() else { return };
    let framing = Framing::new(&settings(how, kinds, most));
    let mut rest = Bytes::copy_from_slice(rest);
    let mut is_skipping = false;
    let records_max = usize::from(most % 7) + 1;
    while !rest.is_empty() {
        // First as much as there is room for, as a follower reads it; then all that is left.
        let chunk = rest.slice(..rest.len().min(framing.room()));
        let quiet_for = (chunk.len() == rest.len()).then_some(Situation::END);
        let cut = framing.cut(&chunk, &Situation { is_skipping, records_max, quiet_for });
        assert!(cut.used <= chunk.len());
        // UTF-16 may take three bytes for two, and each may be a record where that is the limit.
        assert!(cut.records.len() <= 2 * chunk.len());
        assert!(cut.records.iter().all(|record| record.at <= cut.used));
        assert!(cut.used > 0 || !cut.is_full, "something is always used up");
        is_skipping = cut.is_skipping;
        rest = match cut.used {
            0 if quiet_for.is_some() => break,
            used => {
                assert!(used > 0, "with {} bytes at once something is used up", framing.room());
                rest.slice(used..)
            }
        };
    }
}

fn settings(how: u8, kinds: u8, most: u8) -> Settings {
    let rule = match how / 64 {
        0 => None,
        1 => Some(Rule::Builtin(Builtin::Java)),
        2 => Some(Rule::Builtin(Builtin::Python)),
        _ => Some(Rule::Builtin(Builtin::Go)),
    };
    Settings {
        ending: if how & 1 == 0 { Ending::Lf } else { Ending::Nul },
        encoding: match how / 2 % 3 {
            0 => Encoding::Utf8,
            1 => Encoding::Utf16Le,
            _ => Encoding::Utf16Be,
        },
        invalid: match kinds % 4 {
            0 => Invalid::Keep,
            1 => Invalid::Replace,
            2 => Invalid::Base64,
            _ => Invalid::DeadLetter,
        },
        format: match kinds / 4 % 4 {
            0 => Format::Plain,
            1 => Format::Docker,
            2 => Format::Cri,
            _ => Format::Journal,
        },
        multiline: rule.map(|rule| Multiline {
            rule,
            timeout: Duration::from_secs(1),
            lines_max: usize::from(kinds / 64) + 1,
        }),
        record_bytes_max: usize::from(most).max(1),
        long: match kinds / 16 % 3 {
            0 => Long::Split,
            1 => Long::Cut,
            _ => Long::DeadLetter,
        },
        partial_after: None,
    }
}

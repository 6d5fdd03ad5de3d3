//! `[uplink]`, and what destinations and streams say of the links their records go over.

use crate::delivery::{LinkSettings, PaceSettings, Rank, Window};

use super::super::document::Section;
use super::super::finding::{Fault, clip};
use super::super::key::{DAY, Default, Key, Kind, MINUTE, SECOND, TIB, Table};
use super::super::value::Reading;

pub(in crate::config) const TABLE: Table = Table {
    name: "uplink",
    example: None,
    what: "the uplink",
    variant: None,
    effect: "The link that all Kinesis and Firehose destinations share: what it may carry, and when. \
             What does not fit waits on disk.",
    groups: &[&[BYTES, WINDOW]],
};

/// Of a destination.
pub(in crate::config) const KEYS: &[Key] = &[OWN_BYTES, OWN_WINDOW, CATCH_UP_RATE, CATCH_UP_AFTER];

/// Of a stream.
pub(in crate::config) const RANKS: &[Key] = &[PRIORITY, WEIGHT];

const BYTES: Key = rate("bytes").says(
    "Most bytes of request bodies, as they are encoded, that leave the host per `ms`, `s`, `min`, \
     `h` or `d`, over all destinations; headers and TLS add about 1 KiB a request.",
);
const WINDOW: Key = window().says(
    "Times of day in which records are sent; several in a list. In UTC, or with an offset behind \
     it: \"22:00-06:00 +02:00\".",
);
const OWN_BYTES: Key = rate("bytes").says(
    "The same as `bytes` in [uplink] for this destination alone; several streams that lead here \
     share it.",
);
const OWN_WINDOW: Key = window().says(
    "Times of day in which this destination is sent to, within those of [uplink]. In UTC, or with \
     an offset behind it.",
);
const CATCH_UP_RATE: Key = rate("catch_up_rate").says(
    "Most bytes per time while records older than `catch_up_after` are sent, as after an outage; of \
     each stream by itself. Records keep their order, so it must be more than what usually comes in. \
     On-demand data streams throttle above twice the peak of their last 30 days.",
);
const CATCH_UP_AFTER: Key = Key::time("catch_up_after", MINUTE)
    .within(SECOND, 30 * DAY)
    .says("From this age on records go at `catch_up_rate`.");
const PRIORITY: Key = Key::count("priority", 5).within(0, 9).says(
    "Who goes first where `bytes` of [uplink] does not suffice for all: a stream with a higher \
     number, for as long as it has anything to send.",
);
const WEIGHT: Key = Key::count("weight", 100)
    .within(1, 1_000)
    .says("Share of `bytes` in [uplink] among streams of the same `priority`.");

const fn rate(name: &'static str) -> Key {
    let default = Default::Otherwise { example: "\"2 MiB/s\"", then: "any number of bytes" };
    Key::new(name, Kind::ByteRate, default).within(1, TIB)
}

const fn window() -> Key {
    Key::texts("window", Default::Nothing)
}

/// The whole agent's link.
pub(super) fn read(root: &mut Section<'_>, reading: &mut Reading<'_>) -> LinkSettings {
    let mut section = root.single(&TABLE, reading);
    let link = link(&mut section, reading, [&BYTES, &WINDOW]);
    section.finish(&mut reading.faults);
    link
}

/// A destination's pace.
pub(super) fn pace(section: &mut Section<'_>, reading: &mut Reading<'_>) -> PaceSettings {
    let link = link(section, reading, [&OWN_BYTES, &OWN_WINDOW]);
    let catch_up = section.read(reading, &CATCH_UP_RATE, None, |reading, entry| {
        reading.byte_rate(&CATCH_UP_RATE, entry).map(Some)
    });
    let catch_up_after = section.number(reading, &CATCH_UP_AFTER);
    if let (Some((_, place)), None, true) =
        (catch_up_after.written(), catch_up.value, catch_up.is_sound)
    {
        let fault =
            Fault::warning(place.clone(), "`catch_up_after` stands without `catch_up_rate`");
        let fault = fault.label("after that, what?");
        reading.faults.push(fault.hint("add catch_up_rate = \"2 MiB/s\", or take it out"));
    }
    PaceSettings {
        link,
        rank: Rank::default(),
        catch_up_rate: catch_up.value,
        catch_up_after: std::time::Duration::from_millis(catch_up_after.value),
    }
}

/// A stream's place among the others.
pub(super) fn rank(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Rank {
    let priority = section.number(reading, &PRIORITY).value;
    let weight = section.number(reading, &WEIGHT).value;
    Rank {
        priority: u8::try_from(priority).unwrap_or(u8::MAX),
        weight: u32::try_from(weight).unwrap_or(u32::MAX),
    }
}

fn link(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    [bytes, window]: [&Key; 2],
) -> LinkSettings {
    let rate = section
        .read(reading, bytes, None, |reading, entry| reading.byte_rate(bytes, entry).map(Some));
    let (written, _) = section.texts(reading, window);
    let mut windows: Vec<Window> = Vec::new();
    for text in written {
        match text.value.parse() {
            Ok(window) => windows.push(window),
            Err(why) => {
                let message = format!("`window` is \"{}\", but {why}", clip(&text.value));
                let fault = Fault::new(text.place, message).label("not a window");
                reading.faults.push(fault.hint("for example: window = [\"22:00-06:00\"]"));
            }
        }
    }
    LinkSettings { bytes: rate.value, windows }
}

//! `[plan.NAME]`: how much each caller may hand in.

use crate::admission::PlanSettings;

use super::super::document::{At, Named, Section};
use super::super::finding::Fault;
use super::super::key::{Default, Key, Kind, TIB, Table};
use super::super::value::Reading;

pub(in crate::config) const TABLE: Table = Table {
    name: "plan",
    example: Some("gateway"),
    what: "a plan",
    variant: None,
    effect: "How fast each caller that has this plan may hand in records: token buckets. Beyond \
             them a request is answered 429 with `Retry-After`. A plan is named by a key, or by an \
             `[auth.NAME]` for its keys that name none.",
    groups: &[&[RATE, BURST, BYTES]],
};

/// Counts and rates stay far below what token buckets can count to.
const COUNT_MAX: u64 = 1_000_000_000;

const RATE: Key = Key::new(
    "rate",
    Kind::Rate,
    Default::Otherwise { example: "\"500/s\"", then: "any number of records" },
)
.within(1, COUNT_MAX)
.says("Records per `ms`, `s`, `min`, `h` or `d`.");
const BURST: Key = Key::new(
    "burst",
    Kind::Count,
    Default::Otherwise { example: "1000", then: "one second of `rate`, at least one record" },
)
.within(1, COUNT_MAX)
.says("Most records at once; a request with more can never pass.");
const BYTES: Key = Key::new(
    "bytes",
    Kind::ByteRate,
    Default::Otherwise { example: "\"2 MiB/s\"", then: "any number of bytes" },
)
.within(1, TIB)
.says("Bytes of body per time, and at once.");

#[derive(Debug)]
pub(in crate::config) struct Plan {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: PlanSettings,
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Plan {
    let mut section = Section::of(&TABLE, table);
    let rate =
        section.read(reading, &RATE, None, |reading, entry| reading.rate(&RATE, entry).map(Some));
    let burst = section.number(reading, &BURST);
    let bytes = section
        .read(reading, &BYTES, None, |reading, entry| reading.byte_rate(&BYTES, entry).map(Some));
    if let (Some((_, place)), true, None) = (burst.written(), rate.is_sound, rate.value) {
        let fault = Fault::new(place.clone(), "`burst` stands without `rate`");
        let fault = fault.label("a burst of what?");
        reading.faults.push(fault.hint("add a rate, like rate = \"500/s\", or take it out"));
    }
    let settings = PlanSettings {
        rate: rate.value,
        burst: burst.written().map(|(burst, _)| *burst),
        bytes: bytes.value,
    };
    if settings == PlanSettings::default() && rate.is_sound && burst.is_sound && bytes.is_sound {
        let message = format!("{} limits nothing", section.title);
        let fault = Fault::warning(section.place.clone(), message).label("neither rate nor bytes");
        reading.faults.push(fault.hint("for example: rate = \"500/s\""));
    }
    section.finish(&mut reading.faults);
    Plan { name: table.name.clone(), settings }
}

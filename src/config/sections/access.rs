//! `[auth.NAME]` and `[plan.NAME]`: who may come in, and how fast.

use crate::admission::{AuthSettings, PlanSettings};

use super::super::document::{At, Named, Section};
use super::super::finding::Fault;
use super::super::key::{Default, Key, Kind, TIB, Table};
use super::super::value::Reading;

pub(in crate::config) const AUTH: Table = Table {
    name: "auth",
    example: Some("keys"),
    what: "an API key file",
    variant: None,
    effect: "A way to recognise callers. Listeners name the ones they use in `auth`.",
    groups: &[&[TYPE, FILE, AUTH_PLAN]],
};

pub(in crate::config) const PLAN: Table = Table {
    name: "plan",
    example: Some("gateway"),
    what: "a plan",
    variant: None,
    effect: "How fast each caller that has this plan may hand in records: token buckets. Beyond \
             them a request is answered 429 with `Retry-After`. A plan is named by a key, or by an \
             `[auth.NAME]` for its keys that name none.",
    groups: &[&[RATE, BURST, BYTES]],
};

const TYPE: Key = Key::new("type", Kind::Choice(&["api_key"]), Default::Required("\"api_key\""))
    .says(
        "How callers are recognised: `api_key` looks for `x-api-key` or `Authorization: Bearer` in \
         a file of hashed keys.",
    );
const FILE: Key = Key::new("file", Kind::Path, Default::Required("\"/etc/weir/keys.toml\""))
    .says("The file of hashed keys, which `weir keys add` writes.");
const AUTH_PLAN: Key = Key::text(
    "plan",
    Default::Otherwise { example: "\"gateway\"", then: "keys that name no plan have no limit" },
)
.says("The `[plan.NAME]` of keys that name none.");

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
pub(in crate::config) struct Auth {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: AuthSettings,
    pub(in crate::config) plan: Option<At<String>>,
}

#[derive(Debug)]
pub(in crate::config) struct Plan {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: PlanSettings,
}

pub(super) fn read_auth(table: &Named<'_>, reading: &mut Reading<'_>) -> Auth {
    let mut section = Section::of(&AUTH, table);
    // There is one type so far, so the word itself decides nothing.
    section.choice(reading, &TYPE);
    let file = section.path(reading, &FILE).value;
    let plan = section.optional_text(reading, &AUTH_PLAN);
    section.finish(&mut reading.faults);
    let settings = AuthSettings::ApiKey { file, plan: plan.as_ref().map(|at| at.value.clone()) };
    Auth { name: table.name.clone(), settings, plan }
}

pub(super) fn read_plan(table: &Named<'_>, reading: &mut Reading<'_>) -> Plan {
    let mut section = Section::of(&PLAN, table);
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

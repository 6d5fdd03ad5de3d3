//! `[plan.NAME]`: how fast and how much each of its holders may hand in.

use crate::admission::{Period, PlanSettings, Quota};
use crate::base::units::ByteSize;

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind, TIB, Table};
use super::super::setting::Setting;
use super::super::value::Reading;

pub(in crate::config) const TABLE: Table = Table {
    name: "plan",
    example: Some("gateway"),
    what: "a plan",
    variant: None,
    effect: "How fast (token buckets) and how much (quotas) each of its holders may hand in. Callers \
             hold the plan that their key, token or `[auth.NAME]` names; a stream, a listener or a \
             route as a whole, and each source address of a listener, hold the one that its `plan` \
             or `address_plan` names. Beyond it a request is answered 429 with `Retry-After`.",
    groups: &[&[REQUESTS, REQUESTS_BURST, RATE, BURST, BYTES, BYTES_BURST, QUOTA, QUOTA_BYTES]],
};

/// Counts and rates stay far below what token buckets can count to.
const COUNT_MAX: u64 = 1_000_000_000;

const REQUESTS: Key = Key::new(
    "requests",
    Kind::Rate,
    Default::Otherwise { example: "\"50/s\"", then: "any number of requests" },
)
.within(1, COUNT_MAX)
.says("Requests per `ms`, `s`, `min`, `h` or `d`.");
const REQUESTS_BURST: Key = Key::new(
    "requests_burst",
    Kind::Count,
    Default::Otherwise { example: "100", then: "one second of `requests`, at least one" },
)
.within(1, COUNT_MAX)
.says("Most requests at once.");
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
.says("Bytes of body per time.");
const BYTES_BURST: Key = Key::new(
    "bytes_burst",
    Kind::Size,
    Default::Otherwise { example: "\"16 MiB\"", then: "as many as `bytes` names" },
)
.within(1, TIB)
.says("Most bytes of body at once; a larger one can never pass.");
const QUOTA: Key = Key::text(
    "quota",
    Default::Otherwise { example: "\"10000000/day\"", then: "any number of records" },
)
.says(
    "Records that are stored in each `day`, `week` (from Monday) or `month`, in UTC; kept across \
     restarts. A crash forgets about two seconds of use.",
);
const QUOTA_BYTES: Key = Key::text(
    "quota_bytes",
    Default::Otherwise { example: "\"10 GiB/month\"", then: "any number of bytes" },
)
.says("The same for bytes of payload.");

#[derive(Debug)]
pub(in crate::config) struct Plan {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: PlanSettings,
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Plan {
    let mut section = Section::of(&TABLE, table);
    let rate = |section: &mut Section<'_>, reading: &mut Reading<'_>, key: &Key| {
        section.read(reading, key, None, |reading, entry| reading.rate(key, entry).map(Some))
    };
    let (requests, records) =
        (rate(&mut section, reading, &REQUESTS), rate(&mut section, reading, &RATE));
    let requests_burst = section.number(reading, &REQUESTS_BURST);
    let burst = section.number(reading, &BURST);
    let bytes = section
        .read(reading, &BYTES, None, |reading, entry| reading.byte_rate(&BYTES, entry).map(Some));
    let bytes_burst = section.number(reading, &BYTES_BURST);
    alone((&REQUESTS_BURST, &requests_burst), (&REQUESTS, requests.place.is_some()), reading);
    alone((&BURST, &burst), (&RATE, records.place.is_some()), reading);
    alone((&BYTES_BURST, &bytes_burst), (&BYTES, bytes.place.is_some()), reading);
    let written = |number: &Setting<u64>| number.written().map(|(number, _)| *number);
    let has_quota = section.has(&QUOTA) || section.has(&QUOTA_BYTES);
    let is_sound = requests.is_sound && records.is_sound && bytes.is_sound && burst.is_sound;
    let settings = PlanSettings {
        requests: requests.value,
        requests_burst: written(&requests_burst),
        rate: records.value,
        burst: written(&burst),
        bytes: bytes.value,
        bytes_burst: written(&bytes_burst),
        quota: quota(&mut section, &QUOTA, reading),
        quota_bytes: quota(&mut section, &QUOTA_BYTES, reading),
    };
    if settings == PlanSettings::default() && is_sound && !has_quota {
        let message = format!("{} limits nothing", section.title);
        let fault = Fault::warning(section.place.clone(), message).label("neither rate nor quota");
        reading.faults.push(fault.hint("for example: rate = \"500/s\""));
    }
    section.finish(&mut reading.faults);
    Plan { name: table.name.clone(), settings }
}

/// A burst needs its rate.
fn alone(
    (key, burst): (&Key, &Setting<u64>),
    (rate, has_rate): (&Key, bool),
    reading: &mut Reading<'_>,
) {
    let Some((_, place)) = burst.written().filter(|_| !has_rate) else { return };
    let message = format!("`{}` stands without `{}`", key.name, rate.name);
    let fault = Fault::new(place.clone(), message).label("a burst of what?");
    let example = format!("{} = {}", rate.name, rate.example_toml());
    reading.faults.push(fault.hint(format!("add a rate, like {example}, or take it out")));
}

/// `10000000/day`, `10 GiB/month`.
fn quota(section: &mut Section<'_>, key: &Key, reading: &mut Reading<'_>) -> Option<Quota> {
    let text = section.optional_text(reading, key)?;
    let parsed = text.value.split_once('/').and_then(|(limit, period)| {
        let limit = match key.name {
            "quota" => limit.trim().parse().ok()?,
            _ => limit.trim().parse::<ByteSize>().ok()?.0,
        };
        let period = match period.trim() {
            "day" | "d" => Period::Day,
            "week" | "w" => Period::Week,
            "month" => Period::Month,
            _ => return None,
        };
        Some(Quota { limit, period }).filter(|quota| quota.limit > 0)
    });
    if parsed.is_none() {
        let message = format!(
            "`{}` is \"{}\", but it should be so many in each day, week or month",
            key.name,
            clip(&text.value)
        );
        let fault = Fault::new(text.place, message).label("not a quota");
        reading.faults.push(fault.hint(format!(
            "for example: {} = {}",
            key.name,
            key.example_toml()
        )));
    }
    parsed
}

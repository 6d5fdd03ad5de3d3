//! `[stream.NAME]`: a durable queue and where it leads.

use std::path::Path;
use std::time::Duration;

use crate::base::units::Span;
use crate::delivery::Rank;
use crate::queue::{self, Lapsed, Policy, SyncLevel, WhenFull};
use crate::record::KeyTemplate;

use super::super::document::{At, Named, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{DAY, Default, Key, Kind, MIB, MINUTE, SECOND, TIB, Table};
use super::super::setting::Setting;
use super::super::value::Reading;
use super::super::written::Place;
use super::treatment::Treated;
use super::{treatment, uplink};

pub(in crate::config) const TABLE: Table = Table {
    name: "stream",
    example: Some("access"),
    what: "a stream",
    variant: None,
    effect: "A durable queue and the destinations it leads to; `POST /v1/streams/NAME` puts records \
             into it.",
    groups: &[
        &[DESTINATIONS, ALIASES, PARTITION_KEY, MAX_RECORD, PLAN],
        treatment::ROWS,
        &[QUEUE_ROWS],
        uplink::RANKS,
    ],
};

const DESTINATIONS: Key = Key::texts("destinations", Default::Required("[\"archive\"]")).says(
    "Names of `[destination.NAME]` tables; each gets every record, at its own pace. Several \
     streams may name the same one.",
);
pub(in crate::config) const ALIASES: Key = Key::texts("aliases", Default::Nothing).says(
    "Other names of the stream, 1 to 128 of A-Z, a-z, 0-9, `_`, `-` and `.`: that of the Kinesis or \
     Firehose stream that its senders have in their own settings, for one.",
);
const PARTITION_KEY: Key = Key::text(
    "partition_key",
    Default::Otherwise {
        example: "\"{json:/user/id}|{file}\"",
        then: "records are spread evenly, up to 64 small neighbours together",
    },
)
.says(
    "The partition key of records whose sender chose none. Fields: `{json:/POINTER}`, \
     `{header:NAME}`, `{route:NAME}`, `{file}`, `{caller}`, `{source}`, `{hash}` (of the payload), \
     `{random}`; text between them stands for itself. Behind `|` stands what is taken when a value \
     is missing; without any, the record is spread evenly.",
);
pub(in crate::config) const MAX_RECORD: Key =
    Key::size("max_record", MIB).within(1, 10 * MIB).says(
        "Largest record; a larger one is refused with 413. If it is not written and a destination \
         of the stream takes less, then that is the limit.",
    );
const QUEUE_ROWS: Key = Key::new("queue", Kind::Rows(QUEUE_KEYS), Default::Rows)
    .says("How much is kept on disk while destinations are slow or away.");
const QUEUE_KEYS: &[Key] = &[
    MAX_BYTES,
    SYNC,
    MIN_FREE_DISK,
    WHEN_FULL,
    MAX_AGE,
    LAPSED,
    KEYS_KEPT,
    CURSOR_SAVE,
    COMPRESSION,
    ENCRYPTION,
];
pub(in crate::config) const MAX_BYTES: Key = Key::size("max_bytes", 1 << 30)
    .within(4 * MIB, 16 * TIB)
    .says("Most bytes on disk; a full queue answers 503 and leaves files unread.");
const SYNC: Key = Key::text("sync", Default::Text("always")).says(
    "When records are synced to disk: `\"always\"`, before they are answered; after that at most this \
     much later, `\"10 ms\"` to `\"1 min\"`; or `\"os\"`, when the system sees fit. A power cut takes \
     nothing that was answered, what is younger than that, or what the system had not written yet; \
     the death of the process alone takes nothing.",
);
const SYNC_EVERY: Key = Key::time("sync", 0).within(10, MINUTE);
const MIN_FREE_DISK: Key = Key::size("min_free_disk", 512 * MIB)
    .within(0, 16 * TIB)
    .says("Bytes that must stay free on the file system; below it the queue counts as full.");
const WHEN_FULL: Key =
    Key::new("when_full", Kind::Choice(&["reject", "drop_oldest"]), Default::Text("reject")).says(
        "What a full queue does: refuse what comes, or let its oldest segment go for it. Only the \
         destinations that had not taken those records lose them.",
    );
const MAX_AGE: Key = Key::new(
    "max_age",
    Kind::Time,
    Default::Otherwise { example: "\"7 d\"", then: "nothing is too old" },
)
.within(SECOND, 3650 * DAY)
.says("What has waited longer for a destination is let go, whatever holds the destination up.");
const LAPSED: Key =
    Key::new("lapsed", Kind::Choice(&["discard", "dead_letter"]), Default::Text("discard")).says(
        "What becomes of records that are let go: dropped and counted, or put with the dead \
         letters; a full queue then answers 503 until the oldest of them lie there.",
    );
const KEYS_KEPT: Key = Key::time("idempotency", 10 * MINUTE).within(0, DAY).says(
    "How long an `Idempotency-Key` is remembered: a request that comes again meanwhile gets the \
     first answer and is not stored. \"0 s\" remembers none.",
);
const CURSOR_SAVE: Key = Key::time("cursor_save", 200).within(10, MINUTE).says(
    "Longest time between a delivery and its note on disk: what was delivered in it may be \
     delivered again after a crash.",
);
const COMPRESSION: Key =
    Key::new("compression", Kind::Choice(&["none", "zstd"]), Default::Text("none")).says(
        "Whether records are packed on disk: log lines take a fifth of the space, for about a \
         second of CPU per 500 MB. What is there stays readable either way.",
    );
const ENCRYPTION: Key = Key::text(
    "encryption",
    Default::Otherwise { example: "\"at-rest\"", then: "records lie on disk as they came" },
)
.says("Name of an `[encryption.NAME]` table: what is written to disk is sealed with its key.");

const PLAN: Key = Key::text(
    "plan",
    Default::Otherwise {
        example: "\"gateway\"",
        then: "only plans of callers and listeners count",
    },
)
.says("The `[plan.NAME]` of the whole stream, whoever hands in.");

#[derive(Debug)]
pub(in crate::config) struct Flow {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) header: Place,
    pub(in crate::config) destinations: Vec<At<String>>,
    pub(in crate::config) aliases: Vec<At<String>>,
    pub(in crate::config) partition_key: Option<KeyTemplate>,
    pub(in crate::config) treated: Treated,
    pub(in crate::config) rank: Rank,
    pub(in crate::config) max_record: Setting<u64>,
    pub(in crate::config) max_bytes: Setting<u64>,
    pub(in crate::config) queue: queue::Settings,
    pub(in crate::config) encryption: Option<At<String>>,
    pub(in crate::config) plan: Option<At<String>>,
}

pub(super) fn read(table: &Named<'_>, state_dir: &Path, reading: &mut Reading<'_>) -> Flow {
    let mut section = Section::of(&TABLE, table);
    let (destinations, _) = section.texts(reading, &DESTINATIONS);
    let (aliases, _) = section.texts(reading, &ALIASES);
    let partition_key = partition_key(&mut section, reading);
    let max_record = section.number(reading, &MAX_RECORD);
    let treated = treatment::read(&mut section, reading);
    let rank = uplink::rank(&mut section, reading);
    let plan = section.optional_text(reading, &PLAN);

    let mut rows = section.nested(reading, &QUEUE_ROWS);
    let max_bytes = rows.number(reading, &MAX_BYTES);
    let stream = table.name.value.clone();
    let queue = queue::Settings {
        folder: state_dir.join("queue").join(&stream),
        stream,
        max_bytes: max_bytes.value,
        min_free_disk: rows.number(reading, &MIN_FREE_DISK).value,
        cursor_save_after: rows.time(reading, &CURSOR_SAVE),
        policy: policy(&mut rows, reading),
        compresses: rows.choice(reading, &COMPRESSION).value == "zstd",
        // The rules find the table that `encryption` names.
        keys: queue::Keys::default(),
        sync: sync_level(&mut rows, reading),
    };
    let encryption = rows.optional_text(reading, &ENCRYPTION);
    rows.finish(&mut reading.faults);
    section.finish(&mut reading.faults);
    let (name, header) = (table.name.clone(), table.header.clone());
    Flow {
        name,
        header,
        destinations,
        aliases,
        partition_key,
        treated,
        rank,
        max_record,
        max_bytes,
        queue,
        encryption,
        plan,
    }
}

fn policy(rows: &mut Section<'_>, reading: &mut Reading<'_>) -> Policy {
    let when_full = match rows.choice(reading, &WHEN_FULL).value.as_str() {
        "drop_oldest" => WhenFull::DropOldest,
        _ => WhenFull::Reject,
    };
    let lapsed = match rows.choice(reading, &LAPSED).value.as_str() {
        "dead_letter" => Lapsed::DeadLetter,
        _ => Lapsed::Discard,
    };
    let max_age = rows.number(reading, &MAX_AGE).written().map(|(ms, _)| *ms);
    let keys_kept = rows.time(reading, &KEYS_KEPT);
    Policy { when_full, max_age: max_age.map(Duration::from_millis), lapsed, keys_kept }
}

fn partition_key(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<KeyTemplate> {
    let At { value, place } = section.optional_text(reading, &PARTITION_KEY)?;
    let bad = match KeyTemplate::parse(&value) {
        Ok(template) => return Some(template),
        Err(bad) => bad,
    };
    // The caret stands at the fault, where the text stands in the file as it is.
    let begin = place.start + 1;
    let is_plain = reading.text.get(begin..place.end.saturating_sub(1)) == Some(value.as_str());
    let at = if is_plain { begin + bad.at..place.end - 1 } else { place };
    let at = if at.is_empty() { at.start..at.start + 1 } else { at };
    let fault = Fault::new(at, "`partition_key` is no template").label(bad.words);
    reading.faults.push(fault.hint(hint(&PARTITION_KEY)));
    None
}

fn sync_level(rows: &mut Section<'_>, reading: &mut Reading<'_>) -> SyncLevel {
    let written = rows.text(reading, &SYNC);
    match (written.value.as_str(), written.written()) {
        ("os", _) => SyncLevel::System,
        ("always", _) | (_, None) => SyncLevel::Always,
        (text, Some((_, place))) => match sync_interval(text) {
            Ok(interval) => SyncLevel::Every(interval),
            Err(why) => {
                let message = format!("`sync` is \"{}\", but {why}", clip(text));
                let fault = Fault::new(place.clone(), message).label("no such level");
                reading.faults.push(fault.hint("write sync = \"always\", the default"));
                SyncLevel::Always
            }
        },
    }
}

fn sync_interval(text: &str) -> Result<Duration, String> {
    let words = "it should be \"always\", \"os\", or a time like \"100 ms\"";
    let Span(interval) = text.parse().map_err(|_| words.to_owned())?;
    let bounds = Duration::from_millis(SYNC_EVERY.least)..=Duration::from_millis(SYNC_EVERY.most);
    if bounds.contains(&interval) {
        return Ok(interval);
    }
    Err(format!("an interval is {}", SYNC_EVERY.range()))
}

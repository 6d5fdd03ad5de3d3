//! `[destination.NAME]`: an upstream, and how it is fed.

use crate::delivery;
use crate::sink::{FirehoseSettings, KinesisSettings, Protocol};

use super::super::Destination;
use super::super::document::{At, Named, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, GIB, HOUR, KIB, Key, Kind, MIB, MINUTE, SECOND, Table};
use super::super::value::Reading;
use super::super::written::Place;
use super::{aws, directory, uplink};

pub(in crate::config) const KINESIS: Table = Table {
    name: "destination",
    example: Some("cloud"),
    what: "a Kinesis destination",
    variant: Some("kinesis"),
    effect: "A Kinesis data stream. A principal with nothing but `kinesis:PutRecords` is enough; \
             with `kinesis:ListShards` and `kinesis:DescribeStreamSummary` too, it costs much less.",
    groups: &[
        &[TYPE, STREAM_NAME, MAX_RECORD, AGGREGATE, AGGREGATE_BYTES, PROTOCOL],
        aws::KEYS,
        FEED,
        LANES,
        uplink::KEYS,
    ],
};

pub(in crate::config) const FIREHOSE: Table = Table {
    name: "destination",
    example: Some("lake"),
    what: "a Firehose destination",
    variant: Some("firehose"),
    effect: "A Firehose delivery stream.",
    groups: &[
        &[TYPE, DELIVERY_STREAM, NEWLINE, PACK, PACK_BYTES, DEAGGREGATION],
        aws::KEYS,
        FEED,
        uplink::KEYS,
    ],
};

pub(in crate::config) const DIRECTORY: Table = Table {
    name: "destination",
    example: Some("archive"),
    what: "a directory destination",
    variant: Some("directory"),
    effect: "A local folder of objects as Firehose would write them to S3: one record a line.",
    groups: &[&[TYPE], directory::KEYS, FEED],
};

const LANES: &[Key] = &[SHARD_SHARE, ORDERING];

const FEED: &[Key] = &[MAX_IN_FLIGHT, IN_FLIGHT_BYTES, LINGER, RETRY_FIRST, RETRY_MAX];

const TYPE: Key = Key::new(
    "type",
    Kind::Choice(&["kinesis", "firehose", "directory"]),
    Default::Required("\"kinesis\""),
)
.says("What kind of upstream it is; decides which settings there are.");
const STREAM_NAME: Key = Key::text("stream_name", Default::Required("\"access-logs\""))
    .says("Name of the Kinesis data stream, or its ARN.");
const MAX_RECORD: Key = Key::size("max_record", MIB).within(KIB, 10 * MIB).says(
    "Largest record that the data stream takes, with its partition key: 1 MiB unless its owner \
     raised it. What the stream itself says counts if it is more; until it has said it, a larger \
     record is sent in a request of its own, and the stream decides.",
);
const AGGREGATE: Key = Key::new(
    "aggregate",
    Kind::Choice(&["auto", "off"]),
    Default::Text("auto"),
)
.says(
    "Whether many records travel as one, in the format of the Kinesis Producer Library: `\"auto\"` \
     does so while the shards are known and keys choose them. Its consumers (KCL, Lambda, Firehose) \
     take it apart; one that reads with nothing but the SDK does not.",
);
const AGGREGATE_BYTES: Key = Key::size("aggregate_bytes", 50 * KIB)
    .within(KIB, 10 * MIB)
    .says("Largest aggregate; a stream is billed by every 25 KiB of each.");
const PROTOCOL: Key = Key::new(
    "protocol",
    Kind::Choice(&["auto", "cbor", "json"]),
    Default::Text("auto"),
)
.says(
    "How PutRecords is called: in `\"cbor\"` data goes as it is, in `\"json\"` as base64, which is a \
     third more to send. `\"auto\"` takes CBOR where AWS itself is called, as its SDK for Java does, \
     as long as what answers there takes it; and JSON where `endpoint_url`, or one of the \
     environment, leads elsewhere.",
);
const SHARD_SHARE: Key = Key::count("shard_share", 100).within(1, 1_000).says(
    "How much of what a shard takes (1000 entries and 1 MiB a second) is for this agent, in \
     percent: 100 divided by the number of producers. Above 100 the shard itself slows it down.",
);
const ORDERING: Key = Key::new(
    "ordering",
    Kind::Choice(&["none", "key"]),
    Default::Text("none"),
)
.says(
    "With `\"key\"`, no record overtakes an older one of the same partition key, whatever fails: \
     the younger one waits until the older one is settled.",
);
const DELIVERY_STREAM: Key = Key::text("delivery_stream", Default::Required("\"access-to-s3\""))
    .says("Name of the delivery stream.");
const NEWLINE: Key = Key::new("newline", Kind::Flag, Default::Flag(true))
    .says("Whether each record ends with a newline; Firehose itself puts nothing between records.");
const PACK: Key = Key::new("pack", Kind::Choice(&["auto", "off"]), Default::Text("auto")).says(
    "`auto` puts many records, as lines, into one Firehose record, which is billed by 5 KB; `off` \
     sends each as its own. Without `newline` nothing is packed.",
);
const PACK_BYTES: Key = Key::size("pack_bytes", FirehoseSettings::PACK_BYTES_MAX)
    .within(FirehoseSettings::PACK_BYTES_MIN, FirehoseSettings::PACK_BYTES_MAX)
    .says("Most bytes of a Firehose record that is filled so; a longer record travels alone.");
const DEAGGREGATION: Key = Key::new("deaggregation", Kind::Flag, Default::Flag(false)).says(
    "Whether the delivery stream takes records apart again (dynamic partitioning): then at most \
     500 of them travel in one Firehose record.",
);
const MAX_IN_FLIGHT: Key =
    Key::count("max_in_flight", 4).within(1, 64).says("Most requests under way at once.");
pub(in crate::config) const IN_FLIGHT_BYTES: Key =
    Key::size("in_flight_bytes", 16 * MIB).within(10 * MIB, GIB).says(
        "Most bytes read from the queue and not yet settled: the memory that one stream takes for \
         this destination. One request to Kinesis has up to 10 MiB.",
    );
const LINGER: Key = Key::time("linger", 100)
    .within(0, MINUTE)
    .says("Longest time a record waits for others to travel with.");
const RETRY_FIRST: Key = Key::time("retry_first", 100)
    .within(10, MINUTE)
    .says("First wait after a fault; doubled each time, with jitter.");
const RETRY_MAX: Key =
    Key::time("retry_max", 30 * SECOND).within(100, HOUR).says("Longest wait between two tries.");

/// A partition key has up to 256 characters of up to 4 bytes, and counts as part of the record.
const KINESIS_KEY_MAX: u64 = 1_024;

#[derive(Debug)]
pub(in crate::config) struct Upstream {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: Destination,
    /// With an empty stream.
    pub(in crate::config) feed: delivery::Settings,
}

impl Upstream {
    /// Largest payload that certainly fits, and the largest that may.
    pub(in crate::config) fn payload_max(&self) -> Option<(u64, u64)> {
        match &self.settings {
            Destination::Kinesis(settings) => {
                let most = settings.max_record_bytes;
                Some((most.saturating_sub(KINESIS_KEY_MAX).max(1), most))
            }
            Destination::Firehose(settings) => {
                let most = FirehoseSettings::PACK_BYTES_MAX - u64::from(settings.newline);
                Some((most, most))
            }
            Destination::Directory(_) => None,
        }
    }
}

/// Reads one destination; `None` if its type is unknown, and with it what the other lines mean.
pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Option<Upstream> {
    let kind = Section::of(&KINESIS, table).choice(reading, &TYPE);
    kind.written()?;
    let table_of_kind = match kind.value.as_str() {
        "firehose" => &FIREHOSE,
        "directory" => &DIRECTORY,
        _ => &KINESIS,
    };
    let mut section = Section::of(table_of_kind, table);
    section.take(&TYPE);
    let name = table.name.clone();
    let settings = match kind.value.as_str() {
        "firehose" => Destination::Firehose(firehose(&mut section, reading)),
        "directory" => Destination::Directory(directory::read(&mut section, reading, &name.value)),
        _ => Destination::Kinesis(kinesis(&mut section, reading)),
    };
    let mut feed = feed(&mut section, reading, &name.value);
    if matches!(settings, Destination::Kinesis(_)) {
        lanes(&mut section, reading, &mut feed);
    }
    // Nothing leaves the host for a directory.
    if !matches!(settings, Destination::Directory(_)) {
        feed.pace = uplink::pace(&mut section, reading);
    }
    section.finish(&mut reading.faults);
    Some(Upstream { name, settings, feed })
}

fn kinesis(section: &mut Section<'_>, reading: &mut Reading<'_>) -> KinesisSettings {
    let name = section.text(reading, &STREAM_NAME);
    if let Some((name, place)) = name.written()
        && !is_aws_name(name, 128)
        && !is_arn(name)
    {
        reading.faults.push(bad_name(&STREAM_NAME, name, place, 128));
    }
    KinesisSettings {
        stream_name: name.value,
        max_record_bytes: section.number(reading, &MAX_RECORD).value,
        aggregate_bytes: aggregate_bytes(section, reading),
        protocol: protocol(section, reading),
        aws: aws::read(section, reading),
    }
}

fn aggregate_bytes(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<u64> {
    let is_off = section.choice(reading, &AGGREGATE).value == "off";
    let bytes = section.number(reading, &AGGREGATE_BYTES).value;
    (!is_off).then_some(bytes)
}

fn protocol(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Protocol {
    match section.choice(reading, &PROTOCOL).value.as_str() {
        "cbor" => Protocol::Cbor,
        "json" => Protocol::Json,
        _ => Protocol::Auto,
    }
}

/// What only an upstream with shards has.
fn lanes(section: &mut Section<'_>, reading: &mut Reading<'_>, feed: &mut delivery::Settings) {
    feed.shard_share = section.small(reading, &SHARD_SHARE);
    if section.choice(reading, &ORDERING).value == "key" {
        feed.ordering = delivery::Ordering::Key;
    }
}

fn firehose(section: &mut Section<'_>, reading: &mut Reading<'_>) -> FirehoseSettings {
    let name = section.text(reading, &DELIVERY_STREAM);
    if let Some((name, place)) = name.written()
        && !is_aws_name(name, 64)
    {
        reading.faults.push(bad_name(&DELIVERY_STREAM, name, place, 64));
    }
    FirehoseSettings {
        delivery_stream: name.value,
        newline: section.flag(reading, &NEWLINE),
        pack: section.choice(reading, &PACK).value == "auto",
        pack_bytes: section.number(reading, &PACK_BYTES).value,
        deaggregation: section.flag(reading, &DEAGGREGATION),
        aws: aws::read(section, reading),
    }
}

/// What every destination has.
fn feed(section: &mut Section<'_>, reading: &mut Reading<'_>, name: &str) -> delivery::Settings {
    let first = section.number(reading, &RETRY_FIRST);
    let most = section.number(reading, &RETRY_MAX);
    let place = most.place.as_ref().or(first.place.as_ref());
    if let Some(place) = place.filter(|_| first.is_sound && most.is_sound)
        && first.value > most.value
    {
        let (first, most) = (RETRY_FIRST.show(first.value), RETRY_MAX.show(most.value));
        let message = format!("the first wait is {first}, but the longest is {most}");
        let fault = Fault::new(place.clone(), message).label("first > longest");
        reading.faults.push(fault.hint("`retry_first` must be at most `retry_max`"));
    }
    delivery::Settings {
        stream: String::new(),
        destination: name.to_owned(),
        in_flight: section.small(reading, &MAX_IN_FLIGHT),
        in_flight_bytes: section.small(reading, &IN_FLIGHT_BYTES),
        shard_share: 100,
        ordering: delivery::Ordering::None,
        linger: section.time(reading, &LINGER),
        retry_first: std::time::Duration::from_millis(first.value),
        retry_max: std::time::Duration::from_millis(most.value),
        pace: delivery::PaceSettings::default(),
    }
}

/// As the API references of both services give it.
fn is_aws_name(name: &str, most: usize) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=most).contains(&name.len()) && name.chars().all(plain)
}

/// `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, in any partition.
fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        return false;
    };
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "kinesis"
        && !region.is_empty()
        && account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && resource.strip_prefix("stream/").is_some_and(|name| is_aws_name(name, 128))
}

fn bad_name(key: &Key, name: &str, place: &Place, most: usize) -> Fault {
    let message = format!(
        "`{}` is \"{}\", but names have 1 to {most} of A-Z, a-z, 0-9, `_`, `-` and `.`",
        key.name,
        clip(name)
    );
    Fault::new(place.clone(), message).label("not a name").hint(hint(key))
}

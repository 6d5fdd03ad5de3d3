//! `[http.NAME]`: a listener.

pub(in crate::config) mod listen;
pub(in crate::config) mod nets;
mod tls;

use std::time::Duration;

use crate::base::serve::TlsPart;
use crate::base::units::CountRate;
use crate::source;
use crate::source::http::{Forwarded, Listen, Proxies};

use super::super::document::{At, Named, Section};
use super::super::finding::Fault;
use super::super::key::{Default, GIB, HOUR, KIB, Key, Kind, MIB, MINUTE, SECOND, TIB, Table};
use super::super::value::Reading;
use super::super::written::Place;

use super::route::JSON_ARRAY;
pub(super) use listen::address;

pub(in crate::config) const TABLE: Table = Table {
    name: "http",
    example: Some("local"),
    what: "an HTTP listener",
    variant: None,
    effect: "A listener for records over HTTP/1.1 and HTTP/2; any number of them.",
    groups: &[&[
        LISTEN,
        tls::ROWS,
        AUTH,
        MAX_GUESSES,
        PLAN,
        ADDRESS_PLAN,
        nets::ALLOW,
        nets::DENY,
        nets::TRUSTED_PROXIES,
        FORWARDED,
        NATIVE,
        GATEWAY,
        AWS,
        JSON_ARRAY,
        listen::SOCKET,
        MAX_CONNECTIONS,
        MAX_PER_ADDRESS,
        MAX_BODY,
        MAX_UNPACKED,
        HEAD_TIMEOUT,
        BODY_TIMEOUT,
        MIN_BODY_RATE,
        IDLE_TIMEOUT,
    ]],
};

const LISTEN: Key = Key::texts("listen", Default::Required("\"127.0.0.1:8080\"")).says(
    "Where to listen, one address or a list: `\"ADDRESS:PORT\"` with an IPv4 or `[IPv6]` address, \
     `\"unix:/path\"`, or `\"systemd:NAME\"` for the sockets that systemd opened under this \
     `FileDescriptorName=`.",
);
const AUTH: Key = Key::texts("auth", Default::Nothing).says(
    "Names of `[auth.NAME]` tables, tried in order. Without any the door is open, which is legal \
     on loopback and unix sockets only.",
);
/// More than any honest mistake, and far too few for a guess.
const GUESSES: CountRate = CountRate { count: 100, per: Duration::from_mins(1) };
const MAX_GUESSES: Key = Key::new(
    "max_guesses",
    Kind::Rate,
    Default::Otherwise { example: "\"100/min\"", then: "100/min" },
)
.within(1, 1_000_000_000)
.says(
    "Keys and tokens that are none, from one source address (IPv4, or IPv6 /64); beyond it everything \
     from there is answered 429 for a while, right or wrong.",
);
const PLAN: Key = Key::text(
    "plan",
    Default::Otherwise { example: "\"gateway\"", then: "only plans of callers and streams count" },
)
.says("The `[plan.NAME]` of the whole listener, whoever hands in.");
const ADDRESS_PLAN: Key = Key::text(
    "address_plan",
    Default::Otherwise { example: "\"gateway\"", then: "addresses have none" },
)
.says("The `[plan.NAME]` of each source address (IPv4, or IPv6 /64), whoever is behind it.");
const FORWARDED: Key = Key::new(
    "forwarded",
    Kind::Choice(&["x-forwarded-for", "forwarded"]),
    Default::Text("x-forwarded-for"),
)
.says("The header in which `trusted_proxies` name the client; the other one is not looked at.");
const NATIVE: Key = Key::new("native", Kind::Flag, Default::Flag(true)).says(
    "Whether `POST /v1/streams/{stream}` is served here for every stream. For a listener with \
     nothing but health and its routes, set `gateway` and `aws` to `false` as well: each of the three \
     leads to every stream.",
);
const GATEWAY: Key = Key::new("gateway", Kind::Flag, Default::Flag(true)).says(
    "Whether `PUT /streams/{stream}/record` and `…/records` are served here, the API that Amazon \
     documents for API Gateway in front of Kinesis.",
);
const AWS: Key = Key::new("aws", Kind::Flag, Default::Flag(true)).says(
    "Whether the protocols of Amazon Kinesis Data Streams and Amazon Data Firehose are spoken here, by `POST /`: an \
     AWS SDK whose `endpoint_url` names this listener works unchanged, and every stream answers to its \
     name and `aliases`.",
);
const MAX_CONNECTIONS: Key = Key::count("max_connections", 1024)
    .within(1, 65_536)
    .says("Most connections at once, over all addresses of this listener; more have to wait.");
const MAX_PER_ADDRESS: Key = Key::new(
    "max_connections_per_address",
    Kind::Count,
    Default::Otherwise { example: "64", then: "half of `max_connections`" },
)
.within(1, 65_536)
.says(
    "Most connections at once from one IPv4 address or one IPv6 /64; one more is closed at once. \
     `trusted_proxies` have no such bound.",
);
const MAX_BODY: Key = Key::size("max_body", 16 * MIB)
    .within(KIB, GIB)
    .says("Largest body as it comes in; more is answered 413.");
const MAX_UNPACKED: Key = Key::size("max_unpacked", 64 * MIB)
    .within(KIB, 4 * GIB)
    .says("Largest body once unpacked; more is answered 413.");
const HEAD_TIMEOUT: Key = Key::time("head_timeout", 10 * SECOND)
    .within(100, 5 * MINUTE)
    .says("Longest time for a TLS handshake, and for the head of a request to arrive.");
const BODY_TIMEOUT: Key = Key::time("body_timeout", 30 * SECOND)
    .within(100, HOUR)
    .says("Longest time for the body of a request to arrive.");
const MIN_BODY_RATE: Key = Key::new(
    "min_body_rate",
    Kind::ByteRate,
    Default::Otherwise { example: "\"1 KiB/s\"", then: "only `body_timeout` counts" },
)
.within(1, TIB)
.says(
    "Least rate of a body, on average and after its first 5 seconds; a slower one is answered 408. \
     Allows a long `body_timeout` without letting slow senders hold connections.",
);
const IDLE_TIMEOUT: Key = Key::time("idle_timeout", 75 * SECOND)
    .within(100, HOUR)
    .says("Longest rest between two requests on one connection.");

#[derive(Debug)]
pub(in crate::config) struct Http {
    pub(in crate::config) settings: source::http::Settings,
    /// The addresses with their places.
    pub(in crate::config) listen: Vec<At<Listen>>,
    /// The auth blocks with their places.
    pub(in crate::config) auth: Vec<At<String>>,
    /// Whether it is written that the protocols of AWS are spoken, or not.
    pub(in crate::config) says_aws: bool,
    /// Where the listener stands.
    pub(in crate::config) header: Place,
    /// Its plan, and that of its addresses.
    pub(in crate::config) plans: Vec<At<String>>,
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Http {
    let mut section = Section::of(&TABLE, table);
    let (texts, _) = section.texts(reading, &LISTEN);
    let access = listen::access(&mut section, reading);
    let (auth, auth_is_sound) = section.texts(reading, &AUTH);
    let mut listen = Vec::new();
    for text in texts {
        match listen::parse(&LISTEN, &text, &access, reading) {
            Ok(address) => listen.push(At { value: address, place: text.place }),
            Err(fault) => reading.faults.push(fault),
        }
    }
    if auth.is_empty() && auth_is_sound {
        listen.iter().for_each(|at| listen::check_open_door(at, &section.title, reading));
    }
    let max_connections = section.small(reading, &MAX_CONNECTIONS);
    let max_per_address = section.number(reading, &MAX_PER_ADDRESS);
    let max_per_address = max_per_address.written().map(|(most, _)| *most);
    let (max_body_bytes, max_unpacked_bytes) = sizes(&mut section, reading);
    let plan = section.optional_text(reading, &PLAN);
    let address_plan = section.optional_text(reading, &ADDRESS_PLAN);
    let guesses = section
        .read(reading, &MAX_GUESSES, GUESSES, |reading, entry| reading.rate(&MAX_GUESSES, entry));
    let says_aws = section.has(&AWS);
    let name = |plan: &Option<At<String>>| plan.as_ref().map(|plan| plan.value.clone());
    let settings = source::http::Settings {
        name: table.name.value.clone(),
        listen: listen.iter().map(|address| address.value.clone()).collect(),
        tls: tls::read(&mut section, reading),
        auth: auth.iter().map(|name| name.value.clone()).collect(),
        plan: name(&plan),
        address_plan: name(&address_plan),
        guesses: Some(guesses.value),
        rules: Vec::new(),
        allow: nets::read(&mut section, &nets::ALLOW, reading),
        deny: nets::read(&mut section, &nets::DENY, reading),
        proxies: proxies(&mut section, reading),
        native: section.flag(reading, &NATIVE),
        gateway: section.flag(reading, &GATEWAY),
        aws: section.flag(reading, &AWS),
        split_arrays: section.choice(reading, &JSON_ARRAY).value == "split",
        routes: Vec::new(),
        max_connections,
        max_per_sender: max_per_address.map_or(max_connections.div_ceil(2), |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        }),
        max_body_bytes,
        max_unpacked_bytes,
        head_timeout: section.time(reading, &HEAD_TIMEOUT),
        body_timeout: section.time(reading, &BODY_TIMEOUT),
        min_body_rate: section
            .read(reading, &MIN_BODY_RATE, None, |reading, entry| {
                reading.byte_rate(&MIN_BODY_RATE, entry).map(Some)
            })
            .value,
        idle_timeout: section.time(reading, &IDLE_TIMEOUT),
    };
    section.finish(&mut reading.faults);
    let plans = plan.into_iter().chain(address_plan).collect();
    Http { settings, listen, auth, says_aws, header: table.header.clone(), plans }
}

/// Largest body as it comes in, and once unpacked.
fn sizes(section: &mut Section<'_>, reading: &mut Reading<'_>) -> (u64, u64) {
    let max_body = section.number(reading, &MAX_BODY);
    let max_unpacked = section.number(reading, &MAX_UNPACKED);
    if let (Some((most, place)), true) = (max_unpacked.written(), max_body.is_sound)
        && *most < max_body.value
    {
        let body = MAX_BODY.show(max_body.value);
        let message = format!(
            "`max_unpacked` is {}, but a body of up to {body} is let in (`max_body`)",
            MAX_UNPACKED.show(*most)
        );
        let fault = Fault::new(place.clone(), message).label(format!("less than {body}"));
        reading.faults.push(fault.hint("raise it, or lower `max_body`"));
    }
    (max_body.value, max_unpacked.value.max(max_body.value))
}

fn proxies(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Proxies {
    let header = match section.choice(reading, &FORWARDED).value.as_str() {
        "forwarded" => Forwarded::Standard,
        _ => Forwarded::XForwardedFor,
    };
    let (mut texts, _) = section.texts(reading, &nets::TRUSTED_PROXIES);
    let named = texts.len();
    texts.retain(|text| text.value != "unix");
    let unix = texts.len() < named;
    Proxies { nets: nets::parse(&nets::TRUSTED_PROXIES, texts, reading), unix, header }
}

/// The setting of a file of TLS.
pub(in crate::config) fn tls_key(part: TlsPart) -> &'static str {
    match part {
        TlsPart::Cert => "cert",
        TlsPart::Key => "key",
        TlsPart::ClientCa => "client_ca",
    }
}

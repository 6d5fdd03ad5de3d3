//! `[http.NAME]`: a listener.

use std::net::SocketAddr;

use crate::source;
use crate::source::http::Listen;

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, GIB, HOUR, KIB, Key, MIB, MINUTE, SECOND, Table};
use super::super::value::Reading;
use super::super::written::Place;

pub(in crate::config) const TABLE: Table = Table {
    name: "http",
    example: Some("local"),
    what: "an HTTP listener",
    variant: None,
    effect: "A listener for records over HTTP; any number of them.",
    groups: &[&[
        LISTEN,
        AUTH,
        MAX_CONNECTIONS,
        MAX_BODY,
        MAX_UNPACKED,
        HEAD_TIMEOUT,
        BODY_TIMEOUT,
        IDLE_TIMEOUT,
    ]],
};

const LISTEN: Key = Key::texts("listen", Default::Required("\"127.0.0.1:8080\"")).says(
    "Where to listen, one address or a list: `\"ADDRESS:PORT\"` with an IPv4 or `[IPv6]` address, \
     or `\"unix:/path\"`.",
);
const AUTH: Key = Key::texts("auth", Default::Nothing).says(
    "Names of `[auth.NAME]` tables, tried in order. Without any the door is open, which is legal \
     on loopback and unix sockets only.",
);
const MAX_CONNECTIONS: Key = Key::count("max_connections", 1024)
    .within(1, 65_536)
    .says("Most connections at once, over all addresses of this listener.");
const MAX_BODY: Key = Key::size("max_body", 16 * MIB)
    .within(KIB, GIB)
    .says("Largest body as it comes in; more is answered 413.");
const MAX_UNPACKED: Key = Key::size("max_unpacked", 64 * MIB)
    .within(KIB, 4 * GIB)
    .says("Largest body once unpacked; more is answered 413.");
const HEAD_TIMEOUT: Key = Key::time("head_timeout", 10 * SECOND)
    .within(100, 5 * MINUTE)
    .says("Longest time for the head of a request to arrive.");
const BODY_TIMEOUT: Key = Key::time("body_timeout", 30 * SECOND)
    .within(100, HOUR)
    .says("Longest time for the body of a request to arrive.");
const IDLE_TIMEOUT: Key = Key::time("idle_timeout", 75 * SECOND)
    .within(100, HOUR)
    .says("Longest rest between two requests on one connection.");

/// Longest path of a unix socket, in bytes (`sun_path` without its final zero).
const UNIX_PATH_MAX: usize = 107;

#[derive(Debug)]
pub(in crate::config) struct Http {
    pub(in crate::config) settings: source::http::Settings,
    /// The addresses with their places.
    pub(in crate::config) listen: Vec<At<Listen>>,
    /// The auth blocks with their places.
    pub(in crate::config) auth: Vec<At<String>>,
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Http {
    let mut section = Section::of(&TABLE, table);
    let (texts, _) = section.texts(reading, &LISTEN);
    let (auth, auth_is_sound) = section.texts(reading, &AUTH);
    let mut listen = Vec::new();
    for text in texts {
        match parse(&text, reading) {
            Ok(address) => listen.push(At { value: address, place: text.place }),
            Err(fault) => reading.faults.push(fault),
        }
    }
    if auth.is_empty() && auth_is_sound {
        listen.iter().for_each(|address| check_open_door(address, &section.title, reading));
    }
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
    let settings = source::http::Settings {
        name: table.name.value.clone(),
        listen: listen.iter().map(|address| address.value.clone()).collect(),
        auth: auth.iter().map(|name| name.value.clone()).collect(),
        max_connections: section.small(reading, &MAX_CONNECTIONS),
        max_body_bytes: max_body.value,
        max_unpacked_bytes: max_unpacked.value.max(max_body.value),
        head_timeout: section.time(reading, &HEAD_TIMEOUT),
        body_timeout: section.time(reading, &BODY_TIMEOUT),
        idle_timeout: section.time(reading, &IDLE_TIMEOUT),
    };
    section.finish(&mut reading.faults);
    Http { settings, listen, auth }
}

fn parse(text: &At<String>, reading: &Reading<'_>) -> Result<Listen, Fault> {
    let Some(path) = text.value.strip_prefix("unix:") else {
        return address(&LISTEN, &text.value, &text.place).map(Listen::Tcp);
    };
    let path = reading.absolute(std::path::Path::new(path));
    let length = path.as_os_str().len();
    if text.value == "unix:" {
        let fault = Fault::new(text.place.clone(), "`listen` names a unix socket without a path");
        return Err(fault.label("no path").hint("for example: \"unix:/run/weir/ingest.sock\""));
    }
    if length > UNIX_PATH_MAX {
        let message = format!(
            "the path of a unix socket has at most {UNIX_PATH_MAX} bytes, but this one has {length}"
        );
        let fault = Fault::new(text.place.clone(), message).label("too long");
        return Err(fault.hint("put it into a shorter folder: \"unix:/run/weir/ingest.sock\""));
    }
    Ok(Listen::Unix(path))
}

/// An address and port; names are not looked up, so that what is bound is what is written.
pub(super) fn address(key: &Key, text: &str, place: &Place) -> Result<SocketAddr, Fault> {
    text.parse().map_err(|_| {
        let message = format!(
            "`{}` is \"{}\", but it should be an IP address with a port, like \"127.0.0.1:8080\"",
            key.name,
            clip(text)
        );
        let fault = Fault::new(place.clone(), message).label("not an address");
        match mended(text) {
            Some(mended) => fault.hint(format!("did you mean \"{mended}\"?")),
            None => fault,
        }
    })
}

/// Common ways to write an address that are none.
fn mended(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "8080"));
    let host = match host {
        "" | "localhost" => "127.0.0.1",
        "*" => "0.0.0.0",
        _ if text.parse::<u16>().is_ok() => return format!("127.0.0.1:{text}").parse().ok(),
        host => host,
    };
    format!("{host}:{port}").parse().ok()
}

fn check_open_door(listen: &At<Listen>, title: &str, reading: &mut Reading<'_>) {
    let Listen::Tcp(address) = &listen.value else { return };
    if address.ip().is_loopback() {
        return;
    }
    let message = format!("{title} would be open to the network: {address} without `auth`");
    let fault = Fault::new(listen.place.clone(), message).label("not loopback, and no `auth`");
    let hint =
        "name who may come in, like auth = [\"keys\"], or listen on 127.0.0.1 or a unix socket";
    reading.faults.push(fault.hint(hint));
}

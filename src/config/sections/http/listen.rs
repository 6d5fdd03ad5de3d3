//! Addresses to listen on.

use std::net::SocketAddr;

use crate::base::serve::{Access, MODE};
use crate::source::http::Listen;

use super::super::super::document::{At, Section};
use super::super::super::finding::{Fault, clip};
use super::super::super::key::{Default, Key, Kind};
use super::super::super::value::Reading;
use super::super::super::written::Place;

/// Who may connect to the unix sockets.
pub(super) const SOCKET: Key =
    Key::new("socket", Kind::Rows(&[SOCKET_MODE, SOCKET_OWNER, SOCKET_GROUP]), Default::Rows)
        .says("Who may connect to the unix sockets of this listener.");

const SOCKET_MODE: Key = Key::text("mode", Default::Text("0660"))
    .says("Permission bits of the files of unix sockets, octal: who may write may connect.");
const SOCKET_OWNER: Key =
    Key::text("owner", Default::Otherwise { example: "\"root\"", then: "the user that runs weir" })
        .says("Owner of these files: a name of `/etc/passwd`, or a number.");
const SOCKET_GROUP: Key =
    Key::text("group", Default::Otherwise { example: "\"adm\"", then: "the group that runs weir" })
        .says("Group of these files: a name of `/etc/group`, or a number.");

/// Longest path of a unix socket, in bytes (`sun_path` without its final zero).
const UNIX_PATH_MAX: usize = 107;
/// All permission bits.
const MODE_MAX: u32 = 0o777;

pub(super) fn access(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Access {
    let mut rows = section.nested(reading, &SOCKET);
    let mode = rows.text(reading, &SOCKET_MODE);
    let bits = u32::from_str_radix(&mode.value, 8).ok().filter(|bits| *bits <= MODE_MAX);
    if let (Some((text, place)), None) = (mode.written(), bits) {
        let message =
            format!("`mode` is \"{}\", but it should be permission bits, octal", clip(text));
        let fault = Fault::new(place.clone(), message).label("not 0000 to 0777");
        reading.faults.push(fault.hint("leave the line out for the default: mode = \"0660\""));
    }
    let owner = rows.optional_text(reading, &SOCKET_OWNER).map(|at| at.value);
    let group = rows.optional_text(reading, &SOCKET_GROUP).map(|at| at.value);
    rows.finish(&mut reading.faults);
    Access { mode: bits.unwrap_or(MODE), owner, group }
}

pub(super) fn parse(
    key: &Key,
    text: &At<String>,
    access: &Access,
    reading: &Reading<'_>,
) -> Result<Listen, Fault> {
    if let Some(name) = text.value.strip_prefix("systemd:") {
        if name.is_empty() || name.contains(':') {
            let fault = Fault::new(text.place.clone(), "`listen` names no socket of systemd");
            return Err(fault.label("no name").hint("for example: \"systemd:https\""));
        }
        return Ok(Listen::Systemd(name.to_owned()));
    }
    let Some(path) = text.value.strip_prefix("unix:") else {
        return address(key, &text.value, &text.place).map(Listen::Tcp);
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
    Ok(Listen::Unix(path, access.clone()))
}

/// An address and port; names are not looked up, so that what is bound is what is written.
pub(in crate::config::sections) fn address(
    key: &Key,
    text: &str,
    place: &Place,
) -> Result<SocketAddr, Fault> {
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

pub(super) fn check_open_door(listen: &At<Listen>, title: &str, reading: &mut Reading<'_>) {
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

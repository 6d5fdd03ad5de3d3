//! `type = "peer"`: processes at the other end of unix sockets.

use crate::admission::PeerRule;
use crate::base::serve;

use super::super::super::document::{At, Section};
use super::super::super::finding::{Fault, clip};
use super::super::super::key::{Default, Key, Kind, Table};
use super::super::super::value::Reading;
use super::{PLAN, STREAMS, TYPE, rule, wrong};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("local"),
    what: "a list of users and groups",
    variant: Some("peer"),
    effect: "Callers on this host, by the user and group of the process at the other end of a unix \
             socket, for which the kernel vouches.",
    groups: &[&[TYPE, CALLERS, PLAN, STREAMS]],
};

const CALLERS: Key = Key::new(
    "callers",
    Kind::Texts,
    Default::Required("[\"user:www-data => nginx\", \"group:1000\"]"),
)
.says(
    "Which processes, the first that fits decides: `\"user:…\"` or `\"group:…\"` (the one it had when \
     it connected), each a number or a name of `/etc/passwd` and `/etc/group`. `=> NAME` names the \
     caller; without it, it is the word itself: `user:www-data`.",
);

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<PeerRule> {
    let (texts, _) = section.texts(reading, &CALLERS);
    let parse = |text: At<String>| parse(&text).map_err(|fault| reading.faults.push(fault)).ok();
    texts.into_iter().filter_map(parse).collect()
}

fn parse(text: &At<String>) -> Result<PeerRule, Fault> {
    let (who, name) = rule(&text.value);
    let bad = || wrong(&CALLERS, text, "a user or a group", "\"user:www-data\"");
    let (kind, id) = who.split_once(':').filter(|(_, id)| !id.is_empty()).ok_or_else(bad)?;
    if name.is_some_and(str::is_empty) {
        return Err(bad());
    }
    let name = name.unwrap_or(who).to_owned();
    let found = match kind {
        "user" => serve::user_id(id),
        "group" => serve::group_id(id),
        _ => return Err(bad()),
    };
    let number = found.map_err(|_| None).and_then(|found| found.ok_or(Some(())));
    let number = number.map_err(|_| {
        let message = format!("`{}` has no {kind} `{}` on this host", CALLERS.name, clip(id));
        Fault::new(text.place.clone(), message).label("nobody").hint("a number will do as well")
    })?;
    let (uid, gid) = if kind == "user" { (Some(number), None) } else { (None, Some(number)) };
    Ok(PeerRule { uid, gid, name })
}

//! `[auth.NAME]`: a way to recognise callers. One file per type.

pub(in crate::config) mod api_key;
pub(in crate::config) mod authorizer;
pub(in crate::config) mod jwt;
pub(in crate::config) mod mtls;
pub(in crate::config) mod peer;
pub(in crate::config) mod sigv4;

use std::path::Path;

use crate::admission::{AuthKind, AuthSettings};

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind};
use super::super::value::Reading;
use super::address::{is_private, user_fault};

const TYPE: Key = Key::new(
    "type",
    Kind::Choice(&["api_key", "jwt", "sigv4", "mtls", "peer", "authorizer", "lambda_authorizer"]),
    Default::Required("\"api_key\""),
)
.says("How callers are recognised; decides which settings there are.");
const PLAN: Key = Key::text(
    "plan",
    Default::Otherwise { example: "\"gateway\"", then: "they have no limit of their own" },
)
.says("The `[plan.NAME]` of callers that bring none themselves.");
const STREAMS: Key = Key::new(
    "streams",
    Kind::Texts,
    Default::Otherwise { example: "[\"access\"]", then: "all streams" },
)
.says("The only streams that these callers may hand in to; elsewhere they are answered 403.");

#[derive(Debug)]
pub(in crate::config) struct Auth {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: AuthSettings,
    pub(in crate::config) plan: Option<At<String>>,
    pub(in crate::config) streams: Vec<At<String>>,
}

/// Reads one block; `None` if its type is unknown.
pub(super) fn read(table: &Named<'_>, state_dir: &Path, reading: &mut Reading<'_>) -> Option<Auth> {
    let kind = Section::of(&api_key::TABLE, table).choice(reading, &TYPE);
    kind.written()?;
    let of = match kind.value.as_str() {
        "jwt" => &jwt::TABLE,
        "sigv4" => &sigv4::TABLE,
        "mtls" => &mtls::TABLE,
        "peer" => &peer::TABLE,
        "authorizer" => &authorizer::HTTP,
        "lambda_authorizer" => &authorizer::LAMBDA,
        _ => &api_key::TABLE,
    };
    let mut section = Section::of(of, table);
    section.take(&TYPE);
    let plan = section.optional_text(reading, &PLAN);
    let is_limited = section.has(&STREAMS);
    let (streams, _) = section.texts(reading, &STREAMS);
    let kind = match kind.value.as_str() {
        "jwt" => jwt::read(&mut section, (&table.name.value, state_dir), reading),
        "sigv4" => sigv4::read(&mut section, reading),
        "mtls" => AuthKind::Mtls { callers: mtls::read(&mut section, reading) },
        "peer" => AuthKind::Peer { callers: peer::read(&mut section, reading) },
        "authorizer" => authorizer::read(&mut section, reading),
        "lambda_authorizer" => authorizer::read_lambda(&mut section, reading),
        _ => api_key::read(&mut section, reading),
    };
    section.finish(&mut reading.faults);
    let names = streams.iter().map(|stream| stream.value.clone()).collect();
    let settings = AuthSettings {
        kind,
        plan: plan.as_ref().map(|plan| plan.value.clone()),
        streams: is_limited.then_some(names),
    };
    Some(Auth { name: table.name.clone(), settings, plan, streams })
}

/// `PATTERN` or `PATTERN => NAME`, cut in two.
fn rule(text: &str) -> (&str, Option<&str>) {
    match text.split_once("=>") {
        Some((pattern, name)) => (pattern.trim(), Some(name.trim())),
        None => (text.trim(), None),
    }
}

/// A value that is none; `right` is an example.
fn wrong(key: &Key, text: &At<String>, should: &str, right: &str) -> Fault {
    let message =
        format!("`{}` has \"{}\", but it should be {should}", key.name, clip(&text.value));
    Fault::new(text.place.clone(), message).label("not that").hint(format!("for example: {right}"))
}

/// An address to ask. In clear text anybody on the way could answer.
fn check_url(key: &Key, url: &At<String>, reading: &mut Reading<'_>) {
    let rest = url.value.strip_prefix("https://").or_else(|| url.value.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with(['/', ':']) && !rest.contains([' ', '@', '#'])
    });
    let example = format!("for example: {}", key.example_toml());
    if let Some(fault) = user_fault(key.name, url, &example, reading) {
        reading.faults.push(fault);
    } else if !is_url {
        reading.faults.push(wrong(key, url, "an address", &key.example_toml()));
    } else if !is_private(&url.value) {
        let message = format!("`{}` is asked in clear text", key.name);
        let fault = Fault::new(url.place.clone(), message).label("not https, and not this host");
        reading.faults.push(fault.hint("whoever is on the way could let anybody in: use https"));
    }
}

//! `type = "api_key"`: keys, hashed, in a file.

use crate::admission::AuthSettings;

use super::super::super::document::{At, Named};
use super::super::super::key::{Default, Key, Kind, Table};
use super::super::super::value::Reading;
use super::{PLAN, TYPE, name, section};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("keys"),
    what: "an API key file",
    variant: Some("api_key"),
    effect: "Callers with a key, in `x-api-key` or as `Authorization: Bearer`. Listeners and routes \
             name the `[auth.NAME]` they use in `auth`.",
    groups: &[&[TYPE, FILE, PLAN]],
};

const FILE: Key = Key::new("file", Kind::Path, Default::Required("\"/etc/weir/keys.toml\""))
    .says("The file of hashed keys, which `weir keys add` writes; read anew when it changes.");

pub(super) fn read(
    table: &Named<'_>,
    reading: &mut Reading<'_>,
) -> (AuthSettings, Option<At<String>>) {
    let (mut section, plan) = section(&TABLE, table, reading);
    let file = section.path(reading, &FILE).value;
    section.finish(&mut reading.faults);
    (AuthSettings::ApiKey { file, plan: name(plan.as_ref()) }, plan)
}

//! `type = "api_key"`: keys, hashed, in a file.

use crate::admission::AuthKind;

use super::super::super::document::Section;
use super::super::super::key::{Default, Key, Kind, Table};
use super::super::super::value::Reading;
use super::{PLAN, STREAMS, TYPE};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("keys"),
    what: "an API key file",
    variant: Some("api_key"),
    effect: "Callers with a key, in `x-api-key` or as `Authorization: Bearer`. Listeners and routes \
             name the `[auth.NAME]` they use in `auth`.",
    groups: &[&[TYPE, FILE, PLAN, STREAMS]],
};

const FILE: Key = Key::new("file", Kind::Path, Default::Required("\"/etc/weir/keys.toml\""))
    .says("The file of hashed keys, which `weir keys add` writes; read anew when it changes.");

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AuthKind {
    AuthKind::ApiKey { file: section.path(reading, &FILE).value }
}

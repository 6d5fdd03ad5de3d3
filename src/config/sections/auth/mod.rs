//! `[auth.NAME]`: a way to recognise callers. One file per type.

pub(in crate::config) mod api_key;
pub(in crate::config) mod sigv4;

use crate::admission::AuthSettings;

use super::super::document::{At, Named, Section};
use super::super::key::{Default, Key, Kind};
use super::super::value::Reading;

const TYPE: Key =
    Key::new("type", Kind::Choice(&["api_key", "sigv4"]), Default::Required("\"api_key\""))
        .says("How callers are recognised; decides which settings there are.");
const PLAN: Key =
    Key::text("plan", Default::Otherwise { example: "\"gateway\"", then: "they have no limit" })
        .says("The `[plan.NAME]` of callers that bring none of their own.");

#[derive(Debug)]
pub(in crate::config) struct Auth {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: AuthSettings,
    pub(in crate::config) plan: Option<At<String>>,
}

/// Reads one block; `None` if its type is unknown.
pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Option<Auth> {
    let kind = Section::of(&api_key::TABLE, table).choice(reading, &TYPE);
    let (settings, plan) = match kind.written()?.0.as_str() {
        "sigv4" => sigv4::read(table, reading),
        _ => api_key::read(table, reading),
    };
    Some(Auth { name: table.name.clone(), settings, plan })
}

/// The section of a type, with what all types share taken out of it.
fn section<'d>(
    of: &'static super::Table,
    table: &Named<'d>,
    reading: &mut Reading<'_>,
) -> (Section<'d>, Option<At<String>>) {
    let mut section = Section::of(of, table);
    section.take(&TYPE);
    let plan = section.optional_text(reading, &PLAN);
    (section, plan)
}

/// The name alone.
fn name(plan: Option<&At<String>>) -> Option<String> {
    plan.map(|at| at.value.clone())
}

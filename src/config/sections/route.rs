//! `[route.NAME]`: a path of its own for a stream.

use std::sync::Arc;

use crate::admission::Treatment;
use crate::source::http::{ANY, RouteSettings, Thanks};

use super::super::document::{At, Named, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind, Table};
use super::super::value::Reading;
use super::treatment::{self, Treated};

pub(in crate::config) const TABLE: Table = Table {
    name: "route",
    example: Some("devices"),
    what: "a route",
    variant: None,
    effect: "A method and a path of your own that lead to a stream. The fixed paths of a listener \
             come first; then a segment that is written out beats `{name}`, which beats `{*rest}`; \
             then a method that is named beats `ANY`.",
    groups: &[&[METHOD, PATH, STREAM, HTTP, AUTH, PLAN, JSON_ARRAY, STATUS, BODY], treatment::ROWS],
};

const METHOD: Key =
    Key::new("method", Kind::Texts, Default::Otherwise { example: "\"POST\"", then: "POST" })
        .says("The method, or a list of them; `\"ANY\"` for all.");
const PATH: Key = Key::text("path", Default::Required("\"/ingest/{device}/events\"")).says(
    "The path. `{name}` stands for one segment, `{*name}` at the end for all the rest; their values \
     can be used in the templates of partition keys.",
);
const STREAM: Key =
    Key::text("stream", Default::Required("\"access\"")).says("Where the records go.");
const HTTP: Key = Key::texts("http", Default::Nothing)
    .says("Names of the `[http.NAME]` listeners that serve it; all of them without any.");
const AUTH: Key = Key::new(
    "auth",
    Kind::Texts,
    Default::Otherwise { example: "\"keys\"", then: "those of the listener" },
)
.says("Names of `[auth.NAME]` tables that are asked here; `[]` opens the route to everybody, which is \
       legal on loopback and unix sockets only.");
const PLAN: Key =
    Key::text("plan", Default::Otherwise { example: "\"gateway\"", then: "that of the listener" })
        .says("The `[plan.NAME]` of the whole route, whoever hands in.");
pub(in crate::config::sections) const JSON_ARRAY: Key =
    Key::new("json_array", Kind::Choice(&["one", "split"]), Default::Text("one")).says(
        "Whether a JSON array (`application/json`) is one record, or each of its elements is one.",
    );
const STATUS: Key = Key::count("status", 202)
    .within(200, 204)
    .says("The status of a success: 200, 201, 202, or 204 without a body.");
const BODY: Key = Key::text(
    "body",
    Default::Otherwise { example: "\"ok\"", then: "the number of records and their ids, in JSON" },
)
.says("The body of a success.");

/// Longest method that is one.
const METHOD_CHARS_MAX: usize = 32;

#[derive(Debug)]
pub(in crate::config) struct Route {
    pub(in crate::config) settings: RouteSettings,
    pub(in crate::config) name: At<String>,
    pub(in crate::config) path: At<String>,
    pub(in crate::config) stream: Option<At<String>>,
    pub(in crate::config) http: Vec<At<String>>,
    pub(in crate::config) auth: Vec<At<String>>,
    pub(in crate::config) plan: Option<At<String>>,
    /// Where it was opened to everybody.
    pub(in crate::config) is_open: bool,
    /// Streams that its transform may lead to.
    pub(in crate::config) leads_to: Vec<At<String>>,
}

impl Route {
    /// Whether this listener serves it.
    pub(in crate::config) fn is_served_by(&self, http: &str) -> bool {
        self.http.is_empty() || self.http.iter().any(|name| name.value == http)
    }
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Route {
    let mut section = Section::of(&TABLE, table);
    let methods = methods(&mut section, reading);
    let path = section.optional_text(reading, &PATH);
    let stream = section.optional_text(reading, &STREAM);
    let (http, _) = section.texts(reading, &HTTP);
    let has_auth = section.has(&AUTH);
    let (auth, auth_is_sound) = section.texts(reading, &AUTH);
    let plan = section.optional_text(reading, &PLAN);
    let split_arrays = section.choice(reading, &JSON_ARRAY).value == "split";
    let status = section.number(reading, &STATUS);
    if let Some((203, place)) = status.written().map(|(status, place)| (*status, place)) {
        let message = "`status` is 203, which says that somebody else changed the answer";
        let fault = Fault::new(place.clone(), message).label("not 200, 201, 202 or 204");
        reading.faults.push(fault.hint("leave the line out for the default: status = 202"));
    }
    let body = section.optional_text(reading, &BODY);
    if let (204, Some(body)) = (status.value, &body) {
        let fault =
            Fault::new(body.place.clone(), "`body` stands with `status` 204, which has none");
        reading.faults.push(fault.label("never sent").hint("take it out, or set status = 200"));
    }
    let Treated { treatment, leads_to } = treatment::read(&mut section, reading);
    let treatment = (treatment != Treatment::default()).then(|| Arc::new(treatment));
    section.finish(&mut reading.faults);
    let names = |all: &[At<String>]| all.iter().map(|at| at.value.clone()).collect::<Vec<_>>();
    let settings = RouteSettings {
        name: table.name.value.clone(),
        methods,
        path: path.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
        stream: stream.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
        auth: has_auth.then(|| names(&auth)),
        plan: plan.as_ref().map(|plan| plan.value.clone()),
        split_arrays,
        thanks: Thanks {
            status: u16::try_from(status.value).unwrap_or(202),
            body: body.map(|at| at.value),
        },
        treatment,
    };
    let is_open = has_auth && auth_is_sound && auth.is_empty();
    let nowhere = At { value: String::new(), place: table.header.clone() };
    let path = path.unwrap_or(nowhere);
    let name = table.name.clone();
    Route { settings, name, path, stream, http, auth, plan, is_open, leads_to }
}

fn methods(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let (texts, _) = section.texts(reading, &METHOD);
    if texts.is_empty() {
        return vec!["POST".to_owned()];
    }
    let mut methods = Vec::new();
    for text in texts {
        let plain = |c: char| c.is_ascii_uppercase() || c == '-';
        let is_one = text.value.chars().all(plain) && text.value.len() <= METHOD_CHARS_MAX;
        if !is_one {
            let message = format!("`{}` is no method of HTTP", clip(&text.value));
            let fault = Fault::new(text.place, message).label("not a method");
            let hint = format!("in capitals, like POST, or {ANY} for all");
            reading.faults.push(fault.hint(hint));
            continue;
        }
        methods.push(text.value);
    }
    methods
}

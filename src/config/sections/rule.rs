//! `[rule.NAME]`: what is counted or sent away before anybody is asked who it is.

use crate::admission::Pattern;
use crate::source::http::{HeaderRule, Mode, RuleSettings};

use super::super::document::{At, Named, Section};
use super::super::finding::Fault;
use super::super::key::{Default, Key, Kind, Table};
use super::super::value::Reading;
use super::http::nets;

pub(in crate::config) const TABLE: Table = Table {
    name: "rule",
    example: Some("scanners"),
    what: "a rule",
    variant: None,
    effect: "Looks at a request before anybody is asked who it is. What all its settings fit is \
             counted (`weir_http_rule_matches_total`), and answered 403 in `mode = \"block\"`; with a \
             `rate`, only what is beyond it, and then 429. Rules are asked in the order of the file, \
             after `allow` and `deny`.",
    groups: &[&[HTTP, MODE, ADDRESSES, METHOD, PATH, HEADER, VALUE, RATE]],
};

const HTTP: Key = Key::texts("http", Default::Nothing)
    .says("Names of the `[http.NAME]` listeners that it is for; all of them without any.");
const MODE: Key = Key::new("mode", Kind::Choice(&["count", "block"]), Default::Text("count")).says(
    "`count` only counts what would be sent away: look at the number before you set `block`.",
);
const ADDRESSES: Key = Key::texts("addresses", Default::Nothing)
    .says("Networks (`\"10.0.0.0/8\"`) or addresses of senders; everybody without any.");
const METHOD: Key = Key::texts("method", Default::Nothing).says("Methods; all without any.");
const PATH: Key = Key::text("path", Default::Otherwise { example: "\"/wp-*\"", then: "any path" })
    .says("The path as it came in, without the query; `*` stands for anything.");
const HEADER: Key = Key::text(
    "header",
    Default::Otherwise { example: "\"user-agent\"", then: "headers are not looked at" },
)
.says("A header.");
const VALUE: Key = Key::text(
    "value",
    Default::Otherwise { example: "\"*scanner*\"", then: "the header must be missing" },
)
.says("What one of its values must be; `*` stands for anything.");
const RATE: Key = Key::new(
    "rate",
    Kind::Rate,
    Default::Otherwise { example: "\"100/s\"", then: "whatever fits is meant" },
)
.within(1, 1_000_000_000)
.says("So many requests of one address (IPv4, or IPv6 /64) are let through, and so many at once.");

#[derive(Debug)]
pub(in crate::config) struct Rule {
    pub(in crate::config) settings: RuleSettings,
    pub(in crate::config) http: Vec<At<String>>,
}

impl Rule {
    /// Whether this listener has it.
    pub(in crate::config) fn is_for(&self, http: &str) -> bool {
        self.http.is_empty() || self.http.iter().any(|name| name.value == http)
    }
}

pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Rule {
    let mut section = Section::of(&TABLE, table);
    let (http, _) = section.texts(reading, &HTTP);
    let mode = match section.choice(reading, &MODE).value.as_str() {
        "block" => Mode::Block,
        _ => Mode::Count,
    };
    let (methods, _) = section.texts(reading, &METHOD);
    let path = section.optional_text(reading, &PATH);
    let rate =
        section.read(reading, &RATE, None, |reading, entry| reading.rate(&RATE, entry).map(Some));
    let is_written = !section.is_empty() || path.is_some() || !methods.is_empty();
    let settings = RuleSettings {
        name: table.name.value.clone(),
        mode,
        addresses: nets::read(&mut section, &ADDRESSES, reading),
        methods: methods.into_iter().map(|method| method.value).collect(),
        path: path.map(|path| Pattern::new(path.value, None)),
        header: header(&mut section, reading),
        rate: rate.value,
    };
    if !is_written && rate.place.is_none() {
        let message = format!("{} would meet every request", section.title);
        let fault = Fault::warning(section.place.clone(), message).label("nothing to look at");
        reading.faults.push(fault.hint(format!("for example: path = {}", PATH.example_toml())));
    }
    section.finish(&mut reading.faults);
    Rule { settings, http }
}

fn header(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<HeaderRule> {
    let name = section.optional_text(reading, &HEADER);
    let value = section.optional_text(reading, &VALUE);
    let Some(name) = name else {
        if let Some(value) = value {
            let fault = Fault::new(value.place, "`value` stands without `header`");
            let fault = fault.label("the value of what?");
            reading.faults.push(fault.hint(format!("add header = {}", HEADER.example_toml())));
        }
        return None;
    };
    let value = value.map(|value| Pattern::new(value.value, None));
    Some(HeaderRule { name: name.value.to_ascii_lowercase(), value })
}

//! `type = "mtls"`: certificates shown in TLS.

use crate::admission::{Pattern, SubjectField, SubjectRule};

use super::super::super::document::{At, Section};
use super::super::super::key::{Default, Key, Kind, Table};
use super::super::super::value::Reading;
use super::{PLAN, STREAMS, TYPE, rule, wrong};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("devices"),
    what: "a list of certificates",
    variant: Some("mtls"),
    effect: "Callers with a certificate that `tls.client_ca` of the listener has signed. Behind a \
             proxy that ends TLS there is none.",
    groups: &[&[TYPE, CALLERS, PLAN, STREAMS]],
};

const CALLERS: Key = Key::new("callers", Kind::Texts, Default::Required("[\"cn:device-*\"]")).says(
    "Which certificates, the first that fits decides: `\"cn:…\"` (common name), `\"ou:…\"` (unit), \
     `\"dns:…\"`, `\"uri:…\"` or `\"email:…\"` (alternative names). `*` stands for anything but a dot \
     in `dns` and a slash in `uri`. What was found names the caller; `\"cn:old-gw => gateway\"` \
     gives it another name.",
);

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<SubjectRule> {
    let (texts, _) = section.texts(reading, &CALLERS);
    let mut rules = Vec::new();
    for text in texts {
        match parse(&text) {
            Some(rule) => rules.push(rule),
            None => {
                let should = "where to look and what for";
                reading.faults.push(wrong(&CALLERS, &text, should, "\"cn:device-*\""));
            }
        }
    }
    rules
}

fn parse(text: &At<String>) -> Option<SubjectRule> {
    let (pattern, name) = rule(&text.value);
    let (field, pattern) = pattern.split_once(':').filter(|(_, pattern)| !pattern.is_empty())?;
    let (field, separator) = match field {
        "cn" => (SubjectField::CommonName, None),
        "ou" => (SubjectField::Unit, None),
        "dns" => (SubjectField::Dns, Some('.')),
        "uri" => (SubjectField::Uri, Some('/')),
        "email" => (SubjectField::Email, None),
        _ => return None,
    };
    if name.is_some_and(str::is_empty) {
        return None;
    }
    let pattern = Pattern::new(pattern, separator);
    Some(SubjectRule { field, pattern, name: name.map(str::to_owned) })
}

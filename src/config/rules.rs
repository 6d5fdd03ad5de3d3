//! Rules across tables: all of them, always.

mod aliases;
mod doors;
mod routes;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::source::http::Listen;

use super::document::At;
use super::finding::{Fault, Faults, clip};
use super::key::list;
use super::sections::framing::MAX_LINE;
use super::sections::stream::{Flow, MAX_BYTES, MAX_RECORD};
use super::sections::{Sections, destination};
use super::suggest::nearest;
use super::written::Place;

/// A queue holds at least this many of its largest records, so that segments can come and go.
const QUEUE_RECORDS_MIN: u64 = 4;

/// Notes everything that is wrong between tables.
pub(super) fn check(sections: &Sections, faults: &mut Faults) {
    check_references(sections, faults);
    check_addresses(sections, faults);
    routes::check(sections, faults);
    aliases::check(sections, faults);
    doors::check(sections, faults);
    check_leads(sections, faults);
    check_sizes(sections, faults);
    if sections.flows.is_empty() && !faults.has_errors() {
        let fault = Fault::new(0..0, "there is no stream, so nothing could be taken in");
        faults.push(fault.label("no [stream.NAME]").hint(
            "add a stream and its destination, as in config/examples; `weir demo` runs without a file",
        ));
    }
}

/// Largest record of a stream: as written, or the default lowered to what its destinations take.
pub(super) fn max_record(flow: &Flow, sections: &Sections) -> u64 {
    if flow.max_record.place.is_some() {
        return flow.max_record.value;
    }
    let most = destinations(flow, sections).filter_map(destination::Upstream::payload_max);
    most.map(|(certain, _)| certain).fold(flow.max_record.value, u64::min)
}

/// The destinations of a stream that are sound.
pub(super) fn destinations<'s>(
    flow: &'s Flow,
    sections: &'s Sections,
) -> impl Iterator<Item = &'s destination::Upstream> {
    flow.destinations.iter().filter_map(|name| {
        sections.upstreams.iter().find(|upstream| upstream.name.value == name.value)
    })
}

fn check_references(sections: &Sections, faults: &mut Faults) {
    let streams: Vec<&str> = sections.flows.iter().map(|flow| flow.name.value.as_str()).collect();
    let listeners: Vec<&str> =
        sections.http.iter().map(|http| http.settings.name.as_str()).collect();
    let auth: Vec<&str> = sections.auths.iter().map(|name| name.value.as_str()).collect();
    let plans: Vec<&str> = sections.plans.iter().map(|plan| plan.name.value.as_str()).collect();
    let destinations: Vec<&str> =
        sections.destinations.iter().map(|name| name.value.as_str()).collect();

    let encryptions: Vec<&str> =
        sections.encryptions.iter().map(|name| name.value.as_str()).collect();

    for flow in &sections.flows {
        let from = format!("the queue of stream `{}` is sealed by", flow.name.value);
        flow.encryption
            .iter()
            .for_each(|name| refer(&from, "encryption", name, &encryptions, faults));
        let from = format!("the transform of stream `{}` may lead to", flow.name.value);
        flow.treated
            .leads_to
            .iter()
            .for_each(|name| refer(&from, "stream", name, &streams, faults));
        let from = format!("stream `{}` leads to", flow.name.value);
        flow.destinations
            .iter()
            .for_each(|name| refer(&from, "destination", name, &destinations, faults));
    }
    for tail in &sections.tails {
        let from = format!("tail `{}` feeds", tail.settings.name);
        let named = tail.stream.iter().chain(&tail.streams);
        named.for_each(|name| refer(&from, "stream", name, &streams, faults));
    }
    for http in &sections.http {
        let from = format!("listener `{}` asks", http.settings.name);
        http.auth.iter().for_each(|name| refer(&from, "auth", name, &auth, faults));
    }
    for route in &sections.routes {
        let from = format!("route `{}` leads to", route.name.value);
        route.stream.iter().for_each(|name| refer(&from, "stream", name, &streams, faults));
        let from = format!("the transform of route `{}` may lead to", route.name.value);
        route.leads_to.iter().for_each(|name| refer(&from, "stream", name, &streams, faults));
        let from = format!("route `{}` is for", route.name.value);
        route.http.iter().for_each(|name| refer(&from, "http", name, &listeners, faults));
        let from = format!("route `{}` asks", route.name.value);
        route.auth.iter().for_each(|name| refer(&from, "auth", name, &auth, faults));
    }
    for rule in &sections.rules {
        let from = format!("rule `{}` is for", rule.settings.name);
        rule.http.iter().for_each(|name| refer(&from, "http", name, &listeners, faults));
    }
    check_plans(sections, &plans, faults);
    for one in &sections.auth {
        let from = format!("auth `{}` gives its callers the plan", one.name.value);
        one.plan.iter().for_each(|name| refer(&from, "plan", name, &plans, faults));
        let from = format!("auth `{}` lets its callers in to", one.name.value);
        one.streams.iter().for_each(|name| refer(&from, "stream", name, &streams, faults));
    }
}

/// Whoever holds one names one that is there.
fn check_plans(sections: &Sections, plans: &[&str], faults: &mut Faults) {
    let mut check = |what: &str, holder: &str, plan: &At<String>| {
        refer(&format!("{what} `{holder}` has the plan"), "plan", plan, plans, faults);
    };
    for flow in &sections.flows {
        flow.plan.iter().for_each(|plan| check("stream", &flow.name.value, plan));
    }
    for http in &sections.http {
        http.plans.iter().for_each(|plan| check("listener", &http.settings.name, plan));
    }
    for route in &sections.routes {
        route.plan.iter().for_each(|plan| check("route", &route.name.value, plan));
    }
}

fn refer(from: &str, table: &str, to: &At<String>, known: &[&str], faults: &mut Faults) {
    if known.contains(&to.value.as_str()) {
        return;
    }
    let name = clip(&to.value);
    let message = format!("{} `{name}`, but there is no [{table}.{name}]", clip(from));
    let fault = Fault::new(to.place.clone(), message).label(format!("no [{table}.{name}]"));
    faults.push(match nearest(&to.value, known.iter().copied()) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => fault.hint(format!("there is no [{table}.NAME] in this file")),
        None => fault.hint(format!("in this file: {}", list(&shortened(known), "and"))),
    });
}

/// Enough names for a hint.
fn shortened<'a>(names: &[&'a str]) -> Vec<&'a str> {
    names.iter().take(12).copied().collect()
}

/// Where a transform leads records, they stay: no record goes in circles.
fn check_leads(sections: &Sections, faults: &mut Faults) {
    let of_streams = sections.flows.iter().flat_map(|flow| &flow.treated.leads_to);
    let of_routes = sections.routes.iter().flat_map(|route| &route.leads_to);
    for name in of_streams.chain(of_routes) {
        let led = sections.flows.iter().find(|flow| flow.name.value == name.value);
        if led.is_some_and(|led| !led.treated.leads_to.is_empty()) {
            let name_shown = clip(&name.value);
            let message = format!("stream `{name_shown}` is led to, but leads on itself");
            let fault = Fault::new(name.place.clone(), message).label("not where records stay");
            faults.push(fault.hint(format!(
                "take `transform_to` out of [stream.{name_shown}], or lead to where it leads"
            )));
        }
    }
}

/// No address can be bound twice. Port 0 is a different one each time.
fn check_addresses(sections: &Sections, faults: &mut Faults) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let admin = sections.process.admin.listen;
    if admin.port() != 0 {
        taken.insert(admin.to_string(), "[admin]".to_owned());
    }
    for http in &sections.http {
        let title = format!("[http.{}]", clip(&http.settings.name));
        for listen in &http.listen {
            let address = match &listen.value {
                Listen::Tcp(address) if address.port() == 0 => continue,
                Listen::Tcp(address) => address.to_string(),
                other => other.to_string(),
            };
            let Some(other) = taken.insert(address.clone(), title.clone()) else { continue };
            let message = format!("{title} and {other} both listen on {address}");
            let fault = Fault::new(listen.place.clone(), message).label("taken");
            faults.push(fault.hint(format!("give one of them another {}", part(&listen.value))));
        }
    }
}

fn part(listen: &Listen) -> &'static str {
    match listen {
        Listen::Tcp(SocketAddr::V4(_) | SocketAddr::V6(_)) => "port",
        Listen::Unix(..) => "path",
        Listen::Systemd(_) => "name",
    }
}

/// What is let in at one place must fit at the next.
fn check_sizes(sections: &Sections, faults: &mut Faults) {
    for flow in &sections.flows {
        check_queue(flow, max_record(flow, sections), faults);
    }
    for tail in &sections.tails {
        let name = tail.stream.as_ref().map(|stream| stream.value.as_str());
        let flow = sections.flows.iter().find(|flow| Some(flow.name.value.as_str()) == name);
        let (Some(flow), Some((line, place))) = (flow, tail.max_line.written()) else { continue };
        let record = max_record(flow, sections);
        if *line > record && flow.max_record.is_sound {
            faults.push(too_long(*line, place, record, &flow.name.value));
        }
    }
}

fn too_long(line: u64, place: &Place, record: u64, stream: &str) -> Fault {
    let record = MAX_RECORD.show(record);
    let line = MAX_LINE.show(line);
    let message =
        format!("`max_line` is {line}, but stream `{stream}` takes records of up to {record}");
    let fault = Fault::new(place.clone(), message).label(format!("more than {record}"));
    fault.hint(format!("set it to \"{record}\", or raise `max_record` in [stream.{stream}]"))
}

fn check_queue(flow: &Flow, record: u64, faults: &mut Faults) {
    let most = flow.max_bytes.value;
    let place = flow.max_bytes.place.as_ref().or(flow.max_record.place.as_ref());
    let least = record.saturating_mul(QUEUE_RECORDS_MIN);
    let sound = flow.max_bytes.is_sound && flow.max_record.is_sound;
    if let Some(place) = place.filter(|_| sound && most < least) {
        let (most, least) = (MAX_BYTES.show(most), MAX_BYTES.show(least));
        let record = MAX_RECORD.show(record);
        let message = format!(
            "the queue of `{}` has {most}, but must hold {QUEUE_RECORDS_MIN} records of {record}",
            flow.name.value
        );
        let fault = Fault::new(place.clone(), message).label(format!("less than {least}"));
        faults.push(
            fault.hint(format!(
                "set `queue.max_bytes` to \"{least}\" or more, or lower `max_record`"
            )),
        );
    }
}

//! From sound sections to the configuration ready for use.

use std::collections::BTreeMap;

use crate::admission;
use crate::queue::Keys;
use crate::source::{http, tail};

use super::rules::{destinations, max_record};
use super::sections::Sections;
use super::sections::http::Http;
use super::sections::stream::Flow;
use super::{Config, Encryption, Stream};

/// Puts the Settings of all rooms together.
pub(super) fn assemble(sections: Sections) -> Config {
    let records: BTreeMap<String, u64> = sections
        .flows
        .iter()
        .map(|flow| (flow.name.value.clone(), max_record(flow, &sections)))
        .collect();
    let open = |flow: &Flow| {
        let name = flow.name.value.clone();
        let settings = admission::StreamSettings {
            max_record_bytes: records.get(&name).copied().unwrap_or(u64::MAX),
            partition_key: flow.partition_key.clone(),
            aliases: flow.aliases.iter().map(|alias| alias.value.clone()).collect(),
            plan: flow.plan.as_ref().map(|plan| plan.value.clone()),
            treatment: flow.treated.treatment.clone(),
        };
        (name, settings)
    };
    let doors = sections.flows.iter().map(open).collect();
    let streams = streams(&sections);
    let http = listeners(&sections);
    let tails = sections.tails.into_iter();
    let mut tail: Vec<_> = tails.flat_map(|tail| one_for_each_stream(tail.settings)).collect();
    for settings in &mut tail {
        let record = records.get(&settings.stream).copied().unwrap_or(u64::MAX);
        let record = usize::try_from(record).unwrap_or(usize::MAX);
        settings.framing.record_bytes_max = settings.framing.record_bytes_max.min(record);
    }
    let admission = admission::Settings {
        streams: doors,
        auth: sections.auth.into_iter().map(|auth| (auth.name.value, auth.settings)).collect(),
        plans: sections.plans.into_iter().map(|plan| (plan.name.value, plan.settings)).collect(),
    };
    let process = sections.process;
    Config {
        state_dir: process.state_dir,
        grace: process.grace,
        log_format: process.log_format,
        log_level: process.log_level,
        traces: process.traces,
        emf: process.emf,
        reload_on_change: process.reload_on_change,
        admission,
        streams,
        destinations: sections
            .upstreams
            .into_iter()
            .map(|upstream| (upstream.name.value, upstream.settings))
            .collect(),
        http,
        tail,
        stdin: None,
        stdin_framing: sections.stdin,
        is_once: false,
        uplink: sections.uplink,
        dead_letters: process.dead_letters,
        admin: process.admin,
    }
}

/// A follower has one queue, which has its marks too: of a template, there is one for each stream.
fn one_for_each_stream(settings: tail::Settings) -> Vec<tail::Settings> {
    let Some(route) = settings.route.clone() else { return vec![settings] };
    let streams = route.streams().iter();
    let of = |stream: &String| tail::Settings {
        name: format!("{}@{stream}", settings.name),
        stream: stream.clone(),
        ..settings.clone()
    };
    streams.map(of).collect()
}

/// The listeners, each with its routes.
fn listeners(sections: &Sections) -> Vec<http::Settings> {
    let with_routes = |http: &Http| {
        let mut settings = http.settings.clone();
        let rules = sections.rules.iter().filter(|rule| rule.is_for(&settings.name));
        settings.rules = rules.map(|rule| rule.settings.clone()).collect();
        let routes = sections.routes.iter().filter(|route| route.is_served_by(&settings.name));
        settings.routes = routes.map(|route| route.settings.clone()).collect();
        settings
    };
    sections.http.iter().map(with_routes).collect()
}

fn streams(sections: &Sections) -> BTreeMap<String, Stream> {
    let mut streams = BTreeMap::new();
    for flow in &sections.flows {
        let mut delivery = Vec::new();
        for upstream in destinations(flow, sections) {
            let mut feed = upstream.feed.clone();
            feed.stream.clone_from(&flow.name.value);
            feed.pace.rank = flow.rank;
            delivery.push(feed);
        }
        let mut queue = flow.queue.clone();
        let sealing = flow
            .encryption
            .as_ref()
            .and_then(|name| sections.sealings.iter().find(|one| one.name.value == name.value));
        let mut kms = None;
        match sealing.map(|one| &one.settings) {
            Some(Encryption::Key(key, old)) => queue.keys = Keys::new(key.clone(), old.clone()),
            Some(Encryption::Kms(settings, old)) => {
                queue.keys = Keys::new(None, old.clone());
                kms = Some(settings.as_ref().clone());
            }
            None => {}
        }
        let stream = Stream { queue, kms, delivery };
        streams.insert(flow.name.value.clone(), stream);
    }
    streams
}

//! What works, but is probably not meant: warnings.

use std::path::Path;

use crate::base::disk::Disk;
use crate::base::units::ByteSize;

use super::Destination;
use super::finding::{Fault, Faults, clip};
use super::key::MIB;
use super::rules::destinations;
use super::sections::Sections;
use super::sections::destination::IN_FLIGHT_BYTES;
use super::sections::route::Route;
use super::sections::stream::MAX_RECORD;
use super::sections::tail::Tailed;

/// Folders that are emptied at the next start, or live in memory.
const FLEETING: [&str; 4] = ["/tmp", "/run", "/dev/shm", "/var/run"];
/// Memory for records under way beyond which the operator is told.
const IN_FLIGHT_ALL_MAX: u64 = 512 * MIB;

/// Notes everything that is doubtful in a file that is otherwise sound.
pub(super) fn check(sections: &Sections, disk: &dyn Disk, faults: &mut Faults) {
    check_state_dir(sections, faults);
    check_unused(sections, faults);
    check_sources(sections, faults);
    check_second_doors(sections, faults);
    check_records(sections, faults);
    check_memory(sections, faults);
    check_loops(sections, faults);
    check_disk(sections, disk, faults);
}

fn check_state_dir(sections: &Sections, faults: &mut Faults) {
    let process = &sections.process;
    let Some(fleeting) = FLEETING.iter().find(|folder| process.state_dir.starts_with(folder))
    else {
        return;
    };
    let message =
        format!("`state_dir` is below {fleeting}, which does not outlive a restart of the machine");
    let fault = Fault::warning(process.state_dir_place.clone(), message);
    faults.push(
        fault
            .label("what waits here would be lost")
            .hint("put it on a real disk, like state_dir = \"/var/lib/weir\""),
    );
}

fn check_unused(sections: &Sections, faults: &mut Faults) {
    for name in &sections.destinations {
        let is_used = |flow: &super::sections::stream::Flow| {
            flow.destinations.iter().any(|known| known.value == name.value)
        };
        if !sections.flows.iter().any(is_used) {
            let message = format!("no stream leads to destination `{}`", name.value);
            let fault = Fault::warning(name.place.clone(), message).label("not used");
            faults.push(fault.hint("name it in the `destinations` of a stream, or take it out"));
        }
    }
    for auth in &sections.auth {
        let name = &auth.name;
        let by_route = |route: &Route| route.auth.iter().any(|known| known.value == name.value);
        let is_used = sections.http.iter().any(|http| http.settings.auth.contains(&name.value))
            || sections.routes.iter().any(by_route);
        if !is_used {
            let message = format!("no listener asks auth `{}`", name.value);
            let fault = Fault::warning(name.place.clone(), message).label("not used");
            faults.push(fault.hint("name it in the `auth` of a listener, or take it out"));
        }
    }
    // A key may name any plan, so a plan is surely unused only where there are no keys.
    for plan in sections.plans.iter().filter(|_| sections.auth.is_empty()) {
        let message = format!("nobody has plan `{}`: there is no [auth.NAME]", plan.name.value);
        let fault = Fault::warning(plan.name.place.clone(), message).label("not used");
        faults.push(fault.hint("plans are for callers that are known by a key"));
    }
}

fn check_sources(sections: &Sections, faults: &mut Faults) {
    if !sections.http.is_empty() {
        return;
    }
    for flow in &sections.flows {
        let name = &flow.name.value;
        let feeds = |tail: &Tailed| {
            tail.settings.stream == *name || tail.streams.iter().any(|stream| stream.value == *name)
        };
        if sections.tails.iter().any(feeds) {
            continue;
        }
        let message = format!("nothing feeds stream `{}`", flow.name.value);
        let fault = Fault::warning(flow.header.clone(), message).label("no tail, and no listener");
        faults.push(fault.hint("add an [http.NAME], or a [tail.NAME] with this stream"));
    }
}

/// Whoever leaves nothing but routes closes the doors that a route has bounds against; one of them is
/// easily forgotten.
fn check_second_doors(sections: &Sections, faults: &mut Faults) {
    for http in &sections.http {
        let settings = &http.settings;
        let has_routes = sections.routes.iter().any(|route| route.is_served_by(&settings.name));
        let is_meant = http.says_aws || settings.native || settings.gateway || !has_routes;
        if is_meant {
            continue;
        }
        let name = clip(&settings.name);
        let message = format!(
            "[http.{name}] has routes, neither `native` nor `gateway`, and still speaks the protocols of AWS"
        );
        let fault = Fault::warning(http.header.clone(), message);
        let fault = fault.label("`POST /` leads to every stream, past all routes");
        faults.push(fault.hint("add aws = false; or aws = true, if that is meant"));
    }
}

fn check_records(sections: &Sections, faults: &mut Faults) {
    for flow in &sections.flows {
        let Some((record, place)) = flow.max_record.written() else { continue };
        for upstream in destinations(flow, sections) {
            let Some((_, most)) = upstream.payload_max().filter(|(_, most)| most < record) else {
                continue;
            };
            let most = MAX_RECORD.show(most);
            let name = &upstream.name.value;
            let message = format!(
                "`max_record` is {}, but destination `{name}` takes at most {most}",
                MAX_RECORD.show(*record)
            );
            let fault =
                Fault::warning(place.clone(), message).label("larger ones may become dead letters");
            faults.push(fault.hint(format!("set it to \"{most}\", so that senders are told")));
        }
    }
}

fn check_memory(sections: &Sections, faults: &mut Faults) {
    let workers = sections.flows.iter().flat_map(|flow| destinations(flow, sections));
    let all: u64 = workers.map(|upstream| upstream.feed.in_flight_bytes as u64).sum();
    let largest = sections.upstreams.iter().max_by_key(|upstream| upstream.feed.in_flight_bytes);
    if let Some(largest) = largest.filter(|_| all > IN_FLIGHT_ALL_MAX) {
        let message = format!(
            "records under way may take {} of memory, over all streams and destinations",
            ByteSize(all).rounded()
        );
        let fault =
            Fault::warning(largest.name.place.clone(), message).label("the largest of them");
        faults.push(fault.hint(format!("lower `{}`", IN_FLIGHT_BYTES.name)));
    }
}

/// A bound that the disk reaches first is none: the queues then stop at `min_free_disk`.
fn check_disk(sections: &Sections, disk: &dyn Disk, faults: &mut Faults) {
    let state_dir = &sections.process.state_dir;
    // Before the first start there is only some folder above it.
    let Some(total) = state_dir.ancestors().find_map(|folder| disk.total_bytes(folder).ok()) else {
        return;
    };
    let all = sections.flows.iter().map(|flow| flow.max_bytes.value);
    let all = all.fold(0, u64::saturating_add);
    let largest = sections.flows.iter().max_by_key(|flow| flow.max_bytes.value);
    if let Some(largest) = largest.filter(|_| all > total) {
        let message = format!(
            "the queues may take {}, but the disk of `state_dir` holds {}",
            ByteSize(all).rounded(),
            ByteSize(total).rounded()
        );
        let place = largest.max_bytes.written().map_or(&largest.header, |(_, place)| place);
        let fault = Fault::warning(place.clone(), message).label("the largest of them");
        faults.push(fault.hint(
            "lower `queue.max_bytes`; else `queue.min_free_disk` is what stops them, all at once",
        ));
    }
}

/// A tail that follows what a directory destination writes would feed itself for ever.
fn check_loops(sections: &Sections, faults: &mut Faults) {
    for tail in &sections.tails {
        for upstream in &sections.upstreams {
            let Destination::Directory(settings) = &upstream.settings else { continue };
            let object = settings.path.join("2000/01/01/00/x.ndjson");
            if tail.settings.exclude.iter().any(|glob| covers(glob, &object)) {
                continue;
            }
            let includes = tail.include.iter();
            for include in includes.filter(|include| covers(&include.value, &object)) {
                let name = &upstream.name.value;
                let message = format!("`include` covers what destination `{name}` writes");
                let fault = Fault::warning(include.place.clone(), message);
                faults.push(
                    fault.label("records may go round in circles").hint(format!(
                        "leave it out: exclude = [\"{}/**\"]",
                        settings.path.display()
                    )),
                );
            }
        }
    }
}

/// Whether a glob may match an object, whatever its name: so a glob that begins in the folder does.
fn covers(glob: &str, object: &Path) -> bool {
    let object = if glob.contains('/') { object } else { Path::new("x.ndjson") };
    let base = glob.split(['*', '?', '[']).next().unwrap_or_default();
    let folder = object.ancestors().nth(5).unwrap_or(object);
    Path::new(base).starts_with(folder)
        || glob::Pattern::new(glob).is_ok_and(|pattern| pattern.matches_path(object))
}

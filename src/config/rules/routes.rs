//! Routes against each other, and against the listeners that serve them.

use crate::source::http::{BadRoute, Listen, check_routes, is_hidden};

use super::super::finding::{Fault, Faults, clip};
use super::super::sections::Sections;
use super::super::sections::http::Http;
use super::super::sections::route::Route;

pub(super) fn check(sections: &Sections, faults: &mut Faults) {
    let mut told: Vec<&str> = Vec::new();
    for http in &sections.http {
        let name = &http.settings.name;
        let mut sound = Vec::new();
        for route in sections.routes.iter().filter(|route| route.is_served_by(name)) {
            if route.path.value.is_empty() || told.contains(&route.name.value.as_str()) {
                continue;
            }
            sound.push(route.settings.clone());
            let fault = match check_routes(&sound) {
                Err(bad) => Some(bad_route(route, &bad)),
                Ok(()) => hidden(route, http).or_else(|| opened(route, http)),
            };
            if let Some(fault) = fault {
                faults.push(fault);
                told.push(&route.name.value);
                sound.pop();
            }
        }
    }
}

fn bad_route(route: &Route, bad: &BadRoute) -> Fault {
    let path = clip(&route.path.value);
    let message = match &bad.taken_by {
        Some(other) => format!("`{path}` {}, which is route `{}`", bad.why, clip(other)),
        None => format!("`{path}` {}", bad.why),
    };
    let fault = Fault::new(route.path.place.clone(), message);
    match bad.taken_by {
        Some(_) => fault.label("taken").hint("give one of them another path, method or listener"),
        None => fault.label("not a path").hint("for example: path = \"/ingest/{device}/events\""),
    }
}

fn hidden(route: &Route, http: &Http) -> Option<Fault> {
    let settings = &http.settings;
    if !is_hidden(&route.path.value, settings.native, settings.gateway) {
        return None;
    }
    let (path, name) = (clip(&route.path.value), clip(&settings.name));
    let message = format!("`{path}` is hidden by the fixed paths of [http.{name}]");
    let fault = Fault::new(route.path.place.clone(), message).label("never reached");
    Some(fault.hint("choose another path, or set native = false or gateway = false there"))
}

fn opened(route: &Route, http: &Http) -> Option<Fault> {
    let is_network =
        |listen: &Listen| matches!(listen, Listen::Tcp(address) if !address.ip().is_loopback());
    let open = http.settings.listen.iter().find(|listen| is_network(listen));
    let listen = open.filter(|_| route.is_open)?;
    let (route_name, name) = (clip(&route.name.value), clip(&http.settings.name));
    let message = format!(
        "[route.{route_name}] would be open to the network: [http.{name}] listens on {listen}"
    );
    let fault = Fault::new(route.path.place.clone(), message).label("not loopback, and no `auth`");
    Some(
        fault.hint(
            "name who may come in, like auth = [\"keys\"], or name other listeners in `http`",
        ),
    )
}

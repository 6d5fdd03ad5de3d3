//! Nobody comes in from a network on his word alone.

use crate::admission::{AuthKind, SignatureMode};
use crate::source::http::Listen;

use super::super::document::At;
use super::super::finding::{Fault, Faults, clip};
use super::super::sections::Sections;

pub(super) fn check(sections: &Sections, faults: &mut Faults) {
    let believes = |name: &At<String>| {
        let block = sections.auth.iter().find(|auth| auth.name.value == name.value);
        block.is_some_and(|auth| match &auth.settings.kind {
            AuthKind::SigV4(settings) => settings.mode == SignatureMode::Identify,
            _ => false,
        })
    };
    for http in &sections.http {
        // A socket of systemd may be anything, so it counts as one of a network.
        let is_network = |listen: &Listen| match listen {
            Listen::Tcp(address) => !address.ip().is_loopback(),
            Listen::Unix(..) => false,
            Listen::Systemd(_) => true,
        };
        let open = http.settings.listen.iter().find(|listen| is_network(listen));
        let Some(listen) = open else { continue };
        let of_routes = sections.routes.iter().filter(|one| one.is_served_by(&http.settings.name));
        let names = http.auth.iter().chain(of_routes.flat_map(|route| &route.auth));
        for name in names.filter(|name| believes(name)) {
            let (auth, door) = (clip(&name.value), clip(&http.settings.name));
            let message = format!(
                "auth `{auth}` believes everybody, but [http.{door}] may be reached over the network: {listen}"
            );
            let fault = Fault::new(name.place.clone(), message).label("checks nothing");
            faults.push(
                fault.hint("set mode = \"verify\" there, or listen on 127.0.0.1 or a unix socket"),
            );
        }
    }
}

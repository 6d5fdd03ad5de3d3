//! What all addresses have in common, whatever is asked there.

use crate::config::document::At;
use crate::config::finding::Fault;
use crate::config::value::Reading;

/// With TLS, or on this host.
pub(in crate::config) fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let host = rest.split('/').next().unwrap_or_default();
    let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare).trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The fault of an address with a user name in it, however else it is mistyped: there may be a password
/// beside it, so the value is not repeated, and not shown from now on. To be asked before anything is
/// said of the address.
pub(super) fn user_fault(
    name: &str,
    url: &At<String>,
    hint: &str,
    reading: &mut Reading<'_>,
) -> Option<Fault> {
    let behind_scheme = url.value.split_once("://").map_or(url.value.as_str(), |(_, rest)| rest);
    let authority = behind_scheme.split(['/', '?', '#']).next().unwrap_or_default();
    if !authority.contains('@') {
        return None;
    }
    reading.hidden.push(url.place.clone());
    let fault = Fault::new(url.place.clone(), format!("`{name}` has a user name in it"));
    Some(fault.label("not just an address").hint(hint))
}

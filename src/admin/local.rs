//! Whether a request comes from the operator, and not from a page in the operator's browser.
//!
//! A page elsewhere can make a browser send requests to loopback. It can't hide its `Origin`, it
//! can't set a header of its own or a JSON type without asking first (and nothing here answers
//! that question), and a name that was pointed at loopback stands in `Host`.

use std::net::IpAddr;

use hyper::Request;
use hyper::header::{CONTENT_TYPE, HOST, ORIGIN};
use hyper::http::uri::Authority;

use super::problem::Fault;

/// Set by `weir` itself and by scripts.
const DELIBERATE: &str = "weir-admin";

/// Refuses names that are not this host's own, and pages of other origins.
pub(super) fn is_local<B>(request: &Request<B>) -> Result<(), Fault> {
    let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
    let named = header(HOST).and_then(|host| host.parse::<Authority>().ok());
    let host = request.uri().authority().cloned().or(named).ok_or(Fault::NotFromHere)?;
    let name = host.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_own = bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost");
    let same_origin =
        header(ORIGIN).is_none_or(|origin| origin.strip_prefix("http://") == Some(host.as_str()));
    if is_own && same_origin { Ok(()) } else { Err(Fault::NotFromHere) }
}

/// Refuses what a plain form could have sent.
pub(super) fn is_deliberate<B>(request: &Request<B>) -> Result<(), Fault> {
    let headers = request.headers();
    let says = headers.get(DELIBERATE).is_some_and(|value| value == "1");
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    let is_json = essence.trim().eq_ignore_ascii_case("application/json");
    if says || is_json { Ok(()) } else { Err(Fault::NotFromHere) }
}

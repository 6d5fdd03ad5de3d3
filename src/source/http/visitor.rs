//! Who is at the other end of a request: its connection, and the client behind trusted proxies.

use std::net::IpAddr;

use hyper::header::{FORWARDED, HeaderMap, HeaderName};

use crate::base::nets::Nets;
use crate::base::serve::Peer;

/// Who speaks for others, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses.
    pub nets: Nets,
    /// Whether everybody on a unix socket is one.
    pub unix: bool,
    /// The header in which they name their clients.
    pub header: Forwarded,
}

/// The header in which proxies name their clients. Only one is looked at: a proxy that keeps one of
/// them in order passes the other on as its client wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// RFC 7239: `Forwarded: for=client;proto=https, for=proxy`.
    Standard,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Most hops that are looked at; a chain of proxies is short.
const HOPS_MAX: usize = 32;

/// The sender of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visitor {
    /// The connection.
    pub(super) peer: Peer,
    /// The address of the client; `None` on a unix socket, and behind a proxy that names none.
    pub(super) client: Option<IpAddr>,
}

impl Visitor {
    pub(super) fn new(peer: Peer, headers: &HeaderMap, proxies: &Proxies) -> Self {
        let client = client(&peer, headers, proxies).map(|client| client.to_canonical());
        Self { peer, client }
    }
}

/// From the nearest hop on: the first that is no trusted proxy is the client, because what stands
/// before it is what that one wrote.
fn client(peer: &Peer, headers: &HeaderMap, proxies: &Proxies) -> Option<IpAddr> {
    let mut client = peer.remote.map(|remote| remote.ip());
    let is_trusted = client.map_or(proxies.unix, |address| proxies.nets.contain(address));
    if !is_trusted {
        return client;
    }
    for hop in hops(headers, proxies.header).take(HOPS_MAX) {
        // A hop that hides or garbles its name: whoever it is, the last one that is known counts.
        let Some(address) = hop else { break };
        client = Some(address);
        if !proxies.nets.contain(address) {
            break;
        }
    }
    client
}

/// The hops as they are written, the nearest first.
fn hops(headers: &HeaderMap, header: Forwarded) -> impl Iterator<Item = Option<IpAddr>> {
    let name = match header {
        Forwarded::XForwardedFor => X_FORWARDED_FOR,
        Forwarded::Standard => FORWARDED,
    };
    let lines: Vec<&str> =
        headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let hops = lines.into_iter().rev().flat_map(|line| line.rsplit(','));
    hops.map(move |hop| match header {
        Forwarded::XForwardedFor => address(hop.trim()),
        Forwarded::Standard => hop.split(';').find_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let is_for = name.trim().eq_ignore_ascii_case("for");
            if is_for { address(value.trim().trim_matches('"')) } else { None }
        }),
    })
}

/// An address, with a port or without.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|at: std::net::SocketAddr| at.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a request from `remote` with these lines, where 10.0.0.0/8 and fd00::/8 are
    /// trusted.
    #[track_caller]
    fn check(remote: &str, header: Forwarded, lines: &[&str], client: Option<&str>) {
        let nets = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap());
        let proxies = Proxies { nets: Nets(nets.to_vec()), unix: true, header };
        let mut peer = Peer::of("here");
        peer.remote = remote.parse().ok();
        let mut headers = HeaderMap::new();
        let name = if header == Forwarded::Standard { "forwarded" } else { "x-forwarded-for" };
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }

        let visitor = Visitor::new(peer, &headers, &proxies);

        let client = client.map(|client| client.parse().unwrap());
        assert_eq!(visitor.client, client, "{remote} {lines:?}");
    }

    #[test]
    fn only_trusted_proxies_may_name_the_client() {
        let check = |remote, lines: &[&str], client| {
            check(remote, Forwarded::XForwardedFor, lines, Some(client));
        };
        check("10.0.0.1:80", &["1.2.3.4"], "1.2.3.4");
        check("9.9.9.9:80", &["1.2.3.4"], "9.9.9.9");
        check("10.0.0.1:80", &[], "10.0.0.1");
        check("[::ffff:10.0.0.1]:80", &["1.2.3.4:1234"], "1.2.3.4");
        check("[fd00::1]:80", &["[2001:db8::1]:1"], "2001:db8::1");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_believed() {
        let check = |lines: &[&str], client| {
            check("10.0.0.1:80", Forwarded::XForwardedFor, lines, Some(client));
        };
        check(&["127.0.0.1, 1.2.3.4"], "1.2.3.4");
        check(&["127.0.0.1", "1.2.3.4, 10.0.0.2"], "1.2.3.4");
        check(&["10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check(&["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2");
        check(&["\u{e9}"], "10.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_as_its_rfc_says() {
        let check = |lines: &[&str], client| {
            check("10.0.0.1:80", Forwarded::Standard, lines, Some(client));
        };
        check(&["for=1.2.3.4;proto=https;by=10.0.0.1"], "1.2.3.4");
        check(&["For=\"[2001:db8::1]:4711\""], "2001:db8::1");
        check(&["for=1.2.3.4, for=10.0.0.9"], "1.2.3.4");
        check(&["for=_hidden, for=10.0.0.9"], "10.0.0.9");
        check(&["proto=https"], "10.0.0.1");
    }

    #[test]
    fn a_proxy_on_a_unix_socket_names_clients_too() {
        check("", Forwarded::XForwardedFor, &["1.2.3.4"], Some("1.2.3.4"));
        check("", Forwarded::XForwardedFor, &[], None);
    }
}

//! What somebody shows who wants to hand in records.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;

use crate::base::serve::Peer;
use crate::base::units::CountRate;

/// Somebody at a door.
#[derive(Clone, Copy, Debug)]
pub struct Knock<'a> {
    /// `http.lan`, `tail.nginx`: goes onto the record and into metrics.
    pub source: &'a str,
    /// Names of the auth blocks of that door, tried in order; empty for an open one.
    pub auth: &'a [String],
    /// What holds whoever comes this way.
    pub bounds: Bounds<'a>,
    /// The stream.
    pub stream: &'a str,
    /// Size of the body as declared.
    pub declared_bytes: Option<u64>,
    /// Its papers.
    pub shown: Shown<'a>,
}

impl Knock<'_> {
    /// Whose guess it is if what is shown is wrong, and how many of those are borne.
    pub(super) fn guesser(&self) -> Option<(IpAddr, CountRate)> {
        self.shown.address.zip(self.bounds.guesses)
    }
}

/// Bounds of a way in, beside those of the caller and the stream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds<'a> {
    /// The plan of all that come this way together, and the name that it is counted under.
    pub plan: Option<(&'a str, &'a str)>,
    /// The plan of each source address.
    pub address_plan: Option<&'a str>,
    /// How many wrong keys and tokens one address may show.
    pub guesses: Option<CountRate>,
}

/// Put into the extensions of a head whose path was brought into another form: the address as it was
/// sent, which is what a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsSent(pub Uri);

/// What auth blocks may look at. A source on this host shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown<'a> {
    /// `x-api-key`, the key of a delivery by Firehose, or the Bearer token.
    pub api_key: Option<&'a str>,
    /// Method, path, query and headers, as they came in.
    pub head: Option<&'a Parts>,
    /// The connection: process at the other end of a unix socket, certificate shown in TLS.
    pub peer: Option<&'a Peer>,
    /// The address of the client, which may stand behind a proxy that is trusted.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request: &'a str,
    /// The pattern that the path matched: `/ingest/{device}/events`.
    pub pattern: &'a str,
    /// Values of the pattern's parameters, by name.
    pub params: &'a [(String, String)],
}

impl Shown<'_> {
    /// Whether there is nothing that anybody could guess: no key, no token, no signature.
    pub fn is_nothing(&self) -> bool {
        let is_signed = self.head.is_some_and(|head| {
            let query = head.uri.query().unwrap_or_default();
            head.headers.contains_key(AUTHORIZATION) || query.contains("X-Amz-Algorithm=")
        });
        !is_signed && self.api_key.is_none()
    }
}

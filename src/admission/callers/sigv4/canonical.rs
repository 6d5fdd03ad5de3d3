//! The one form of a request that both sides sign, and its signature.

use hyper::Uri;
use hyper::header::HOST;
use hyper::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::hmac;
use sha2::{Digest as _, Sha256};

use super::SignatureFault;
use super::claim::{Claim, Scope};
use crate::admission::AsSent;

/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
/// In the query of a presigned request; it cannot sign itself.
const SIGNATURE: &str = "X-Amz-Signature";
/// A pseudo header of HTTP/2 that one SDK signs instead of the host.
const AUTHORITY: &str = ":authority";

/// The canonical request, but for the hash of its body, which stands last.
pub(super) fn canonical_head(head: &Parts, claim: &Claim) -> Result<String, SignatureFault> {
    let mut out = format!("{}\n{}\n", head.method, path(sent(head).path()));
    out.push_str(&query(head.uri.query().unwrap_or_default(), claim.expires.is_some()));
    out.push('\n');
    for name in &claim.names {
        out.push_str(name);
        out.push(':');
        out.push_str(&value(head, name).ok_or_else(|| {
            SignatureFault::Invalid(format!("The signed header '{name}' is not in the request."))
        })?);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(&claim.names.join(";"));
    out.push('\n');
    Ok(out)
}

/// Whether two paths with other empty segments have the same canonical form as that of a request.
pub(super) fn has_empty_segments(head: &Parts) -> bool {
    sent(head).path().contains("//")
}

fn sent(head: &Parts) -> &Uri {
    head.extensions.get::<AsSent>().map_or(&head.uri, |sent| &sent.0)
}

/// What is signed of a request with this hash of its body, in hex.
pub(super) fn string_to_sign(head: &str, body_hash: &str, claim: &Claim) -> String {
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(body_hash);
    let hash = hex(&hash.finalize());
    format!("AWS4-HMAC-SHA256\n{}\n{}\n{hash}", claim.stamp, claim.scope.text())
}

/// The key that is good for one day, region and service.
pub(super) fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let of_secret = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    let parts = [&*scope.date, &scope.region, &scope.service, "aws4_request"];
    parts.into_iter().fold(of_secret, |key, part| {
        let next = hmac::sign(&key, part.as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, next.as_ref())
    })
}

/// Bytes in small hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| char::from(*DIGITS.get(usize::from(four)).unwrap_or(&b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The path as it came, without detours, encoded once more, as every service but S3 wants it.
fn path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    let whole = format!("/{}{end}", segments.join("/"));
    percent_encode(whole.as_bytes(), PATH).to_string()
}

fn query(query: &str, is_presigned: bool) -> String {
    let once = |text: &str| {
        percent_encode(&percent_decode_str(text).collect::<Vec<u8>>(), UNRESERVED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.filter(|(name, _)| !(is_presigned && *name == SIGNATURE));
    let mut pairs: Vec<(String, String)> =
        pairs.map(|(name, value)| (once(name), once(value))).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// A header as it is signed: of several with a name all, without the space around and with one
/// within.
fn value(head: &Parts, name: &str) -> Option<String> {
    let authority = || head.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = || head.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    match name {
        AUTHORITY => return authority().or_else(host),
        "host" => return host().or_else(authority),
        _ => {}
    }
    let values: Vec<String> = head
        .headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_detours_and_are_encoded_once_more() {
        for (as_it_came, expected) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("/caf%C3%A9 x", "/caf%25C3%25A9%20x"),
            ("/a~b_c-d.e", "/a~b_c-d.e"),
        ] {
            assert_eq!(path(as_it_came), expected, "{as_it_came}");
        }
    }

    #[test]
    fn queries_are_sorted_and_encoded_in_one_way() {
        assert_eq!(query("b=2&a=1&a=0&c", false), "a=0&a=1&b=2&c=");
        assert_eq!(query("k=a%2Fb&j=a/b&l=%7e", false), "j=a%2Fb&k=a%2Fb&l=~");
        assert_eq!(query("X-Amz-Signature=1&a=1", true), "a=1");
        assert_eq!(query("X-Amz-Signature=1&a=1", false), "X-Amz-Signature=1&a=1");
    }

    #[test]
    fn a_signing_key_is_that_of_the_documentation() {
        // From "Signature Version 4 signing process: deriving a signing key".
        let scope =
            Scope { date: "20120215".into(), region: "us-east-1".into(), service: "iam".into() };
        let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &scope);
        let expected = hmac::Key::new(
            hmac::HMAC_SHA256,
            &[
                0xf4, 0x78, 0x0e, 0x2d, 0x9f, 0x65, 0xfa, 0x89, 0x5f, 0x9c, 0x67, 0xb3, 0x2c, 0xe1,
                0xba, 0xf0, 0xb0, 0xd8, 0xa4, 0x35, 0x05, 0xa0, 0x00, 0xa1, 0xa9, 0xe0, 0x90, 0xd4,
                0x14, 0xdb, 0x40, 0x4d,
            ],
        );
        assert_eq!(hmac::sign(&key, b"x").as_ref(), hmac::sign(&expected, b"x").as_ref());
    }
}

//! The one form of a path. Everything that looks at it (rules, routes, policies of authorizers)
//! sees this form, so that none of them can be passed by by writing a path in another way.
//!
//! Two paths have one form exactly if their segments are the same once they are unescaped: what may
//! stand as it is stands as it is, everything else is escaped with capitals, and so is a slash within
//! a segment (RFC 3986, sections 3.3 and 6.2.2).

use std::borrow::Cow;

use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use super::problem::Fault;
use crate::admission::AsSent;

/// What a segment may hold only in its escaped form: everything but `pchar` of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Whether a byte stands in a segment as it is.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// Brings the path of a request into its one form. What was sent stays with the request, for
/// signatures.
pub(super) fn bring_into_form<B>(request: &mut Request<B>) -> Result<(), Fault> {
    let form = match form(request.uri().path())? {
        Cow::Borrowed(_) => return Ok(()),
        Cow::Owned(form) => form,
    };
    let mut parts = request.uri().clone().into_parts();
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = PathAndQuery::try_from(form + &query).map_err(|_| Fault::BadPath(UNREADABLE))?;
    parts.path_and_query = Some(path);
    let uri = Uri::from_parts(parts).map_err(|_| Fault::BadPath(UNREADABLE))?;
    let sent = std::mem::replace(request.uri_mut(), uri);
    request.extensions_mut().insert(AsSent(sent));
    Ok(())
}

const UNREADABLE: &str = "it is no path";
const HALF: &str = "a `%` stands there without two hexadecimal digits behind it";
/// Which place these lead to depends on who reads them.
const DETOUR: &str = "it has a segment `.` or `..`, which a client resolves before it asks";

/// The form of a path; borrowed if it has it already.
fn form(path: &str) -> Result<Cow<'_, str>, Fault> {
    let is_formed = |segment: &str| segment.bytes().all(is_plain) && !is_detour(segment.as_bytes());
    // `*` of OPTIONS has no slash.
    let segments = path.split('/');
    if segments.clone().all(is_formed) {
        return Ok(Cow::Borrowed(path));
    }
    let mut formed = String::with_capacity(path.len());
    for (index, segment) in segments.enumerate() {
        if index > 0 {
            formed.push('/');
        }
        check_escapes(segment)?;
        let plain: Cow<'_, [u8]> = percent_decode(segment.as_bytes()).into();
        if is_detour(&plain) {
            return Err(Fault::BadPath(DETOUR));
        }
        formed.extend(percent_encode(&plain, ESCAPED));
    }
    Ok(if formed == path { Cow::Borrowed(path) } else { Cow::Owned(formed) })
}

fn is_detour(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

/// Readers differ about half an escape.
fn check_escapes(segment: &str) -> Result<(), Fault> {
    let is_whole = |rest: &str| {
        let digits = rest.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let all = segment.split('%').skip(1).all(is_whole);
    if all { Ok(()) } else { Err(Fault::BadPath(HALF)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_path_has_one_form_however_it_is_written() {
        for (sent, expected) in [
            ("/v1/streams/access", "/v1/streams/access"),
            ("/ingest/%64-7/events", "/ingest/d-7/events"),
            ("/%69ngest/d%2D7/event%73", "/ingest/d-7/events"),
            ("/caf%c3%a9/%7Ea", "/caf%C3%A9/~a"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/a%3ab%40c%2B", "/a:b@c+"),
            ("/a%2fb/%25", "/a%2Fb/%25"),
            ("/a%252fb", "/a%252fb"),
            ("/\"a\"|{b}^", "/%22a%22%7C%7Bb%7D%5E"),
            ("/%00%7f%ff", "/%00%7F%FF"),
            ("//a///", "//a///"),
            ("/...", "/..."),
            ("*", "*"),
            ("/", "/"),
        ] {
            assert_eq!(form(sent).as_deref(), Ok(expected), "{sent}");
            assert!(matches!(form(expected), Ok(Cow::Borrowed(_))), "{expected} stays");
        }
    }

    #[test]
    fn a_path_that_readers_take_in_different_ways_is_refused() {
        for (sent, why) in [
            ("/%", HALF),
            ("/%4", HALF),
            ("/%4/a", HALF),
            ("/%zz", HALF),
            ("/%%41", HALF),
            ("/a/..", DETOUR),
            ("/./a", DETOUR),
            ("/a/%2e%2E/b", DETOUR),
            ("/a/.%2e/b", DETOUR),
        ] {
            assert_eq!(form(sent), Err(Fault::BadPath(why)), "{sent}");
        }
    }

    #[test]
    fn the_query_and_the_host_stay_as_they_are_and_what_was_sent_is_known() {
        let sent = "http://host:80/%61?a=%61&b=/../";
        let mut request = Request::builder().uri(sent).body(()).unwrap();

        bring_into_form(&mut request).unwrap();

        assert_eq!(request.uri(), "http://host:80/a?a=%61&b=/../");
        assert_eq!(request.extensions().get::<AsSent>().unwrap().0, sent);
    }
}

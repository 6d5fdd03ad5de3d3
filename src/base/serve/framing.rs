//! Where requests of HTTP/1 begin and end on the line, read beside hyper, which keeps one thing to
//! itself: that a head said the length of its body in two ways. It takes the chunks then and forgets
//! the other; whoever stands in front may have taken the other (RFC 9112, section 6.1).

use hyper::Request;
use hyper::header::TRANSFER_ENCODING;

/// Why nobody can be sure where the body of a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misframed {
    /// Its length is said in two ways, or more than once that it comes in chunks.
    Twice,
    /// It comes in a coding that is none of ours.
    UnknownCoding,
}

/// Put into a request's extensions when its head held both `Content-Length` and `Transfer-Encoding`.
#[derive(Clone, Copy, Debug)]
pub(super) struct BothLengths;

/// What is wrong with the length of a request's body, if anything is; its connection must close then.
pub fn misframed<B>(request: &Request<B>) -> Option<Misframed> {
    if request.extensions().get::<BothLengths>().is_some() {
        return Some(Misframed::Twice);
    }
    let mut chunked = 0;
    for value in request.headers().get_all(TRANSFER_ENCODING) {
        let codings = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for coding in codings.filter(|coding| !coding.is_empty()) {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Some(Misframed::UnknownCoding);
            }
            chunked += 1;
        }
    }
    (chunked > 1).then_some(Misframed::Twice)
}

/// Of a line no more is kept: all that matters stands at its beginning.
const LINE_BYTES_MAX: usize = 128;

/// Follows what comes in on one connection, head by head.
#[derive(Debug, Default)]
pub(super) struct Framing {
    at: At,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Heads that are complete.
    heads: usize,
    /// The first that said both lengths.
    first_doubtful: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before a request line.
    #[default]
    Start,
    Head(Said),
    /// So many bytes of a body, or of a chunk and its end, are left.
    Body {
        left: u64,
        in_chunks: bool,
    },
    ChunkSize,
    Trailers,
    /// What comes is no HTTP/1.
    Off,
}

/// What a head said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    length: Option<u64>,
    coding: bool,
}

impl Framing {
    /// Whether the request of this number, from 1, said both lengths, or stands behind one that did,
    /// or behind something that nobody could follow.
    pub(super) fn is_doubtful(&self, request: usize) -> bool {
        self.heads < request || self.first_doubtful.is_some_and(|first| first <= request)
    }

    pub(super) fn bytes_in(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.at != At::Off {
            if let At::Body { left, in_chunks } = self.at {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(here..).unwrap_or_default();
                self.at = match (left - here as u64, in_chunks) {
                    (0, false) => At::Start,
                    (0, true) => At::ChunkSize,
                    (left, in_chunks) => At::Body { left, in_chunks },
                };
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.keep(bytes);
                return;
            };
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            // Nearly always a line comes whole, and nothing is copied.
            if self.line.is_empty() {
                self.at = self.after(line);
            } else {
                self.keep(line);
                let line = std::mem::take(&mut self.line);
                self.at = self.after(&line);
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend(part.iter().take(room));
    }

    /// Where a line, without its end, leads to.
    fn after(&mut self, line: &[u8]) -> At {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.at {
            At::Start if line.is_empty() => At::Start,
            At::Start if line.starts_with(b"PRI * HTTP/2") => {
                // Requests of HTTP/2 are framed by the protocol.
                self.heads = usize::MAX;
                At::Off
            }
            At::Start => At::Head(Said::default()),
            At::Head(said) if line.is_empty() => self.after_head(said),
            At::Head(said) => said.with(line).map_or(At::Off, At::Head),
            At::ChunkSize => after_size(line).unwrap_or(At::Off),
            At::Trailers if line.is_empty() => At::Start,
            other => other,
        }
    }

    fn after_head(&mut self, said: Said) -> At {
        self.heads = self.heads.saturating_add(1);
        if said.coding && said.length.is_some() {
            self.first_doubtful.get_or_insert(self.heads);
        }
        match (said.coding, said.length) {
            (true, _) => At::ChunkSize,
            (false, None | Some(0)) => At::Start,
            (false, Some(left)) => At::Body { left, in_chunks: false },
        }
    }
}

impl Said {
    /// `None` if nobody can follow it; hyper refuses it, too.
    fn with(mut self, line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (parts.next()?, parts.next().unwrap_or_default());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = Some(std::str::from_utf8(value.trim_ascii()).ok()?.parse().ok()?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coding = true;
        }
        Some(self)
    }
}

/// The line that begins a chunk: its size, and perhaps something that nobody reads.
fn after_size(line: &[u8]) -> Option<At> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = std::str::from_utf8(line.get(..digits)?).ok()?;
    let size = u64::from_str_radix(size, 16).ok()?;
    // Behind the bytes stands the end of a line.
    let left = size.checked_add(2)?;
    Some(if size == 0 { At::Trailers } else { At::Body { left, in_chunks: true } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the doubtful ones among so many requests, however the bytes are cut.
    #[track_caller]
    fn check(said: &str, requests: usize, expected: &[usize]) {
        for piece in [1, 2, 3, 7, said.len().max(1)] {
            let mut framing = Framing::default();
            said.as_bytes().chunks(piece).for_each(|bytes| framing.bytes_in(bytes));
            let doubtful: Vec<_> = (1..=requests).filter(|n| framing.is_doubtful(*n)).collect();
            assert_eq!(doubtful, expected, "in pieces of {piece}: {said}");
        }
    }

    const BOTH: &str =
        "POST / HTTP/1.1\r\ncontent-length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";

    #[test]
    fn a_head_with_both_lengths_is_found_wherever_it_stands() {
        let length = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 3\r\n\r\nabc";
        let long = format!("GET /{} HTTP/1.1\r\nx: {}\r\n\r\n", "p".repeat(300), "y".repeat(300));
        let chunks = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                      4;x=y\r\nPOST\r\nB\r\n0123456789\n\r\n0\r\na: b\r\n\r\n";
        let bare = "GET / HTTP/1.1\nhost: a\n\n";
        let names =
            "GET / HTTP/1.1\r\nx-content-length: 1\r\ny: transfer-encoding: chunked\r\n\r\n";
        check("", 1, &[1]);
        check(BOTH, 1, &[1]);
        for first in [length, &long, chunks, bare, names, "\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            check(first, 1, &[]);
            check(&[first, length].concat(), 2, &[]);
            check(&[first, chunks, BOTH].concat(), 3, &[3]);
            check(&[first, BOTH, length].concat(), 3, &[2, 3]);
        }
    }

    #[test]
    fn a_body_is_no_head() {
        let length = BOTH.len();
        check(&format!("PUT / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{BOTH}"), 1, &[]);
        check(
            &format!(
                "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{BOTH}\r\n0\r\n\r\n"
            ),
            1,
            &[],
        );
    }

    #[test]
    fn behind_what_nobody_can_follow_everything_is_doubtful() {
        let next = "GET / HTTP/1.1\r\n\r\n";
        for first in [
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            check(&[first, next].concat(), 2, &[2]);
        }
        check(&format!("POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n{next}"), 2, &[1, 2]);
    }

    #[test]
    fn on_http2_nothing_is_doubtful() {
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nanything\n", 100, &[]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut framing = Framing::default();
        (0..10_000).for_each(|_| framing.bytes_in(b"GET /"));
        assert_eq!(framing.line.len(), LINE_BYTES_MAX);
    }

    #[test]
    fn chunks_are_the_only_coding_and_said_once() {
        let check = |values: &[&str], expected| {
            let mut request = Request::new(());
            for value in values {
                request.headers_mut().append(TRANSFER_ENCODING, value.parse().unwrap());
            }
            assert_eq!(misframed(&request), expected, "{values:?}");
        };
        check(&[], None);
        check(&["chunked"], None);
        check(&["Chunked "], None);
        check(&["gzip, chunked"], Some(Misframed::UnknownCoding));
        check(&["identity", "chunked"], Some(Misframed::UnknownCoding));
        check(&["chunked, chunked"], Some(Misframed::Twice));
        check(&["chunked", "chunked"], Some(Misframed::Twice));
        check(&["chunked;a=b"], Some(Misframed::UnknownCoding));
    }
}

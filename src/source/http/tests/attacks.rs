//! Bad input over real sockets: each gets its exact status, stores nothing and harms nobody.

use super::*;

/// The status of the first answer, empty if there is none, and how many answers there were.
fn heard(text: &str) -> (String, usize) {
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_default();
    // A detail may speak of HTTP/1.1; only an answer goes on with a status.
    let answers = text.split("HTTP/1.1 ").skip(1);
    let is_status = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    (status.to_owned(), answers.filter(is_status).count())
}

/// What these bytes get, after which a good request still works; nothing else is stored.
async fn check(open: &Open, name: &str, said: &[u8], status: &str) {
    let before = open.stored();

    let text = open.raw_half(said).await;

    let answers = usize::from(!status.is_empty());
    assert_eq!(heard(&text), (status.to_owned(), answers), "{name}: {text}");
    assert_eq!(open.stored(), before, "{name}");
    check_accepted(&open.post(&[], "good").await, 1);
}

impl Open {
    /// Sends bytes as they are, closes its side, and reads until the door closes.
    async fn raw_half(&self, said: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.addresses[0]).await.unwrap();
        // The door may have answered and closed in the middle.
        stream.write_all(said).await.ok();
        stream.shutdown().await.ok();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.ok();
        String::from_utf8_lossy(&heard).into_owned()
    }
}

const START: &str = "POST /v1/streams/access HTTP/1.1\r\nhost: a\r\n";
/// A second request, hidden in what a careless reader takes for a body.
const HIDDEN: &str = "POST /v1/streams/access HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx";

#[tokio::test]
async fn no_request_is_smuggled_in_with_another() {
    let open = Wanted::default().open().await;
    let chunked = "transfer-encoding: chunked\r\n";
    for (name, head, body, status) in [
        (
            "both lengths",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "400",
        ),
        (
            "both, other order",
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "400",
        ),
        (
            "both that agree",
            "content-length: 11\r\nTransfer-Encoding: Chunked\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "400",
        ),
        (
            "a coding before the chunks",
            "transfer-encoding: gzip, chunked\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "501",
        ),
        (
            "codings on two lines",
            "transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "501",
        ),
        (
            "chunks of chunks",
            "transfer-encoding: chunked, chunked\r\n",
            "1\r\na\r\n0\r\n\r\n",
            "400",
        ),
        ("two lengths", "content-length: 1\r\ncontent-length: 2\r\n", "ab", "400"),
        ("a list of lengths", "content-length: 1, 2\r\n", "ab", "400"),
        ("a signed length", "content-length: +1\r\n", "a", "400"),
        ("a length in hex", "content-length: 0x1\r\n", "a", "400"),
        ("a length beyond numbers", "content-length: 99999999999999999999\r\n", "a", "400"),
        ("an empty length", "content-length:\r\n", "a", "400"),
        ("a folded header", "x: a\r\n b\r\ncontent-length: 1\r\n", "a", "400"),
        ("a folded length", "content-length:\r\n 1\r\n", "a", "400"),
        ("a space before the colon", "content-length : 1\r\n", "a", "400"),
        ("a tab in the name", "content\t-length: 1\r\n", "a", "400"),
        ("a zero byte in a header", "x: a\0b\r\ncontent-length: 1\r\n", "a", "400"),
        ("a lone CR in a header", "x: a\rb\r\ncontent-length: 1\r\n", "a", "400"),
        ("an unknown coding", "transfer-encoding: xchunked\r\n", "0\r\n\r\n", "400"),
        (
            "chunked that is not last",
            "transfer-encoding: chunked, identity\r\n",
            "0\r\n\r\n",
            "400",
        ),
        ("a size that is none", chunked, "zz\r\n\r\n0\r\n\r\n", "400"),
        ("a signed size", chunked, "+1\r\na\r\n0\r\n\r\n", "400"),
        ("a size with a prefix", chunked, "0x1\r\na\r\n0\r\n\r\n", "400"),
        ("a size beyond numbers", chunked, "fffffffffffffffff\r\na\r\n0\r\n\r\n", "400"),
        ("a size line that ends in LF", chunked, "1\na\r\n0\r\n\r\n", "400"),
        ("a chunk without its end", chunked, "1\r\nab0\r\n\r\n", "400"),
        ("a chunk that is longer than said", chunked, "1\r\nabc\r\n0\r\n\r\n", "400"),
    ] {
        check(&open, name, format!("{START}{head}\r\n{body}{HIDDEN}").as_bytes(), status).await;
    }
}

/// The one before it is taken, whatever stands in its body, and what stands behind is not looked at.
#[tokio::test]
async fn both_lengths_are_found_in_a_later_request_of_a_connection() {
    let open = Wanted::default().open().await;
    let chunked = "transfer-encoding: chunked\r\n";
    let both = format!("{START}content-length: 1\r\n{chunked}\r\n1\r\na\r\n0\r\n\r\n");
    let length = both.len();
    for first in [
        format!("{START}content-length: {length}\r\n\r\n{both}"),
        format!("{START}{chunked}\r\n{length:x}\r\n{both}\r\n0\r\n\r\n"),
    ] {
        let before = open.stored();

        let text = open.raw_half(format!("{first}{both}{HIDDEN}").as_bytes()).await;

        assert!(text.contains("urn:weir:problem:bad-framing"), "{text}");
        assert_eq!((heard(&text), open.stored()), (("202".to_owned(), 2), before + 1), "{text}");
    }
}

#[tokio::test]
async fn who_shows_two_keys_is_nobody() {
    let open = Wanted { keys: vec![key("a")], ..Wanted::default() }.open().await;
    let (secret, bearer) = (open.secrets[0].as_str(), format!("Bearer {}", open.secrets[0]));
    for headers in [
        [("x-api-key", secret), ("x-api-key", "other")],
        [("x-api-key", "other"), ("x-api-key", secret)],
        [("authorization", bearer.as_str()), ("authorization", "Bearer other")],
    ] {
        check_problem(&open.post(&headers, "x").await, 400, "two-credentials");
    }
    let two_kinds = [("x-api-key", secret), ("authorization", "Basic eDp5")];
    check_accepted(&open.post(&two_kinds, "x").await, 1);
    assert_eq!(open.stored(), 1);
}

#[tokio::test]
async fn malformed_heads_are_refused() {
    let open = Wanted::default().open().await;
    let long = "v".repeat(20 << 10);
    let many = "x: y\r\n".repeat(101);
    let uri = |bytes: usize| format!("POST /{} HTTP/1.1\r\nhost: a\r\n\r\n", "u".repeat(bytes));
    for (name, said, status) in [
        ("nothing", String::new(), ""),
        ("no method", " / HTTP/1.1\r\n\r\n".into(), "400"),
        ("no path", "POST HTTP/1.1\r\n\r\n".into(), "400"),
        ("another protocol", "\x16\x03\x01\x02\0\x01\0\x01\x7c\r\n\r\n".into(), "400"),
        ("an old version", "POST /v1/streams/access\r\n\r\n".into(), "400"),
        ("a new version", "POST /v1/streams/access HTTP/3.0\r\nhost: a\r\n\r\n".into(), "400"),
        (
            "a space in the path",
            "POST /v1/ streams/access HTTP/1.1\r\nhost: a\r\n\r\n".into(),
            "400",
        ),
        ("no host", "POST /v1/streams/access HTTP/1.1\r\ncontent-length: 1\r\n\r\na".into(), "400"),
        ("two hosts", format!("{START}host: b\r\ncontent-length: 1\r\n\r\na"), "400"),
        ("a long path", uri(4 << 10), "414"),
        ("a longer path", uri(70 << 10), "431"),
        ("a long header", format!("{START}x: {long}\r\n\r\n"), "431"),
        ("many headers", format!("{START}{many}\r\n"), "431"),
        ("a head without end", format!("{START}x: "), ""),
        ("a body cut short", format!("{START}content-length: 10\r\n\r\nabc"), "400"),
        ("chunks cut short", format!("{START}transfer-encoding: chunked\r\n\r\n5\r\nab"), "400"),
        (
            "chunks without last",
            format!("{START}transfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
            "400",
        ),
        ("the server itself", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n".into(), "404"),
        ("a tunnel", "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n".into(), "404"),
    ] {
        check(&open, name, said.as_bytes(), status).await;
    }
}

#[tokio::test]
async fn a_body_that_is_no_text_is_refused_where_text_is_wanted() {
    let open = Wanted { split_arrays: true, ..Wanted::default() }.open().await;
    for (name, kind, body, status) in [
        ("a line", "application/x-ndjson", b"{\"a\":\"\xff\"}\n".to_vec(), "422"),
        ("an array", "application/json", b"[\"\xff\"]".to_vec(), "400"),
        ("an event", "application/cloudevents+json", b"{\"id\":\"\xff\"}".to_vec(), "400"),
        ("half an array", "application/json", b"[1,".to_vec(), "400"),
        ("a deep array without end", "application/json", vec![b'['; 60 << 10], "400"),
        ("a deep event", "application/cloudevents+json", vec![b'['; 60 << 10], "400"),
    ] {
        let head = format!("{START}content-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
        check(&open, name, &[head.as_bytes(), &body].concat(), status).await;
    }
}

/// Frames of HTTP/2: length, type, flags, stream, payload.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// `POST http://a/v1/streams/access`, by the static table.
fn request_head() -> Vec<u8> {
    head_of(b"/v1/streams/access")
}

fn head_of(path: &[u8]) -> Vec<u8> {
    let mut head = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    head.extend(path);
    head.extend([0x01, 1, b'a']);
    head
}

/// Everything that is heard on HTTP/2 until the door closes: type and stream of each frame, and the
/// code of the goodbye.
async fn http2(open: &Open, said: &[u8]) -> (Vec<u8>, Option<u32>) {
    let mut stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    let opening = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&[&opening, said].concat()).await.ok();
    stream.shutdown().await.ok();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.ok();
    kinds(&heard)
}

fn kinds(heard: &[u8]) -> (Vec<u8>, Option<u32>) {
    let (mut kinds, mut code) = (Vec::new(), None);
    let mut rest = heard;
    while rest.len() >= 9 {
        let length = usize::try_from(u32::from_be_bytes([0, rest[0], rest[1], rest[2]])).unwrap();
        if rest[3] == GOAWAY && rest.len() >= 17 {
            code = Some(u32::from_be_bytes(rest[13..17].try_into().unwrap()));
        }
        kinds.push(rest[3]);
        rest = rest.get(9 + length..).unwrap_or_default();
    }
    (kinds, code)
}

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const ENHANCE_YOUR_CALM: u32 = 11;

#[tokio::test]
async fn floods_and_oddities_on_http2_end_the_connection_with_their_reason() {
    let open = Wanted::default().open().await;
    let head = request_head();
    let resets = |count: u32| -> Vec<u8> {
        let one = |n: u32| {
            let open = frame(HEADERS, 0x4, 2 * n + 1, &head);
            [open, frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes())].concat()
        };
        (0..count).flat_map(one).collect()
    };
    let continued = {
        let more = frame(CONTINUATION, 0, 1, &[0x40, 1, b'x', 1, b'y'].repeat(3000));
        [frame(HEADERS, 0, 1, &head), more.repeat(40)].concat()
    };
    let mut wrong = Vec::new();
    for (name, said, code) in [
        ("rapid resets", resets(2_000), ENHANCE_YOUR_CALM),
        ("a frame that is too large", frame(HEADERS, 0x4, 1, &vec![0; 17 << 10]), FRAME_SIZE_ERROR),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[]), PROTOCOL_ERROR),
        ("settings of a wrong size", frame(SETTINGS, 0, 0, &[0; 5]), PROTOCOL_ERROR),
        ("a ping of a wrong size", frame(PING, 0, 0, &[0; 7]), PROTOCOL_ERROR),
        ("an even stream", frame(HEADERS, 0x5, 2, &head), PROTOCOL_ERROR),
        ("a head that cannot be unpacked", frame(HEADERS, 0x5, 1, &[0xff; 8]), PROTOCOL_ERROR),
        ("a continuation of nothing", frame(CONTINUATION, 0x4, 1, &head), PROTOCOL_ERROR),
        ("a head without end", continued, ENHANCE_YOUR_CALM),
    ] {
        let (_, heard) = http2(&open, &said).await;
        if heard != Some(code) {
            wrong.push((name, heard));
        }
        assert_eq!(open.stored(), 0, "{name}");
    }
    assert_eq!(wrong, []);
    check_accepted(&open.post(&[], "good").await, 1);
}

/// Node and curl forget the answer when the request is taken back behind it.
#[tokio::test]
async fn who_is_refused_on_http2_before_its_body_may_send_it_to_the_end() {
    let open = Wanted::default().open().await;
    let mut stream = TcpStream::connect(&open.addresses[0]).await.unwrap();
    let head = frame(HEADERS, 0x4, 1, &head_of(b"/v1/streams/absent"));
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head].concat()).await.unwrap();
    let mut heard = Vec::new();
    while !kinds(&heard).0.contains(&HEADERS) {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "{heard:?}");
    }

    let body = frame(DATA, 0, 1, &[b'x'; 16 << 10]).repeat(3);
    stream.write_all(&[body, frame(DATA, 0x1, 1, b"end")].concat()).await.unwrap();
    stream.shutdown().await.unwrap();
    stream.read_to_end(&mut heard).await.unwrap();

    let (kinds, _) = kinds(&heard);
    assert!(!kinds.contains(&RST_STREAM), "{kinds:?}");
    assert_eq!(open.stored(), 0);
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_at_its_own_cost() {
    let open = Wanted::default().open().await;

    let (kinds, _) = http2(&open, &frame(PING, 0, 0, &[7; 8]).repeat(10_000)).await;

    assert!(kinds.iter().filter(|kind| **kind == PING).count() <= 10_000);
    check_accepted(&open.post(&[], "good").await, 1);
}

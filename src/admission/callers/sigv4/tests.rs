//! Signatures that botocore 1.44.5 made, whole and with each part of them changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};

use super::*;
use crate::admission::{AsSent, Bounds, Shown};
use crate::base::disk::{RealDisk, SharedDisk};
use crate::base::scratch::Scratch;

/// 2026-11-22T06:05:19Z, when everything here was signed.
const SIGNED_AT: u64 = 1_795_327_519_000;
const SECOND: u64 = 1000;
const WINDOW: u64 = 300 * SECOND;
const TOKEN: &str = "a-session-token==";
const BODY: &[u8] = br#"{"StreamName":"access","Data":"YQ==","PartitionKey":"k"}"#;
const SCOPE: &str =
    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261122/eu-west-1/kinesis/aws4_request";
const KEYS: &str = "[[key]]\naccess_key_id = \"AKIAEXAMPLE\"\nname = \"till\"\n\
    secret_access_key = \"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"\n";

/// One signed request.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    uri: String,
    headers: BTreeMap<&'static str, String>,
    body: Vec<u8>,
}

impl Sent {
    fn new(uri: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Self {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let mut headers: BTreeMap<_, _> = headers.iter().map(own).collect();
        headers.insert("host", "127.0.0.1:8080".into());
        Self { method: "POST", uri: uri.into(), headers, body: body.to_vec() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.to_owned());
        self
    }

    fn head(&self) -> Parts {
        let mut request = Request::builder().method(self.method).uri(&self.uri);
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request = request.header(HeaderName::from_static(name), value);
        }
        request.body(()).unwrap().into_parts().0
    }
}

const TARGET: (&str, &str) = ("x-amz-target", "Kinesis_20131202.PutRecord");
const KIND: (&str, &str) = ("content-type", "application/x-amz-json-1.1");
const DATE: (&str, &str) = ("x-amz-date", "20261122T060519Z");

fn in_headers() -> Sent {
    let signed = format!(
        "{SCOPE}, SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
         Signature=47a53ac98f5f3d6f49b78cfe34e477b235dfa97f2f397138bef80bb298d94f77"
    );
    Sent::new("/", &[TARGET, KIND, DATE, ("authorization", &signed)], BODY)
}

fn with_token() -> Sent {
    let signed = format!(
        "{SCOPE}, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
         Signature=5b2b72b8f092d92ae5d098c42dc76f9a857bd9318326d3d16ffdd2a34a9441ac"
    );
    let token = ("x-amz-security-token", TOKEN);
    Sent::new("/", &[TARGET, KIND, DATE, token, ("authorization", &signed)], BODY)
}

/// Valid for 60 seconds; botocore puts the members into the query.
fn presigned() -> Sent {
    let uri = "/?StreamName=access&Data=YQ%3D%3D&PartitionKey=k&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIAEXAMPLE%2F20261122%2Feu-west-1%2Fkinesis%2Faws4_request\
        &X-Amz-Date=20261122T060519Z&X-Amz-Expires=60\
        &X-Amz-SignedHeaders=content-type%3Bhost%3Bx-amz-target\
        &X-Amz-Signature=f398ff472bfcb80806d7be330e4a52610472d8e04d0e29ad4cfc529f778ece4e";
    Sent::new(uri, &[TARGET, KIND], b"")
}

fn of_another_path() -> Sent {
    let signed = format!(
        "{SCOPE}, SignedHeaders=content-type;host;x-amz-date;x-amz-meta, \
         Signature=debd66565ad8b5dfae8215b584867fa07df41427f8bfb167652d968b6cf995b7"
    );
    let uri = "/v1/streams/caf%C3%A9/../acc%20ess?b=2&a=x%2Fy&a=1";
    let meta = ("x-amz-meta", "  two   words ");
    Sent::new(uri, &[meta, ("content-type", "text/plain"), DATE, ("authorization", &signed)], b"x")
}

/// With the body left out of the signature, as botocore does for S3 where it is told to.
fn with_an_unsigned_body() -> Sent {
    let signed = format!(
        "{SCOPE}, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target, \
         Signature=b9a9099f65004f4f1ef5055100f1fc712621f9405cf274304f1eb59a5d0aaf7e"
    );
    let content = ("x-amz-content-sha256", UNSIGNED);
    Sent::new("/", &[TARGET, KIND, DATE, content, ("authorization", &signed)], BODY)
}

fn settings(file: std::path::PathBuf) -> SigV4Settings {
    SigV4Settings {
        file,
        mode: SignatureMode::Verify,
        skew: Duration::from_millis(WINDOW),
        region: None,
        allows_unsigned_body: false,
    }
}

fn signers(keys: &str, now: u64, change: impl FnOnce(&mut SigV4Settings)) -> Signers {
    let scratch = Scratch::new();
    let file = scratch.join("access-keys.toml");
    std::fs::write(&file, keys).unwrap();
    let disk: SharedDisk = Arc::new(RealDisk);
    close(&file);
    let ground = Ground { disk, clock: Clock::starting_at(now), plans: Arc::default() };
    let mut settings = settings(file);
    change(&mut settings);
    Signers::open(&ground, "sdks", settings).unwrap()
}

fn close(file: &std::path::Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::chmod(file, mode).unwrap();
}

/// Who it is once everything was judged, the body too; `None` if nothing here is known.
fn judge(signers: &Signers, sent: &Sent) -> Option<Result<String, Refusal>> {
    let head = sent.head();
    let shown = Shown { head: Some(&head), ..Shown::default() };
    let knock = Knock {
        source: "http.lan",
        auth: &[],
        bounds: Bounds::default(),
        stream: "",
        declared_bytes: None,
        shown,
    };
    Some(signers.recognise(&knock)?.and_then(|caller| {
        caller.proof.as_ref().map_or(Ok(()), |proof| proof.judge(&sent.body))?;
        Ok(caller.name)
    }))
}

fn at_once(sent: &Sent) -> Option<Result<String, Refusal>> {
    judge(&signers(KEYS, SIGNED_AT, |_| {}), sent)
}

#[track_caller]
fn check_invalid(judged: Option<Result<String, Refusal>>, says: &str) {
    let Some(Err(Refusal::BadSignature(SignatureFault::Invalid(why)))) = judged else {
        panic!("{judged:?}")
    };
    assert!(why.contains(says), "{why}");
}

#[tokio::test(start_paused = true)]
async fn what_botocore_signed_is_right() {
    for sent in [in_headers(), presigned(), of_another_path()] {
        assert_eq!(at_once(&sent), Some(Ok("till".into())), "{sent:?}");
    }
    let keys = format!("{KEYS}session_token = \"{TOKEN}\"\n");
    let signers = signers(&keys, SIGNED_AT, |_| {});
    assert_eq!(judge(&signers, &with_token()), Some(Ok("till".into())));
}

#[tokio::test(start_paused = true)]
async fn each_signed_part_that_is_changed_breaks_the_signature() {
    let mismatch = "does not match the signature";
    let mut changed = vec![
        Sent { method: "PUT", ..in_headers() },
        Sent { uri: "/a".into(), ..in_headers() },
        Sent { uri: "/?a=1".into(), ..in_headers() },
        in_headers().with("host", "127.0.0.1:8081"),
        in_headers().with("content-type", "application/x-amz-cbor-1.1"),
        in_headers().with("x-amz-target", "Kinesis_20131202.PutRecords"),
        in_headers().with("x-amz-date", "20261122T060520Z"),
        of_another_path().with("x-amz-meta", "two words more"),
    ];
    for at in [0, BODY.len() / 2, BODY.len() - 1] {
        let mut body = BODY.to_vec();
        body[at] ^= 1;
        changed.push(Sent { body, ..in_headers() });
    }
    changed.push(Sent { body: Vec::new(), ..in_headers() });
    changed.push(Sent { body: [BODY, b" "].concat(), ..in_headers() });
    changed.push(Sent { body: b"x".to_vec(), ..presigned() });
    for (one, other) in [
        ("eu-west-1", "eu-west-2"),
        ("SignedHeaders=content-type;host", "SignedHeaders=host;content-type"),
        ("Signature=47", "Signature=48"),
        ("d94f77", "d94f7"),
        ("d94f77", "d94f77a"),
        ("d94f77", "D94F77"),
    ] {
        let sent = in_headers();
        let signed = sent.headers["authorization"].replacen(one, other, 1);
        changed.push(sent.with("authorization", &signed));
    }
    for (one, other) in [
        ("PartitionKey=k", "PartitionKey=l"),
        ("X-Amz-Expires=60", "X-Amz-Expires=61"),
        ("X-Amz-Signature=f", "X-Amz-Signature=e"),
        ("&X-Amz-Date", "&more=1&X-Amz-Date"),
    ] {
        let sent = presigned();
        changed.push(Sent { uri: sent.uri.replacen(one, other, 1), ..sent });
    }
    for sent in changed {
        check_invalid(at_once(&sent), mismatch);
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_what_a_request_is_about_must_be_signed() {
    let signed = |names: &str| {
        let sent = in_headers();
        let all = "content-type;host;x-amz-date;x-amz-target";
        let signed = sent.headers["authorization"].replacen(all, names, 1);
        sent.with("authorization", &signed)
    };
    for (names, missing) in [
        ("content-type;x-amz-date;x-amz-target", "'host'"),
        ("content-type;host;x-amz-target", "'x-amz-date'"),
        ("host;x-amz-date;x-amz-target", "'content-type'"),
        ("content-type;host;x-amz-date", "'x-amz-target'"),
    ] {
        check_invalid(at_once(&signed(names)), missing);
    }
    let with = |name| in_headers().with(name, "x");
    check_invalid(at_once(&with("x-amz-more")), "'x-amz-more' must be signed");
    check_invalid(
        at_once(&signed("content-type;host;x-amz-date;x-amz-gone;x-amz-target")),
        "'x-amz-gone' is not in the request",
    );
}

#[tokio::test(start_paused = true)]
async fn clocks_may_be_apart_by_the_window_and_no_more() {
    let at = |now: u64, sent: &Sent| judge(&signers(KEYS, now, |_| {}), sent);
    let right = Some(Ok("till".to_owned()));
    let sent = in_headers();
    for now in [SIGNED_AT - WINDOW, SIGNED_AT - 1, SIGNED_AT + WINDOW] {
        assert_eq!(at(now, &sent), right, "{now}");
    }
    check_invalid(at(SIGNED_AT + WINDOW + 1, &sent), "Signature expired");
    check_invalid(at(SIGNED_AT - WINDOW - 60 * SECOND, &sent), "Signature not yet current");

    let presigned = presigned();
    assert_eq!(at(SIGNED_AT + 59 * SECOND, &presigned), right);
    check_invalid(at(SIGNED_AT + 60 * SECOND + 1, &presigned), "Signature expired");
    check_invalid(at(SIGNED_AT - WINDOW - 60 * SECOND, &presigned), "not yet current");

    let hour = 3600 * SECOND;
    let wide = |settings: &mut SigV4Settings| settings.skew = Duration::from_millis(2 * hour);
    assert_eq!(judge(&signers(KEYS, SIGNED_AT + hour, wide), &sent), right);
}

#[tokio::test(start_paused = true)]
async fn scope_and_key_are_judged_before_the_body() {
    let replaced = |one: &str, other: &str| {
        let sent = in_headers();
        let signed = sent.headers["authorization"].replacen(one, other, 1);
        sent.with("authorization", &signed)
    };
    check_invalid(at_once(&replaced("/kinesis/", "/firehose/")), "correct service");
    check_invalid(at_once(&replaced("/kinesis/", "/s3/")), "correct service");
    check_invalid(at_once(&replaced("20261122/", "20261121/")), "Date in Credential scope");
    let region = |settings: &mut SigV4Settings| settings.region = Some("eu-central-1".into());
    check_invalid(judge(&signers(KEYS, SIGNED_AT, region), &in_headers()), "valid region");
    assert_eq!(at_once(&replaced("AKIAEXAMPLE", "AKIAOTHER")), None, "another block may know it");
    assert_eq!(at_once(&Sent::new("/", &[TARGET], b"")), None, "not signed at all");
    let bearer = ("authorization", "Bearer AWS4-HMAC");
    assert_eq!(at_once(&Sent::new("/", &[TARGET, bearer], b"")), None);

    let unknown = Some(Err(Refusal::from(SignatureFault::UnknownKey)));
    assert_eq!(at_once(&with_token()), unknown, "a token that the key does not have");
    let keys = format!("{KEYS}session_token = \"another\"\n");
    assert_eq!(judge(&signers(&keys, SIGNED_AT, |_| {}), &with_token()), unknown);
    assert_eq!(judge(&signers(&keys, SIGNED_AT, |_| {}), &in_headers()), unknown);
    let over = format!("{KEYS}expires = \"2026-11-22T06:05:19Z\"\n");
    let judged = judge(&signers(&over, SIGNED_AT, |_| {}), &in_headers());
    assert_eq!(judged, Some(Err(Refusal::NotAllowed)));
    let plan = format!("{KEYS}plan = \"gone\"\n");
    let judged = judge(&signers(&plan, SIGNED_AT, |_| {}), &in_headers());
    assert_eq!(judged, Some(Err(Refusal::NotAllowed)));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let (mut dateless, mut both) = (in_headers(), presigned());
    dateless.headers.remove("x-amz-date");
    both.headers.insert("authorization", in_headers().headers["authorization"].clone());
    check_invalid(at_once(&both), "Found both");

    let signed = |text: &str| in_headers().with("authorization", text);
    let mut table = vec![(dateless, "X-Amz-Date")];
    for (text, says) in [
        ("AWS4-HMAC-SHA256", "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d", "exactly 5"),
        ("AWS4-HMAC-SHA256 Credential=/20261122/r/kinesis/aws4_request", "empty"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/aws5_request", "exactly 5"),
        ("AWS4-HMAC-SHA256 Credential=a/20261122/r/kinesis/aws4_request", "'SignedHeaders'"),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261122/r/kinesis/aws4_request, SignedHeaders=host",
            "'Signature'",
        ),
        ("AWS4-HMAC-SHA1 Credential=a/20261122/r/kinesis/aws4_request", "algorithm"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "algorithm"),
    ] {
        table.push((signed(text), says));
    }
    table.push((in_headers().with("x-amz-date", "2026-11-22T06:05:19Z"), "basic format"));
    for name in ["X-Amz-Credential=", "X-Amz-Date=", "X-Amz-Expires=", "X-Amz-Signature="] {
        let sent = presigned();
        table.push((Sent { uri: sent.uri.replacen(name, "x=", 1), ..sent }, name));
    }
    for seconds in ["0", "604801", "-1", "1.5"] {
        let sent = presigned();
        let uri = sent.uri.replacen("X-Amz-Expires=60", &format!("X-Amz-Expires={seconds}"), 1);
        table.push((Sent { uri, ..sent }, "X-Amz-Expires"));
    }
    for (sent, says) in table {
        let judged = at_once(&sent);
        let Some(Err(Refusal::BadSignature(SignatureFault::Incomplete(why)))) = &judged else {
            panic!("{says}: {judged:?}")
        };
        assert!(why.contains(says.trim_end_matches('=')), "{says}: {why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_signed_unless_the_block_says_otherwise() {
    let unsigned = in_headers().with("x-amz-content-sha256", UNSIGNED);
    let signed = unsigned.headers["authorization"].replacen(
        "host;x-amz-date",
        "host;x-amz-content-sha256;x-amz-date",
        1,
    );
    let unsigned = unsigned.with("authorization", &signed);
    check_invalid(at_once(&unsigned), "UNSIGNED-PAYLOAD is not allowed");

    let allows = |settings: &mut SigV4Settings| settings.allows_unsigned_body = true;
    let judged = judge(&signers(KEYS, SIGNED_AT, allows), &unsigned);
    check_invalid(judged, "does not match");

    let lying = Sent {
        headers: BTreeMap::from_iter(
            unsigned.headers.clone().into_iter().chain([("x-amz-content-sha256", "00".repeat(32))]),
        ),
        ..unsigned
    };
    check_invalid(at_once(&lying), "does not match");
}

#[tokio::test(start_paused = true)]
async fn what_botocore_signed_without_the_body_is_right_where_that_is_allowed() {
    let signers = signers(KEYS, SIGNED_AT, |settings: &mut SigV4Settings| {
        settings.allows_unsigned_body = true
    });
    let sent = with_an_unsigned_body();
    let right = Some(Ok("till".to_owned()));

    check_invalid(at_once(&sent), "UNSIGNED-PAYLOAD is not allowed");
    assert_eq!(judge(&signers, &sent), right);
    let other = Sent { body: b"anything".to_vec(), ..sent.clone() };
    assert_eq!(judge(&signers, &other), right, "that is what it means");
    let target = sent.clone().with("x-amz-target", "Kinesis_20131202.PutRecords");
    check_invalid(judge(&signers, &target), "does not match");
    let hash = hex(&Sha256::digest(BODY));
    check_invalid(judge(&signers, &sent.with("x-amz-content-sha256", &hash)), "does not match");
    assert_eq!(judge(&signers, &in_headers()), right, "a signed body is as good as ever");
}

#[tokio::test(start_paused = true)]
async fn the_other_modes_believe_the_key_or_look_at_nothing() {
    let mode = |mode| move |settings: &mut SigV4Settings| settings.mode = mode;
    let wrong = Sent { body: Vec::new(), ..in_headers() };
    let identify = signers(KEYS, SIGNED_AT + 10 * WINDOW, mode(SignatureMode::Identify));
    assert_eq!(judge(&identify, &wrong), Some(Ok("till".into())));
    let off = signers(KEYS, SIGNED_AT, mode(SignatureMode::Off));
    assert_eq!(judge(&off, &in_headers()), None);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_everybody_may_read_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.join("access-keys.toml");
    std::fs::write(&file, KEYS).unwrap();
    rustix::fs::chmod(&file, rustix::fs::Mode::from_raw_mode(0o604)).unwrap();
    let disk: SharedDisk = Arc::new(RealDisk);
    let ground = Ground { disk, clock: Clock::starting_at(SIGNED_AT), plans: Arc::default() };

    let why = Signers::open(&ground, "sdks", settings(file)).unwrap_err();

    assert!(why.contains("everybody on this host may read it; chmod 600 "), "{why}");
}

/// One SDK signs the pseudo header of HTTP/2 in place of the host.
#[tokio::test(start_paused = true)]
async fn the_authority_of_http_2_is_signed_as_a_header() {
    let signers = signers(KEYS, SIGNED_AT, |_| {});
    let sent = in_headers();
    let signed =
        sent.headers["authorization"].replacen("content-type;host;", ":authority;content-type;", 1);
    let mut sent = sent.with("authorization", &signed);
    sent.headers.remove("host");
    sent.uri = "http://127.0.0.1:8080/".into();
    let head = sent.head();
    let claim = Claim::of(&head).unwrap().unwrap();
    let canonical = canonical_head(&head, &claim).unwrap();
    assert!(canonical.contains("\n:authority:127.0.0.1:8080\n"), "{canonical}");

    let key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &claim.scope);
    let text = string_to_sign(&canonical, &hex(&Sha256::digest(&sent.body)), &claim);
    let right = hex(hmac::sign(&key, text.as_bytes()).as_ref());
    let signed = sent.headers["authorization"].replace(&claim.signature, &right);
    assert_eq!(judge(&signers, &sent.with("authorization", &signed)), Some(Ok("till".into())));
}

/// Rules and routes see a path in one form; what was signed is what was sent.
#[test]
fn a_path_is_signed_as_it_was_sent() {
    let sent = Sent { uri: "/ingest/%7Ea?b=%7E".into(), ..in_headers() };
    let (as_sent, mut formed) = (sent.head(), sent.head());
    formed.uri = "/ingest/~a?b=%7E".parse().unwrap();
    let claim = Claim::of(&as_sent).unwrap().unwrap();
    let canonical = |head: &Parts| canonical_head(head, &claim).unwrap();
    assert_ne!(canonical(&formed), canonical(&as_sent));

    formed.extensions.insert(AsSent(as_sent.uri.clone()));

    assert_eq!(canonical(&formed), canonical(&as_sent));
}

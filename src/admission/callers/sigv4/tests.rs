//! Signatures that botocore 1.44.5 made, whole and with each part of them changed.

mod terms;

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

/// Without empty segments its path has the same canonical form, and so the same signature.
#[test]
fn a_path_with_empty_segments_is_held_to_be_another_one() {
    let signers = signers(KEYS, SIGNED_AT, |_| {});
    let sent = of_another_path();
    let known = Some(Ok("till".to_owned()));
    assert_eq!(judge(&signers, &sent), known);
    for (from, to) in [("/v1/", "//v1/"), ("/streams/", "/streams//"), ("acc%20ess", "acc%20ess//")]
    {
        let mut other = sent.clone();
        other.uri = other.uri.replacen(from, to, 1);
        let refusal = judge(&signers, &other).unwrap().unwrap_err();
        let words = "A signature says nothing about the empty segments ('//') that this path has.";
        assert_eq!(refusal, SignatureFault::Invalid(words.into()).into(), "{}", other.uri);
    }
}

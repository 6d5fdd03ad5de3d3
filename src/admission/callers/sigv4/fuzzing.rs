//! The way in for the fuzz target `signature`: any bytes as a signed request. Its first line is method and target,
//! headers follow as in HTTP/1.1, and behind an empty line everything is body.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::Request;
use hyper::http::request::Parts;

use super::canonical::canonical_head;
use super::claim::Claim;
use super::keys::AccessKeys;
use super::{Terms, UNSIGNED};
use crate::admission::callers::Proof as _;
use crate::admission::{SigV4Settings, SignatureMode};

/// 2026-11-22T06:05:19Z, when the corpus was signed.
const SIGNED_AT: u64 = 1_795_327_519_000;
/// The only body that was signed.
const BODY: &[u8] = br#"{"StreamName":"access","Data":"YQ==","PartitionKey":"k"}"#;
/// The only signatures that there are under this key: in headers, with a session token, presigned, and without
/// the body.
const SIGNATURES: [&str; 4] = [
    "47a53ac98f5f3d6f49b78cfe34e477b235dfa97f2f397138bef80bb298d94f77",
    "5b2b72b8f092d92ae5d098c42dc76f9a857bd9318326d3d16ffdd2a34a9441ac",
    "f398ff472bfcb80806d7be330e4a52610472d8e04d0e29ad4cfc529f778ece4e",
    "b9a9099f65004f4f1ef5055100f1fc712621f9405cf274304f1eb59a5d0aaf7e",
];
/// One secret, with a session token and without.
const KEYS: &str = "[[key]]\naccess_key_id = \"AKIAEXAMPLE\"\n\
    secret_access_key = \"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"\n";

static OPEN: LazyLock<AccessKeys> = LazyLock::new(|| keys(""));
static WITH_TOKEN: LazyLock<AccessKeys> =
    LazyLock::new(|| keys("session_token = \"a-session-token==\"\n"));

fn keys(more: &str) -> AccessKeys {
    let keys = AccessKeys::parse(format!("{KEYS}{more}").as_bytes()).unwrap_or_default();
    assert_eq!(keys.all().len(), 1, "the key is one");
    keys
}

/// A request that is right has a signature that was made, over the body that it was made for.
pub fn signature(bytes: &[u8]) {
    let Some((head, body)) = request(bytes) else { return };
    let Some(Ok(claim)) = Claim::of(&head) else { return };
    let settings = SigV4Settings {
        file: PathBuf::new(),
        mode: SignatureMode::Verify,
        skew: Duration::from_mins(5),
        region: None,
        allows_unsigned_body: true,
    };
    let terms = Terms { settings: &settings, now_ms: SIGNED_AT };
    if let Ok(canonical) = canonical_head(&head, &claim) {
        // Method, path and query, a line for each header, an empty one, their names.
        let lines = canonical.bytes().filter(|byte| *byte == b'\n').count();
        assert_eq!(lines, claim.names.len() + 5, "no value makes a line of its own");
    }
    for keys in [&OPEN, &WITH_TOKEN] {
        let Some(key) = keys.find(&claim.access_key) else { return };
        let Ok(signed) = terms.prove(key, claim.clone(), &head) else { continue };
        if signed.judge(body).is_ok() {
            assert!(SIGNATURES.contains(&claim.signature.as_str()), "{claim:?}");
            let is_unsigned = claim.content.as_deref() == Some(UNSIGNED);
            let is_presigned = claim.expires.is_some() && body.is_empty();
            assert!(body == BODY || is_unsigned || is_presigned, "another body: {claim:?}");
        }
    }
}

/// `None` for what is no request at all.
fn request(bytes: &[u8]) -> Option<(Parts, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n")?;
    let (head, body) = (bytes.get(..end)?, bytes.get(end + 2..)?);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line.get(colon + 1..)?;
        request = request.header(line.get(..colon)?, value.strip_prefix(b" ").unwrap_or(value));
    }
    Some((request.body(()).ok()?.into_parts().0, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn judged(bytes: &[u8]) -> bool {
        signature(bytes);
        let (head, body) = request(bytes).unwrap();
        let claim = Claim::of(&head).unwrap().unwrap();
        let settings = SigV4Settings {
            file: PathBuf::new(),
            mode: SignatureMode::Verify,
            skew: Duration::from_mins(5),
            region: None,
            allows_unsigned_body: true,
        };
        let terms = Terms { settings: &settings, now_ms: SIGNED_AT };
        [&OPEN, &WITH_TOKEN].into_iter().any(|keys| {
            let key = keys.find(&claim.access_key).unwrap();
            let signed = terms.prove(key, claim.clone(), &head);
            signed.is_ok_and(|signed| signed.judge(body).is_ok())
        })
    }

    #[test]
    fn what_the_target_starts_from_is_signed_right() {
        let header: &[u8] = include_bytes!("../../../../fuzz/corpus/signature/header");
        assert!(judged(header));
        assert!(judged(include_bytes!("../../../../fuzz/corpus/signature/token")));
        assert!(judged(include_bytes!("../../../../fuzz/corpus/signature/presigned")));
        assert!(judged(include_bytes!("../../../../fuzz/corpus/signature/unsigned")));
        let mut changed = header.to_vec();
        changed.pop();
        assert!(!judged(&changed));
    }
}

//! The way in for the fuzz target `token`: any bytes as what stands in `Authorization`.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::jwks::{Algorithm, KeySet};
use super::signed::Signed;
use super::{caller, proven, token_of};
use crate::admission::callers::NAME_BYTES_MAX;
use crate::admission::settings::{JwtSettings, KeysFrom};
use crate::admission::{Bounds, Knock, Shown};
use crate::sink::WebSettings;

/// While the tokens of the corpus are valid.
const NOW: u64 = 1_795_327_519_000;
/// The keys that signed the tokens of the corpus; the secret halves are nowhere.
const KEYS: &str = r#"{"keys":[
{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"KYmKeLxB-g-j65dp0ZRWHbwdFeSimzn06nSPZDjlZ8M"},
{"kty":"EC","crv":"P-256","kid":"ec","x":"qVXJVPG4k3dX_Ptc5710Rhnab7DY1nQtK0nwdOwW7Qo","y":"tmI5zQr3FidP7kxQr6_Da_iXVw6qAsfJ3xUunSzGrQ8"},
{"kty":"RSA","kid":"rsa","n":"sUbdWXv6caPj7ZgtVWEcT16RPj4w6N56e79nfguuLk8sEBvi4oIgIfiUh3chJxa_xSQVkKD9KMdAo25pPkhgC-6Zke9Akh7J_VYWtIrte9uWHEU0FbisdL_vgG-cdN9Ie6wT1PXtJKGpgsT-s-wvWzEiqBXuAbiF5lSQ-8WPz3OPWTPbBGvVBXTqcsGSOgvd2aW5byKiCRntFeGpwAIEvnHV2GqvpJ7ofczJ661RklrBxRqE819flVfT1C2kIO6iH5cKUIBFX9kl5pXHBwPA1TnH4ugtnjNqXm85BVk5xRPYxh91bx108Yx1Mt_JFDKv-jxpfNdUScA-WPrXG5yrnQ","e":"AQAB"}
]}"#;

static KEY_SET: LazyLock<KeySet> = LazyLock::new(|| {
    let keys = KeySet::parse(KEYS.as_bytes()).unwrap_or_default();
    assert_eq!(keys.count(), 3, "every one of them is read");
    keys
});
static SETTINGS: LazyLock<JwtSettings> = LazyLock::new(|| JwtSettings {
    issuer: "https://issuer.example".into(),
    audience: vec!["weir".into()],
    keys: KeysFrom::Discovery,
    cache: PathBuf::new(),
    algorithms: Algorithm::ALL.map(|(_, algorithm)| algorithm).to_vec(),
    scopes: vec!["ingest".into()],
    required: vec![("sub".into(), None), ("plan".into(), Some("slow".into()))],
    leeway: Duration::from_mins(1),
    caller_claim: "sub".into(),
    plan_claim: Some("plan".into()),
    refresh: Duration::from_hours(1),
    offline: Duration::from_hours(24),
    web: WebSettings { ca_bundle: None, timeout: Duration::from_secs(1) },
});

/// A token that is right says what those say that were signed; one that is believed without a signature has a
/// caller with a usable name.
pub fn token(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut head = Request::new(()).into_parts().0;
    head.headers.insert(AUTHORIZATION, value);
    let knock = Knock {
        source: "http.lan",
        auth: &[],
        bounds: Bounds::default(),
        stream: "",
        declared_bytes: None,
        shown: Shown { head: Some(&head), ..Shown::default() },
    };
    let Some(signed) = token_of(&knock).and_then(Signed::parse) else { return };
    if let Ok(claims) = proven(&signed, &KEY_SET, &SETTINGS.algorithms) {
        let named = caller(&claims, &SETTINGS, NOW).map(|caller| (caller.name, caller.plan));
        assert_eq!(named, Ok(("till".into(), Some("slow".into()))), "{claims:?}");
    }
    if let Some(claims) = super::Claims::parse(signed.payload())
        && let Ok(caller) = caller(&claims, &SETTINGS, NOW)
    {
        assert_eq!(signed.issuer(), Some(&SETTINGS.issuer), "whose it is is seen before");
        assert!((1..=NAME_BYTES_MAX).contains(&caller.name.len()), "{caller:?}");
        assert!(!caller.name.contains(char::is_control), "{caller:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::Refusal;

    #[track_caller]
    fn check(text: &str, right: bool) {
        token(text.as_bytes());
        let signed = Signed::parse(text.trim_start_matches("Bearer ")).unwrap();
        let proven = proven(&signed, &KEY_SET, &SETTINGS.algorithms);
        assert_eq!(proven.is_ok(), right, "{text}");
        assert!(right || matches!(proven, Err(Refusal::BadToken { .. })), "{text}");
    }

    #[test]
    fn what_the_target_starts_from_is_right_where_it_is_signed() {
        check(include_str!("../../../../fuzz/corpus/token/ed25519"), true);
        check(include_str!("../../../../fuzz/corpus/token/p256"), true);
        check(include_str!("../../../../fuzz/corpus/token/rsa"), true);
        check(include_str!("../../../../fuzz/corpus/token/pss"), true);
        check(include_str!("../../../../fuzz/corpus/token/none"), false);
        check(include_str!("../../../../fuzz/corpus/token/hmac"), false);
    }
}

//! `type = "jwt"`: tokens of an issuer.

use std::path::Path;

use crate::admission::{Algorithm, AuthKind, JwtSettings, KeysFrom};
use crate::sink::WebSettings;

use super::super::super::document::{At, Section};
use super::super::super::finding::Fault;
use super::super::super::key::{DAY, Default, HOUR, Key, Kind, MINUTE, SECOND, Table};
use super::super::super::value::Reading;
use super::{PLAN, STREAMS, TYPE, check_url, wrong};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("cognito"),
    what: "an issuer of tokens",
    variant: Some("jwt"),
    effect: "Callers with a token (JWT) of an OpenID Connect issuer, such as an Amazon Cognito user \
             pool, in `Authorization`. The issuer's keys are kept on disk, so that a restart without \
             network goes on.",
    groups: &[&[
        TYPE,
        ISSUER,
        AUDIENCE,
        JWKS,
        ALGORITHMS,
        SCOPES,
        TOKEN_USE,
        REQUIRED,
        LEEWAY,
        CALLER_CLAIM,
        PLAN_CLAIM,
        PLAN,
        STREAMS,
        REFRESH,
        OFFLINE,
        TIMEOUT,
        CA_BUNDLE,
    ]],
};

const ISSUER: Key = Key::text(
    "issuer",
    Default::Required("\"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI\""),
)
.says("The `iss` of its tokens, exactly as it stands there.");
const AUDIENCE: Key = Key::new("audience", Kind::Texts, Default::Required("[\"app-client-id\"]"))
    .says(
        "Whom tokens must be for: `aud` has one of these; in a token without `aud` (an access token \
         of Cognito) `client_id` is one.",
    );
const JWKS: Key = Key::text(
    "jwks",
    Default::Otherwise {
        example: "\"https://issuer.example/keys\"",
        then: "`issuer` with `/.well-known/openid-configuration` says where they are",
    },
)
.says(
    "The issuer's keys: an address, or the path of a file, which is read anew when it changes; the \
     issuer is never asked then.",
);
const ALGORITHMS: Key = Key::new(
    "algorithms",
    Kind::Texts,
    Default::Otherwise { example: "[\"RS256\"]", then: "all of these" },
)
.says(
    "Signatures that are taken: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA \
     (Ed25519).",
);
const SCOPES: Key =
    Key::texts("scopes", Default::Nothing).says("`scope` or `scp` must have one of them.");
const TOKEN_USE: Key =
    Key::new("token_use", Kind::Choice(&["access", "id", "any"]), Default::Text("any"))
        .says("Which tokens of Cognito are taken; other issuers have no `token_use`.");
const REQUIRED: Key = Key::texts("required_claims", Default::Nothing).says(
    "Claims that must be there: `\"tenant\"` with any value, `\"tenant=plant-7\"` with this one (as \
     the text, one of its words, or one of a list).",
);
const LEEWAY: Key = Key::time("leeway", MINUTE)
    .within(0, HOUR)
    .says("How far the issuer's clock and this host's may differ, for `exp`, `nbf` and `iat`.");
const CALLER_CLAIM: Key = Key::text("caller_claim", Default::Text("sub"))
    .says("The claim that names the caller; `client_id` suits machines with Cognito.");
const PLAN_CLAIM: Key = Key::text(
    "plan_claim",
    Default::Otherwise { example: "\"weir_plan\"", then: "tokens name no plan" },
)
.says(
    "The claim that names the caller's `[plan.NAME]`; one that is not configured is answered 403.",
);
const REFRESH: Key = Key::time("refresh", HOUR)
    .within(MINUTE, 7 * DAY)
    .says("The issuer's keys are fetched anew when they are older, and when a key is not known.");
const OFFLINE: Key = Key::time("offline_max", 30 * DAY).within(MINUTE, 3650 * DAY).says(
    "So long keys are used while the issuer can't be asked; then its callers are answered 503.",
);
pub(super) const TIMEOUT: Key =
    Key::time("timeout", 3 * SECOND).within(100, 30 * SECOND).says("Longest wait for an answer.");
pub(super) const CA_BUNDLE: Key = Key::new(
    "ca_bundle",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/ca.pem\"",
        then: "the certificates that the host trusts",
    },
)
.says("File of the certificates that are trusted there instead, in PEM.");

/// Most audiences and scopes, as API Gateway has them.
const AUDIENCES_MAX: usize = 50;

pub(super) fn read(
    section: &mut Section<'_>,
    (name, state_dir): (&str, &Path),
    reading: &mut Reading<'_>,
) -> AuthKind {
    let issuer = section.text(reading, &ISSUER);
    let (audience, _) = section.texts(reading, &AUDIENCE);
    if let Some(one_more) = audience.get(AUDIENCES_MAX) {
        let message = format!("`audience` has {}, but at most {AUDIENCES_MAX}", audience.len());
        reading.faults.push(Fault::new(one_more.place.clone(), message).label("one too many"));
    }
    let keys = keys(section, reading);
    if let (KeysFrom::Discovery, Some((url, place))) = (&keys, issuer.written()) {
        let at = At { value: url.clone(), place: place.clone() };
        check_url(&ISSUER, &at, reading);
    }
    let mut required = required(section, reading);
    match section.choice(reading, &TOKEN_USE).value.as_str() {
        "any" => {}
        wanted => required.push(("token_use".to_owned(), Some(wanted.to_owned()))),
    }
    AuthKind::Jwt(Box::new(JwtSettings {
        issuer: issuer.value,
        audience: values(audience),
        keys,
        cache: state_dir.join("issuers").join(format!("{name}.jwks")),
        algorithms: algorithms(section, reading),
        scopes: values(section.texts(reading, &SCOPES).0),
        required,
        leeway: section.time(reading, &LEEWAY),
        caller_claim: section.text(reading, &CALLER_CLAIM).value,
        plan_claim: section.optional_text(reading, &PLAN_CLAIM).map(|claim| claim.value),
        refresh: section.time(reading, &REFRESH),
        offline: section.time(reading, &OFFLINE),
        web: web(section, &TIMEOUT, reading),
    }))
}

pub(super) fn web(
    section: &mut Section<'_>,
    timeout: &Key,
    reading: &mut Reading<'_>,
) -> WebSettings {
    let ca_bundle = section.path(reading, &CA_BUNDLE);
    let ca_bundle = ca_bundle.place.is_some().then_some(ca_bundle.value);
    WebSettings { ca_bundle, timeout: section.time(reading, timeout) }
}

fn keys(section: &mut Section<'_>, reading: &mut Reading<'_>) -> KeysFrom {
    let Some(keys) = section.optional_text(reading, &JWKS) else { return KeysFrom::Discovery };
    if !keys.value.contains("://") {
        return KeysFrom::File(reading.absolute(Path::new(&keys.value)));
    }
    check_url(&JWKS, &keys, reading);
    KeysFrom::Url(keys.value)
}

fn algorithms(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<Algorithm> {
    let (texts, _) = section.texts(reading, &ALGORITHMS);
    if texts.is_empty() {
        return Algorithm::ALL.iter().map(|(_, algorithm)| *algorithm).collect();
    }
    let mut algorithms = Vec::new();
    for text in texts {
        match Algorithm::named(&text.value) {
            Some(algorithm) => algorithms.push(algorithm),
            None => {
                let should = "one of the signatures by a private key";
                reading.faults.push(wrong(&ALGORITHMS, &text, should, "\"RS256\""));
            }
        }
    }
    algorithms
}

fn required(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<(String, Option<String>)> {
    let (texts, _) = section.texts(reading, &REQUIRED);
    let pair = |text: At<String>| match text.value.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.value, None),
    };
    texts.into_iter().map(pair).collect()
}

fn values(texts: Vec<At<String>>) -> Vec<String> {
    texts.into_iter().map(|text| text.value).collect()
}

//! `type = "authorizer"` and `"lambda_authorizer"`: somebody else who is asked.

use std::time::Duration;

use crate::admission::{AuthKind, AuthorizerSettings, AuthorizerTo, EventKind, Identity};
use crate::sink::{LambdaSettings, WebSettings};

use super::super::super::document::{At, Section};
use super::super::super::key::{DAY, Default, HOUR, Key, Kind, MINUTE, SECOND, Table};
use super::super::super::value::Reading;
use super::super::aws;
use super::jwt::CA_BUNDLE;
use super::{PLAN, STREAMS, TYPE, check_url, wrong};

pub(in crate::config) const HTTP: Table = Table {
    name: "auth",
    example: Some("custom"),
    what: "an authorizer",
    variant: Some("authorizer"),
    effect: "Callers that an HTTP endpoint knows, asked as API Gateway asks its authorizers: it \
             receives a REQUEST or TOKEN event and answers an IAM policy or `isAuthorized`. An \
             answer is kept, and its policy judged anew for each request.",
    groups: &[&[TYPE, URL, BEARER], COMMON, &[CA_BUNDLE]],
};

pub(in crate::config) const LAMBDA: Table = Table {
    name: "auth",
    example: Some("function"),
    what: "a Lambda authorizer",
    variant: Some("lambda_authorizer"),
    effect: "The same, for a Lambda authorizer as it is: the function is invoked, and needs no \
             change. Whoever weir is needs `lambda:InvokeFunction`.",
    groups: &[&[TYPE, FUNCTION], COMMON, aws::KEYS],
};

const COMMON: &[Key] =
    &[EVENT, IDENTITY, API, TTL, STALE, ASK_TIMEOUT, MAX_CONCURRENT, PLAN_CONTEXT, PLAN, STREAMS];

const URL: Key = Key::text("url", Default::Required("\"https://auth.example/authorize\"")).says(
    "The endpoint that the event is posted to as JSON. 200 with an answer in JSON decides; 401 and \
     403 send the caller away.",
);
const BEARER: Key = Key::new(
    "bearer",
    Kind::Secret,
    Default::Otherwise {
        example: "\"credential:authorizer\"",
        then: "the endpoint is shown nothing",
    },
)
.says("A token that the endpoint is shown, by reference.");
const FUNCTION: Key = Key::text("function", Default::Required("\"authorize:live\""))
    .says("The function: its name or ARN, with an alias or version if wanted.");
const EVENT: Key = Key::new(
    "event",
    Kind::Choice(&["request", "request-2.0", "token"]),
    Default::Text("request"),
)
.says(
    "What it is told: API Gateway's `REQUEST` event of version 1.0 or 2.0, or `TOKEN` with the first \
     identity alone.",
);
const IDENTITY: Key = Key::new(
    "identity",
    Kind::Texts,
    Default::Otherwise { example: "[\"header:authorization\"]", then: "`header:authorization`" },
)
.says(
    "What makes one caller another: `\"header:…\"`, `\"query:…\"`, `\"address\"`. Without one of them \
     nobody is asked and the caller is not known.",
);
const API: Key =
    Key::text("api", Default::Text("arn:aws:execute-api:us-east-1:000000000000:weir/local"))
        .says("What stands before method and path in `methodArn`: ARN of the API, and stage.");
const TTL: Key = Key::time("ttl", 5 * MINUTE)
    .within(0, HOUR)
    .says("How long an answer is good; `\"0 s\"` asks each time.");
const STALE: Key = Key::time("stale", 0).within(0, DAY).says(
    "How much longer an answer is good while it cannot be asked: a caller that was locked out \
     meanwhile gets in so long.",
);
const ASK_TIMEOUT: Key = Key::time("timeout", 5 * SECOND)
    .within(100, 30 * SECOND)
    .says("Longest wait for an answer, that for a free place included; then 503.");
const MAX_CONCURRENT: Key =
    Key::count("max_concurrent", 32).within(1, 1024).says("Most questions at once.");
const PLAN_CONTEXT: Key = Key::text(
    "plan_context",
    Default::Otherwise { example: "\"plan\"", then: "answers name no plan" },
)
.says("The entry of the answer's `context` that names the caller's `[plan.NAME]`.");

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AuthKind {
    let url = section.text(reading, &URL);
    if let Some((url, place)) = url.written() {
        check_url(&URL, &At { value: url.clone(), place: place.clone() }, reading);
    }
    let bearer = section.secret(reading, &BEARER).value;
    let ca_bundle = section.path(reading, &CA_BUNDLE);
    let ca_bundle = ca_bundle.place.is_some().then_some(ca_bundle.value);
    // What it waits for all together is bounded by its own `timeout`.
    let web = WebSettings { ca_bundle, timeout: Duration::from_millis(ASK_TIMEOUT.most) };
    asking(AuthorizerTo::Http { url: url.value, bearer, web }, section, reading)
}

pub(super) fn read_lambda(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AuthKind {
    let function = section.text(reading, &FUNCTION).value;
    let aws = aws::read(section, reading);
    asking(AuthorizerTo::Lambda(Box::new(LambdaSettings { function, aws })), section, reading)
}

fn asking(to: AuthorizerTo, section: &mut Section<'_>, reading: &mut Reading<'_>) -> AuthKind {
    let event = match section.choice(reading, &EVENT).value.as_str() {
        "token" => EventKind::Token,
        "request-2.0" => EventKind::Request2,
        _ => EventKind::Request,
    };
    let plan_context = section.optional_text(reading, &PLAN_CONTEXT);
    AuthKind::Authorizer(Box::new(AuthorizerSettings {
        to,
        event,
        identity: identity(section, reading),
        api: section.text(reading, &API).value,
        ttl: section.time(reading, &TTL),
        stale: section.time(reading, &STALE),
        timeout: section.time(reading, &ASK_TIMEOUT),
        max_concurrent: section.small(reading, &MAX_CONCURRENT),
        plan_context: plan_context.map(|key| key.value),
    }))
}

fn identity(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<Identity> {
    let (texts, _) = section.texts(reading, &IDENTITY);
    if texts.is_empty() {
        return vec![Identity::Header("authorization".to_owned())];
    }
    let mut parts = Vec::new();
    for text in texts {
        match part(&text) {
            Some(part) => parts.push(part),
            None => {
                let should = "a part of the request";
                reading.faults.push(wrong(&IDENTITY, &text, should, &IDENTITY.example_toml()));
            }
        }
    }
    parts
}

fn part(text: &At<String>) -> Option<Identity> {
    if text.value == "address" {
        return Some(Identity::Address);
    }
    let (kind, name) = text.value.split_once(':').filter(|(_, name)| !name.is_empty())?;
    match kind {
        "header" => Some(Identity::Header(name.to_ascii_lowercase())),
        "query" => Some(Identity::Query(name.to_owned())),
        _ => None,
    }
}

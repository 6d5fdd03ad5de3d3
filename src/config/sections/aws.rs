//! How to reach an AWS service: the settings that Kinesis and Firehose share.

use crate::base::secret::Secret;
use crate::sink::{AwsSettings, StaticCredentials};

use super::super::document::{At, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind, MINUTE, SECOND};
use super::super::setting::Setting;
use super::super::value::Reading;

pub(super) const KEYS: &[Key] = &[
    REGION,
    ENDPOINT_URL,
    PROFILE,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    CONNECT_TIMEOUT,
    REQUEST_TIMEOUT,
];

const REGION: Key = Key::text(
    "region",
    Default::Otherwise {
        example: "\"eu-west-1\"",
        then: "asked from the environment, the profile or the instance",
    },
)
.says("The AWS region.");
const ENDPOINT_URL: Key = Key::text(
    "endpoint_url",
    Default::Otherwise {
        example: "\"http://127.0.0.1:4566\"",
        then: "the public endpoint of the region",
    },
)
.says("Another address to send to: an interface endpoint, a proxy, an emulator.");
const PROFILE: Key = Key::text(
    "profile",
    Default::Otherwise { example: "\"edge\"", then: "`AWS_PROFILE`, or `default`" },
)
.says("Profile of the shared AWS configuration files.");
const ACCESS_KEY_ID: Key = Key::new(
    "access_key_id",
    Kind::Secret,
    Default::Otherwise {
        example: "\"${EDGE_ACCESS_KEY_ID}\"",
        then: "the SDK's chain: environment, profile, web identity, container, instance",
    },
)
.says("Credentials of this destination: `\"${NAME}\"`, `\"file:PATH\"` or `\"credential:NAME\"`.");
const SECRET_ACCESS_KEY: Key = Key::new(
    "secret_access_key",
    Kind::Secret,
    Default::Otherwise {
        example: "\"credential:secret_access_key\"",
        then: "as with `access_key_id`",
    },
)
.says("Its secret, by reference in the same way.");
const SESSION_TOKEN: Key = Key::new(
    "session_token",
    Kind::Secret,
    Default::Otherwise {
        example: "\"file:/run/weir/session_token\"",
        then: "the credentials are no temporary ones",
    },
)
.says("For temporary credentials, by reference in the same way.");
const CONNECT_TIMEOUT: Key = Key::time("connect_timeout", 5 * SECOND)
    .within(100, MINUTE)
    .says("Longest time for TCP and TLS.");
const REQUEST_TIMEOUT: Key = Key::time("request_timeout", 30 * SECOND)
    .within(100, 10 * MINUTE)
    .says("Longest time for one request; records of an unanswered one are sent again.");

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AwsSettings {
    let region = checked(section, reading, &REGION, is_region);
    let endpoint_url = endpoint(section, reading);
    let profile = section.optional_text(reading, &PROFILE);
    let credentials = credentials(section, reading, profile.as_ref());
    AwsSettings {
        region,
        endpoint_url,
        profile: profile.map(|at| at.value),
        credentials,
        connect_timeout: section.time(reading, &CONNECT_TIMEOUT),
        request_timeout: section.time(reading, &REQUEST_TIMEOUT),
    }
}

/// An optional text that must look right.
fn checked(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    key: &Key,
    looks_right: fn(&str) -> bool,
) -> Option<String> {
    let text = section.optional_text(reading, key)?;
    if !looks_right(&text.value) {
        let message = format!("`{}` is no {}", clip(&text.value), key.name);
        let fault = Fault::new(text.place, message).label(format!("not a {}", key.name));
        reading.faults.push(fault.hint(hint(key)));
    }
    Some(text.value)
}

fn is_region(region: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    region.len() <= 32 && region.chars().all(plain) && region.contains('-')
}

fn endpoint(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<String> {
    let At { value: url, place } = section.optional_text(reading, &ENDPOINT_URL)?;
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    if host.is_some_and(|host| host.contains('@')) {
        // The value may hold a password, so it is not repeated, and not shown.
        reading.hidden.push(place.clone());
        let fault = Fault::new(place, "`endpoint_url` has a user name in it");
        let hint = "credentials belong into `access_key_id` and `secret_access_key`";
        reading.faults.push(fault.label("not just an address").hint(hint));
    } else if !host.is_some_and(|host| !host.is_empty() && !host.starts_with(':'))
        || url.contains([' ', '?', '#', '\\'])
    {
        let message = format!("`endpoint_url` is \"{}\", but it should be a URL", clip(&url));
        let fault = Fault::new(place, message).label("not http://HOST or https://HOST");
        reading.faults.push(fault.hint(hint(&ENDPOINT_URL)));
    }
    Some(url)
}

/// All of them or none, and not together with a profile.
fn credentials(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    profile: Option<&At<String>>,
) -> Option<StaticCredentials> {
    let id = section.secret(reading, &ACCESS_KEY_ID);
    let secret = section.secret(reading, &SECRET_ACCESS_KEY);
    let token = section.secret(reading, &SESSION_TOKEN);
    let pairs = [
        (&id, &secret, &ACCESS_KEY_ID, &SECRET_ACCESS_KEY),
        (&secret, &id, &SECRET_ACCESS_KEY, &ACCESS_KEY_ID),
        (&token, &id, &SESSION_TOKEN, &ACCESS_KEY_ID),
    ];
    for (one, other, one_key, other_key) in pairs {
        let (Some((_, place)), None) = (one.written(), &other.place) else { continue };
        let message = format!("`{}` stands without `{}`", one_key.name, other_key.name);
        let fault = Fault::new(place.clone(), message).label("half of the credentials");
        reading.faults.push(fault.hint(hint(other_key)));
        break;
    }
    if let (Some(place), Some(profile)) = (&id.place, profile) {
        let message = "`access_key_id` and `profile` stand together, but only one can decide";
        let fault = Fault::new(place.clone(), message).label("credentials of its own");
        let name = clip(&profile.value);
        reading.faults.push(fault.hint(format!("take one out: the keys, or profile = \"{name}\"")));
    }
    together(id, secret, token)
}

fn together(
    id: Setting<Option<Secret>>,
    secret: Setting<Option<Secret>>,
    token: Setting<Option<Secret>>,
) -> Option<StaticCredentials> {
    Some(StaticCredentials {
        access_key_id: id.value?,
        secret_access_key: secret.value?,
        session_token: token.value,
    })
}

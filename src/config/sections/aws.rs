//! How to reach an AWS service: the settings that Kinesis and Firehose share.

use crate::base::secret::Secret;
use crate::sink::{AwsSettings, InstanceCredentials, Proxy, StaticCredentials};

use super::super::document::{At, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind, MINUTE, SECOND};
use super::super::setting::Setting;
use super::super::value::Reading;
use super::super::written::Place;
use super::address::user_fault;
use super::{iot, role};

pub(super) const KEYS: &[Key] = &[
    REGION,
    ENDPOINT_URL,
    FIPS,
    DUAL_STACK,
    PROXY,
    CA_BUNDLE,
    PROFILE,
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SESSION_TOKEN,
    IOT,
    ASSUME_ROLE,
    INSTANCE_CREDENTIALS,
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
const FIPS: Key = Key::new("fips", Kind::Flag, Default::Flag(false))
    .says("Whether the region's FIPS endpoint is used.");
const DUAL_STACK: Key = Key::new("dual_stack", Kind::Flag, Default::Flag(false))
    .says("Whether the region's endpoint for both IPv6 and IPv4 is used.");
const PROXY: Key = Key::new(
    "proxy",
    Kind::Secret,
    Default::Otherwise {
        example: "\"http://proxy:3128\"",
        then: "`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment",
    },
)
.says(
    "The HTTP or HTTPS proxy on the way out, with a user name and a password where it wants them; \
     `\"off\"` goes straight. Loopback and link-local addresses are never reached through it.",
);
const CA_BUNDLE: Key = Key::new(
    "ca_bundle",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/upstream-ca.pem\"",
        then: "the certificates that the host trusts",
    },
)
.says("PEM file of the certificates to trust in place of the host's; read at the start.");
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
const IOT: Key = Key::new("iot", Kind::Rows(iot::KEYS), Default::Rows)
    .says("Credentials from AWS IoT Core's credential provider, for the certificate of a device.");
const ASSUME_ROLE: Key = Key::new("assume_role", Kind::Rows(role::KEYS), Default::Rows)
    .says("A role that the credentials, wherever they come from, take on.");
const INSTANCE_CREDENTIALS: Key =
    Key::new("instance_credentials", Kind::Choice(&["auto", "on", "off"]), Default::Text("auto"))
        .says(
            "Whether the chain asks EC2's instance service; `auto` does on an instance, or where \
     `AWS_EC2_METADATA_SERVICE_ENDPOINT` is set, so that no other host waits for it.",
        );
const CONNECT_TIMEOUT: Key = Key::time("connect_timeout", 5 * SECOND)
    .within(100, MINUTE)
    .says("Longest time for TCP, proxy and TLS.");
const REQUEST_TIMEOUT: Key = Key::time("request_timeout", 30 * SECOND)
    .within(100, 10 * MINUTE)
    .says(
        "Longest time in which nothing of a request or its answer moves, ten minutes in all; records of \
         an unanswered one are sent again.",
    );

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AwsSettings {
    let region = checked(section, reading, &REGION, is_region);
    let endpoint_url = endpoint(section, reading, &ENDPOINT_URL);
    let (fips, dual_stack) = (flag(section, reading, &FIPS), flag(section, reading, &DUAL_STACK));
    alone(reading, endpoint_url.as_ref(), [(&FIPS, &fips), (&DUAL_STACK, &dual_stack)]);
    let proxy = proxy(section, reading);
    let ca_bundle = section.path(reading, &CA_BUNDLE);
    let profile = section.optional_text(reading, &PROFILE);
    let (credentials, place) = credentials(section, reading, profile.as_ref());
    let iot = iot::read(section, reading, &IOT);
    if let (Some(iot), Some(other)) =
        (&iot, place.or_else(|| profile.as_ref().map(|profile| profile.place.clone())))
    {
        let message = "`iot` stands together with other credentials, but only one can decide";
        let fault = Fault::new(other, message).label("credentials of its own");
        reading.faults.push(fault.hint(format!("take them out, or `iot` for `{}`", iot.endpoint)));
    }
    let instance_credentials = match section.choice(reading, &INSTANCE_CREDENTIALS).value.as_str() {
        "on" => InstanceCredentials::On,
        "off" => InstanceCredentials::Off,
        _ => InstanceCredentials::Auto,
    };
    AwsSettings {
        region,
        endpoint_url: endpoint_url.map(|at| at.value),
        fips: fips.value,
        dual_stack: dual_stack.value,
        proxy,
        ca_bundle: ca_bundle.place.is_some().then_some(ca_bundle.value),
        profile: profile.map(|at| at.value),
        credentials,
        iot,
        assume_role: role::read(section, reading, &ASSUME_ROLE),
        instance_credentials,
        connect_timeout: section.time(reading, &CONNECT_TIMEOUT),
        request_timeout: section.time(reading, &REQUEST_TIMEOUT),
    }
}

/// A flag, and where it was set.
fn flag(section: &mut Section<'_>, reading: &mut Reading<'_>, key: &Key) -> Setting<bool> {
    let place = section.place_of(key);
    Setting { value: section.flag(reading, key), place, is_sound: true }
}

/// An endpoint of one's own has no variants; the SDK would refuse every request.
fn alone(
    reading: &mut Reading<'_>,
    endpoint: Option<&At<String>>,
    variants: [(&Key, &Setting<bool>); 2],
) {
    let Some(endpoint) = endpoint else { return };
    for (key, flag) in variants {
        let Some(place) = flag.place.as_ref().filter(|_| flag.value) else { continue };
        let message = format!("`{}` and `endpoint_url` stand together", key.name);
        let label = "chooses among the region's own endpoints";
        let hint = format!("take one out; the address is now \"{}\"", clip(&endpoint.value));
        reading.faults.push(Fault::new(place.clone(), message).label(label).hint(hint));
    }
}

fn proxy(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Proxy {
    let setting = section.secret(reading, &PROXY);
    let (Some(proxy), Some(place)) = (setting.value, setting.place) else {
        return Proxy::Environment;
    };
    if proxy.reveal() == "off" {
        return Proxy::Off;
    }
    let url = proxy.reveal();
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let host = rest.map(|rest| rest.rsplit('@').next().unwrap_or_default());
    if !host.is_some_and(|host| !host.is_empty() && !host.starts_with([':', '/']))
        || url.contains(char::is_whitespace)
    {
        // The value may hold a password, so it is not repeated, and not shown.
        reading.hidden.push(place.clone());
        let fault = Fault::new(place, "`proxy` is no address of a proxy");
        reading.faults.push(fault.label("not http://HOST:PORT or \"off\"").hint(hint(&PROXY)));
    }
    Proxy::Through(proxy)
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

pub(super) fn endpoint(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    key: &Key,
) -> Option<At<String>> {
    let At { value: url, place } = section.optional_text(reading, key)?;
    let at = At { value: url.clone(), place: place.clone() };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
    let credentials = "credentials belong into `access_key_id` and `secret_access_key`";
    if let Some(fault) = user_fault("endpoint_url", &at, credentials, reading) {
        reading.faults.push(fault);
    } else if !host.is_some_and(|host| !host.is_empty() && !host.starts_with(':'))
        || url.contains([' ', '?', '#', '\\'])
    {
        let message = format!("`endpoint_url` is \"{}\", but it should be a URL", clip(&url));
        let fault = Fault::new(place, message).label("not http://HOST or https://HOST");
        reading.faults.push(fault.hint(hint(key)));
    }
    Some(at)
}

/// All of them or none, and not together with a profile.
fn credentials(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    profile: Option<&At<String>>,
) -> (Option<StaticCredentials>, Option<Place>) {
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
    let place = id.place.clone();
    (together(id, secret, token), place)
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

//! `iot = { … }`: credentials for the certificate of a device.

use crate::sink::IotSettings;

use super::super::document::{At, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind};
use super::super::value::Reading;

pub(super) const KEYS: &[Key] = &[ENDPOINT, ROLE_ALIAS, THING_NAME, CERT, KEY, CA];

const ENDPOINT: Key = Key::text(
    "endpoint",
    Default::Required("\"c1a2b3.credentials.iot.eu-west-1.amazonaws.com\""),
)
.says(
    "Credentials for the certificate of a device, from AWS IoT Core: the host of the account's \
     endpoint (`aws iot describe-endpoint --endpoint-type iot:CredentialProvider`). Required, \
     with `role_alias`, `cert` and `key`, as soon as there is any of `iot`.",
);
const ROLE_ALIAS: Key = Key::text("role_alias", Default::Required("\"weir-ingest\""))
    .says("The role alias whose role is taken on.");
const THING_NAME: Key = Key::text(
    "thing_name",
    Default::Otherwise { example: "\"gateway-7\"", then: "no thing is named" },
)
.says("The thing that the certificate is attached to; policies may ask for it.");
const CERT: Key = Key::new("cert", Kind::Path, Default::Required("\"/etc/weir/device.pem\""))
    .says("The device certificate in PEM; read anew at each fetch.");
const KEY: Key = Key::new("key", Kind::Path, Default::Required("\"/etc/weir/device.key\""))
    .says("Its private key in PEM; read anew at each fetch.");
const CA: Key = Key::new(
    "ca",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/AmazonRootCA1.pem\"",
        then: "`ca_bundle`, or what the host trusts",
    },
)
.says("What the endpoint's certificate is signed by, in PEM.");

/// `None` when the settings are not there, or not whole.
pub(super) fn read(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    key: &Key,
) -> Option<IotSettings> {
    section.place_of(key)?;
    let mut rows = section.nested(reading, key);
    let endpoint = rows.text(reading, &ENDPOINT);
    let role_alias = rows.text(reading, &ROLE_ALIAS);
    let thing_name = rows.optional_text(reading, &THING_NAME);
    let cert = rows.path(reading, &CERT);
    let private = rows.path(reading, &KEY);
    let ca = rows.path(reading, &CA);
    rows.finish(&mut reading.faults);
    let right = [
        (&ENDPOINT, written(&endpoint), is_host as fn(&str) -> bool),
        (&ROLE_ALIAS, written(&role_alias), is_alias),
        (&THING_NAME, thing_name.clone(), is_thing),
    ];
    for (key, text, is_right) in right {
        let Some(At { value, place }) = text.filter(|text| !is_right(&text.value)) else {
            continue;
        };
        let message = format!("`{}` cannot be the {}", clip(&value), key.name);
        let fault = Fault::new(place, message).label(format!("not a {}", key.name));
        reading.faults.push(fault.hint(hint(key)));
    }
    Some(IotSettings {
        endpoint: endpoint.value,
        role_alias: role_alias.value,
        thing_name: thing_name.map(|at| at.value),
        cert: cert.value,
        key: private.value,
        ca: ca.place.is_some().then_some(ca.value),
    })
}

fn written(text: &super::super::setting::Setting<String>) -> Option<At<String>> {
    text.written().map(|(value, place)| At { value: value.clone(), place: place.clone() })
}

/// A host, perhaps with a port; no scheme and no path.
fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    !text.is_empty() && text.len() <= 255 && text.chars().all(plain) && !text.starts_with(':')
}

fn is_alias(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | ',' | '@' | '-');
    (1..=128).contains(&text.len()) && text.chars().all(plain)
}

fn is_thing(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-');
    (1..=128).contains(&text.len()) && text.chars().all(plain)
}

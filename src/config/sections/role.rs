//! `assume_role = { … }`: a role that credentials take on.

use crate::sink::RoleSettings;

use super::super::document::{At, Section, hint};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, HOUR, Key, Kind, MINUTE};
use super::super::value::Reading;
use super::aws;

pub(super) const KEYS: &[Key] = &[ARN, EXTERNAL_ID, SESSION_NAME, DURATION, ENDPOINT_URL];

const ARN: Key = Key::text("arn", Default::Required("\"arn:aws:iam::123456789012:role/ingest\""))
    .says(
        "A role that the credentials, wherever they come from, take on. Required as soon as \
             there is any of `assume_role`.",
    );
const EXTERNAL_ID: Key = Key::new(
    "external_id",
    Kind::Secret,
    Default::Otherwise { example: "\"credential:external_id\"", then: "none is shown" },
)
.says("What the role's owner agreed on with you, by reference where it is to stay unread.");
const SESSION_NAME: Key =
    Key::text("session_name", Default::Text("weir")).says("How CloudTrail names the session.");
const DURATION: Key = Key::time("duration", HOUR)
    .within(15 * MINUTE, 12 * HOUR)
    .says("How long a session lasts; the role may allow less. It is renewed ahead of its end.");
const ENDPOINT_URL: Key = Key::text(
    "endpoint_url",
    Default::Otherwise {
        example: "\"https://vpce-1a2b.sts.eu-west-1.vpce.amazonaws.com\"",
        then: "the region's STS",
    },
)
.says("Another address of STS.");

/// `None` when the settings are not there.
pub(super) fn read(
    section: &mut Section<'_>,
    reading: &mut Reading<'_>,
    key: &Key,
) -> Option<RoleSettings> {
    section.place_of(key)?;
    let mut rows = section.nested(reading, key);
    let arn = rows.text(reading, &ARN);
    let external_id = rows.secret(reading, &EXTERNAL_ID).value;
    let session_name = rows.text(reading, &SESSION_NAME);
    let duration = rows.time(reading, &DURATION);
    let endpoint_url = aws::endpoint(&mut rows, reading, &ENDPOINT_URL);
    rows.finish(&mut reading.faults);
    for (key, text, is_right) in
        [(&ARN, &arn, is_role as fn(&str) -> bool), (&SESSION_NAME, &session_name, is_session)]
    {
        let Some((value, place)) = text.written().filter(|(value, _)| !is_right(value)) else {
            continue;
        };
        let message = format!("`{}` cannot be the {}", clip(value), key.name);
        let fault = Fault::new(place.clone(), message).label(format!("not a {}", key.name));
        reading.faults.push(fault.hint(hint(key)));
    }
    Some(RoleSettings {
        arn: arn.value,
        external_id,
        session_name: session_name.value,
        duration,
        endpoint_url: endpoint_url.map(|At { value, .. }| value),
    })
}

/// `arn:aws:iam::ACCOUNT:role/PATH/NAME`, in any partition.
fn is_role(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts.as_slice() else {
        return false;
    };
    *arn == "arn"
        && partition.starts_with("aws")
        && *service == "iam"
        && region.is_empty()
        && account.len() == 12
        && account.chars().all(|c| c.is_ascii_digit())
        && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
}

/// As STS has it.
fn is_session(text: &str) -> bool {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '=' | ',' | '.' | '@' | '-');
    (2..=64).contains(&text.len()) && text.chars().all(plain)
}

//! AWS IoT Core's credential provider: temporary credentials for a device certificate.
//!
//! ```text
//! GET https://<endpoint>/role-aliases/<alias>/credentials      mutual TLS, x-amzn-iot-thingname
//! 200 {"credentials":{"accessKeyId","secretAccessKey","sessionToken","expiration"}}
//! ```

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_credential_types::provider::Result as Found;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use hyper::{Request, Response};
use serde::Deserialize;
use tokio::time::Instant;

use super::clock::ServiceClock;
use super::fault::{is_refused_by_peer, one_line, story};
use super::transport::{Identity, Transport};
use crate::base::clock::parse_rfc3339;
use crate::sink::{AwsSettings, IotSettings};

/// Most bytes of an answer's words that are repeated.
const WORDS_BYTES_MAX: usize = 200;

#[derive(Deserialize)]
struct Answer {
    credentials: Temporary,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Temporary {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

/// Asks once. The files are read anew each time: certificates are exchanged while weir runs.
pub(super) async fn fetch(settings: &AwsSettings, clock: &ServiceClock) -> Found {
    let Some(iot) = &settings.iot else { return Err(fault("there are no settings for it")) };
    let identity = Identity::read(&iot.cert, &iot.key).map_err(fault)?;
    let means = AwsSettings {
        ca_bundle: iot.ca.clone().or_else(|| settings.ca_bundle.clone()),
        ..settings.clone()
    };
    let transport = Transport::new(&means, clock, Some(identity)).map_err(fault)?;
    let begun = Instant::now();
    let answer = transport.exchange(request(iot)?).await;
    let answer = answer.map_err(|error| unheard(&error))?;
    // It is not signed, but the peer showed the certificate of the service.
    transport.learn(&answer, begun.elapsed());
    read(&answer)
}

fn request(iot: &IotSettings) -> Result<Request<SdkBody>, CredentialsError> {
    let uri = format!("https://{}/role-aliases/{}/credentials", iot.endpoint, iot.role_alias);
    let mut request = Request::get(uri);
    if let Some(thing) = &iot.thing_name {
        request = request.header("x-amzn-iot-thingname", thing);
    }
    request.body(SdkBody::empty()).map_err(|error| fault(error.to_string()))
}

fn read(answer: &Response<Bytes>) -> Found {
    let status = answer.status().as_u16();
    if status != 200 {
        let words = one_line(&String::from_utf8_lossy(answer.body()), WORDS_BYTES_MAX);
        let hint = match status {
            403 => {
                "; is the certificate active, does its policy allow \
                    iot:AssumeRoleWithCertificate on the role alias, and is the thing attached?"
            }
            404 => "; is the role alias right?",
            _ => "",
        };
        let words = format!("it answered {status}: {words}{hint}");
        // Then it is in trouble itself, and says nothing about the certificate.
        return Err(if status >= 500 || status == 429 { away(words) } else { fault(words) });
    }
    let answer: Answer = serde_json::from_slice(answer.body())
        // The error may repeat a part of a secret.
        .map_err(|_| fault("its answer holds no credentials"))?;
    let found = answer.credentials;
    let end = parse_rfc3339(&found.expiration)
        .ok_or_else(|| fault("its answer does not say when the credentials end"))?;
    Ok(Credentials::new(
        found.access_key_id,
        found.secret_access_key,
        Some(found.session_token),
        Some(UNIX_EPOCH + Duration::from_millis(end)),
        "AWS IoT Core",
    ))
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
#[error("the IoT credential provider gave none: {words}")]
pub(super) struct NoneGiven {
    words: String,
    /// It could not be asked.
    pub(super) is_away: bool,
}

fn fault(words: impl Into<String>) -> CredentialsError {
    CredentialsError::provider_error(NoneGiven { words: words.into(), is_away: false })
}

fn unheard(error: &ConnectorError) -> CredentialsError {
    if is_refused_by_peer(error) { fault(story(error)) } else { away(story(error)) }
}

fn away(words: String) -> CredentialsError {
    CredentialsError::provider_error(NoneGiven { words, is_away: true })
}

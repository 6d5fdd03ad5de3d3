//! AWS Lambda: invokes one function and gives back what it answers. Takes no entries.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::aws::{Keeper, Transport};
use super::web::in_words;
use super::{At, AwsSettings, Fault, ServiceClock, aws};
use crate::base::clock::Clock;

/// Which function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LambdaSettings {
    /// Name, partial or whole ARN, with a version or alias if wanted: `authorize:live`.
    pub function: String,
    /// How to reach Lambda.
    pub aws: AwsSettings,
}

/// Why a function gave nothing back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LambdaFault {
    /// No credentials, no answer, or Lambda would not invoke it.
    Away(String),
    /// It was invoked, and failed with these words.
    Function(String),
}

/// What a function that failed leaves behind.
#[derive(Default, Deserialize)]
struct Raised {
    #[serde(rename = "errorMessage", default)]
    message: String,
}

/// One function.
#[derive(Debug)]
pub struct Lambda {
    transport: Transport,
    keeper: Keeper,
    clock: ServiceClock,
    region: String,
    url: String,
}

/// Most bytes of an answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What stays as it is in a segment of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The code of an error, perhaps with an address behind a colon.
const ERROR_TYPE: &str = "x-amzn-errortype";
/// Says that the function itself failed; the status is a success then.
const FUNCTION_ERROR: &str = "x-amz-function-error";

impl Lambda {
    /// Reads files, never the network.
    ///
    /// # Errors
    /// In words, when the settings name no region or no usable endpoint.
    pub async fn connect(settings: &LambdaSettings) -> Result<Self, String> {
        let clock = ServiceClock::new(Clock::real(), None);
        let (config, keeper, _) = aws::config(&settings.aws, &clock, None).await?;
        let transport = Transport::new(&settings.aws, &clock, None)?;
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let function = utf8_percent_encode(&settings.function, PLAIN);
        let endpoint = endpoint(&settings.aws, &region);
        let url = format!("{endpoint}/2015-03-31/functions/{function}/invocations");
        Ok(Self { transport, keeper, clock, region, url })
    }

    /// Invokes it once and waits for what it returns.
    ///
    /// # Errors
    /// [`LambdaFault`].
    pub async fn invoke(&self, event: Vec<u8>) -> Result<Bytes, LambdaFault> {
        let request = self.signed(event).await.map_err(LambdaFault::Away)?;
        let answer = self.transport.exchange(request).await;
        let answer = answer.map_err(|error| LambdaFault::Away(in_words(&error)))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            let code = head.headers.get(ERROR_TYPE).and_then(|code| code.to_str().ok());
            let code = code.and_then(|code| code.split(':').next()).unwrap_or_default().to_owned();
            let (status, message) = (head.status.as_u16(), String::new());
            let words = format!("Lambda answered {status} {code}");
            self.keeper.heed(&Fault { at: At::Answer(status), code, message, retry_after: None });
            return Err(LambdaFault::Away(words));
        }
        if body.len() > ANSWER_BYTES_MAX {
            let words = format!("{} bytes; {ANSWER_BYTES_MAX} are read", body.len());
            return Err(LambdaFault::Function(words));
        }
        if head.headers.contains_key(FUNCTION_ERROR) {
            let raised: Raised = serde_json::from_slice(&body).unwrap_or_default();
            return Err(LambdaFault::Function(raised.message));
        }
        Ok(body)
    }

    async fn signed(&self, event: Vec<u8>) -> Result<Request<SdkBody>, String> {
        let credentials = self.keeper.provide_credentials().await.map_err(|e| in_words(&e))?;
        let identity = credentials.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("lambda")
            .time(UNIX_EPOCH + Duration::from_millis(self.clock.unix_ms()))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| in_words(&error))?
            .into();
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::post(&self.url)
            .header(CONTENT_TYPE, json)
            .body(SdkBody::from(event.clone()))
            .map_err(|error| in_words(&error))?;
        let headers = [("content-type", "application/json")].into_iter();
        let body = SignableBody::Bytes(&event);
        let signable = SignableRequest::new("POST", &self.url, headers, body)
            .map_err(|error| in_words(&error))?;
        let signed = sign(signable, &params).map_err(|error| in_words(&error))?;
        signed.into_parts().0.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}

/// Where the function's region answers.
fn endpoint(aws: &AwsSettings, region: &str) -> String {
    if let Some(url) = &aws.endpoint_url {
        return url.trim_end_matches('/').to_owned();
    }
    let service = if aws.fips { "lambda-fips" } else { "lambda" };
    let is_china = region.starts_with("cn-");
    let domain = match (aws.dual_stack, is_china) {
        (false, false) => "amazonaws.com",
        (false, true) => "amazonaws.com.cn",
        (true, false) => "api.aws",
        (true, true) => "api.amazonwebservices.com.cn",
    };
    format!("https://{service}.{region}.{domain}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_address_unless_another_is_set() {
        let check = |aws: AwsSettings, region: &str, url: &str| {
            assert_eq!(endpoint(&aws, region), url);
        };
        let plain = AwsSettings::default;
        check(plain(), "eu-west-1", "https://lambda.eu-west-1.amazonaws.com");
        check(plain(), "cn-north-1", "https://lambda.cn-north-1.amazonaws.com.cn");
        let fips = AwsSettings { fips: true, ..plain() };
        check(fips, "us-east-1", "https://lambda-fips.us-east-1.amazonaws.com");
        let dual_stack = AwsSettings { dual_stack: true, ..plain() };
        check(dual_stack, "eu-west-1", "https://lambda.eu-west-1.api.aws");
        let endpoint_url = Some("http://127.0.0.1:1/".to_owned());
        check(AwsSettings { endpoint_url, ..plain() }, "eu-west-1", "http://127.0.0.1:1");
    }
}

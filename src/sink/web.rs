//! Plain HTTPS to a server that is no AWS service: keys of issuers, authorizers. Takes no entries.

use std::path::PathBuf;
use std::time::Duration;

use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};

use super::aws::Transport;
use super::{AwsSettings, Proxy, ServiceClock};
use crate::base::clock::Clock;
use crate::base::secret::Secret;

/// How to reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSettings {
    /// File of the certificates that are trusted in place of the host's.
    pub ca_bundle: Option<PathBuf>,
    /// Longest time for TCP, proxy and TLS, and again for the whole answer.
    pub timeout: Duration,
}

/// One server, with its pool of connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct Web(Transport);

const AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Web {
    /// Reads the certificates that are trusted; connects to nobody yet. Proxies are those of the
    /// environment.
    ///
    /// # Errors
    /// In words, when the file of certificates can't be used.
    pub fn new(settings: &WebSettings) -> Result<Self, String> {
        let settings = AwsSettings {
            proxy: Proxy::Environment,
            ca_bundle: settings.ca_bundle.clone(),
            connect_timeout: settings.timeout,
            request_timeout: settings.timeout,
            ..AwsSettings::default()
        };
        // What a stranger says of the time is nothing to sign by.
        let clock = ServiceClock::new(Clock::real(), None);
        Ok(Self(Transport::new(&settings, &clock, None)?.untaught()))
    }

    /// Fetches JSON.
    ///
    /// # Errors
    /// In words: no answer, another status than 200, more bytes than that.
    pub async fn fetch(&self, url: &str, bytes_max: usize) -> Result<Bytes, String> {
        let request = request(Method::GET, url)?.body(SdkBody::empty());
        let (status, body) = self.answer(request).await?;
        if status != 200 {
            return Err(format!("it answered {status}"));
        }
        let count = body.len();
        if count > bytes_max {
            return Err(format!("its answer has {count} bytes; at most {bytes_max} are read"));
        }
        Ok(body)
    }

    /// Posts JSON, with a Bearer token if there is one; the status and the answer, whatever it is.
    ///
    /// # Errors
    /// In words: no answer.
    pub async fn post(
        &self,
        url: &str,
        bearer: Option<&Secret>,
        json: Vec<u8>,
    ) -> Result<(u16, Bytes), String> {
        let mut headers = HeaderMap::new();
        if let Some(bearer) = bearer {
            let value = Secret::new(format!("Bearer {}", bearer.reveal()));
            headers.insert(AUTHORIZATION, hushed(&value, "the token")?);
        }
        self.post_with(url, headers, json).await
    }

    /// Posts JSON with these headers; the status and the answer, whatever it is.
    ///
    /// # Errors
    /// In words: no answer.
    pub async fn post_with(
        &self,
        url: &str,
        headers: HeaderMap,
        json: Vec<u8>,
    ) -> Result<(u16, Bytes), String> {
        let mut request = request(Method::POST, url)?.header(CONTENT_TYPE, JSON);
        if let Some(all) = request.headers_mut() {
            all.extend(headers);
        }
        self.answer(request.body(SdkBody::from(json))).await
    }

    async fn answer(
        &self,
        request: hyper::http::Result<Request<SdkBody>>,
    ) -> Result<(u16, Bytes), String> {
        let request = request.map_err(|error| error.to_string())?;
        let answer = self.0.exchange(request).await.map_err(|error| in_words(&error))?;
        let (head, body) = answer.into_parts();
        Ok((head.status.as_u16(), body))
    }
}

/// The value of a header that nobody prints; `what` it is for the words of the fault.
///
/// # Errors
/// In words, when no header may hold it.
pub fn hushed(secret: &Secret, what: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::from_str(secret.reveal());
    let mut value = value.map_err(|_| format!("{what} is no plain text"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn request(method: Method, url: &str) -> Result<hyper::http::request::Builder, String> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no address"))?;
    let request = Request::builder().method(method).uri(uri);
    Ok(request.header(ACCEPT, JSON).header(USER_AGENT, HeaderValue::from_static(AGENT)))
}

/// The innermost causes say most.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !words.ends_with(&said) {
            words = format!("{words}: {said}");
        }
        next = cause.source();
    }
    words
}

//! HTTP/1.1 to AWS: one pool of connections per destination, through a proxy where one is set, by
//! TLS that knows the service's time. Every answer of the service to a signed request teaches it.
//!
//! The SDK's own client would do but for two things: its TLS goes by the host's clock, and cannot
//! show a device certificate.

mod dial;
mod flow;
mod meter;
mod trust;
mod watch;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{AGE, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue, PROXY_AUTHORIZATION};
use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::cbor;
use super::clock::ServiceClock;
use crate::sink::{AwsSettings, Proxy};

pub(super) use dial::DialError;
use dial::{Detour, Dialer};
pub(in crate::sink) use meter::Meter;
pub(in crate::sink) use trust::Identity;
pub(super) use watch::CutOff;
use watch::Patience;

/// Largest answer that is read: the results of 500 records take a tenth of it.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Longest time for one exchange of the SDK, however it moves: a signature is good for five minutes,
/// and the largest request takes that long at 45 KiB/s.
pub(super) const EXCHANGE_MAX: Duration = Duration::from_secs(600);
/// A pooled connection that nobody used for so long is closed; services close theirs a little later.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// The pool; cheap to clone, clones share it.
#[derive(Clone)]
pub(in crate::sink) struct Transport {
    client: Client<Dialer, SdkBody>,
    detour: Detour,
    connect_timeout: Duration,
    answer_timeout: Duration,
    clock: ServiceClock,
    is_taught: bool,
    meter: Meter,
}

impl Transport {
    /// For a destination. Reads the certificates that are trusted; connects to nobody yet.
    pub(in crate::sink) fn new(
        settings: &AwsSettings,
        clock: &ServiceClock,
        identity: Option<Identity>,
    ) -> Result<Self, String> {
        let roots = trust::roots(settings.ca_bundle.as_deref())?;
        let bare = trust::client_config(&roots, clock, None)?;
        let tls = match identity {
            Some(identity) => trust::client_config(&roots, clock, Some(identity))?,
            None => Arc::clone(&bare),
        };
        let detour = detour(&settings.proxy)?;
        let dialer = Dialer::new(tls, bare, detour.clone(), settings.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(dialer);
        Ok(Self {
            client,
            detour,
            connect_timeout: settings.connect_timeout,
            answer_timeout: settings.request_timeout,
            clock: clock.clone(),
            is_taught: true,
            meter: Meter::default(),
        })
    }

    /// The same connections, for clients of the SDK that correct the time of their signatures by
    /// themselves: corrected twice, it would be wrong again.
    pub(in crate::sink) fn untaught(&self) -> Self {
        Self { is_taught: false, ..self.clone() }
    }

    /// How fast large requests are sent.
    pub(in crate::sink) fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// One exchange: the whole answer, within the time a connection and an answer may take.
    pub(in crate::sink) async fn exchange(
        &self,
        request: Request<SdkBody>,
    ) -> Result<Response<Bytes>, ConnectorError> {
        let limit = self.connect_timeout + self.answer_timeout;
        self.exchange_within(Patience { dial: Duration::ZERO, still: limit, whole: limit }, request)
            .await
    }

    async fn exchange_within(
        &self,
        patience: Patience,
        mut request: Request<SdkBody>,
    ) -> Result<Response<Bytes>, ConnectorError> {
        // A plain request goes to the proxy itself, so that it must show its word there.
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Some(word) = self.detour.word_for(request.uri())
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, word);
        }
        let is_signed = self.is_taught && request.headers().contains_key(AUTHORIZATION);
        let bytes = request.body().content_length().unwrap_or_default();
        let way = capture_connection(&mut request);
        let (answer, took) = patience.wait(self.answer(request), way, (bytes, &self.meter)).await?;
        // A cache would tell the time of another request.
        if is_signed && !answer.headers().contains_key(AGE) && is_of_service(&answer) {
            self.learn(&answer, took);
        }
        Ok(answer)
    }

    /// Learns the service's time from an answer whose peer is known to be the service.
    pub(super) fn learn(&self, answer: &Response<Bytes>, took: Duration) {
        if let Some(date) = answer.headers().get(DATE).and_then(|date| date.to_str().ok()) {
            self.clock.heard(date, took);
        }
    }

    async fn answer(&self, request: Request<SdkBody>) -> Result<Response<Bytes>, ConnectorError> {
        let answer =
            self.client.request(request).await.map_err(|error| connector_error(error.into()))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(connector_error)?;
        Ok(in_json(Response::from_parts(head, body.to_bytes())))
    }
}

/// The SDK reads JSON; what was asked in CBOR is answered in it. Nothing else of the answer changes.
fn in_json(answer: Response<Bytes>) -> Response<Bytes> {
    let kind = answer.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(cbor::is_cbor) {
        return answer;
    }
    match cbor::to_json(answer.body()) {
        Some(json) => answer.map(|_| json),
        None => answer,
    }
}

/// Whether the service itself wrote it: it names the request, or speaks its language. A portal that
/// stands in the way sends its visitors elsewhere, or shows them a page.
fn is_of_service(answer: &Response<Bytes>) -> bool {
    const NAMED: [&str; 2] = ["x-amzn-requestid", "x-amz-request-id"];
    let is_named = NAMED.iter().any(|name| answer.headers().contains_key(*name));
    let is_json = answer.body().trim_ascii_start().starts_with(b"{");
    is_named || is_json && !answer.status().is_redirection()
}

fn detour(proxy: &Proxy) -> Result<Detour, String> {
    match proxy {
        Proxy::Environment => Ok(Detour::from_environment()),
        Proxy::Off => Ok(Detour::default()),
        Proxy::Through(url) => Detour::through(url.reveal()),
    }
}

/// Whatever went wrong on the way is a matter of the network, unless it took too long.
fn connector_error(error: Box<dyn Error + Send + Sync>) -> ConnectorError {
    let mut next: Option<&(dyn Error + 'static)> = Some(error.as_ref());
    while let Some(cause) = next {
        if matches!(cause.downcast_ref(), Some(DialError::Late(_))) {
            return ConnectorError::timeout(error);
        }
        next = cause.source();
    }
    ConnectorError::io(error)
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The SDK asks for a connector once per operation, with that operation's limits.
impl HttpClient for Transport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connect = settings.connect_timeout().unwrap_or(self.connect_timeout);
        let answer = settings.read_timeout().unwrap_or(self.answer_timeout);
        let patience = Patience { dial: connect, still: answer, whole: EXCHANGE_MAX };
        SharedHttpConnector::new(Limit { transport: self.clone(), patience })
    }
}

#[derive(Debug)]
struct Limit {
    transport: Transport,
    patience: Patience,
}

impl HttpConnector for Limit {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (transport, patience) = (self.transport.clone(), self.patience);
        HttpConnectorFuture::new(async move {
            let request =
                request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let answer = transport.exchange_within(patience, request).await?;
            HttpResponse::try_from(answer.map(SdkBody::from))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

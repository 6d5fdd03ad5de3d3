//! The pages and actions, and what each answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Views;
use super::local::{is_deliberate, is_local};
use super::problem::Fault;
use crate::base::clock::Clock;
use crate::base::random;
use crate::base::serve::{Answer, Answers, Arriving, LeftUnread, Peer, REQUEST_ID};
use crate::telemetry::{Metrics, OPENMETRICS_TYPE};

/// Most bytes of an order.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// Longest time for an order to arrive.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

const JSON_TYPE: &str = "application/json";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

pub(super) struct Desk {
    pub(super) views: Views,
    pub(super) metrics: Metrics,
}

impl Desk {
    async fn respond(&self, request: Request<Arriving>) -> Result<Answer, Fault> {
        let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
        let get = || if is_get { Ok(()) } else { Err(Fault::WrongMethod { allow: "GET, HEAD" }) };
        match request.uri().path() {
            "/livez" => get().map(|()| page(StatusCode::OK, TEXT_TYPE, "live\n".into())),
            "/readyz" => get().map(|()| self.ready()),
            "/metrics" => {
                get().map(|()| page(StatusCode::OK, OPENMETRICS_TYPE, self.metrics.encode()))
            }
            "/status" => {
                get()?;
                is_local(&request)?;
                Ok(page(StatusCode::OK, JSON_TYPE, (self.views.status)().to_string()))
            }
            "/dead/replay" if request.method() == Method::POST => self.replay(request).await,
            "/dead/replay" => Err(Fault::WrongMethod { allow: "POST" }),
            _ => Err(Fault::UnknownPath),
        }
    }

    fn ready(&self) -> Answer {
        let reasons = (self.views.unready)();
        if reasons.is_empty() {
            let held = (self.views.held)();
            let held: String = held.iter().map(|words| format!("held: {words}\n")).collect();
            return page(StatusCode::OK, TEXT_TYPE, format!("ready\n{held}"));
        }
        let words = json!({ "ready": false, "reasons": reasons });
        page(StatusCode::SERVICE_UNAVAILABLE, JSON_TYPE, words.to_string())
    }

    async fn replay(&self, request: Request<Arriving>) -> Result<Answer, Fault> {
        is_local(&request)?;
        is_deliberate(&request)?;
        let order = read_order(request.into_body()).await?;
        let done = (self.views.replay)(order).await.map_err(Fault::ReplayRefused)?;
        Ok(page(StatusCode::OK, JSON_TYPE, done.to_string()))
    }
}

async fn read_order(body: Arriving) -> Result<Value, Fault> {
    let body = Limited::new(body, ORDER_BYTES_MAX).collect();
    let body = tokio::time::timeout(ORDER_TIMEOUT, body).await;
    let body = body.map_err(|_| Fault::BodyTooSlow { limit: ORDER_TIMEOUT })?;
    let body = body.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Fault::BodyTooLarge { limit: ORDER_BYTES_MAX }
        } else {
            Fault::BodyCutShort
        }
    })?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| Fault::NotJson(error.to_string()))
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl Answers for Desk {
    async fn answer(self: Arc<Self>, request: Request<Arriving>, peer: Peer) -> Answer {
        let id = format!("{:x}-{:08x}", Clock::real().unix_ms(), random::bits() >> 96);
        let has_body = !request.body().is_end_stream();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());

        let answer = self.respond(request).await;

        // Only an order that was carried out, or was no JSON, was surely read to its end.
        let is_read = matches!(answer, Ok(_) | Err(Fault::NotJson(_) | Fault::ReplayRefused(_)));
        let mut answer = answer.unwrap_or_else(|fault| fault.problem().answer(&id));
        if has_body && !(is_read && method == Method::POST) {
            answer.extensions_mut().insert(LeftUnread);
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        let (status, remote) = (answer.status().as_u16(), peer.remote.map(tracing::field::display));
        tracing::debug!(listener = "admin", remote, request = id, %method, path, status, "answered");
        answer
    }
}

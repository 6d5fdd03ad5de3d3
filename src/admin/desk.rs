//! The pages and actions, and what each answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::access::{Access, Visitor};
use super::problem::Fault;
use super::{Views, page, query};
use crate::base::clock::Clock;
use crate::base::random;
use crate::base::serve::{
    Answer, Answers, Arriving, LeftUnread, Misframed, Peer, REQUEST_ID, misframed,
};
use crate::telemetry::{AUDIT, Metrics, OPENMETRICS_TYPE};

/// Most bytes of an order.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// Longest time for an order to arrive.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells the dashboard whether to offer orders.
const ACCESS: HeaderName = HeaderName::from_static("weir-access");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const JSON_TYPE: &str = "application/json";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

pub(super) struct Desk {
    views: Views,
    metrics: Metrics,
    access: Access,
    /// Letters are looked for by one request at a time: each may read tens of MiB.
    reading: Semaphore,
    /// Numbers are written down by one at a time, however many collectors ask.
    counting: Semaphore,
}

impl Desk {
    pub(super) fn new(views: Views, metrics: Metrics, access: Access) -> Self {
        Self { views, metrics, access, reading: Semaphore::new(1), counting: Semaphore::new(1) }
    }

    async fn respond(&self, request: Request<Arriving>) -> Result<Answer, Fault> {
        check_head(&request)?;
        let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
        let visitor = || self.access.visitor(&request);
        let get = || if is_get { Ok(()) } else { Err(Fault::WrongMethod { allow: "GET, HEAD" }) };
        match request.uri().path() {
            "/livez" => get().map(|()| said(StatusCode::OK, TEXT_TYPE, "live\n".into())),
            "/readyz" => {
                get()?;
                let is_known = matches!(visitor(), Ok(Visitor::Operator(_)));
                Ok(self.ready(is_known || self.access.is_loopback))
            }
            "/metrics" => {
                get()?;
                let visitor = visitor()?;
                visitor.may_look(&request)?;
                let _turn = self.counting.acquire().await;
                Ok(said(StatusCode::OK, OPENMETRICS_TYPE, self.metrics.encode()))
            }
            "/status" => {
                get()?;
                let visitor = visitor()?;
                visitor.may_look(&request)?;
                let mut answer = said(StatusCode::OK, JSON_TYPE, (self.views.status)().to_string());
                answer.headers_mut().insert(ACCESS, HeaderValue::from_static(visitor.as_str()));
                Ok(answer)
            }
            "/dead" => {
                get()?;
                let visitor = visitor()?;
                visitor.may_look(&request)?;
                self.letters(&visitor, request.uri().query().unwrap_or_default()).await
            }
            "/dead/replay" | "/dead/purge" if request.method() == Method::POST => {
                let path = request.uri().path().to_owned();
                let visitor = visitor().inspect_err(|fault| refused_order(None, &path, fault))?;
                let done = self.order(&visitor, request).await;
                done.inspect_err(|fault| refused_order(Some(&visitor), &path, fault))
            }
            "/dead/replay" | "/dead/purge" => Err(Fault::WrongMethod { allow: "POST" }),
            path => {
                let file = page::find(path).ok_or(Fault::UnknownPath)?;
                get().map(|()| file)
            }
        }
    }

    /// What is held stands in the upstream's own words, which are nobody's business but the operator's.
    fn ready(&self, tells_held: bool) -> Answer {
        let reasons = (self.views.unready)();
        if reasons.is_empty() {
            let held = if tells_held { (self.views.held)() } else { Vec::new() };
            let held: String = held.iter().map(|words| format!("held: {words}\n")).collect();
            return said(StatusCode::OK, TEXT_TYPE, format!("ready\n{held}"));
        }
        let words = json!({ "ready": false, "reasons": reasons });
        said(StatusCode::SERVICE_UNAVAILABLE, JSON_TYPE, words.to_string())
    }

    async fn letters(&self, visitor: &Visitor, asked: &str) -> Result<Answer, Fault> {
        let asked = query::order(asked)?;
        let _turn = self.reading.acquire().await;
        let letters = (self.views.letters)(asked, visitor.content()).await;
        let letters = letters.map_err(Fault::Unreadable)?;
        Ok(said(StatusCode::OK, JSON_TYPE, letters.to_string()))
    }

    async fn order(&self, visitor: &Visitor, request: Request<Arriving>) -> Result<Answer, Fault> {
        visitor.may_order(&request)?;
        let path = request.uri().path().to_owned();
        let carry_out = if path == "/dead/purge" { &self.views.purge } else { &self.views.replay };
        let order = read_order(request.into_body()).await?;
        let words = order.to_string();
        let done = carry_out(order).await.map_err(Fault::ReplayRefused)?;
        tracing::info!(target: AUDIT, operator = visitor.name(), path, order = words, %done, "carried out an order");
        Ok(said(StatusCode::OK, JSON_TYPE, done.to_string()))
    }
}

/// As at the doors of senders: what two readers would take for two things is refused.
fn check_head<B>(request: &Request<B>) -> Result<(), Fault> {
    match misframed(request) {
        Some(Misframed::Twice) => return Err(Fault::BadFraming),
        Some(Misframed::UnknownCoding) => return Err(Fault::UnknownCoding),
        None => {}
    }
    let count = |name: HeaderName| request.headers().get_all(name).iter().count();
    if request.version() == Version::HTTP_11 && count(HOST) != 1 {
        return Err(Fault::BadHost);
    }
    if count(AUTHORIZATION) > 1 || count(API_KEY) > 1 {
        return Err(Fault::TwoCredentials);
    }
    Ok(())
}

/// Whoever looks into the log finds those who were turned away as well.
fn refused_order(visitor: Option<&Visitor>, path: &str, fault: &Fault) {
    let operator = visitor.map_or("(a key that opens nothing)", Visitor::name);
    let why = fault.clone().problem().slug;
    tracing::warn!(target: AUDIT, operator, path, why, "refused an order");
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

fn said(status: StatusCode, content_type: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

impl Answers for Desk {
    /// Whoever is on this host waits for a place.
    fn speaks_for_many(&self, sender: IpAddr) -> bool {
        sender.to_canonical().is_loopback()
    }

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
        page::keep_apart(&mut answer);
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        let (status, remote) = (answer.status().as_u16(), peer.remote.map(tracing::field::display));
        tracing::debug!(listener = "admin", remote, request = id, %method, path, status, "answered");
        answer
    }
}

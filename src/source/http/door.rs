//! One listener block at work: every request gets an id, an answer, a number and a log line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::body::Budget;
use super::head::check_head;
use super::metrics::Numbers;
use super::problem::Fault;
use super::routes::{Route, route};
use super::{Readiness, Settings};
use crate::admission::{Admission, Refusal};
use crate::base::clock::Clock;
use crate::base::seldom::Seldom;
use crate::base::serve::{Answer, Answers, LeftUnread, Peer, REQUEST_ID};
use crate::record::RecordId;
use crate::telemetry::Metrics;

/// How often a lasting condition (queue full, disk failing) is written to the log.
const SAY_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Door {
    pub(super) settings: Settings,
    /// `http.NAME`.
    pub(super) source: String,
    pub(super) admission: Arc<Admission>,
    pub(super) budget: Budget,
    readiness: Readiness,
    numbers: Numbers,
    turned_away: Seldom,
}

impl Door {
    pub(super) fn new(
        settings: Settings,
        admission: Arc<Admission>,
        readiness: Readiness,
        metrics: &Metrics,
    ) -> Self {
        Self {
            source: format!("http.{}", settings.name),
            budget: Budget::new(&settings),
            numbers: Numbers::new(metrics, &settings.name),
            settings,
            admission,
            readiness,
            turned_away: Seldom::new(SAY_EVERY),
        }
    }

    async fn respond(self: &Arc<Self>, request: Request<Incoming>, id: &str) -> Answer {
        let mut is_read = request.body().is_end_stream();
        let answer = match check_head(&request).and_then(|()| route(&request)) {
            Ok(Route::Live) => Ok(text(StatusCode::OK, "live\n")),
            Ok(Route::Ready) => Ok(self.ready()),
            Ok(Route::Records { stream }) => {
                self.post_records(&stream, request, &mut is_read).await
            }
            Err(fault) => Err(fault),
        };
        let mut answer = answer.unwrap_or_else(|fault| {
            self.say(&fault, id);
            fault.problem().answer(id)
        });
        if !is_read {
            answer.extensions_mut().insert(LeftUnread);
        }
        if let Ok(id) = HeaderValue::from_str(id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        answer
    }

    fn ready(&self) -> Answer {
        let why = (self.readiness)();
        if why.is_empty() {
            return text(StatusCode::OK, "ready\n");
        }
        tracing::debug!(listener = self.settings.name, ?why, "not ready");
        text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }

    /// The world's faults are worth a line; the senders' are numbers.
    fn say(&self, fault: &Fault, request: &str) {
        let Fault::Refused(refusal @ (Refusal::Full { .. } | Refusal::Broken { .. })) = fault
        else {
            return;
        };
        if let Some(unsaid) = self.turned_away.turn() {
            let (listener, problem) = (&self.settings.name, refusal.reason());
            tracing::warn!(listener, problem, request, unsaid, "turning records away");
        }
    }

    pub(super) fn count_body(&self, bytes: usize) {
        self.numbers.body(bytes);
    }
}

impl Answers for Door {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> Answer {
        let began = Instant::now();
        let id = RecordId::new(Clock::real().unix_ms()).to_string();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());

        let answer = self.respond(request, &id).await;

        let (status, took) = (answer.status().as_u16(), began.elapsed());
        self.numbers.request(Route::label(&path), status, took);
        let listener = &self.settings.name;
        let remote = peer.remote.map(tracing::field::display);
        tracing::debug!(listener, remote, request = id, %method, path, status, ?took, "answered");
        answer
    }

    fn count_connection(&self, change: i64) {
        self.numbers.connection(change);
    }
}

pub(super) fn text(status: StatusCode, words: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

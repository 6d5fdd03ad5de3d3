//! One listener block at work: every request gets an id, an answer, a number and a log line.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::body::Budget;
use super::delivery;
use super::endpoint::Errand;
use super::head::check_head;
use super::metrics::Numbers;
use super::path::bring_into_form;
use super::problem::Fault;
use super::routes::{NO_ROUTE, Route, Routes};
use super::rules::Rules;
use super::trace::{Answered, Brought};
use super::visitor::Visitor;
use super::{LentPapers, Readiness, Settings, Shards, ShardsOf, aws};
use crate::admission::{Admission, Refusal};
use crate::base::clock::Clock;
use crate::base::seldom::Seldom;
use crate::base::serve::{
    Answer, Answers, Arriving, LeftUnread, Peer, REQUEST_ID, Tls, TurnedAway,
};
use crate::record::RecordId;
use crate::telemetry::{Metrics, Tracer, within};

/// How often a lasting condition (queue full, disk failing) is written to the log.
const SAY_EVERY: Duration = Duration::from_secs(30);

pub(super) struct Door {
    pub(super) settings: Settings,
    /// `http.NAME`.
    pub(super) source: String,
    pub(super) admission: Arc<Admission>,
    pub(super) budget: Budget,
    readiness: Readiness,
    routes: Routes,
    rules: Rules,
    numbers: Numbers,
    turned_away: Seldom,
    tls: Option<Arc<Tls>>,
    shards: Option<ShardsOf>,
    lent: LentPapers,
    tracer: Tracer,
    /// When this door was made, which is since when its streams have existed to its callers.
    pub(super) since_unix_ms: u64,
}

/// A door that can be exchanged for another one while it serves: every request goes by the one that
/// was there when it came.
#[derive(Clone, Default)]
pub struct Hatch(Arc<RwLock<Option<Arc<Door>>>>);

impl Hatch {
    /// Serves by other settings from now on: who may come in, what is served, how large it may be.
    /// Sockets, TLS and the bounds on connections stay as they are. Nothing happens before the block
    /// serves.
    pub fn exchange(&self, settings: Settings) {
        let mut door = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*door {
            *door = Some(Arc::new(known.with_settings(settings)));
        }
    }

    pub(super) fn open(&self, door: Door) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(door));
    }

    fn door(&self) -> Arc<Door> {
        let door = self.0.read().unwrap_or_else(PoisonError::into_inner);
        door.clone().expect("a hatch is opened before it serves")
    }
}

impl std::fmt::Debug for Hatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hatch").finish_non_exhaustive()
    }
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
            routes: Routes::new(&settings),
            rules: Rules::new(&settings.rules),
            numbers: Numbers::new(metrics, &settings.name),
            settings,
            admission,
            readiness,
            turned_away: Seldom::new(SAY_EVERY),
            tls: None,
            shards: None,
            lent: LentPapers::default(),
            tracer: Tracer::of(metrics),
            since_unix_ms: Clock::real().unix_ms(),
        }
    }

    /// The same place with other settings.
    fn with_settings(&self, settings: Settings) -> Self {
        let bodies = |settings: &Settings| (settings.max_body_bytes, settings.max_unpacked_bytes);
        let is_as_large = bodies(&self.settings) == bodies(&settings);
        Self {
            source: self.source.clone(),
            admission: self.admission.clone(),
            budget: if is_as_large { self.budget.clone() } else { Budget::new(&settings) },
            readiness: self.readiness.clone(),
            routes: Routes::new(&settings),
            rules: Rules::new(&settings.rules),
            numbers: self.numbers.clone(),
            turned_away: Seldom::new(SAY_EVERY),
            tls: self.tls.clone(),
            shards: self.shards.clone(),
            lent: self.lent.clone(),
            tracer: self.tracer.clone(),
            since_unix_ms: self.since_unix_ms,
            settings,
        }
    }

    /// Shows until when the certificate of this listener is valid.
    pub(super) fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self.show_certificate();
        self
    }

    /// Shows callers the shards behind each stream.
    pub(super) fn with_shards(mut self, shards: ShardsOf) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Takes whoever comes in for somebody with these papers.
    pub(super) fn with_lent(mut self, papers: LentPapers) -> Self {
        self.lent = papers;
        self
    }

    /// The shards behind a stream.
    pub(super) fn shards_of(&self, stream: &str) -> Shards {
        self.shards.as_ref().map_or(Shards::One, |shards| shards(stream))
    }

    fn show_certificate(&self) {
        if let Some(tls) = &self.tls {
            self.numbers.certificate(tls.valid_until());
        }
    }

    /// The answer, and the label of its route.
    async fn respond(
        self: &Arc<Self>,
        mut request: Request<Arriving>,
        visitor: &Visitor,
        id: &str,
    ) -> (Answer, &'static str) {
        let mut is_read = request.body().is_end_stream();
        let may = self
            .check_address(visitor)
            .and_then(|()| check_head(&request))
            .and_then(|()| bring_into_form(&mut request))
            .and_then(|()| self.rules.check(visitor, &request, |rule| self.numbers.met(rule)));
        let (mut answer, label) = match may.and_then(|()| self.routes.find(&request)) {
            Ok(Route::Live) => (text(StatusCode::OK, "live\n"), "livez"),
            Ok(Route::Ready) => (self.ready(), "readyz"),
            Ok(Route::Call) => {
                let label = aws::service(request.headers()).label();
                // Boxed: every request would have room for it otherwise.
                let answer = Box::pin(self.answer_call(request, visitor, id, &mut is_read));
                (answer.await, label)
            }
            Ok(Route::Records(mut arrival)) => {
                let label = arrival.manner.label();
                if let Some(delivery) = delivery::request_id(request.headers()) {
                    arrival.manner.become_delivery(delivery);
                }
                let errand = Errand { arrival: &arrival, visitor, id };
                (self.receive(errand, request, &mut is_read).await, label)
            }
            Err(fault) if self.routes.is_call(&request) => {
                (Self::refuse_call(&request, fault, id), aws::service(request.headers()).label())
            }
            Err(fault) => (fault.problem().answer(id), NO_ROUTE),
        };
        if !is_read {
            answer.extensions_mut().insert(LeftUnread);
        }
        if let Ok(id) = HeaderValue::from_str(id) {
            answer.headers_mut().insert(REQUEST_ID, id);
        }
        (answer, label)
    }

    async fn receive(
        self: &Arc<Self>,
        errand: Errand<'_>,
        request: Request<Arriving>,
        is_read: &mut bool,
    ) -> Answer {
        let manner = &errand.arrival.manner;
        match self.take_in(errand, request, is_read).await {
            Ok(receipt) => manner.accepted(&receipt),
            Err(fault) => {
                self.say(&fault, errand.id);
                manner.refused(fault, errand.id)
            }
        }
    }

    /// The first question of all.
    fn check_address(&self, visitor: &Visitor) -> Result<(), Fault> {
        let Settings { allow, deny, .. } = &self.settings;
        let Some(client) = visitor.client else { return Ok(()) };
        if (allow.is_empty() || allow.contain(client)) && !deny.contain(client) {
            return Ok(());
        }
        self.numbers.refused_address();
        Err(Fault::AddressNotAllowed)
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
    pub(super) fn say(&self, fault: &Fault, request: &str) {
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

impl Door {
    async fn answer(self: Arc<Self>, request: Request<Arriving>, peer: Peer) -> Answer {
        let began = Instant::now();
        let id = &*RecordId::new(Clock::real().unix_ms()).text();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());

        let brought = Brought::read(request.headers(), &self.tracer);
        let peer = self.lent.shown_by(peer);
        let visitor = Visitor::new(peer, request.headers(), &self.settings.proxies);

        let work = self.respond(request, &visitor, id);
        let (mut answer, route) = within(brought.span.as_ref(), work).await;
        brought.give_back(answer.headers_mut());

        let (status, took) = (answer.status().as_u16(), began.elapsed());
        self.numbers.request(route, status, took);
        let listener = &self.settings.name;
        let remote = visitor.client.map(tracing::field::display);
        let trace = brought.trace().map(tracing::field::display);
        tracing::debug!(listener, remote, request = id, trace, %method, path, status, ?took, "answered");
        let (method, path) = (method.as_str(), path.as_str());
        brought.end(&Answered { listener, method, route, path, status, id });
        answer
    }
}

impl Answers for Hatch {
    fn answer(
        self: Arc<Self>,
        request: Request<Arriving>,
        peer: Peer,
    ) -> impl Future<Output = Answer> + Send {
        self.door().answer(request, peer)
    }

    fn speaks_for_many(&self, sender: IpAddr) -> bool {
        self.door().settings.proxies.nets.contain(sender)
    }

    fn count_connection(&self, change: i64) {
        let door = self.door();
        door.numbers.connection(change);
        // Connections are what makes TLS look for a new certificate.
        door.show_certificate();
    }

    fn count_turned_away(&self, why: TurnedAway) {
        self.door().numbers.turned_away(why);
    }
}

pub(super) fn text(status: StatusCode, words: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(words.as_bytes())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}

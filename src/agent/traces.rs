//! Hands spans to a collector over OTLP/HTTP, in JSON. Whatever becomes of it, no record waits for
//! it: what the collector does not take soon is dropped and counted.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::HeaderName;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::base::backoff::Backoff;
use crate::base::disk::SharedDisk;
use crate::base::secret::Secret;
use crate::base::shutdown::Stopping;
use crate::base::tasks::blocking;
use crate::sink::{Web, WebSettings, hushed};
use crate::telemetry::{self, Span, TraceSettings, Tracer, host_name};

/// Most spans of one request.
const SPANS_MAX: usize = 512;
/// How long spans wait for others.
const GATHER: Duration = Duration::from_secs(1);
/// Longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for the last one, when the agent stops.
const LAST: Duration = Duration::from_secs(2);
/// Tries of one request.
const TRIES_MAX: u32 = 3;
/// What asks to come again later, by OTLP's own word.
const LATER: [u16; 4] = [429, 502, 503, 504];

pub(super) struct Exporter {
    url: String,
    /// What goes with each request.
    headers: Vec<(HeaderName, Secret)>,
    disk: SharedDisk,
    host: String,
    web: Web,
    tracer: Tracer,
    spans: Receiver<Span>,
    /// Whether the last ones were taken; a change is told.
    is_well: bool,
}

impl Exporter {
    /// Turns the spans on.
    ///
    /// # Errors
    /// In words, when connections cannot be made.
    pub(super) fn new(
        settings: &TraceSettings,
        tracer: Tracer,
        disk: SharedDisk,
    ) -> Result<Option<Self>, String> {
        let ca_bundle = settings.ca_bundle.clone();
        let web = Web::new(&WebSettings { ca_bundle, timeout: TIMEOUT })?;
        let mut headers = Vec::new();
        for (name, secret) in &settings.headers {
            let name = name.parse().map_err(|_| format!("`{name}` cannot be a header"))?;
            headers.push((name, secret.clone()));
        }
        let Some(spans) = tracer.turn_on(settings.sample_percent) else { return Ok(None) };
        let (url, host) = (url(&settings.endpoint), host_name());
        Ok(Some(Self { url, headers, disk, host, web, tracer, spans, is_well: true }))
    }

    /// Until the agent stops.
    pub(super) async fn run(mut self, mut stopping: Stopping) -> Result<(), String> {
        loop {
            let mut batch = Vec::with_capacity(SPANS_MAX);
            tokio::select! {
                () = stopping.asked() => break,
                _ = self.spans.recv_many(&mut batch, SPANS_MAX) => {}
            }
            let gather = async {
                while batch.len() < SPANS_MAX {
                    let room = SPANS_MAX - batch.len();
                    self.spans.recv_many(&mut batch, room).await;
                }
            };
            // What came until then goes.
            timeout(GATHER, gather).await.ok();
            tokio::select! {
                () = stopping.asked() => {
                    self.last(batch).await;
                    return Ok(());
                }
                () = self.hand_over(&batch) => {}
            }
        }
        self.last(Vec::new()).await;
        Ok(())
    }

    async fn last(&mut self, mut batch: Vec<Span>) {
        while batch.len() < SPANS_MAX
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
        if !batch.is_empty() && timeout(LAST, self.hand_over(&batch)).await.is_err() {
            self.tracer.dropped(batch.len() as u64);
        }
    }

    async fn hand_over(&mut self, batch: &[Span]) {
        let body = telemetry::export_request(&self.host, batch).to_string().into_bytes();
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
        let mut is_read_anew = false;
        let why = loop {
            let (why, is_worth_it) = match self.post(&body).await {
                Ok((200..=299, answer)) => return self.taken(batch.len(), &answer),
                Ok((401 | 403, _)) if !is_read_anew && self.read_headers_anew().await => {
                    is_read_anew = true;
                    continue;
                }
                Ok((status @ (401 | 403), _)) => {
                    (format!("it answered {status}: it wants other `headers`"), false)
                }
                Ok((status, _)) => (format!("it answered {status}"), LATER.contains(&status)),
                Err(why) => (why, true),
            };
            if !is_worth_it || backoff.attempts() + 1 >= TRIES_MAX {
                break why;
            }
            sleep(backoff.next_wait()).await;
        };
        self.tracer.dropped(batch.len() as u64);
        if std::mem::replace(&mut self.is_well, false) {
            let to = &self.url;
            warn!(to, why, "traces cannot be handed over; they are dropped until they can");
        }
    }

    async fn post(&self, body: &[u8]) -> Result<(u16, Bytes), String> {
        let mut headers = HeaderMap::new();
        for (name, secret) in &self.headers {
            headers.insert(name, hushed(secret, &format!("header `{name}`"))?);
        }
        self.web.post_with(&self.url, headers, body.to_vec()).await
    }

    /// The secrets may have been exchanged; whether they were. One that cannot be read stays as it was.
    async fn read_headers_anew(&mut self) -> bool {
        let (old, disk) = (self.headers.clone(), self.disk.clone());
        let new: Vec<_> = blocking(move || {
            let again = |secret: Secret| secret.again(&*disk).unwrap_or(secret);
            old.into_iter().map(|(name, secret)| (name, again(secret))).collect()
        })
        .await;
        let is_other = self.headers != new;
        self.headers = new;
        is_other
    }

    fn taken(&mut self, spans: usize, answer: &[u8]) {
        let spans = spans as u64;
        let rejected = telemetry::rejected(answer).unwrap_or_default().min(spans);
        self.tracer.exported(spans - rejected);
        self.tracer.dropped(rejected);
        if !std::mem::replace(&mut self.is_well, true) {
            info!(to = self.url, "traces are handed over again");
        }
    }
}

/// A bare address stands for the path that OTLP has for traces.
fn url(endpoint: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    let has_path = bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if has_path { bare.to_owned() } else { format!("{bare}/v1/traces") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_stands_for_the_path_of_traces() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://traces.example/v1/otlp", "https://traces.example/v1/otlp"),
        ] {
            assert_eq!(url(endpoint), expected);
        }
    }
}

//! Spans: what took how long, for whoever collects traces. Where nobody does, nothing is measured.
//!
//! A span is dropped and counted where the exporter does not keep up: nothing ever waits for it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Metrics, TraceContext};
use crate::base::clock::Clock;
use crate::base::random;
use crate::base::secret::Secret;

/// Spans that wait to be exported, at most: some MiB.
const WAITING_MAX: usize = 4_096;

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    /// `http://127.0.0.1:4318`; without a path, `/v1/traces` is asked for.
    pub endpoint: String,
    /// What goes with each request, by names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// File of the certificates that are trusted in place of the host's.
    pub ca_bundle: Option<PathBuf>,
    /// How many of a hundred traces that begin here are kept.
    pub sample_percent: u8,
}

impl TraceSettings {
    /// Whether these say the same. What a file of a secret holds now is not compared: it is read anew
    /// when the collector refuses it.
    pub fn is_like(&self, other: &Self) -> bool {
        let names = |all: &[(String, Secret)]| -> Vec<String> {
            all.iter().map(|(name, _)| name.clone()).collect()
        };
        let mut both = self.headers.iter().zip(&other.headers);
        let bare = |one: &Self| Self { headers: Vec::new(), ..one.clone() };
        bare(self) == bare(other)
            && names(&self.headers) == names(&other.headers)
            && both.all(|((_, one), (_, other))| one.is_of_the_same_place(other))
    }
}

/// Makes spans; cheap to clone, one for an agent.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    on: OnceLock<On>,
    spans: Family<ByResult, Counter>,
}

#[derive(Debug)]
struct On {
    spans: mpsc::Sender<Span>,
    sample_percent: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// Which side of a call a span stands for, in OTLP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Something within.
    Internal = 1,
    /// A request that was answered.
    Server = 2,
    /// Something handed on.
    Producer = 4,
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worth {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
}

/// A span that is over.
#[derive(Clone, Debug)]
pub struct Span {
    pub(super) context: TraceContext,
    /// 0 where it has none.
    pub(super) parent: u64,
    pub(super) state: String,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) begun_unix_ms: u64,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, Worth)>,
    /// In words, if it went wrong.
    pub(super) fault: Option<String>,
}

/// A span under way.
#[derive(Debug)]
pub struct Begun {
    spans: Tracer,
    span: Span,
    since: Instant,
}

tokio::task_local! {
    static AROUND: Option<TraceContext>;
}

/// Does something as part of a span, if there is one: what is begun within has it for its parent.
/// No `async fn`: that would have room for the work three times.
pub fn within<F: Future>(around: Option<&Begun>, work: F) -> impl Future<Output = F::Output> {
    AROUND.scope(around.map(Begun::context), work)
}

impl Tracer {
    /// The one of an agent, with its numbers.
    pub fn of(metrics: &Metrics) -> Self {
        metrics.shared(Self::register)
    }

    fn register(registry: &mut Registry) -> Self {
        let tracer = Self::default();
        let words = "Spans of traces: handed over, or dropped as the collector did not take them";
        registry.register("trace_spans", words, tracer.0.spans.clone());
        tracer
    }

    /// Makes spans from now on; they come out here. Only the first who asks gets them.
    pub fn turn_on(&self, sample_percent: u8) -> Option<mpsc::Receiver<Span>> {
        let (spans, exported) = mpsc::channel(WAITING_MAX);
        self.0.on.set(On { spans, sample_percent }).ok()?;
        // Both stand there from the beginning.
        self.exported(0);
        self.dropped(0);
        Some(exported)
    }

    /// Begins a span, if its trace is kept. Whoever began the trace decides; of those that begin
    /// here, some are kept.
    pub fn begin(&self, kind: SpanKind, parent: Option<TraceContext>) -> Option<Begun> {
        let on = self.0.on.get()?;
        let drawn = || random::fraction() * 100.0 < f64::from(on.sample_percent);
        if !parent.and_then(|parent| parent.is_kept).unwrap_or_else(drawn) {
            return None;
        }
        let trace = parent.map_or_else(|| random::bits().max(1), |parent| parent.trace);
        let context = TraceContext { trace, span: new_span(), is_kept: Some(true) };
        let span = Span {
            context,
            parent: parent.map_or(0, |parent| parent.span),
            state: String::new(),
            name: String::new(),
            kind,
            begun_unix_ms: Clock::real().unix_ms(),
            took: Duration::ZERO,
            attributes: Vec::new(),
            fault: None,
        };
        Some(Begun { spans: self.clone(), span, since: Instant::now() })
    }

    /// Begins one within the span that this is part of; `None` if it is part of none.
    pub fn begin_within(&self) -> Option<Begun> {
        let around = AROUND.try_with(|context| *context).ok()??;
        self.begin(SpanKind::Internal, Some(around))
    }

    /// So many were handed over.
    pub fn exported(&self, spans: u64) {
        self.0.spans.get_or_create(&ByResult { result: "exported" }).inc_by(spans);
    }

    /// So many will never be.
    pub fn dropped(&self, spans: u64) {
        self.0.spans.get_or_create(&ByResult { result: "dropped" }).inc_by(spans);
    }
}

fn new_span() -> u64 {
    u64::try_from(random::bits() >> 64).unwrap_or(1).max(1)
}

impl Begun {
    /// Where it stands in its trace.
    pub fn context(&self) -> TraceContext {
        self.span.context
    }

    /// Keeps what vendors wrote of the trace.
    pub fn with_state(mut self, state: &str) -> Self {
        state.clone_into(&mut self.span.state);
        self
    }

    /// It is over.
    pub fn end(
        mut self,
        name: String,
        attributes: Vec<(&'static str, Worth)>,
        fault: Option<String>,
    ) {
        let took = self.since.elapsed();
        self.span = Span { name, attributes, fault, took, ..self.span };
        let Self { spans, span, .. } = self;
        let is_taken = spans.0.on.get().is_some_and(|on| on.spans.try_send(span).is_ok());
        if !is_taken {
            spans.dropped(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(is_kept: Option<bool>) -> Option<TraceContext> {
        Some(TraceContext { trace: 7, span: 8, is_kept })
    }

    #[tokio::test]
    async fn whoever_began_a_trace_decides_whether_it_is_kept() {
        let tracer = Tracer::default();
        assert!(tracer.begin(SpanKind::Server, parent(Some(true))).is_none(), "nobody collects");
        let mut exported = tracer.turn_on(0).unwrap();
        assert!(tracer.turn_on(100).is_none());
        assert!(tracer.begin(SpanKind::Server, parent(Some(false))).is_none());
        assert!(tracer.begin(SpanKind::Server, parent(None)).is_none());
        assert!(tracer.begin(SpanKind::Server, None).is_none());

        let request = tracer.begin(SpanKind::Server, parent(Some(true))).unwrap();
        let outer = request.context();
        within(Some(&request), async {
            tracer.begin_within().unwrap().end("commit".into(), Vec::new(), None);
        })
        .await;
        assert!(tracer.begin_within().is_none(), "outside of it");
        request.end("request".into(), Vec::new(), None);
        let (inner, span) = (exported.recv().await.unwrap(), exported.recv().await.unwrap());
        assert_eq!((inner.context.trace, inner.parent), (7, outer.span));
        assert_eq!((span.context, span.parent), (outer, 8));
    }

    #[tokio::test]
    async fn what_the_collector_does_not_take_is_dropped_and_counted() {
        let tracer = Tracer::default();
        let exported = tracer.turn_on(100).unwrap();
        for _ in 0..WAITING_MAX + 3 {
            let span = tracer.begin(SpanKind::Producer, None).unwrap();
            span.end("send".into(), Vec::new(), None);
        }
        let dropped = tracer.0.spans.get_or_create(&ByResult { result: "dropped" }).get();
        assert_eq!((exported.len(), dropped), (WAITING_MAX, 3));
    }
}

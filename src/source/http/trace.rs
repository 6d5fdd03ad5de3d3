//! The trace that a request is part of: read from its headers, kept in the log and in spans, given
//! back with the answer.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::{Begun, SpanKind, TraceContext, Tracer, Worth, is_trace_state};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// What a request brought along, and the span that it became part of here.
#[derive(Debug, Default)]
pub(super) struct Brought {
    w3c: Option<TraceContext>,
    xray: Option<TraceContext>,
    /// Only beside a context of W3C.
    state: Option<HeaderValue>,
    pub(super) span: Option<Begun>,
}

/// What a span says of an answered request.
pub(super) struct Answered<'a> {
    pub(super) listener: &'a str,
    pub(super) method: &'a str,
    pub(super) route: &'static str,
    pub(super) path: &'a str,
    pub(super) status: u16,
    pub(super) id: &'a str,
}

impl Brought {
    /// Reads what there is; what is not well formed, or stands there twice, is passed over.
    pub(super) fn read(headers: &HeaderMap, tracer: &Tracer) -> Self {
        let text = |name: &HeaderName| {
            let mut all = headers.get_all(name).iter();
            let one = all.next().filter(|_| all.next().is_none());
            one.and_then(|value| value.to_str().ok())
        };
        let w3c = text(&PARENT).and_then(TraceContext::of_w3c);
        let xray = text(&XRAY).and_then(TraceContext::of_xray);
        let state = text(&STATE).filter(|state| w3c.is_some() && is_trace_state(state));
        let span = tracer.begin(SpanKind::Server, w3c.or(xray));
        let span = span.map(|span| span.with_state(state.unwrap_or_default()));
        Self { w3c, xray, state: state.and_then(|state| state.parse().ok()), span }
    }

    /// The trace, as the log names it.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.span.as_ref().map(Begun::context).or(self.w3c).or(self.xray)
    }

    /// Gives the context back in the forms in which it came, at the span of this request if it has
    /// one.
    pub(super) fn give_back(&self, headers: &mut HeaderMap) {
        let here = |context: TraceContext| {
            let span = self.span.as_ref().map(Begun::context);
            TraceContext { span: span.map_or(context.span, |here| here.span), ..context }
        };
        let mut give = |name, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        };
        if let Some(context) = self.w3c {
            give(PARENT, here(context).w3c());
        }
        if let Some(context) = self.xray {
            let is_same = self.w3c.is_none_or(|w3c| w3c.trace == context.trace);
            give(XRAY, if is_same { here(context) } else { context }.xray());
        }
        if let Some(state) = &self.state {
            headers.insert(STATE, state.clone());
        }
    }

    /// The request is answered.
    pub(super) fn end(self, answered: &Answered<'_>) {
        let Some(span) = self.span else { return };
        let Answered { listener, method, route, path, status, id } = *answered;
        let text = |text: &str| Worth::Text(text.to_owned());
        let attributes = vec![
            ("http.request.method", text(method)),
            ("url.path", text(path)),
            ("http.response.status_code", Worth::Number(status.into())),
            ("weir.listener", text(listener)),
            ("weir.route", text(route)),
            ("weir.request", text(id)),
        ];
        let fault = (status >= 500).then(|| format!("status {status}"));
        span.end(format!("{method} {route}"), attributes, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const XRAY_TEXT: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1";

    fn given_back(headers: &[(&'static str, &'static str)], tracer: &Tracer) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let mut back = HeaderMap::new();
        Brought::read(&map, tracer).give_back(&mut back);
        back
    }

    #[test]
    fn what_is_well_formed_comes_back_and_nothing_else() {
        let off = Tracer::default();
        let sent = [("traceparent", W3C), ("tracestate", "a=b"), ("x-amzn-trace-id", XRAY_TEXT)];
        let back = given_back(&sent, &off);
        assert_eq!(back.len(), 3);
        for (name, value) in sent {
            assert_eq!(back[name], value);
        }
        for wrong in [
            &[("traceparent", "00-x"), ("tracestate", "a=b")][..],
            &[("traceparent", W3C), ("traceparent", W3C)],
            &[("x-amzn-trace-id", "Root=none")],
            &[],
        ] {
            assert!(given_back(wrong, &off).is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn where_spans_are_made_it_comes_back_at_the_span_of_the_request() {
        let on = Tracer::default();
        let exported = on.turn_on(0).unwrap();
        let back = given_back(&[("traceparent", W3C)], &on);
        let back = TraceContext::of_w3c(back["traceparent"].to_str().unwrap()).unwrap();
        let sent = TraceContext::of_w3c(W3C).unwrap();
        assert_eq!(back.trace, sent.trace);
        assert_ne!(back.span, sent.span);
        drop(exported);
    }
}

//! Spans as OTLP/HTTP wants them in JSON: the JSON mapping of `opentelemetry.proto.collector.trace.v1`,
//! with ids in hexadecimal and numbers of 64 bits as texts.

use serde_json::{Value, json};

use super::traces::{Span, Worth};

/// A code of `Status`.
const STATUS_ERROR: u8 = 2;
/// In `flags`: the trace is kept.
const SAMPLED: u8 = 1;

/// One request that hands over spans.
pub fn export_request(host: &str, spans: &[Span]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let text = |key: &str, value: &str| attribute(key, &Worth::Text(value.to_owned()));
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "weir"),
            text("service.version", version),
            text("host.name", host),
        ]},
        "scopeSpans": [{
            "scope": { "name": "weir", "version": version },
            "spans": spans.iter().map(one).collect::<Vec<_>>(),
        }],
    }]})
}

/// How many spans an answer says were not taken; `None` where it says nothing of it.
pub fn rejected(answer: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let rejected = answer.get("partialSuccess")?.get("rejectedSpans")?;
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok())
}

fn one(span: &Span) -> Value {
    let begun = u128::from(span.begun_unix_ms) * 1_000_000;
    let attributes = span.attributes.iter().map(|(key, worth)| attribute(key, worth));
    let mut value = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "flags": SAMPLED,
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": begun.to_string(),
        "endTimeUnixNano": (begun + span.took.as_nanos()).to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        "status": {},
    });
    let mut set = |key: &str, to: Value| {
        if let Some(fields) = value.as_object_mut() {
            fields.insert(key.to_owned(), to);
        }
    };
    if span.parent != 0 {
        set("parentSpanId", format!("{:016x}", span.parent).into());
    }
    if !span.state.is_empty() {
        set("traceState", span.state.as_str().into());
    }
    if let Some(fault) = &span.fault {
        set("status", json!({ "code": STATUS_ERROR, "message": fault }));
    }
    value
}

fn attribute(key: &str, worth: &Worth) -> Value {
    let value = match worth {
        Worth::Text(text) => json!({ "stringValue": text }),
        Worth::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_says_of_spans_that_were_not_taken_is_read() {
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":"3"}}"#), Some(3));
        assert_eq!(rejected(br#"{"partialSuccess":{"rejectedSpans":4}}"#), Some(4));
        for nothing in [&b"{}"[..], b"", br#"{"partialSuccess":{}}"#] {
            assert_eq!(rejected(nothing), None);
        }
    }
}

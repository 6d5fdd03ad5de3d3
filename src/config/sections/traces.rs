//! `traces`: the collector that spans go to, and what it is shown.

use std::collections::BTreeSet;

use hyper::header::{HeaderName, HeaderValue};

use crate::base::secret::Secret;
use crate::telemetry::TraceSettings;

use super::super::document::{At, Section};
use super::super::finding::{Fault, clip};
use super::super::key::{Default, Key, Kind};
use super::super::value::Reading;
use super::address::{is_private, user_fault};

pub(super) const TRACES: Key =
    Key::new("traces", Kind::Rows(&[ENDPOINT, HEADERS, CA_BUNDLE, SAMPLE]), Default::Rows)
        .says("Spans of requests, commits and deliveries for a collector of OpenTelemetry.");
const ENDPOINT: Key = Key::text(
    "endpoint",
    Default::Otherwise { example: "\"http://127.0.0.1:4318\"", then: "no spans are made" },
)
.says(
    "A collector that takes OTLP over HTTP in JSON, with TLS or without; without a path, `/v1/traces` \
     is asked for. Proxies are those of the environment. Nothing waits for it: what it does not take \
     is dropped.",
);
const HEADERS: Key = Key::new(
    "headers",
    Kind::NamedSecrets,
    Default::Otherwise {
        example: "{ authorization = \"credential:traces_authorization\" }",
        then: "the collector is shown nothing",
    },
)
.says(
    "Headers that go with each request, such as keys that a collector asks for. Each value is the \
     whole of it, `Bearer` and the like included; one of a file is read anew when the collector \
     answers 401 or 403.",
);
const CA_BUNDLE: Key = Key::new(
    "ca_bundle",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/collector-ca.pem\"",
        then: "the certificates that the host trusts",
    },
)
.says("Certificates (PEM) that are trusted for the collector, in place of the host's.");
const SAMPLE: Key = Key::count("sample_percent", 10).within(0, 100).says(
    "How many of a hundred requests and batches are kept whose trace begins here. Where a caller \
     brings a trace along, the caller decides.",
);

/// Most headers, and most bytes of one: a collector's servers take no more than some KiB in all.
const HEADERS_MAX: usize = 16;
const HEADER_BYTES_MAX: usize = 4_096;
/// What weir, or the connection, writes there itself.
const NOT_TO_SET: [&str; 14] = [
    "accept",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn read(root: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<TraceSettings> {
    let mut traces = root.nested(reading, &TRACES);
    let endpoint = traces.text(reading, &ENDPOINT);
    let headers = read_headers(&mut traces, reading);
    let ca_bundle = traces.path(reading, &CA_BUNDLE);
    let ca_bundle = ca_bundle.place.is_some().then_some(ca_bundle.value);
    let sample = traces.number(reading, &SAMPLE).value;
    traces.finish(&mut reading.faults);
    let (endpoint, place) = endpoint.written()?;
    let at = At { value: endpoint.clone(), place: place.clone() };
    check_endpoint(&at, !headers.is_empty(), reading);
    let sample_percent = u8::try_from(sample).unwrap_or(100);
    Some(TraceSettings { endpoint: at.value, headers, ca_bundle, sample_percent })
}

fn check_endpoint(endpoint: &At<String>, has_headers: bool, reading: &mut Reading<'_>) {
    let At { value, place } = endpoint;
    let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
    if let Some(fault) = user_fault("endpoint", endpoint, AS_A_HEADER, reading) {
        reading.faults.push(fault);
    } else if rest.is_none_or(|host| host.is_empty() || value.contains(char::is_whitespace)) {
        let fault = Fault::new(place.clone(), format!("`{value}` is no address of a collector"));
        let fault = fault.label("neither http:// nor https://");
        reading.faults.push(fault.hint("an address looks like \"http://127.0.0.1:4318\""));
    } else if has_headers && !is_private(value) {
        let fault = Fault::warning(place.clone(), "`headers` go to the collector in clear text");
        let fault = fault.label("not https, and not this host");
        reading.faults.push(fault.hint("whoever is on the way could read them: use https"));
    }
}

const AS_A_HEADER: &str =
    "write it as a header: headers = { authorization = \"credential:traces_authorization\" }";

/// Names in lower case, with values that can be sent.
fn read_headers(traces: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    let mut names = BTreeSet::new();
    let place = traces.place_of(&HEADERS);
    for (name, secret) in traces.named_secrets(reading, &HEADERS) {
        let lower = name.value.to_ascii_lowercase();
        let fault = name_fault(&name, &lower, !names.insert(lower.clone()));
        let fault = fault.or_else(|| value_fault(&lower, secret.as_ref()?));
        fault.into_iter().for_each(|fault| reading.faults.push(fault));
        headers.extend(secret.map(|secret| (lower, secret.value)));
    }
    if let Some(place) = place.filter(|_| headers.len() > HEADERS_MAX) {
        let message =
            format!("`headers` has {}, but at most {HEADERS_MAX} are sent", headers.len());
        reading.faults.push(Fault::new(place, message).label("too many"));
    }
    headers
}

fn name_fault(name: &At<String>, lower: &str, is_double: bool) -> Option<Fault> {
    let shown = clip(&name.value);
    if HeaderName::from_bytes(lower.as_bytes()).is_err() {
        let message = format!("`{shown}` cannot be the name of a header");
        let fault = Fault::new(name.place.clone(), message).label("not a name");
        return Some(fault.hint("letters, digits and dashes, like authorization or \"x-api-key\""));
    }
    if NOT_TO_SET.contains(&lower) {
        let message = format!("header `{shown}` is not for you to set");
        let fault = Fault::new(name.place.clone(), message).label("weir writes it");
        return Some(fault.hint("take it out"));
    }
    is_double.then(|| {
        let message = format!("header `{shown}` stands there twice");
        let fault = Fault::new(name.place.clone(), message).label("a second time");
        fault.hint("names of headers are the same in capitals; take one of them out")
    })
}

fn value_fault(name: &str, secret: &At<Secret>) -> Option<Fault> {
    let value = secret.value.reveal();
    let message = if value.len() > HEADER_BYTES_MAX {
        format!("the value of header `{name}` has more than {HEADER_BYTES_MAX} bytes")
    } else if HeaderValue::from_str(value).is_err() || !value.is_ascii() {
        format!("the value of header `{name}` has something in it that no header may have")
    } else {
        return None;
    };
    let fault = Fault::new(secret.place.clone(), message).label("not one line of plain text");
    Some(fault.hint("one line of visible ASCII; only the final newline of a file is left out"))
}

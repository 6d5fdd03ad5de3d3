//! The numbers of the door.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Refusal;
use super::store::{From, Stream};
use crate::queue::Durable;
use crate::telemetry::{Begun, Tracer, Worth};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStream {
    stream: String,
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    source: String,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCaller {
    caller: String,
    stream: String,
}

/// Most callers with numbers of their own.
const CALLERS_MAX: usize = 200;
/// All others together.
const OTHERS: &str = "(others)";

#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// Callers that have numbers of their own.
    callers: Arc<Mutex<HashSet<String>>>,
    caller_records: Family<ByCaller, Counter>,
    caller_bytes: Family<ByCaller, Counter>,
    accepted_records: Family<ByStream, Counter>,
    accepted_bytes: Family<ByStream, Counter>,
    rejected_records: Family<ByStream, Counter>,
    dropped_records: Family<ByStream, Counter>,
    refusals: Family<ByReason, Counter>,
    /// Of the agent, so that a commit is part of the trace of its request.
    pub(super) tracer: Tracer,
}

/// The numbers of one stream that every hand-in changes, by source: at hand, for to look them up by
/// their labels costs more than to store a small record. There are as few as blocks that hand in.
#[derive(Debug, Default)]
pub(super) struct Tallies(RwLock<Vec<Tally>>);

#[derive(Debug)]
struct Tally {
    source: String,
    records: Counter,
    bytes: Counter,
}

impl Tallies {
    fn count(&self, source: &str, records: u64, bytes: u64, new: impl FnOnce() -> Tally) {
        let count = |tally: &Tally| {
            tally.records.inc_by(records);
            tally.bytes.inc_by(bytes);
        };
        let tallies = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.iter().find(|tally| tally.source == source) {
            return count(tally);
        }
        drop(tallies);
        let tally = new();
        count(&tally);
        // Of two that come at once both are kept: they count in the same place.
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(tally);
    }
}

impl Numbers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let numbers = Self::default();
        registry.register(
            "accepted_records",
            "Records made durable",
            numbers.accepted_records.clone(),
        );
        registry.register(
            "accepted_bytes",
            "Bytes of payload made durable",
            numbers.accepted_bytes.clone(),
        );
        registry.register(
            "rejected_records",
            "Single records that were not as they should be",
            numbers.rejected_records.clone(),
        );
        registry.register(
            "transform_dropped_records",
            "Records that transforms dropped, as the operator wants it",
            numbers.dropped_records.clone(),
        );
        registry.register(
            "refusals",
            "Hand-ins of which nothing was stored, by reason",
            numbers.refusals.clone(),
        );
        registry.register(
            "caller_records",
            "Records made durable, by who handed them in",
            numbers.caller_records.clone(),
        );
        registry.register(
            "caller_bytes",
            "Bytes of payload made durable, by who handed them in",
            numbers.caller_bytes.clone(),
        );
        numbers
    }

    /// Ends the span of a commit that was waited for, if there is one.
    pub(super) fn committed<E: Display>(
        &self,
        span: Option<Begun>,
        stream: &str,
        durable: &Result<Durable, E>,
    ) {
        let Some(span) = span else { return };
        let records = durable.as_ref().map_or(0, |durable| durable.count().into());
        let stream = Worth::Text(stream.to_owned());
        let attributes = vec![("weir.stream", stream), ("weir.records", Worth::Number(records))];
        let fault = durable.as_ref().err().map(ToString::to_string);
        span.end("commit".into(), attributes, fault);
    }

    /// The label of a caller: names come from tokens and certificates too, and must not make the
    /// page of numbers grow, nor turn around what stands there.
    fn label(&self, caller: &str) -> String {
        let caller = &shown(caller);
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if !callers.contains(caller) {
            if callers.len() >= CALLERS_MAX {
                return OTHERS.to_owned();
            }
            callers.insert(caller.to_owned());
        }
        caller.to_owned()
    }

    pub(super) fn accepted(&self, stream: &Stream, from: &From<'_>, records: u32, bytes: u64) {
        let From { source, caller, .. } = *from;
        stream.tallies.count(source, u64::from(records), bytes, || {
            let labels = ByStream { stream: stream.name.clone(), source: source.to_owned() };
            Tally {
                source: labels.source.clone(),
                records: self.accepted_records.get_or_create_owned(&labels),
                bytes: self.accepted_bytes.get_or_create_owned(&labels),
            }
        });
        if !caller.is_empty() {
            let labels = ByCaller { caller: self.label(caller), stream: stream.name.clone() };
            self.caller_records.get_or_create(&labels).inc_by(u64::from(records));
            self.caller_bytes.get_or_create(&labels).inc_by(bytes);
        }
    }

    pub(super) fn rejected(&self, stream: &str, source: &str, records: usize) {
        if records > 0 {
            let labels = ByStream { stream: stream.to_owned(), source: source.to_owned() };
            self.rejected_records.get_or_create(&labels).inc_by(records as u64);
        }
    }

    pub(super) fn dropped(&self, stream: &str, source: &str, records: u32) {
        if records > 0 {
            let labels = ByStream { stream: stream.to_owned(), source: source.to_owned() };
            self.dropped_records.get_or_create(&labels).inc_by(u64::from(records));
        }
    }

    pub(super) fn refused(&self, source: &str, refusal: &Refusal) {
        let labels = ByReason { source: source.to_owned(), reason: refusal.reason() };
        self.refusals.get_or_create(&labels).inc();
    }
}

/// A name in which nothing is hidden: what a screen does not show as a character is written as an
/// escape.
fn shown(name: &str) -> String {
    let is_seen = |c: char| matches!(c, '"' | '\'' | '\\') || c.escape_debug().len() == 1;
    if name.chars().all(is_seen) {
        return name.to_owned();
    }
    let mut shown = String::with_capacity(name.len());
    for c in name.chars() {
        if is_seen(c) { shown.push(c) } else { shown.extend(c.escape_unicode()) }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_as_they_are_unless_something_hides_in_them() {
        for (name, expected) in [
            ("device-1", "device-1"),
            ("Jürgen O'Neill \"x\" \\", "Jürgen O'Neill \"x\" \\"),
            ("装置", "装置"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(shown(name), expected);
        }
    }
}

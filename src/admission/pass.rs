//! A pass: somebody who may hand in, where to, and what holds it.

use std::net::IpAddr;
use std::sync::Arc;

use super::callers::Proof;
use super::plans::Meter;
use super::store::Stream;
use super::{Refusal, Treatment};
use crate::base::units::CountRate;
use crate::record::{KeyTemplate, PARTITION_KEY_CHARS_MAX, Text};

/// Proof of a known caller within its plan.
#[derive(Debug)]
pub struct Pass {
    pub(super) source: Text,
    pub(super) caller: Text,
    /// The auth block that knows the caller.
    pub(super) block: String,
    /// What the caller still has to show; nothing is taken from it before.
    pub(super) proof: Option<Box<dyn Proof>>,
    /// What is said only to whoever has shown that: which streams there are is for known callers.
    pub(super) withheld: Option<Refusal>,
    /// Whose guess it is if that is not shown, and how many of those are borne.
    pub(super) guesser: Option<(IpAddr, CountRate)>,
    pub(super) declared_bytes: Option<u64>,
    /// That of its address, which a request was taken from before it was known who comes.
    pub(super) address: Option<Arc<Meter>>,
    /// All others that hold this hand-in.
    pub(super) meters: Vec<Arc<Meter>>,
    pub(super) stream: Arc<Stream>,
    /// What the route does to records, before the stream does what it does.
    pub(super) route: Option<Arc<Treatment>>,
    /// Whether it may be something that was stored before.
    pub(super) may_repeat: bool,
}

impl Pass {
    /// Who it is; empty at an open door.
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// Has records treated as the route asks, before the stream does what it does.
    #[must_use]
    pub fn by_route(mut self, treatment: Option<Arc<Treatment>>) -> Self {
        self.route = treatment;
        self
    }

    /// Says that the hand-in has a key, and may be something that was stored before: then a quota
    /// that is used up is no reason to refuse it.
    #[must_use]
    pub fn with_key(mut self, has_key: bool) -> Self {
        self.may_repeat = has_key;
        self
    }

    /// Whether records are looked into, which takes time.
    pub fn is_treated(&self) -> bool {
        self.route.is_some() || self.stream.treatment != Treatment::default()
    }

    /// Whether that took so long before that it must not be done on an async thread.
    pub fn is_slow(&self) -> bool {
        let of_route = self.route.as_ref().is_some_and(|route| route.is_slow());
        of_route || self.stream.treatment.is_slow()
    }

    pub(super) fn take(&self, take: impl Fn(&Meter) -> Result<(), Refusal>) -> Result<(), Refusal> {
        self.address.iter().chain(&self.meters).try_for_each(|meter| take(meter))
    }

    /// What is known before the body is there.
    pub(super) fn take_declared(&self) -> Result<(), Refusal> {
        self.meters.iter().try_for_each(|meter| meter.take_request())?;
        let bytes = self.declared_bytes.unwrap_or_default();
        self.take(|meter| meter.take_bytes(bytes))
    }

    /// Names of the headers that the keys of the stream's records are made from, in small letters.
    pub fn key_headers(&self) -> impl Iterator<Item = &str> {
        self.stream.partition_key.iter().flat_map(KeyTemplate::headers)
    }

    /// Largest payload of one record that the stream takes.
    pub fn max_record_bytes(&self) -> u64 {
        self.stream.max_record_bytes
    }

    /// The stream by its own name.
    pub fn stream(&self) -> &str {
        &self.stream.name
    }

    /// Most bytes that a key of the stream's own adds to a record.
    pub fn key_bytes_max(&self) -> usize {
        self.stream.partition_key.as_ref().map_or(0, |_| PARTITION_KEY_CHARS_MAX)
    }
}

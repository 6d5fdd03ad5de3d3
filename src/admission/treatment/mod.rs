//! What is done to records on their way in: checked by a schema, changed by a program.
//!
//! The bytes of a record stay as they came unless a program changed them.

mod schema;
#[cfg_attr(not(feature = "transform"), path = "untransformed.rs")]
mod transform;

#[cfg(feature = "transform")]
mod factors;
#[cfg(feature = "transform")]
mod functions;
#[cfg(feature = "transform")]
mod weighed;

#[cfg(feature = "transform")]
mod digest;
#[cfg(feature = "transform")]
mod weight;

mod program;
mod steps;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::transform::Work;
use super::Flaw;
use crate::record::Origin;

pub use program::{BadProgram, Outlets, WhenWrong};
pub use schema::{BadSchema, Schema};
pub use transform::Transform;

/// A whole hand-in may take so many times what one record may: each record of it has a share, and
/// the sum has an end.
const HAND_IN_TIMES: u32 = 60;

/// Bytes that programs may add to all records of a hand-in: they are in memory until it is stored.
const ADDED_BYTES_MAX: usize = 64 << 20;

/// What a stream, or a route to it, does to records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// They must be so.
    pub schema: Option<Schema>,
    /// They become what this makes of them.
    pub transform: Option<Transform>,
}

impl Treatment {
    /// Whether records take it so long that it must not be done on an async thread.
    pub(super) fn is_slow(&self) -> bool {
        self.paces().any(Pace::is_slow)
    }

    fn paces(&self) -> impl Iterator<Item = &Pace> {
        let of_schema = self.schema.as_ref().map(|schema| &schema.pace);
        of_schema.into_iter().chain(self.transform.as_ref().map(Transform::pace))
    }
}

/// A record that takes longer than this to be checked or changed is a reason to do those that come
/// after it away from the async threads, where others wait. Most take some microseconds.
const SLOW: Duration = Duration::from_millis(5);

/// So many quick records make up for a slow one: on a busy host a record is held up now and then that
/// would be quick.
const FORGIVEN_BY: u32 = 64;
/// So many records make up for any number of slow ones.
const ALL_FORGIVEN_BY: u32 = 64 * FORGIVEN_BY;

/// Whether a schema, or a program, is slow with records: how many quick ones would make up for those
/// that were slow.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<AtomicU32>);

impl Pace {
    /// Notes of two at once may be taken for one.
    fn note(&self, took: Duration) {
        let owed = self.0.load(Ordering::Relaxed);
        let now = match took > SLOW {
            true => (owed + FORGIVEN_BY).min(ALL_FORGIVEN_BY),
            false => owed.saturating_sub(1),
        };
        if now != owed {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    /// A second slow one came before the first was made up for.
    fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) > FORGIVEN_BY
    }
}

/// What programs may ask about a hand-in.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "transform"), expect(dead_code, reason = "only programs ask"))]
pub(super) struct Circumstances<'a> {
    pub(super) source: &'a str,
    pub(super) caller: &'a str,
}

/// A record under treatment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patient<'a> {
    pub(super) payload: Bytes,
    pub(super) partition_key: Option<String>,
    pub(super) origin: Option<&'a Origin>,
    /// Where it is going, by name.
    pub(super) stream: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Treated {
    /// It goes on.
    Fit,
    /// The program dropped it, or its fault did where the operator wants that.
    #[cfg_attr(not(feature = "transform"), expect(dead_code, reason = "only programs drop"))]
    Dropped,
    /// It comes back.
    Wrong(Vec<Flaw>),
}

/// The treatment of all records of one hand-in.
pub(super) struct Treating<'a> {
    work: Work<'a>,
    /// Since the first program ran.
    began: Option<Instant>,
    /// By programs, to records that go on.
    added_bytes: usize,
}

impl<'a> Treating<'a> {
    pub(super) fn new(circumstances: Circumstances<'a>) -> Self {
        Self { work: Work::new(circumstances), began: None, added_bytes: 0 }
    }

    /// Checks one record, then changes it.
    pub(super) fn treat(&mut self, treatment: &Treatment, patient: &mut Patient<'_>) -> Treated {
        if *treatment == Treatment::default() {
            return Treated::Fit;
        }
        let (now, bytes) = (Instant::now(), patient.payload.len());
        let treated = self.treat_from(now, treatment, patient);
        let took = now.elapsed();
        treatment.paces().for_each(|pace| pace.note(took));
        if treated == Treated::Fit {
            self.added_bytes += patient.payload.len().saturating_sub(bytes);
            if self.added_bytes > ADDED_BYTES_MAX {
                return Treated::Wrong(vec![Flaw::whole(ADDED_TOO_MUCH)]);
            }
        }
        treated
    }

    fn treat_from(
        &mut self,
        now: Instant,
        treatment: &Treatment,
        patient: &mut Patient<'_>,
    ) -> Treated {
        let mut parsed = None;
        if let Some(schema) = &treatment.schema {
            let record = match serde_json::from_slice(&patient.payload) {
                Ok(record) => record,
                Err(error) => return Treated::Wrong(vec![Flaw::at("", no_json(&error))]),
            };
            let flaws = schema.flaws(&record, patient.payload.len());
            if !flaws.is_empty() {
                return Treated::Wrong(flaws);
            }
            parsed = Some(record);
        }
        let Some(transform) = &treatment.transform else { return Treated::Fit };
        let began = *self.began.get_or_insert(now);
        let own = transform.outlets().time;
        let all = own.saturating_mul(HAND_IN_TIMES);
        let until = (now + own).min(began + all.max(Duration::from_millis(1)));
        self.work.run(transform, parsed, patient, until)
    }
}

const ADDED_TOO_MUCH: &str =
    "the transforms add more than 64 MiB to what was handed in with it; send it in parts";

fn no_json(error: &serde_json::Error) -> String {
    let words = error.to_string();
    if words.starts_with("recursion limit") {
        return "nested deeper than 128 values".to_owned();
    }
    format!("not JSON: {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_slow_again_is_held_to_be_slow_wherever_it_is_used_until_it_was_quick_for_long() {
        let treatment =
            Treatment { schema: Some(Schema::parse("true", true).unwrap()), transform: None };
        let elsewhere = treatment.clone();
        let note = |took: Duration, times: u32| {
            (0..times).for_each(|_| treatment.paces().for_each(|pace| pace.note(took)));
            assert_eq!(treatment.is_slow(), elsewhere.is_slow());
            treatment.is_slow()
        };
        assert!(!note(SLOW, 1_000), "that is quick");
        assert!(!note(SLOW * 2, 1), "it may have been held up");
        assert!(!note(Duration::ZERO, FORGIVEN_BY) && !note(SLOW * 2, 1), "one is made up for");
        assert!(note(SLOW * 2, 1));
        assert!(note(SLOW * 2, 1_000) && note(Duration::ZERO, ALL_FORGIVEN_BY - FORGIVEN_BY - 1));
        assert!(!note(Duration::ZERO, 1));
    }
}

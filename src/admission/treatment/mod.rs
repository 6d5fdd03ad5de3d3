//! What is done to records on their way in: checked by a schema, changed by a program.
//!
//! The bytes of a record stay as they came unless a program changed them.

mod schema;
#[cfg_attr(not(feature = "transform"), path = "untransformed.rs")]
mod transform;

#[cfg(feature = "transform")]
mod digest;
#[cfg(feature = "transform")]
mod functions;
mod program;
mod steps;

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

/// What a stream, or a route to it, does to records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Treatment {
    /// They must be so.
    pub schema: Option<Schema>,
    /// They become what this makes of them.
    pub transform: Option<Transform>,
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
}

impl<'a> Treating<'a> {
    pub(super) fn new(circumstances: Circumstances<'a>) -> Self {
        Self { work: Work::new(circumstances), began: None }
    }

    /// Checks one record, then changes it.
    pub(super) fn treat(&mut self, treatment: &Treatment, patient: &mut Patient<'_>) -> Treated {
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
        let now = Instant::now();
        let began = *self.began.get_or_insert(now);
        let own = transform.outlets().time;
        let all = own.saturating_mul(HAND_IN_TIMES);
        let until = (now + own).min(began + all.max(Duration::from_millis(1)));
        self.work.run(transform, parsed, patient, until)
    }
}

fn no_json(error: &serde_json::Error) -> String {
    let words = error.to_string();
    if words.starts_with("recursion limit") {
        return "nested deeper than 128 values".to_owned();
    }
    format!("not JSON: {words}")
}

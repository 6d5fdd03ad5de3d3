//! Single records that are not as they should be, named by index.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::admission::{Flaw, Rejection};
use crate::base::serve::Problem;

/// The records of a request that are not as they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    count: usize,
    faults: Vec<RecordFault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct RecordFault {
    index: usize,
    pointer: Option<String>,
    reason: String,
    too_large: bool,
}

/// Most faults of records that one answer lists.
pub(super) const LISTED_MAX: usize = 100;
impl Rejected {
    /// Of `count` records: the faults of their text, and those that admission found.
    pub(super) fn new(
        count: usize,
        text: Vec<(usize, String)>,
        rejections: Vec<Rejection>,
    ) -> Self {
        let text = text.into_iter().map(|(index, reason)| RecordFault {
            index,
            pointer: None,
            reason,
            too_large: false,
        });
        let found = rejections.into_iter().flat_map(|rejection| {
            let Rejection { index, flaws, too_large, .. } = rejection;
            let fault =
                move |Flaw { pointer, reason }| RecordFault { index, pointer, reason, too_large };
            flaws.into_iter().map(fault)
        });
        let mut faults: Vec<RecordFault> = text.chain(found).collect();
        faults.sort_by_key(|fault| fault.index);
        Self { count, faults }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn problem(&self) -> Problem {
        let mut indices: Vec<usize> = self.faults.iter().map(|fault| fault.index).collect();
        indices.dedup();
        let (wrong, count) = (indices.len(), self.count);
        let only_size = self.faults.iter().all(|fault| fault.too_large);
        let what = if only_size { "larger than this stream takes" } else { "not acceptable" };
        let detail = if count == 1 {
            format!("The record is {what}. It was not stored; correct it and send it again.")
        } else {
            let are = if wrong == 1 { "is" } else { "are" };
            format!(
                "{wrong} of {count} records {are} {what}. None was stored; correct them and send all {count} again."
            )
        };
        let listed = self.faults.iter().take(LISTED_MAX).map(RecordFault::json).collect();
        let problem = if only_size {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            Problem::new(status, "record-too-large", "A record is too large", detail)
        } else {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, "records-rejected", "Some records were rejected", detail)
        };
        problem
            .with_member("rejected", Value::Array(listed))
            .with_member("rejected_count", wrong.into())
    }
}

impl RecordFault {
    fn json(&self) -> Value {
        match &self.pointer {
            Some(pointer) => {
                json!({ "index": self.index, "pointer": pointer, "reason": self.reason })
            }
            None => json!({ "index": self.index, "reason": self.reason }),
        }
    }
}

//! Every way to be refused over HTTP; the only place that picks a status and words for clients.
//!
//! Words for clients name no paths, hosts, destinations or sizes of queues. `docs/ERRORS.md` has
//! one section per slug.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::admission::{Refusal, Rejection};
use crate::base::serve::Problem;
use crate::base::units::{ByteSize, Span};

/// Why a request was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refused(Refusal),
    Rejected(Rejected),
    UnknownPath,
    WrongMethod { allow: &'static str },
    UriTooLong { limit: usize },
    HeadTooLarge { limit: usize },
    BadPartitionKey(String),
    BadIdempotencyKey(String),
    UnknownEncoding,
    BodyTooLarge { limit: u64 },
    BodyTooSlow { limit: Duration },
    BodyCutShort,
    EmptyBody,
    BadCompression,
    UnpackedTooLarge { limit: u64 },
    UnpacksTooMuch { ratio: u64 },
    TooManyRecords { limit: usize },
    Busy,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

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

/// Most rejected records that one answer lists.
const LISTED_MAX: usize = 100;
/// When to try again where nothing better is known.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_WHEN_STOPPING: Duration = Duration::from_secs(5);

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
        let found = rejections.into_iter().map(|rejection| RecordFault {
            index: rejection.index,
            pointer: rejection.pointer,
            reason: rejection.reason,
            too_large: rejection.too_large,
        });
        let mut faults: Vec<RecordFault> = text.chain(found).collect();
        faults.sort_by_key(|fault| fault.index);
        Self { count, faults }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    fn problem(&self) -> Problem {
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

impl Fault {
    /// What the client is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Refused(refusal) => refused(&refusal),
            Self::Rejected(rejected) => rejected.problem(),
            Self::UnknownPath
            | Self::WrongMethod { .. }
            | Self::UriTooLong { .. }
            | Self::HeadTooLarge { .. }
            | Self::BadPartitionKey(_)
            | Self::BadIdempotencyKey(_)
            | Self::UnknownEncoding => self.of_head(),
            _ => self.of_body(),
        }
    }

    fn of_head(self) -> Problem {
        match self {
            Self::WrongMethod { allow } => Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong-method",
                "Another method is needed here",
                format!("This path takes {allow}. Nothing was stored."),
            )
            .with_header(ALLOW, HeaderValue::from_static(allow)),
            Self::UriTooLong { limit } => Problem::new(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                "The URI is too long",
                format!("Path and query may have at most {limit} bytes. Nothing was stored."),
            ),
            Self::HeadTooLarge { limit } => Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "The headers are too large",
                format!("All headers together may have at most {limit} bytes. Nothing was stored."),
            ),
            Self::BadPartitionKey(why) => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-partition-key",
                "The partition key cannot be used",
                format!("In `Weir-Partition-Key`, {why}. Nothing was stored."),
            ),
            Self::BadIdempotencyKey(why) => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-idempotency-key",
                "The idempotency key cannot be used",
                format!("In `Idempotency-Key`, {why}. Nothing was stored."),
            ),
            Self::UnknownEncoding => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unknown-encoding",
                "The content encoding is not known",
                "A body may be packed once, with gzip, zstd or deflate. Nothing was stored; send it packed so, or plain.",
            )
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, deflate, identity")),
            _ => Problem::new(
                StatusCode::NOT_FOUND,
                "unknown-path",
                "There is nothing here",
                "Records go to `POST /v1/streams/{stream}`. Nothing was stored.",
            ),
        }
    }

    fn of_body(self) -> Problem {
        let too_large = |slug, title, detail: String| {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, slug, title, detail)
        };
        let bad =
            |slug, title, detail: &str| Problem::new(StatusCode::BAD_REQUEST, slug, title, detail);
        match self {
            Self::BodyTooLarge { limit } => too_large(
                "body-too-large",
                "The body is too large",
                format!(
                    "A body may have at most {}. Nothing was stored; send it in parts.",
                    ByteSize(limit)
                ),
            ),
            Self::UnpackedTooLarge { limit } => too_large(
                "unpacked-too-large",
                "The body unpacks to too much",
                format!(
                    "A body may unpack to at most {}. Nothing was stored; send it in parts.",
                    ByteSize(limit)
                ),
            ),
            Self::UnpacksTooMuch { ratio } => too_large(
                "unpacked-too-large",
                "The body unpacks to too much",
                format!(
                    "A body may unpack to at most {ratio} times its size. Nothing was stored; send it plain or in parts."
                ),
            ),
            Self::TooManyRecords { limit } => too_large(
                "too-many-records",
                "There are too many records",
                format!(
                    "A request may hold at most {limit} records. Nothing was stored; send them in parts."
                ),
            ),
            Self::BodyTooSlow { limit } => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "The body came too slowly",
                format!(
                    "A body has {} to arrive. Nothing was stored; send it again, in smaller parts on a slow line.",
                    Span(limit)
                ),
            ),
            Self::BodyCutShort => bad(
                "body-cut-short",
                "The body did not arrive whole",
                "The body ended early or is not well formed. Nothing was stored; send it again.",
            ),
            Self::BadCompression => bad(
                "bad-compression",
                "The body cannot be unpacked",
                "The body is not what its `Content-Encoding` says, or is cut short. Nothing was stored; pack it anew.",
            ),
            Self::Busy => later(
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "Too many large bodies at once",
                    again(RETRY_SOON),
                ),
                RETRY_SOON,
            ),
            _ => bad(
                "empty-body",
                "There is no record",
                "The body holds no record: it is empty, or all its lines are. Nothing was stored.",
            ),
        }
    }
}

fn refused(refusal: &Refusal) -> Problem {
    let new = |status, title, detail: String| Problem::new(status, refusal.reason(), title, detail);
    let wait = |status, title, after| later(new(status, title, again(after)), after);
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match refusal {
        Refusal::UnknownCaller => new(
            StatusCode::UNAUTHORIZED,
            "The caller is not known",
            "A valid key is needed, in `x-api-key` or as a Bearer token. Nothing was stored."
                .into(),
        )
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\"")),
        Refusal::NotAllowed => new(
            StatusCode::FORBIDDEN,
            "The caller may not do this",
            "The key is known, but has expired or is not for this stream. Nothing was stored."
                .into(),
        ),
        Refusal::UnknownStream => new(
            StatusCode::NOT_FOUND,
            "There is no such stream",
            "No stream has this name. Nothing was stored.".into(),
        ),
        Refusal::TooFast { retry_after } => {
            wait(StatusCode::TOO_MANY_REQUESTS, "Faster than the plan allows", *retry_after)
        }
        Refusal::OverBurst { limit, unit } => new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "More at once than the plan allows",
            format!(
                "The plan of this caller lets at most {limit} {unit} through at once. Nothing was stored; send smaller requests."
            ),
        ),
        Refusal::Full { retry_after } => {
            wait(unavailable, "No room for more records", *retry_after)
        }
        Refusal::Broken { retry_after } => {
            wait(unavailable, "Records cannot be stored now", *retry_after)
        }
        Refusal::TooLarge { limit } => new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "More at once than can be stored",
            format!(
                "The records of one request may have at most {} together. Nothing was stored; send them in parts.",
                ByteSize(*limit)
            ),
        ),
        Refusal::KeyReused => new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The idempotency key was used for something else",
            "A request with this `Idempotency-Key` and another content was accepted before. Nothing was stored; take a new key for a new request."
                .into(),
        ),
        Refusal::Stopping => wait(unavailable, "The agent is stopping", RETRY_WHEN_STOPPING),
    }
}

/// Whole seconds, rounded up: one that comes back early is refused again.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

fn again(after: Duration) -> String {
    let seconds = seconds(after);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    format!("Nothing was stored. Send the same request again after {seconds} {unit}.")
}

fn later(problem: Problem, after: Duration) -> Problem {
    problem.with_header(RETRY_AFTER, HeaderValue::from(seconds(after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_rounded_up_to_whole_seconds_and_never_zero() {
        for (ms, expected) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (5000, 5)] {
            assert_eq!(seconds(Duration::from_millis(ms)), expected, "{ms} ms");
        }
    }

    #[test]
    fn every_slug_has_its_section_in_the_manual_and_every_section_its_slug() {
        let page = include_str!("../../../docs/ERRORS.md");
        let mut sections: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let mut slugs: Vec<&str> = all().into_iter().map(|fault| fault.problem().slug).collect();
        let elsewhere = ["In the log", "Exit codes", "not-from-here", "not-json", "replay-refused"];
        sections.retain(|slug| !elsewhere.contains(slug));
        sections.sort_unstable();
        slugs.sort_unstable();
        slugs.dedup();

        assert_eq!(slugs, sections);
    }

    #[test]
    fn every_refusal_says_that_nothing_was_stored() {
        for fault in all() {
            let detail = fault.problem().detail;
            let says = ["Nothing was stored", "None was stored", "It was not stored"];
            assert!(says.iter().any(|words| detail.contains(words)), "{detail}");
        }
    }

    #[test]
    fn an_answer_lists_a_hundred_rejections_and_counts_them_all() {
        let text = (0..150).map(|index| (index, "no".to_owned())).collect();

        let problem = Fault::Rejected(Rejected::new(200, text, Vec::new())).problem();

        assert_eq!(problem.members["rejected"].as_array().unwrap().len(), 100);
        assert_eq!(problem.members["rejected_count"], 150);
        assert_eq!(
            problem.detail,
            "150 of 200 records are not acceptable. None was stored; correct them and send all 200 again."
        );
    }

    /// One of each.
    fn all() -> Vec<Fault> {
        let wait = Duration::from_secs(1);
        let rejection = |too_large| Rejection {
            index: 0,
            pointer: Some("/a".into()),
            reason: "missing".into(),
            too_large,
            raw: crate::record::RawRecord::default(),
        };
        vec![
            Refusal::UnknownCaller.into(),
            Refusal::NotAllowed.into(),
            Refusal::UnknownStream.into(),
            Refusal::TooFast { retry_after: wait }.into(),
            Refusal::OverBurst { limit: 1, unit: "bytes" }.into(),
            Refusal::Full { retry_after: wait }.into(),
            Refusal::Broken { retry_after: wait }.into(),
            Refusal::TooLarge { limit: 1 }.into(),
            Refusal::KeyReused.into(),
            Refusal::Stopping.into(),
            Fault::Rejected(Rejected::new(1, Vec::new(), vec![rejection(false)])),
            Fault::Rejected(Rejected::new(2, Vec::new(), vec![rejection(true)])),
            Fault::UnknownPath,
            Fault::WrongMethod { allow: "POST" },
            Fault::UriTooLong { limit: 1 },
            Fault::HeadTooLarge { limit: 1 },
            Fault::BadPartitionKey("it is empty".into()),
            Fault::BadIdempotencyKey("the key has 0 bytes".into()),
            Fault::UnknownEncoding,
            Fault::BodyTooLarge { limit: 1 },
            Fault::BodyTooSlow { limit: wait },
            Fault::BodyCutShort,
            Fault::EmptyBody,
            Fault::BadCompression,
            Fault::UnpackedTooLarge { limit: 1 },
            Fault::UnpacksTooMuch { ratio: 1 },
            Fault::TooManyRecords { limit: 1 },
            Fault::Busy,
        ]
    }
}

//! Every way to be refused over HTTP; the only place that picks a status and words for clients.
//!
//! Words for clients name no paths, hosts, destinations or sizes of queues. `docs/ERRORS.md` has
//! one section per slug.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ACCEPT_ENCODING, ALLOW, HeaderValue};
use serde_json::{Value, json};

use super::refused::{again, later, refused};
use super::rejected::{LISTED_MAX, Rejected};
use crate::admission::Refusal;
use crate::base::serve::Problem;
use crate::base::units::{ByteSize, Span};

/// Why a request was not taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Refused(Refusal),
    Rejected(Rejected),
    AddressNotAllowed,
    BlockedByRule,
    TooFastForRule {
        retry_after: Duration,
    },
    UnknownPath,
    WrongMethod {
        allow: String,
    },
    /// Why, in words.
    BadPath(&'static str),
    BadHost,
    BadFraming,
    UnknownCoding,
    TwoCredentials,
    UnknownType,
    UriTooLong {
        limit: usize,
    },
    HeadTooLarge {
        limit: usize,
        count: usize,
    },
    BadPartitionKey(String),
    /// In words, what is wrong with the explicit hash key.
    BadHashKey(String),
    BadIdempotencyKey(String),
    UnknownEncoding,
    BodyTooLarge {
        limit: u64,
    },
    BodyTooSlow {
        limit: Duration,
    },
    BodyTooSlowly {
        rate: u64,
        per: Duration,
    },
    BodyCutShort,
    EmptyBody,
    BadJson(String),
    BadEvents(Vec<(usize, String)>),
    BadCompression,
    UnpackedTooLarge {
        limit: u64,
    },
    UnpacksTooMuch {
        ratio: u64,
    },
    TooManyRecords {
        limit: usize,
    },
    Busy,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// When to try again where nothing better is known.
const RETRY_SOON: Duration = Duration::from_secs(1);

impl Fault {
    /// What the client is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Refused(refusal) => refused(&refusal),
            Self::Rejected(rejected) => rejected.problem(),
            Self::AddressNotAllowed
            | Self::BlockedByRule
            | Self::TooFastForRule { .. }
            | Self::UnknownPath
            | Self::WrongMethod { .. }
            | Self::BadPath(_)
            | Self::BadHost
            | Self::BadFraming
            | Self::UnknownCoding
            | Self::TwoCredentials
            | Self::UnknownType
            | Self::UriTooLong { .. }
            | Self::HeadTooLarge { .. }
            | Self::BadPartitionKey(_)
            | Self::BadHashKey(_)
            | Self::BadIdempotencyKey(_)
            | Self::UnknownEncoding => self.of_head(),
            _ => self.of_body(),
        }
    }

    fn of_head(self) -> Problem {
        match self {
            Self::UnknownType => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unknown-type",
                "The content type is not known",
                "CloudEvents are taken in JSON, alone or in batches, or with their attributes as headers. Nothing was stored.",
            ),
            Self::UriTooLong { limit } => Problem::new(
                StatusCode::URI_TOO_LONG,
                "uri-too-long",
                "The URI is too long",
                format!("Path and query may have at most {limit} bytes. Nothing was stored."),
            ),
            Self::HeadTooLarge { limit, count } => Problem::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "The headers are too large",
                format!(
                    "There may be at most {count} headers, with {limit} bytes together. Nothing was stored."
                ),
            ),
            Self::BadHashKey(why) => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-hash-key",
                "The explicit hash key cannot be used",
                format!("In `Weir-Explicit-Hash-Key`, {why}. Nothing was stored."),
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
            _ => self.of_place(),
        }
    }

    /// Where somebody knocked, and from where.
    fn of_place(self) -> Problem {
        match self {
            Self::WrongMethod { allow } => {
                let header = HeaderValue::from_str(&allow).ok();
                let detail = format!("This path takes {allow}. Nothing was stored.");
                let status = StatusCode::METHOD_NOT_ALLOWED;
                let title = "Another method is needed here";
                let problem = Problem::new(status, "wrong-method", title, detail);
                header.into_iter().fold(problem, |problem, allow| problem.with_header(ALLOW, allow))
            }
            Self::BadPath(why) => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-path",
                "The path cannot be read",
                format!("The path cannot be read: {why}. Nothing was stored."),
            ),
            Self::BadFraming => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-framing",
                "It is not sure where the body ends",
                "The length of the body is said in two ways. Nothing was stored; send `Content-Length` or `Transfer-Encoding: chunked`, once.",
            ),
            Self::UnknownCoding => Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "unknown-coding",
                "The transfer coding is not known",
                "A body comes with its length or in chunks, in no other `Transfer-Encoding`. Nothing was stored; packed bodies have a `Content-Encoding`.",
            ),
            Self::TwoCredentials => Problem::new(
                StatusCode::BAD_REQUEST,
                "two-credentials",
                "There are two of what may stand there once",
                "`Authorization` and the header of a key may stand in a request once each. Nothing was stored.",
            ),
            Self::BadHost => Problem::new(
                StatusCode::BAD_REQUEST,
                "bad-host",
                "The host is not named once",
                "A request of HTTP/1.1 has exactly one `Host`. Nothing was stored.",
            ),
            Self::AddressNotAllowed => Problem::new(
                StatusCode::FORBIDDEN,
                "address-not-allowed",
                "The address may not come in",
                "Senders with this address are not let in here. Nothing was stored.",
            ),
            Self::BlockedByRule => Problem::new(
                StatusCode::FORBIDDEN,
                "blocked-by-rule",
                "Requests like this are sent away",
                "The operator sends requests like this away. Nothing was stored.",
            ),
            Self::TooFastForRule { retry_after } => later(
                Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate-limited",
                    "Too many requests like this from this address",
                    again(retry_after),
                ),
                retry_after,
            ),
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
            Self::BodyTooSlowly { rate, per } => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "The body came too slowly",
                format!(
                    "A body must come with {} in {} at least. Nothing was stored; send it again, in smaller parts on a slow line.",
                    ByteSize(rate),
                    Span(per)
                ),
            ),
            _ => self.of_content(),
        }
    }

    fn of_content(self) -> Problem {
        let bad =
            |slug, title, detail: &str| Problem::new(StatusCode::BAD_REQUEST, slug, title, detail);
        match self {
            Self::BadJson(why) => bad(
                "bad-json",
                "The body is not the JSON that is wanted here",
                &format!(
                    "The body is not the JSON that is wanted here: {why}. Nothing was stored."
                ),
            ),
            Self::BadEvents(wrong) => bad_events(&wrong),
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

fn bad_events(wrong: &[(usize, String)]) -> Problem {
    let listed = wrong.iter().take(LISTED_MAX);
    let listed =
        listed.map(|(index, reason)| json!({ "index": index, "reason": reason })).collect();
    let first = wrong.first().map(|(_, reason)| reason.as_str()).unwrap_or_default();
    let detail = match wrong.len() {
        1 => format!("The event is not as CloudEvents 1.0 wants it: {first}. Nothing was stored."),
        count => format!("{count} events are not as CloudEvents 1.0 wants them. None was stored."),
    };
    let title = "This is no CloudEvent";
    Problem::new(StatusCode::BAD_REQUEST, "bad-event", title, detail)
        .with_member("rejected", Value::Array(listed))
        .with_member("rejected_count", wrong.len().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{Flaw, Rejection, SignatureFault};

    #[test]
    fn every_slug_has_its_section_in_the_manual_and_every_section_its_slug() {
        let page = include_str!("../../../docs/ERRORS.md");
        let mut sections: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let mut slugs: Vec<&str> = all().into_iter().map(|fault| fault.problem().slug).collect();
        // The operator's door has its own, and its own test.
        let admin = [
            "admin-key-needed",
            "bad-query",
            "letters-unreadable",
            "not-from-here",
            "not-json",
            "replay-refused",
        ];
        let elsewhere = ["In the log", "Exit codes"].into_iter().chain(admin);
        let elsewhere: Vec<&str> = elsewhere.collect();
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
            flaws: vec![Flaw::at("/a", "missing")],
            too_large,
            raw: crate::record::RawRecord::default(),
        };
        vec![
            Refusal::UnknownCaller.into(),
            Refusal::BadToken { why: "it has expired" }.into(),
            Refusal::Unchecked.into(),
            Refusal::NotAllowed.into(),
            Refusal::from(SignatureFault::UnknownKey).into(),
            Refusal::from(SignatureFault::Invalid("It is late.".into())).into(),
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
            Fault::AddressNotAllowed,
            Fault::BlockedByRule,
            Fault::TooFastForRule { retry_after: wait },
            Refusal::OverQuota { retry_after: wait }.into(),
            Refusal::TooManyGuesses { retry_after: wait }.into(),
            Fault::UnknownPath,
            Fault::WrongMethod { allow: "POST".into() },
            Fault::BadPath("it is none"),
            Fault::BadHost,
            Fault::BadFraming,
            Fault::UnknownCoding,
            Fault::TwoCredentials,
            Fault::UnknownType,
            Fault::UriTooLong { limit: 1 },
            Fault::HeadTooLarge { limit: 1, count: 1 },
            Fault::BadPartitionKey("it is empty".into()),
            Fault::BadHashKey("it is none".into()),
            Fault::BadIdempotencyKey("the key has 0 bytes".into()),
            Fault::UnknownEncoding,
            Fault::BodyTooLarge { limit: 1 },
            Fault::BodyTooSlow { limit: wait },
            Fault::BodyTooSlowly { rate: 1, per: wait },
            Fault::BodyCutShort,
            Fault::EmptyBody,
            Fault::BadJson("it is empty".into()),
            Fault::BadEvents(vec![(0, "the attribute `id` is missing".into())]),
            Fault::BadEvents(vec![(0, "a".into()), (1, "b".into())]),
            Fault::BadCompression,
            Fault::UnpackedTooLarge { limit: 1 },
            Fault::UnpacksTooMuch { ratio: 1 },
            Fault::TooManyRecords { limit: 1 },
            Fault::Busy,
        ]
    }
}

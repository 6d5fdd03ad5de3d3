//! Every way to be refused at the operator's door; the only place here that picks a status.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderValue, WWW_AUTHENTICATE};

use crate::base::serve::Problem;
use crate::base::units::{ByteSize, Span};

/// Why a request was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    UnknownPath,
    WrongMethod { allow: &'static str },
    NotFromHere,
    KeyNeeded,
    BadFraming,
    UnknownCoding,
    BadHost,
    TwoCredentials,
    NotJson(String),
    BadQuery(String),
    BodyTooLarge { limit: usize },
    BodyTooSlow { limit: Duration },
    BodyCutShort,
    ReplayRefused(String),
    Unreadable(String),
}

impl Fault {
    pub(super) fn problem(self) -> Problem {
        let new = |status, slug, title, detail: String| Problem::new(status, slug, title, detail);
        match self {
            Self::UnknownPath => new(
                StatusCode::NOT_FOUND,
                "unknown-path",
                "There is nothing here",
                "This door has /, /livez, /readyz, /metrics, /status, /dead, /dead/replay and /dead/purge. Nothing was changed."
                    .into(),
            ),
            Self::WrongMethod { allow } => new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong-method",
                "Another method is needed here",
                format!("This path takes {allow}. Nothing was changed."),
            )
            .with_header(ALLOW, HeaderValue::from_static(allow)),
            Self::NotFromHere => new(
                StatusCode::FORBIDDEN,
                "not-from-here",
                "The request may come from a page in a browser",
                "Ask by address or as `localhost`, without a foreign `Origin`; an order needs `Weir-Admin: 1` or the type `application/json`. Nothing was changed."
                    .into(),
            ),
            Self::KeyNeeded => new(
                StatusCode::UNAUTHORIZED,
                "admin-key-needed",
                "An operator's key is needed",
                "Show a key of `[admin] key_file` in `x-api-key` or as `Authorization: Bearer`; the one that was shown, if any, opens nothing. Nothing was changed."
                    .into(),
            )
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir admin\"")),
            Self::BadQuery(why) => new(
                StatusCode::BAD_REQUEST,
                "bad-query",
                "The question cannot be read",
                format!("Of what stands behind the `?`: {why}. Nothing was changed."),
            ),
            Self::NotJson(why) => new(
                StatusCode::BAD_REQUEST,
                "not-json",
                "The order is not JSON",
                format!("The body cannot be read as JSON: {why}. Nothing was changed."),
            ),
            Self::ReplayRefused(why) => new(
                StatusCode::CONFLICT,
                "replay-refused",
                "The order cannot be carried out",
                why,
            ),
            Self::Unreadable(why) => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "letters-unreadable",
                "The dead letters cannot be read",
                why,
            ),
            body => body.of_body(),
        }
    }

    /// What is wrong with how a request came.
    fn of_body(self) -> Problem {
        let new = |status, slug, title, detail: String| Problem::new(status, slug, title, detail);
        let bad = |slug, title, detail: &str| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                slug,
                title,
                format!("{detail} Nothing was changed."),
            )
        };
        match self {
            Self::BadFraming => bad(
                "bad-framing",
                "It is not sure where the body ends",
                "The length of the body is said in two ways.",
            ),
            Self::UnknownCoding => new(
                StatusCode::NOT_IMPLEMENTED,
                "unknown-coding",
                "The transfer coding is not known",
                "A body comes with its length or in chunks, in no other `Transfer-Encoding`. Nothing was changed."
                    .into(),
            ),
            Self::BadHost => bad(
                "bad-host",
                "The host is not named once",
                "A request of HTTP/1.1 has exactly one `Host`.",
            ),
            Self::TwoCredentials => bad(
                "two-credentials",
                "There are two of what may stand there once",
                "`Authorization` and `x-api-key` may stand in a request once each.",
            ),
            Self::BodyTooLarge { limit } => new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
                format!(
                    "An order may have at most {}. Nothing was changed.",
                    ByteSize(limit as u64)
                ),
            ),
            Self::BodyTooSlow { limit } => new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "The body came too slowly",
                format!("An order has {} to arrive. Nothing was changed.", Span(limit)),
            ),
            _ => new(
                StatusCode::BAD_REQUEST,
                "body-cut-short",
                "The body did not arrive whole",
                "The body ended early or is not well formed. Nothing was changed; send it again."
                    .into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_has_its_section_in_the_manual() {
        let page = include_str!("../../docs/ERRORS.md");
        let time = Duration::from_secs(1);
        for fault in [
            Fault::UnknownPath,
            Fault::WrongMethod { allow: "GET" },
            Fault::NotFromHere,
            Fault::KeyNeeded,
            Fault::BadFraming,
            Fault::UnknownCoding,
            Fault::BadHost,
            Fault::TwoCredentials,
            Fault::NotJson("it ends early".into()),
            Fault::BadQuery("it is too long".into()),
            Fault::BodyTooLarge { limit: 1 },
            Fault::BodyTooSlow { limit: time },
            Fault::BodyCutShort,
            Fault::ReplayRefused("no such letter".into()),
            Fault::Unreadable("the disk failed".into()),
        ] {
            let heading = format!("## {}", fault.problem().slug);
            assert!(page.lines().any(|line| line == heading), "{heading}");
        }
    }
}

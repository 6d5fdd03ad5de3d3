//! What a refusal of admission becomes over HTTP, and how it is said when to come again.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::admission::{Refusal, SignatureFault};
use crate::base::serve::Problem;
use crate::base::units::ByteSize;

/// When to try again where nothing better is known.
const RETRY_WHEN_UNCHECKED: Duration = Duration::from_secs(5);
const RETRY_WHEN_STOPPING: Duration = Duration::from_secs(5);

/// The answer to what admission refused.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    let new = |status, title, detail: String| Problem::new(status, refusal.reason(), title, detail);
    let wait = |status, title, after| later(new(status, title, again(after)), after);
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match refusal {
        Refusal::UnknownCaller => new(
            StatusCode::UNAUTHORIZED,
            "The caller is not known",
            "Nothing that the request shows (a key, a token, a certificate) is known here. Nothing was stored."
                .into(),
        )
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"weir\"")),
        Refusal::BadSignature(fault) => bad_signature(new, fault),
        Refusal::BadToken { why } => bad_token(new, why),
        Refusal::Unchecked => {
            wait(unavailable, "The caller cannot be checked now", RETRY_WHEN_UNCHECKED)
        }
        Refusal::NotAllowed => new(
            StatusCode::FORBIDDEN,
            "The caller may not do this",
            "The caller is known, but what it shows has expired or is not for this stream. Nothing was stored."
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
        Refusal::OverQuota { retry_after } => {
            wait(StatusCode::TOO_MANY_REQUESTS, "The quota is used up", *retry_after)
        }
        Refusal::TooManyGuesses { retry_after } => wait(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many keys or tokens that are none",
            *retry_after,
        ),
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

/// In the words that the clients of AWS know.
fn bad_signature(
    new: impl Fn(StatusCode, &'static str, String) -> Problem,
    fault: &SignatureFault,
) -> Problem {
    let why = match fault {
        SignatureFault::Incomplete(why) | SignatureFault::Invalid(why) => why.as_str(),
        SignatureFault::UnknownKey => "The security token included in the request is invalid.",
    };
    let detail = format!("{why} Nothing was stored.");
    new(StatusCode::FORBIDDEN, "The signature does not hold", detail)
}

/// The reason stands in the challenge too, where libraries look for it.
fn bad_token(new: impl Fn(StatusCode, &'static str, String) -> Problem, why: &str) -> Problem {
    let challenge =
        format!("Bearer realm=\"weir\", error=\"invalid_token\", error_description=\"{why}\"");
    let detail = format!("The token is not taken: {why}. Nothing was stored.");
    let problem = new(StatusCode::UNAUTHORIZED, "The token is worth nothing", detail);
    let challenge = HeaderValue::from_str(&challenge).ok();
    challenge
        .into_iter()
        .fold(problem, |problem, value| problem.with_header(WWW_AUTHENTICATE, value))
}

/// Whole seconds, rounded up: one that comes back early is refused again.
fn seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

pub(super) fn again(after: Duration) -> String {
    let seconds = seconds(after);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    format!("Nothing was stored. Send the same request again after {seconds} {unit}.")
}

pub(super) fn later(problem: Problem, after: Duration) -> Problem {
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
}

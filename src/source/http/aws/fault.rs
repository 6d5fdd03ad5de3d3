//! Every no, in the codes of the two services: those that their clients repeat where it is worth
//! repeating, and those that they give up on where it is not.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

use super::call::{Form, Service};
use super::names::{ACCOUNT, SHARD};
use super::pen::Pen;
use crate::admission::{Refusal, SignatureFault};
use crate::base::serve::Answer;
use crate::source::http::manner::plain;
use crate::source::http::problem::Fault;

/// Why a call did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source::http) enum CallFault {
    /// As with every request.
    Door(Fault),
    /// Nobody signed it, nor shows anything else.
    NoCaller,
    UnknownOperation,
    UnknownForm,
    /// The body is not what its form and operation want.
    Malformed(String),
    /// Members are not as the service wants them, in its own words.
    Invalid(String),
    /// The same, where the service takes another name for it.
    BadArgument(String),
    NoSuchStream(String),
    /// Everything was checked, and nothing was to be stored.
    DryRun,
    /// A list went on behind something that was never its end.
    BadToken,
    /// The shards behind the stream are not known (yet).
    ShardsUnknown,
}

impl From<Fault> for CallFault {
    fn from(fault: Fault) -> Self {
        Self::Door(fault)
    }
}

impl From<Refusal> for CallFault {
    fn from(refusal: Refusal) -> Self {
        Self::Door(refusal.into())
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    pub(super) message: String,
    pub(super) wait: Option<Duration>,
}

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// In milliseconds; the SDKs that look for a time at all look for this one.
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("x-amz-retry-after");

/// When to come back where nothing better is known.
const RETRY_SOON: Duration = Duration::from_secs(1);
/// The upstream is asked for its shards about this often while it is away.
const RETRY_SHARDS: Duration = Duration::from_secs(5);

/// Most characters of what is repeated of a body that cannot be read.
const REPEATED_CHARS_MAX: usize = 200;
/// Most characters of a message: ten faults with the values that are wrong.
pub(super) const MESSAGE_CHARS_MAX: usize = 4096;

/// The beginning of words that may repeat what a sender wrote.
pub(super) fn clipped(words: &str) -> String {
    cut(words, REPEATED_CHARS_MAX)
}

fn cut(words: &str, chars_max: usize) -> String {
    match words.char_indices().nth(chars_max) {
        None => words.to_owned(),
        Some((end, _)) => format!("{}…", words.get(..end).unwrap_or_default()),
    }
}

impl CallFault {
    /// The answer.
    pub(super) fn answer(self, service: Service, form: Form) -> Answer {
        let told = self.told(service);
        let body = Pen::write(form, 128 + told.message.len(), |pen| {
            pen.text("__type", told.code);
            pen.text("message", &told.message);
        });
        let mut answer = plain(told.status, body, Some(form.name()));
        let headers = answer.headers_mut();
        headers.insert(ERROR_TYPE, HeaderValue::from_static(told.code));
        if let Some(wait) = told.wait {
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
        }
        answer
    }

    /// What is said, of a bounded length whatever the request was.
    pub(super) fn told(self, service: Service) -> Told {
        let told = self.told_in_full(service);
        Told { message: cut(&told.message, MESSAGE_CHARS_MAX), ..told }
    }

    fn told_in_full(self, service: Service) -> Told {
        let bad = StatusCode::BAD_REQUEST;
        let told = |code, status, message| Told { code, status, message, wait: None };
        match self {
            Self::Door(fault) => of_door(fault, service),
            Self::NoCaller => told(
                "MissingAuthenticationTokenException",
                bad,
                "Missing Authentication Token. Nothing was stored.".into(),
            ),
            Self::UnknownOperation => told(
                "UnknownOperationException",
                bad,
                "This operation is not served here. Nothing was stored.".into(),
            ),
            Self::UnknownForm => told(
                "UnknownOperationException",
                StatusCode::NOT_FOUND,
                "A body here has the content type application/x-amz-json-1.1 or application/x-amz-cbor-1.1. Nothing was stored.".into(),
            ),
            Self::Malformed(why) => told(
                "SerializationException",
                bad,
                format!("In this request {why}. Nothing was stored."),
            ),
            Self::Invalid(why) => told("ValidationException", bad, why),
            Self::BadArgument(why) => told("InvalidArgumentException", bad, why),
            Self::NoSuchStream(name) => told(
                "ResourceNotFoundException",
                bad,
                match service {
                    Service::Kinesis => format!("Stream {name} under account {ACCOUNT} not found."),
                    Service::Firehose => {
                        format!("Firehose {name} under accountId {ACCOUNT} not found.")
                    }
                },
            ),
            Self::DryRun => told(
                "DryRunOperationException",
                bad,
                "Request would have succeeded, but DryRun flag is set.".into(),
            ),
            Self::ShardsUnknown => away(
                "The shards behind this stream are not known yet. Records are taken all the same.".into(),
                RETRY_SHARDS,
            ),
            Self::BadToken => told(
                "ExpiredNextTokenException",
                bad,
                "The NextToken is none that was given out here, or its stream has changed.".into(),
            ),
        }
    }
}

/// What every request may meet; its words are those that all clients get.
fn of_door(fault: Fault, service: Service) -> Told {
    let bad = StatusCode::BAD_REQUEST;
    let refusal = if let Fault::Refused(refusal) = &fault { Some(refusal.clone()) } else { None };
    let problem = fault.problem();
    let message = problem.detail;
    let told = |code| Told { code, status: bad, message: message.clone(), wait: None };
    match refusal {
        Some(
            Refusal::TooFast { retry_after }
            | Refusal::OverQuota { retry_after }
            | Refusal::TooManyGuesses { retry_after }
            | Refusal::Full { retry_after },
        ) => throttled(service, message, retry_after),
        Some(Refusal::Broken { retry_after }) => away(message, retry_after),
        Some(Refusal::Unchecked | Refusal::Stopping) => away(message, RETRY_SOON),
        Some(Refusal::UnknownCaller | Refusal::BadToken { .. }) => {
            told("UnrecognizedClientException")
        }
        Some(Refusal::BadSignature(fault)) => of_signature(fault, message),
        Some(Refusal::NotAllowed) => told("AccessDeniedException"),
        Some(_) => told("InvalidArgumentException"),
        None => match problem.status {
            StatusCode::SERVICE_UNAVAILABLE => away(message, RETRY_SOON),
            StatusCode::TOO_MANY_REQUESTS => throttled(service, message, RETRY_SOON),
            StatusCode::REQUEST_TIMEOUT => Told {
                code: "RequestTimeoutException",
                status: problem.status,
                message,
                wait: None,
            },
            StatusCode::FORBIDDEN => told("AccessDeniedException"),
            StatusCode::UNPROCESSABLE_ENTITY => told("ValidationException"),
            _ if problem.slug == "body-cut-short" => told("SerializationException"),
            _ => told("InvalidArgumentException"),
        },
    }
}

fn of_signature(fault: SignatureFault, message: String) -> Told {
    let (code, status) = match &fault {
        SignatureFault::Incomplete(_) => ("IncompleteSignatureException", StatusCode::FORBIDDEN),
        SignatureFault::Invalid(_) => ("InvalidSignatureException", StatusCode::BAD_REQUEST),
        SignatureFault::UnknownKey => ("UnrecognizedClientException", StatusCode::BAD_REQUEST),
    };
    Told { code, status, message, wait: None }
}

/// Never 429: with the codes of these services every SDK comes back, with that status not all do.
fn throttled(service: Service, message: String, wait: Duration) -> Told {
    match service {
        Service::Kinesis => {
            Told { code: THROTTLED, status: StatusCode::BAD_REQUEST, message, wait: Some(wait) }
        }
        Service::Firehose => away(message, wait),
    }
}

fn away(message: String, wait: Duration) -> Told {
    let (code, status) = ("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE);
    Told { code, status, message, wait: Some(wait) }
}

const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// Code and words of one record that the caller's plan did not let through with the others.
pub(super) fn of_entry(service: Service, stream: &str) -> (&'static str, String) {
    match service {
        Service::Kinesis => (
            THROTTLED,
            format!("Rate exceeded for shard {SHARD} in stream {stream} under account {ACCOUNT}."),
        ),
        Service::Firehose => ("ServiceUnavailableException", "Slow down.".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_pressure_has_the_codes_that_clients_repeat() {
        let wait = Duration::from_millis(1500);
        let told = |refusal: Refusal, service| {
            let told = CallFault::from(refusal).told(service);
            (told.code, told.status.as_u16(), told.wait)
        };
        for refusal in [Refusal::TooFast { retry_after: wait }, Refusal::Full { retry_after: wait }]
        {
            assert_eq!(told(refusal.clone(), Service::Kinesis), (THROTTLED, 400, Some(wait)));
            let unavailable = ("ServiceUnavailableException", 503, Some(wait));
            assert_eq!(told(refusal, Service::Firehose), unavailable);
        }
        for service in [Service::Kinesis, Service::Firehose] {
            let (code, status, _) = told(Refusal::Broken { retry_after: wait }, service);
            assert_eq!((code, status), ("ServiceUnavailableException", 503));
        }
    }

    #[test]
    fn no_answer_is_longer_than_its_bound() {
        for fault in [
            CallFault::Malformed("\u{1}".repeat(1 << 20)),
            CallFault::Invalid("é".repeat(1 << 20)),
            CallFault::NoSuchStream("n".repeat(1 << 20)),
        ] {
            let told = fault.told(Service::Kinesis);
            assert_eq!(told.message.chars().count(), MESSAGE_CHARS_MAX + 1);
        }
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äbcd", 3), "äbc…");
    }

    #[test]
    fn an_answer_names_its_code_twice_and_says_when_to_come_back() {
        let fault = CallFault::from(Refusal::Full { retry_after: Duration::from_millis(1500) });

        let answer = fault.answer(Service::Kinesis, Form::Cbor);

        let header = |name: &str| answer.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("x-amzn-errortype"), THROTTLED);
        assert_eq!((header("x-amz-retry-after"), header("retry-after")), ("1500", "2"));
        assert_eq!(header("content-type"), "application/x-amz-cbor-1.1");
    }
}

//! The SDK's errors as faults: the upstream's own code and words, and where it went wrong.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use http_body_util::LengthLimitError;

use super::iot::NoneGiven;
use super::transport::{CutOff, DialError};
use crate::sink::{At, Fault};

/// Longest message that is kept of an upstream's words, in bytes.
const MESSAGE_BYTES_MAX: usize = 1_000;
/// Longest code that is kept; those of AWS have up to 40 letters.
const CODE_BYTES_MAX: usize = 100;

/// What went wrong with a whole request.
pub(crate) fn fault_of<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(context) => {
            let code = context.err().code().map(str::to_owned);
            let message = context.err().message().map(str::to_owned);
            answered(context.raw(), code, message)
        }
        SdkError::ResponseError(context) => {
            let status = context.raw().status().as_u16();
            if (200..300).contains(&status) {
                let why = story(&SdkError::<E, HttpResponse>::ResponseError(context));
                return ambiguous("unreadable-answer", why);
            }
            answered(context.raw(), None, None)
        }
        SdkError::TimeoutError(_) => without_answer(At::Timeout, "timeout", story(&error)),
        SdkError::DispatchFailure(ref context) => {
            let why = story(&error);
            if let Some(none) = find::<CredentialsError>(&error) {
                match is_away(none) {
                    true => without_answer(At::Transport, "credentials-out-of-reach", why),
                    false => without_answer(At::Credentials, "no-credentials", why),
                }
            } else if let Some(cut_off) = find::<CutOff>(&error) {
                without_answer(At::Upload(cut_off.sent), "upload-cut-off", why)
            } else if context.is_timeout() {
                without_answer(At::Timeout, "timeout", why)
            } else if context.is_user() {
                settings(why)
            } else {
                without_answer(At::Transport, transport_code(&error), why)
            }
        }
        error => settings(story(&error)),
    }
}

/// Whether those who give credentials could not be asked at all: without an uplink nobody can, and
/// there is nothing to mend but the uplink.
fn is_away(none: &CredentialsError) -> bool {
    let is_lost = |error: &ConnectorError| error.is_io() || error.is_timeout();
    match none {
        // Nothing to ask was found.
        CredentialsError::CredentialsNotLoaded(_) => false,
        CredentialsError::ProviderTimedOut(_) => true,
        none => {
            find::<ConnectorError>(none).is_some_and(is_lost)
                || find::<NoneGiven>(none).is_some_and(|none| none.is_away)
        }
    }
}

/// What went wrong with one entry of an answered request.
pub(crate) fn entry_fault(code: Option<&str>, message: Option<&str>) -> Fault {
    Fault {
        at: At::Entry,
        code: one_line(code.unwrap_or("no-code"), CODE_BYTES_MAX),
        message: one_line(message.unwrap_or_default(), MESSAGE_BYTES_MAX),
        retry_after: None,
    }
}

/// No answer, or one that cannot be understood: the request may have been executed.
pub(crate) fn ambiguous(code: &str, message: String) -> Fault {
    without_answer(At::Transport, code, message)
}

/// The request could not be made from what the configuration says.
pub(crate) fn settings(message: String) -> Fault {
    without_answer(At::Settings, "unusable-settings", message)
}

fn without_answer(at: At, code: &str, message: String) -> Fault {
    let message = one_line(&message, MESSAGE_BYTES_MAX);
    Fault { at, code: code.to_owned(), message, retry_after: None }
}

/// An answer with a status that is no success, in whatever language its body is: JSON from the
/// service, XML from some emulators and gateways, HTML from proxies.
fn answered(raw: &HttpResponse, code: Option<String>, message: Option<String>) -> Fault {
    let status = raw.status().as_u16();
    let body = raw.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
    let code = code.or_else(|| between(&body, "<Code>", "</Code>"));
    let message = message.or_else(|| between(&body, "<Message>", "</Message>"));
    Fault {
        at: At::Answer(status),
        code: one_line(&code.unwrap_or_else(|| format!("http-{status}")), CODE_BYTES_MAX),
        message: one_line(message.as_deref().unwrap_or(body.trim()), MESSAGE_BYTES_MAX),
        retry_after: retry_after(raw),
    }
}

/// `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds. Its other form, a date, is
/// not read: it would trust two clocks at once.
fn retry_after(raw: &HttpResponse) -> Option<Duration> {
    let number = |name| raw.headers().get(name).and_then(|text| text.trim().parse::<u64>().ok());
    number("x-amz-retry-after")
        .map(Duration::from_millis)
        .or_else(|| number("retry-after").map(Duration::from_secs))
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (inner, _) = rest.split_once(after)?;
    Some(inner.trim().to_owned())
}

fn transport_code(error: &(dyn Error + 'static)) -> &'static str {
    match find::<DialError>(error) {
        Some(DialError::Certificate(_)) => return "certificate-refused",
        Some(DialError::Proxy { .. }) => return "proxy-refused",
        _ => {}
    }
    if find::<LengthLimitError>(error).is_some() {
        return "answer-too-large";
    }
    match find::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => "connection-refused",
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => "connection-lost",
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => "unreachable",
        _ => "no-connection",
    }
}

/// Whether the peer itself refused the connection: it does not like the certificate it was shown.
pub(super) fn is_refused_by_peer(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = match error.downcast_ref() {
            Some(DialError::Tls(io)) => Some(io),
            _ => error.downcast_ref::<io::Error>(),
        };
        let inner = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        if matches!(inner, Some(rustls::Error::AlertReceived(_))) {
            return true;
        }
        next = error.source();
    }
    false
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The causes in a row, outermost first, each only once.
pub(crate) fn story(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !words.iter().any(|said| said.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// What an upstream says ends up on terminals, in logs and in letters: one line of at most so many
/// bytes, in which no control character can move the cursor or forge a line. A body may be large, so
/// it is cut first.
pub(super) fn one_line(text: &str, bytes_max: usize) -> String {
    let text = text.trim_start();
    let kept = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text);
    let words = kept.split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_an_upstream_become_one_line_of_bounded_length() {
        let words = "\n no:\n  neither this\r\n\tnor\u{1b}[2J that \n";
        assert_eq!(one_line(words, 100), "no: neither this nor [2J that");
        assert_eq!(one_line(" \n", 100), "");
        assert_eq!(one_line(&"é".repeat(100), 101).len(), 100);
    }
}

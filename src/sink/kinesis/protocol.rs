//! In which protocol requests are written: JSON, or CBOR, which needs no base64 and so a quarter less.
//!
//! The service takes both; so does what the SDK for Java speaks to, as CBOR is its default. A gateway
//! in between may not: until an answer has shown it, a refusal of CBOR is asked about once more in JSON.

use std::sync::atomic::{AtomicU8, Ordering};

use aws_sdk_kinesis::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::sink::{Protocol, aws};

/// How a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Wire {
    Json,
    Cbor,
}

/// What is known of the other side.
#[derive(Debug)]
pub(super) struct Spoken {
    /// A [`Wire`], or [`UNTRIED`].
    wire: AtomicU8,
}

const UNTRIED: u8 = u8::MAX;

impl Spoken {
    pub(super) fn new(protocol: Protocol, endpoint_url: Option<&str>) -> Self {
        let wire = match protocol {
            Protocol::Json => Wire::Json as u8,
            Protocol::Cbor => Wire::Cbor as u8,
            Protocol::Auto if endpoint_url.is_none_or(is_of_aws) => UNTRIED,
            Protocol::Auto => Wire::Json as u8,
        };
        Self { wire: AtomicU8::new(wire) }
    }

    /// How to write; `None` while CBOR is to be tried.
    pub(super) fn known(&self) -> Option<Wire> {
        match self.wire.load(Ordering::Relaxed) {
            UNTRIED => None,
            wire if wire == Wire::Cbor as u8 => Some(Wire::Cbor),
            _ => Some(Wire::Json),
        }
    }

    /// From now on requests are written so.
    pub(super) fn settle(&self, wire: Wire, stream: &str) {
        let before = self.wire.swap(wire as u8, Ordering::Relaxed);
        if before == UNTRIED && wire == Wire::Json {
            tracing::info!(stream, "what answers for the service does not take CBOR; it gets JSON");
        }
    }
}

/// An address of AWS itself, an interface endpoint of a VPC among them.
fn is_of_aws(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
    [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|of| host.ends_with(of))
}

/// What an answer to a request in CBOR tells of whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It speaks CBOR.
    Cbor,
    /// It refused, in another language.
    Foreign,
    /// It took the request, or may have, and answered what nobody can read.
    Unreadable,
    /// There was no answer.
    Nothing,
}

pub(super) fn told_by<T, E>(answer: &Result<T, SdkError<E, HttpResponse>>) -> Told {
    let Err(error) = answer else { return Told::Cbor };
    let Some(raw) = error.raw_response() else { return Told::Nothing };
    let kind = raw.headers().get("content-type").unwrap_or_default();
    match raw.status().is_success() {
        true => Told::Unreadable,
        false if kind.starts_with(aws::MEDIA_TYPE_OF_CBOR) => Told::Cbor,
        false => Told::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cbor_is_tried_where_aws_itself_answers_and_nowhere_else() {
        let known = |protocol, url| Spoken::new(protocol, url).known();
        for url in [
            None,
            Some("https://kinesis.eu-west-1.amazonaws.com"),
            Some("https://vpce-1.kinesis.cn-north-1.vpce.amazonaws.com.cn:443/"),
        ] {
            assert_eq!(known(Protocol::Auto, url), None, "{url:?}");
        }
        for url in ["http://127.0.0.1:4566", "https://amazonaws.com.example/.amazonaws.com"] {
            assert_eq!(known(Protocol::Auto, Some(url)), Some(Wire::Json), "{url}");
            assert_eq!(known(Protocol::Cbor, Some(url)), Some(Wire::Cbor), "{url}");
        }
        assert_eq!(known(Protocol::Json, None), Some(Wire::Json));
    }
}

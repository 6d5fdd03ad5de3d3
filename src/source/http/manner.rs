//! In whose manner a request is answered: weir's own, Amazon Data Firehose's, API Gateway's, or a
//! route's.

use std::num::NonZeroU32;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::gateway;
use super::problem::Fault;
use super::routes::Thanks;
use crate::admission::Receipt;
use crate::base::clock::Clock;
use crate::base::serve::Answer;
use crate::record::{IdText, RecordId};

/// What the sender speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Manner {
    /// 202 with count and ids; problems as RFC 9457 writes them.
    #[default]
    Own,
    /// As Firehose wants to hear from an HTTP endpoint; with the id of its request.
    Delivery(String),
    /// As Kinesis answers to PutRecord.
    GatewayRecord,
    /// As Kinesis answers to PutRecords.
    GatewayRecords,
    /// As the route says; problems as RFC 9457 writes them.
    Route(Thanks),
}

/// Room for the receipt of a record.
const ANSWER_BYTES: usize = 128;
/// Says that the receipt is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

impl Manner {
    /// A request that turned out to be a delivery by Firehose; API Gateway has its own manner.
    pub(super) fn become_delivery(&mut self, id: String) {
        if matches!(self, Self::Own | Self::Route(_)) {
            *self = Self::Delivery(id);
        }
    }

    /// A bounded label for metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Own | Self::Delivery(_) => "streams",
            Self::GatewayRecord | Self::GatewayRecords => "gateway",
            Self::Route(_) => "route",
        }
    }

    /// A success needs the receipt.
    pub(super) fn accepted(&self, receipt: &Receipt) -> Answer {
        let mut answer = self.thanks(receipt);
        if receipt.is_repeated {
            answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        answer
    }

    fn thanks(&self, receipt: &Receipt) -> Answer {
        match self {
            Self::Own => json_answer(StatusCode::ACCEPTED, &Stored::of(receipt)),
            Self::Delivery(id) => json_answer(StatusCode::OK, &delivered(id, None)),
            Self::GatewayRecord => json_answer(StatusCode::OK, &gateway::stored_one(receipt)),
            Self::GatewayRecords => json_answer(StatusCode::OK, &gateway::stored_many(receipt)),
            Self::Route(thanks) => thanked(thanks, receipt),
        }
    }

    /// A refusal of the request with this id.
    pub(super) fn refused(&self, fault: Fault, id: &str) -> Answer {
        let problem = fault.problem();
        let mut answer = match self {
            Self::Own | Self::Route(_) => return problem.answer(id),
            Self::Delivery(id) => {
                json_answer(problem.status, &delivered(id, Some(&problem.detail)))
            }
            Self::GatewayRecord | Self::GatewayRecords => {
                let kind = gateway::exception(problem.status.as_u16());
                let words = json!({ "__type": kind, "message": problem.detail });
                let mut answer = json_answer(problem.status, &words);
                answer.headers_mut().insert(ERROR_TYPE, HeaderValue::from_static(kind));
                answer
            }
        };
        answer.headers_mut().extend(problem.headers);
        answer
    }
}

/// What weir itself says of a receipt.
#[derive(Serialize)]
struct Stored {
    accepted: u32,
    /// Nobody should look for a record that the operator does not want.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<NonZeroU32>,
    first: Option<IdText>,
    last: Option<IdText>,
}

impl Stored {
    fn of(receipt: &Receipt) -> Self {
        let id = |id: Option<RecordId>| id.map(RecordId::text);
        Self {
            accepted: receipt.accepted,
            dropped: NonZeroU32::new(receipt.dropped),
            first: id(receipt.first),
            last: id(receipt.last),
        }
    }
}

fn delivered(id: &str, error: Option<&str>) -> Value {
    let now = Clock::real().unix_ms();
    match error {
        None => json!({ "requestId": id, "timestamp": now }),
        Some(error) => json!({ "requestId": id, "timestamp": now, "errorMessage": error }),
    }
}

fn thanked(thanks: &Thanks, receipt: &Receipt) -> Answer {
    let status = StatusCode::from_u16(thanks.status).unwrap_or(StatusCode::ACCEPTED);
    if status == StatusCode::NO_CONTENT {
        return plain(status, Bytes::new(), None);
    }
    match &thanks.body {
        None => json_answer(status, &Stored::of(receipt)),
        Some(body) => {
            let is_json = body.starts_with(['{', '[', '"']);
            let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
            plain(status, Bytes::from(body.clone()), Some(kind))
        }
    }
}

fn json_answer(status: StatusCode, words: &impl Serialize) -> Answer {
    let mut text = Vec::with_capacity(ANSWER_BYTES);
    serde_json::to_writer(&mut text, words).expect("what is answered has a form in JSON");
    let words = text;
    plain(status, Bytes::from(words), Some("application/json"))
}

pub(super) fn plain(status: StatusCode, body: Bytes, kind: Option<&'static str>) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    if let Some(kind) = kind {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn check(manner: Manner, status: u16, body: &str) {
        let answer = manner.accepted(&Receipt::pretended(0));
        assert_eq!(answer.status(), status);
        let said = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(said, body);
    }

    #[tokio::test]
    async fn a_receipt_is_answered_in_the_manner_of_the_request() {
        let thanks = |status, body: Option<&str>| {
            Manner::Route(Thanks { status, body: body.map(str::to_owned) })
        };
        let own = r#"{"accepted":0,"first":null,"last":null}"#;
        check(Manner::Own, 202, own).await;
        check(thanks(200, None), 200, own).await;
        check(thanks(201, Some("ok")), 201, "ok").await;
        check(thanks(204, Some("never")), 204, "").await;
        check(Manner::GatewayRecords, 200, r#"{"FailedRecordCount":0,"Records":[]}"#).await;
    }
}

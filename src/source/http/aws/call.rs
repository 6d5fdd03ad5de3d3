//! What a request of the protocols calls for: service, operation, and the form of its body.

use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName};

use super::fault::CallFault;

/// Names service and operation.
pub(in crate::source::http) const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Whose protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::http) enum Service {
    Kinesis,
    Firehose,
}

/// How a body is written; the answer is written in the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::source::http) enum Form {
    /// JSON 1.1: blobs in base64, times in seconds.
    #[default]
    Json,
    /// CBOR 1.1: blobs as they are, times in milliseconds.
    Cbor,
}

/// What is served; everything that reads records or changes streams is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::http) enum Operation {
    PutRecord,
    PutMany,
    DescribeStream,
    DescribeStreamSummary,
    ListShards,
    ListStreams,
    DescribeLimits,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::http) struct Call {
    pub(super) service: Service,
    pub(super) operation: Operation,
    pub(super) form: Form,
}

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";

impl Form {
    /// The form of a request's body.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let essence = value.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| essence.eq_ignore_ascii_case(name);
        if is(JSON) {
            Some(Self::Json)
        } else if is(CBOR) {
            Some(Self::Cbor)
        } else {
            None
        }
    }

    /// As content type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Cbor => CBOR,
        }
    }
}

impl Service {
    /// As it stands in the scope of a signature.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::Firehose => "firehose",
        }
    }

    /// A bounded label for metrics.
    pub(in crate::source::http) fn label(self) -> &'static str {
        self.name()
    }
}

impl Call {
    /// What the head asks for; its service too when it is known and the rest is wrong.
    ///
    /// # Errors
    /// What the service says to an operation or a form it does not know.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, CallFault> {
        let target = headers.get(TARGET).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (service, operation) = named(target).ok_or(CallFault::UnknownOperation)?;
        let form = Form::of(headers).ok_or(CallFault::UnknownForm)?;
        Ok(Self { service, operation, form })
    }
}

/// The service of a target, as far as that is named.
pub(in crate::source::http) fn service(headers: &HeaderMap) -> Service {
    let target = headers.get(TARGET).map(|value| value.as_bytes()).unwrap_or_default();
    if target.starts_with(b"Firehose_") { Service::Firehose } else { Service::Kinesis }
}

fn named(target: &str) -> Option<(Service, Operation)> {
    if let Some(name) = target.strip_prefix("Kinesis_20131202.") {
        let operation = match name {
            "PutRecord" => Operation::PutRecord,
            "PutRecords" => Operation::PutMany,
            "DescribeStream" => Operation::DescribeStream,
            "DescribeStreamSummary" => Operation::DescribeStreamSummary,
            "ListShards" => Operation::ListShards,
            "ListStreams" => Operation::ListStreams,
            "DescribeLimits" => Operation::DescribeLimits,
            _ => return None,
        };
        return Some((Service::Kinesis, operation));
    }
    let operation = match target.strip_prefix("Firehose_20150804.")? {
        "PutRecord" => Operation::PutRecord,
        "PutRecordBatch" => Operation::PutMany,
        "DescribeDeliveryStream" => Operation::DescribeStream,
        "ListDeliveryStreams" => Operation::ListStreams,
        _ => return None,
    };
    Some((Service::Firehose, operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, kind: &str, expected: Result<(Service, Operation, Form), CallFault>) {
        let mut headers = HeaderMap::new();
        headers.insert(TARGET, target.parse().unwrap());
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        let call = Call::of(&headers).map(|call| (call.service, call.operation, call.form));
        assert_eq!(call, expected, "{target} {kind}");
    }

    #[test]
    fn target_and_content_type_name_the_call() {
        use Operation as O;
        let (kinesis, firehose) = (Service::Kinesis, Service::Firehose);
        check("Kinesis_20131202.PutRecords", JSON, Ok((kinesis, O::PutMany, Form::Json)));
        check("Kinesis_20131202.PutRecord", CBOR, Ok((kinesis, O::PutRecord, Form::Cbor)));
        check("Firehose_20150804.PutRecordBatch", JSON, Ok((firehose, O::PutMany, Form::Json)));
        check(
            "Firehose_20150804.ListDeliveryStreams",
            "Application/X-AMZ-json-1.1; charset=utf-8",
            Ok((firehose, O::ListStreams, Form::Json)),
        );
    }

    #[test]
    fn what_is_not_served_is_an_unknown_operation() {
        for target in [
            "",
            "Kinesis_20131202",
            "Kinesis_20131202.",
            "Kinesis_20131202.GetRecords",
            "Kinesis_20131202.PutRecordBatch",
            "Kinesis_20131202.putRecords",
            "Firehose_20150804.PutRecords",
            "Firehose_20131202.PutRecord",
            "DynamoDB_20120810.PutItem",
        ] {
            check(target, JSON, Err(CallFault::UnknownOperation));
        }
        for kind in ["application/json", "application/cbor", "text/plain", ""] {
            check("Kinesis_20131202.PutRecords", kind, Err(CallFault::UnknownForm));
        }
    }
}

//! `PUT /streams/{stream}/record` and `…/records`: the API that Amazon documents for API Gateway in
//! front of Kinesis. The data is the text itself, without the quotes of JSON; any other value is its
//! JSON.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::aws::{SHARD, sequence_number};
use super::json::{self, Elements};
use super::problem::Fault;
use crate::admission::Receipt;
use crate::record::RawRecord;

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(rename = "Data", alias = "data", borrow)]
    data: &'a RawValue,
    #[serde(rename = "PartitionKey", alias = "partition-key", borrow)]
    partition_key: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Records<'a> {
    #[serde(rename = "records", alias = "Records", borrow)]
    records: Elements<'a>,
}

pub(super) fn record(body: &Bytes) -> Result<RawRecord, Fault> {
    raw(body, json::read(body)?)
}

pub(super) fn records(body: &Bytes) -> Result<Vec<RawRecord>, Fault> {
    let Records { records: Elements(all) } = json::read(body)?;
    let one = |(index, value): (usize, &RawValue)| {
        let record = serde_json::from_str(value.get())
            .map_err(|error| Fault::BadJson(format!("record {index}: {error}")))?;
        raw(body, record)
    };
    all.into_iter().enumerate().map(one).collect()
}

fn raw(body: &Bytes, record: Record<'_>) -> Result<RawRecord, Fault> {
    let data = record.data.get();
    let payload = if data.starts_with('"') {
        let text: String =
            serde_json::from_str(data).map_err(|error| Fault::BadJson(error.to_string()))?;
        text.into()
    } else {
        json::bytes_of(body, record.data)
    };
    Ok(RawRecord {
        payload,
        partition_key: record.partition_key.map(Cow::into_owned),
        ..RawRecord::default()
    })
}

/// What Kinesis answers to PutRecord.
pub(super) fn stored_one(receipt: &Receipt) -> serde_json::Value {
    json!({ "ShardId": SHARD, "SequenceNumber": sequence_number(receipt.place, receipt.turn, 0) })
}

/// What Kinesis answers to PutRecords.
pub(super) fn stored_many(receipt: &Receipt) -> serde_json::Value {
    let number = |index| sequence_number(receipt.place, receipt.turn, index);
    let records = (0..u64::from(receipt.accepted))
        .map(|index| json!({ "ShardId": SHARD, "SequenceNumber": number(index) }));
    json!({ "FailedRecordCount": 0, "Records": records.collect::<Vec<_>>() })
}

/// What AWS calls a refusal with this status.
pub(super) fn exception(status: u16) -> &'static str {
    match status {
        401 => "UnrecognizedClientException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ProvisionedThroughputExceededException",
        500.. => "ServiceUnavailableException",
        _ => "ValidationException",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, payload: &str, key: Option<&str>) {
        let record = record(&Bytes::copy_from_slice(body.as_bytes())).unwrap();
        assert_eq!(
            (record.payload.as_ref(), record.partition_key.as_deref()),
            (payload.as_bytes(), key)
        );
    }

    #[test]
    fn texts_lose_their_quotes_and_other_values_keep_their_json() {
        check(r#"{"Data":"some data","PartitionKey":"k"}"#, "some data", Some("k"));
        check(r#"{"Data":"a\n\u00e9"}"#, "a\né", None);
        check(
            r#"{"Data": {"a": [1]}, "other": 1, "PartitionKey": "\u00e9"}"#,
            r#"{"a": [1]}"#,
            Some("é"),
        );
        check(r#"{"data":7,"partition-key":"k"}"#, "7", Some("k"));
    }

    #[test]
    fn many_records_are_read_and_the_wrong_one_is_named() {
        let read = |body: &'static str| records(&Bytes::from_static(body.as_bytes()));

        let all = read(r#"{"records":[{"data":"a","partition-key":"k"},{"data":"b"}]}"#).unwrap();
        assert_eq!(all.iter().map(|one| one.payload.as_ref()).collect::<Vec<_>>(), [b"a", b"b"]);
        let Err(Fault::BadJson(why)) = read(r#"{"records":[{"data":"a"},{}]}"#) else { panic!() };
        assert!(why.starts_with("record 1: missing field `Data`"), "{why}");
        for wrong in ["{}", "[]", "7", r#"{"records":{}}"#] {
            assert!(matches!(read(wrong), Err(Fault::BadJson(_))), "{wrong}");
        }
    }
}

//! What Amazon Data Firehose sends to an HTTP endpoint, and what it wants to hear.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName};
use serde::Deserialize;

use super::json::{self, Elements};
use super::problem::Fault;
use crate::record::RawRecord;

const VERSION: HeaderName = HeaderName::from_static("x-amz-firehose-protocol-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-firehose-request-id");
/// The key that an operator gave to the delivery stream.
pub(super) const ACCESS_KEY: HeaderName = HeaderName::from_static("x-amz-firehose-access-key");

/// The id of a delivery, which its answer must repeat; `None` for any other request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    headers.get(VERSION).filter(|version| *version == "1.0")?;
    headers.get(REQUEST_ID)?.to_str().ok().map(str::to_owned)
}

#[derive(Deserialize)]
struct Delivery<'a> {
    #[serde(rename = "requestId")]
    id: String,
    #[serde(borrow)]
    records: Elements<'a>,
}

#[derive(Deserialize)]
struct Record {
    data: String,
}

/// The records, unpacked from base64, of the delivery with this id.
pub(super) fn records(body: &Bytes, id: &str) -> Result<Vec<RawRecord>, Fault> {
    let Delivery { id: said, records: Elements(all) } = json::read(body)?;
    // Firehose holds an answer with another id for none, and delivers again.
    if said != id || id.is_empty() {
        let why = "`requestId` must be that of the header `X-Amz-Firehose-Request-Id`";
        return Err(Fault::BadJson(why.into()));
    }
    let bad = |index: usize, why: &str| Fault::BadJson(format!("record {index} {why}"));
    let unpack = |(index, value): (usize, &serde_json::value::RawValue)| {
        let Record { data } =
            serde_json::from_str(value.get()).map_err(|_| bad(index, "has no text `data`"))?;
        let payload = STANDARD.decode(data).map_err(|_| bad(index, "is not base64"))?;
        Ok(RawRecord { payload: payload.into(), ..RawRecord::default() })
    };
    all.into_iter().enumerate().map(unpack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_unpacked_and_faults_are_named() {
        let read = |records: &str| {
            let body = format!(r#"{{"requestId":"r","timestamp":1,"records":{records}}}"#);
            records_of(&body)
        };

        assert_eq!(
            read(r#"[{"data":"YQ=="},{"data":"/wA=","x":1}]"#).unwrap(),
            [b"a".to_vec(), vec![0xff, 0]]
        );
        for (records, why) in [
            (r#"[{"data":"YQ=="},{"data":"!"}]"#, "record 1 is not base64"),
            (r#"[{}]"#, "record 0 has no text `data`"),
            (r#"[[[[]]]]"#, "record 0 has no text `data`"),
        ] {
            assert_eq!(read(records), Err(Fault::BadJson(why.into())));
        }
        assert!(matches!(records_of("{}"), Err(Fault::BadJson(_))));
        for (said, id) in [("s", "r"), ("", "r"), ("r", ""), ("", "")] {
            let body = format!(r#"{{"requestId":"{said}","records":[{{"data":"YQ=="}}]}}"#);
            let fault = records(&body.into(), id).unwrap_err();
            let why = "`requestId` must be that of the header `X-Amz-Firehose-Request-Id`";
            assert_eq!(fault, Fault::BadJson(why.into()), "{said} under {id}");
        }
    }

    fn records_of(body: &str) -> Result<Vec<Vec<u8>>, Fault> {
        let records = records(&Bytes::copy_from_slice(body.as_bytes()), "r")?;
        Ok(records.into_iter().map(|record| record.payload.to_vec()).collect())
    }
}

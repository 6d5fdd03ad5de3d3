//! `POST /v1/streams/{stream}`: knock and get a pass; read; split; admit, and what is wrong comes
//! back; store, and get a receipt; answer.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::json;

use super::body::{Share, read};
use super::decode::{count_at_most, split};
use super::door::Door;
use super::head::Head;
use super::problem::{Fault, Rejected};
use super::unpack::unpack;
use crate::admission::{Admitted, Knock, Once, Pass, Receipt};
use crate::base::serve::Answer;
use crate::base::tasks;
use crate::record::RecordId;

/// Says that the receipt is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// From this size on, splitting and encoding is done away from the async threads.
const LARGE_BYTES: usize = 64 << 10;
/// The same for packed bodies, which may become much larger.
const LARGE_PACKED_BYTES: usize = 4 << 10;

impl Door {
    /// `is_read` becomes true once nothing of the body is left on the connection.
    pub(super) async fn post_records(
        self: &Arc<Self>,
        stream: &str,
        request: Request<Incoming>,
        is_read: &mut bool,
    ) -> Result<Answer, Fault> {
        self.take_in(stream, request, is_read).await.map(|receipt| accepted(&receipt))
    }

    async fn take_in(
        self: &Arc<Self>,
        stream: &str,
        request: Request<Incoming>,
        is_read: &mut bool,
    ) -> Result<Receipt, Fault> {
        let (parts, body) = request.into_parts();
        let body_max = self.settings.max_body_bytes;
        let declared = Head::declared_bytes(&parts.headers);
        // A size that is refused below is not charged; but strangers are told first that they are.
        let pass = self.admission.enter(&Knock {
            source: &self.source,
            auth: &self.settings.auth,
            api_key: Head::api_key(&parts.headers),
            stream,
            declared_bytes: declared.filter(|bytes| *bytes <= body_max),
        })?;
        let mut head = Head::of(&parts.headers)?;
        head.keep(&parts.headers, pass.key_headers());
        if declared.is_some_and(|bytes| bytes > body_max) {
            return Err(Fault::BodyTooLarge { limit: body_max });
        }
        let mut share = self.budget.share();
        let body = read(body, &self.settings, &mut share).await?;
        *is_read = true;
        self.count_body(body.len());
        if declared.is_none() {
            self.admission.charge_bytes(&pass, body.len() as u64)?;
        }
        let (admitted, share) = self.prepare(pass, head, body, share).await?;
        let receipt = self.admission.store(admitted).await?;
        // Until here the bytes were in memory.
        drop(share);
        Ok(receipt)
    }

    async fn prepare(
        self: &Arc<Self>,
        pass: Pass,
        head: Head,
        body: Bytes,
        share: Share,
    ) -> Result<(Admitted, Share), Fault> {
        let large = if head.packed.is_some() { LARGE_PACKED_BYTES } else { LARGE_BYTES };
        let is_large = body.len() > large;
        let door = self.clone();
        let work = move || door.admit(&pass, head, body, share);
        if is_large { tasks::blocking(work).await } else { work() }
    }

    fn admit(
        &self,
        pass: &Pass,
        head: Head,
        body: Bytes,
        mut share: Share,
    ) -> Result<(Admitted, Share), Fault> {
        let (packed_body, once) = (body.clone(), head.once);
        let body = match head.packed {
            Some(packing) => unpack(packing, &body, self.settings.max_unpacked_bytes, &mut share)?,
            None => body,
        };
        let key_bytes = head.partition_key.as_ref().map_or(pass.key_bytes_max(), String::len);
        share.grow_by_records(count_at_most(head.shape, &body), key_bytes)?;
        let key = head.partition_key.clone();
        let mut split = split(head.shape, &body, head.partition_key)?;
        for record in &mut split.records {
            record.origin.clone_from(&head.origin);
        }
        let count = split.records.len();
        let (admitted, rejections) = self.admission.admit(pass, split.records)?;
        let rejected = Rejected::new(count, split.faults, rejections);
        if !rejected.is_empty() {
            return Err(Fault::Rejected(rejected));
        }
        let Some(once) = once else { return Ok((admitted, share)) };
        // The same request again has the same head and the same bytes.
        let how = format!("{:?} {:?}", head.shape, head.packed);
        let content = [how.as_bytes(), key.as_deref().unwrap_or_default().as_bytes(), &packed_body];
        Ok((admitted.once(pass, &Once { key: &once, content: &content }), share))
    }
}

/// The one success answer; it needs the receipt.
fn accepted(receipt: &Receipt) -> Answer {
    let id = |id: Option<RecordId>| id.map(|id| id.to_string());
    let words = json!({
        "accepted": receipt.accepted,
        "first": id(receipt.first),
        "last": id(receipt.last),
    });
    let mut answer = Response::new(Full::new(Bytes::from(words.to_string())));
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if receipt.is_repeated {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_receipt_is_answered_with_its_count_and_ids() {
        let answer = accepted(&Receipt::pretended(0));

        assert_eq!(answer.status(), 202);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"accepted":0,"first":null,"last":null}"#);
    }
}

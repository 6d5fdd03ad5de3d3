//! Records: knock and get a pass; read; split; admit, and what is wrong comes back; store, and get a
//! receipt; answer.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;

use super::body::{Share, in_turn, read};
use super::door::Door;
use super::head::{Head, origin};
use super::problem::Fault;
use super::rejected::Rejected;
use super::routes::Arrival;
use super::unpack::{most_bytes, unpack};
use super::visitor::Visitor;
use crate::admission::{Admitted, Bounds, Knock, Once, Pass, Receipt, Shown};
use crate::base::serve::Arriving;
use crate::base::tasks;

/// From this size on, splitting and encoding is done away from the async threads.
const LARGE_BYTES: usize = 64 << 10;
/// The same for packed bodies, which may become much larger.
const LARGE_PACKED_BYTES: usize = 4 << 10;
/// The same for records that are looked into.
const LARGE_TREATED_BYTES: usize = 8 << 10;

/// Whether a body of so many bytes takes so long that it goes away from the async threads.
pub(super) fn is_long(bytes: usize, is_packed: bool, is_treated: bool) -> bool {
    bytes
        > match (is_packed, is_treated) {
            // What it becomes may be large, and would be looked into.
            (true, true) => 0,
            (true, false) => LARGE_PACKED_BYTES,
            (false, true) => LARGE_TREATED_BYTES,
            (false, false) => LARGE_BYTES,
        }
}

fn takes_long(pass: &Pass, head: &Head, body: &Bytes) -> bool {
    let is_treated = pass.is_treated();
    is_long(body.len(), head.packed.is_some(), is_treated) || is_treated && pass.is_slow()
}

/// A request that has its place here: what for, from whom, under which id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) visitor: &'a Visitor,
    pub(super) id: &'a str,
}

impl Door {
    /// `is_read` becomes true once nothing of the body is left on the connection.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        errand: Errand<'_>,
        request: Request<Arriving>,
        is_read: &mut bool,
    ) -> Result<Receipt, Fault> {
        let Errand { arrival, visitor, id } = errand;
        let (parts, body) = request.into_parts();
        let body_max = self.settings.max_body_bytes;
        let declared = Head::declared_bytes(&parts.headers);
        // A size that is refused below is not charged; but strangers are told first that they are.
        let shown = Shown {
            api_key: Head::api_key(&parts.headers),
            head: Some(&parts),
            peer: Some(&visitor.peer),
            address: visitor.client,
            request: id,
            pattern: &arrival.pattern,
            params: &arrival.params,
        };
        let of_route = arrival.plan.as_ref().map(|(plan, route)| (plan.as_str(), route.as_str()));
        let of_listener = self.bounds();
        let bounds = Bounds { plan: of_route.or(of_listener.plan), ..of_listener };
        let knock = Knock {
            bounds,
            source: &self.source,
            auth: arrival.auth.as_deref().unwrap_or(&self.settings.auth),
            stream: &arrival.stream,
            declared_bytes: declared.filter(|bytes| *bytes <= body_max),
            shown,
        };
        let pass = self.admission.enter(&knock).await?;
        let mut pass = pass.by_route(arrival.treatment.clone());
        let mut head = Head::of(&parts, arrival)?;
        pass = pass.with_key(head.once.is_some());
        head.origin = origin(&parts.headers, pass.key_headers(), &arrival.params);
        if declared.is_some_and(|bytes| bytes > body_max) {
            return Err(Fault::BodyTooLarge { limit: body_max });
        }
        let mut share = self.budget.share();
        let body = read(body, &self.settings, &mut share).await?;
        *is_read = true;
        self.count_body(body.len());
        self.admission.prove(&mut pass, &body)?;
        if declared.is_none() {
            self.admission.charge_bytes(&pass, body.len() as u64)?;
        }
        drop(parts);
        let (admitted, share) = if head.packed.is_some() || takes_long(&pass, &head, &body) {
            // Boxed: every request would have room for it otherwise.
            Box::pin(self.prepare(pass, head, body, share)).await?
        } else {
            self.admit(&pass, &head, body, share)?
        };
        let receipt = self.admission.store(admitted).await?;
        // Until here the bytes were in memory.
        drop(share);
        Ok(receipt)
    }

    /// What holds whoever comes in by this listener.
    pub(super) fn bounds(&self) -> Bounds<'_> {
        Bounds {
            plan: self.settings.plan.as_deref().map(|plan| (plan, self.source.as_str())),
            address_plan: self.settings.address_plan.as_deref(),
            guesses: self.settings.guesses,
        }
    }

    /// What takes long is done away from the async threads, and what is packed or looked into in its
    /// turn, when there is room for what it becomes.
    async fn prepare(
        self: &Arc<Self>,
        pass: Pass,
        head: Head,
        body: Bytes,
        mut share: Share,
    ) -> Result<(Admitted, Share), Fault> {
        let is_long = takes_long(&pass, &head, &body);
        let mut bytes = body.len() as u64;
        if head.packed.is_some() {
            bytes = most_bytes(body.len(), self.settings.max_unpacked_bytes);
            share.take_turn(bytes).await?;
        }
        if !is_long {
            return self.admit(&pass, &head, body, share);
        }
        let mut room = None;
        if pass.is_treated() {
            let largest = bytes.min(pass.max_record_bytes());
            room = Some(in_turn(self.admission.room(largest)).await?);
        }
        let door = self.clone();
        let work = move || {
            let admitted = door.admit(&pass, &head, body, share);
            drop(room);
            admitted
        };
        tasks::blocking(work).await
    }

    fn admit(
        &self,
        pass: &Pass,
        head: &Head,
        body: Bytes,
        mut share: Share,
    ) -> Result<(Admitted, Share), Fault> {
        let packed_body = body.clone();
        let body = match head.packed {
            Some(packing) => unpack(packing, &body, self.settings.max_unpacked_bytes, &mut share)?,
            None => body,
        };
        share.grow(head.shape.copied_bytes(&body))?;
        let key_bytes = head.partition_key.as_ref().map_or(pass.key_bytes_max(), String::len);
        let known = head.shape.count_at_most(&body);
        if let Some(count) = known {
            share.grow_by_records(count, key_bytes)?;
        }
        let mut split = head.shape.split(&body, head.partition_key.as_deref())?;
        for record in &mut split.records {
            record.origin.clone_from(&head.origin);
            record.hash_key = record.hash_key.or(head.hash_key);
        }
        let count = split.records.len();
        if known.is_none() {
            share.grow_by_records(count, key_bytes)?;
        }
        let (admitted, rejections) = self.admission.admit(pass, split.records)?;
        if pass.is_treated() {
            share.grow(admitted.bytes().saturating_sub(body.len()) as u64)?;
        }
        let rejected = Rejected::new(count, split.faults, rejections);
        if !rejected.is_empty() {
            return Err(Fault::Rejected(rejected));
        }
        let Some(once) = &head.once else { return Ok((admitted, share)) };
        // The same request again has the same head and the same bytes: all that says what is stored,
        // and where.
        let Head { shape, packed, hash_key, origin, .. } = head;
        let how = format!("{shape:?} {packed:?} {hash_key:?} {origin:?}");
        let key = head.partition_key.as_deref().unwrap_or_default();
        let content = [head.asked.as_bytes(), how.as_bytes(), key.as_bytes(), &packed_body];
        Ok((admitted.once(pass, &Once { key: once, content: &content }), share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_or_looked_into_is_long_sooner() {
        for (bytes_max, is_packed, is_treated) in [
            (64 << 10, false, false),
            (8 << 10, false, true),
            (4 << 10, true, false),
            (0, true, true),
        ] {
            assert!(!is_long(bytes_max, is_packed, is_treated));
            assert!(is_long(bytes_max + 1, is_packed, is_treated));
        }
    }
}

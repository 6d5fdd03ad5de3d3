//! Callers who sign their requests as AWS wants it (Signature Version 4), with a key that is known
//! here. Key, scope and time are judged before the body is read, the signature when it is there.

mod canonical;
mod claim;
#[cfg(any(test, feature = "testing"))]
mod fuzzing;
mod keys;
#[cfg(test)]
mod tests;

use std::fmt;

use hyper::http::request::Parts;
use ring::hmac;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use self::canonical::{canonical_head, has_empty_segments, hex, signing_key, string_to_sign};
use self::claim::Claim;
use self::keys::{AccessKey, AccessKeys};
use super::watched::{Content, Watched};
use super::{Caller, Ground, Proof};
use crate::admission::{Knock, Refusal, SigV4Settings, SignatureFault, SignatureMode};
use crate::base::clock::{Clock, rfc3339};
use crate::base::units::Span;

#[cfg(any(test, feature = "testing"))]
pub use fuzzing::signature;

/// Says that the body is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Services that requests may be signed for where no target names one: those of the gateway's API.
const SERVICES: [&str; 3] = ["kinesis", "firehose", "execute-api"];

/// The access keys of one block.
#[derive(Debug)]
pub(super) struct Signers {
    settings: SigV4Settings,
    keys: Watched<AccessKeys>,
    clock: Clock,
}

impl Content for AccessKeys {
    const BYTES_MAX: u64 = keys::FILE_BYTES_MAX;
    const IS_SECRET: bool = true;

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        Self::parse(bytes)
    }

    fn callers(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.all().iter().map(|key| (key.name.as_str(), key.plan.as_deref()))
    }
}

impl Signers {
    pub(super) fn open(
        ground: &Ground,
        block: &str,
        settings: SigV4Settings,
    ) -> Result<Self, String> {
        let keys = Watched::open(ground, block, settings.file.clone())?;
        Ok(Self { settings, keys, clock: ground.clock.clone() })
    }

    /// `None` if nobody with this key is known here, or nothing is signed.
    pub(super) fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        if self.settings.mode == SignatureMode::Off {
            return None;
        }
        let head = knock.shown.head?;
        let claim = match Claim::of(head)? {
            Ok(claim) => claim,
            Err(fault) => return Some(Err(fault.into())),
        };
        let key = self.keys.content().find(&claim.access_key)?.clone();
        Some(self.judge(&key, claim, head))
    }

    fn judge(&self, key: &AccessKey, claim: Claim, head: &Parts) -> Result<Caller, Refusal> {
        let is_over = key.expires_unix_ms.is_some_and(|end| end <= self.clock.unix_ms());
        if is_over || self.keys.lacks_plan(key.plan.as_deref()) {
            return Err(Refusal::NotAllowed);
        }
        let mut caller = Caller {
            plan: key.plan.clone(),
            streams: key.streams.clone(),
            ..Caller::named(&key.name)
        };
        if self.settings.mode == SignatureMode::Verify {
            let terms = Terms { settings: &self.settings, now_ms: self.clock.unix_ms() };
            caller.proof = Some(Box::new(terms.prove(key, claim, head)?));
        }
        Ok(caller)
    }
}

/// What a signed request is held to.
struct Terms<'a> {
    settings: &'a SigV4Settings,
    now_ms: u64,
}

impl Terms<'_> {
    /// Judges everything but the body.
    fn prove(&self, key: &AccessKey, claim: Claim, head: &Parts) -> Result<Signed, SignatureFault> {
        self.check_time(&claim)?;
        self.check_scope(&claim, head)?;
        check_names(&claim, head)?;
        check_path(head)?;
        let is_token = match (&key.token, &claim.token) {
            (None, None) => true,
            (Some(token), Some(shown)) => token.reveal().as_bytes().ct_eq(shown.as_bytes()).into(),
            _ => false,
        };
        if !is_token {
            return Err(SignatureFault::UnknownKey);
        }
        if claim.content.as_deref() == Some(UNSIGNED) && !self.settings.allows_unsigned_body {
            return Err(SignatureFault::Invalid(format!(
                "The body must be signed; {UNSIGNED} is not allowed here."
            )));
        }
        Ok(Signed {
            head: canonical_head(head, &claim)?,
            key: signing_key(key.secret.reveal(), &claim.scope),
            claim,
        })
    }

    fn check_time(&self, claim: &Claim) -> Result<(), SignatureFault> {
        let (now, skew) = (self.now_ms, self.settings.skew);
        let skew_ms = u64::try_from(skew.as_millis()).unwrap_or(u64::MAX);
        let valid_ms = claim.expires.map_or(skew_ms, |seconds| seconds.saturating_mul(1000));
        let of = |unix_ms: u64| rfc3339(unix_ms);
        if now > claim.unix_ms.saturating_add(valid_ms) {
            let (stamp, now, span) = (&claim.stamp, of(now), Span(skew));
            return Err(SignatureFault::Invalid(format!(
                "Signature expired: {stamp} is now earlier than {now} by more than it may be ({span})."
            )));
        }
        if claim.unix_ms > now.saturating_add(skew_ms) {
            let (stamp, now, span) = (&claim.stamp, of(now), Span(skew));
            return Err(SignatureFault::Invalid(format!(
                "Signature not yet current: {stamp} is still later than {now} by more than it may be ({span})."
            )));
        }
        if claim.stamp.get(..8) != Some(claim.scope.date.as_str()) {
            return Err(SignatureFault::Invalid(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.".into(),
            ));
        }
        Ok(())
    }

    fn check_scope(&self, claim: &Claim, head: &Parts) -> Result<(), SignatureFault> {
        let target = head.headers.get("x-amz-target").map(|target| target.as_bytes());
        let is_right = match target {
            Some(target) if target.starts_with(b"Firehose_") => claim.scope.service == "firehose",
            Some(_) => claim.scope.service == "kinesis",
            None => SERVICES.contains(&claim.scope.service.as_str()),
        };
        if !is_right {
            return Err(SignatureFault::Invalid(
                "Credential should be scoped to correct service: 'kinesis' or 'firehose'.".into(),
            ));
        }
        match &self.settings.region {
            Some(region) if *region != claim.scope.region => Err(SignatureFault::Invalid(format!(
                "Credential should be scoped to a valid region, not '{}'.",
                claim.scope.region.escape_debug()
            ))),
            _ => Ok(()),
        }
    }
}

/// A signature is the same with and without empty segments; what a route makes of them is not.
fn check_path(head: &Parts) -> Result<(), SignatureFault> {
    if !has_empty_segments(head) {
        return Ok(());
    }
    Err(SignatureFault::Invalid(
        "A signature says nothing about the empty segments ('//') that this path has.".into(),
    ))
}

/// What must be signed: whom it is for, when, and every header that says what it is about.
fn check_names(claim: &Claim, head: &Parts) -> Result<(), SignatureFault> {
    let is_signed = |name: &str| claim.names.iter().any(|signed| signed == name);
    if !is_signed("host") && !is_signed(":authority") {
        return Err(unsigned("host"));
    }
    if claim.expires.is_none() && !is_signed("x-amz-date") {
        return Err(unsigned("x-amz-date"));
    }
    for name in head.headers.keys().map(hyper::header::HeaderName::as_str) {
        let matters = name == "content-type" || name.starts_with("x-amz-");
        if matters && !is_signed(name) {
            return Err(unsigned(name));
        }
    }
    Ok(())
}

fn unsigned(name: &str) -> SignatureFault {
    SignatureFault::Invalid(format!("The header '{name}' must be signed."))
}

/// All but the body of a signed request.
struct Signed {
    claim: Claim,
    head: String,
    key: hmac::Key,
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("access_key", &self.claim.access_key).finish_non_exhaustive()
    }
}

impl Proof for Signed {
    fn judge(&self, body: &[u8]) -> Result<(), Refusal> {
        let content = match self.claim.content.as_deref() {
            Some(UNSIGNED) => UNSIGNED.to_owned(),
            said => {
                let hash = hex(&Sha256::digest(body));
                if said.is_some_and(|said| said != hash) {
                    return Err(mismatch().into());
                }
                hash
            }
        };
        let text = string_to_sign(&self.head, &content, &self.claim);
        let expected = hex(hmac::sign(&self.key, text.as_bytes()).as_ref());
        let is_right: bool = expected.as_bytes().ct_eq(self.claim.signature.as_bytes()).into();
        if is_right { Ok(()) } else { Err(mismatch().into()) }
    }
}

fn mismatch() -> SignatureFault {
    SignatureFault::Invalid(
        "The request signature we calculated does not match the signature you provided.".into(),
    )
}

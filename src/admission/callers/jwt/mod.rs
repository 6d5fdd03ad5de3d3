//! Callers with a token (JWT) of an issuer: OpenID Connect, Amazon Cognito.
//!
//! A token is judged by the issuer's public keys alone. There is no way to name a symmetric
//! algorithm or none at all, and a key decides which algorithms it is for, so that no token can
//! choose. Claims are looked at once the signature is right, but for `iss`, which tells whose token
//! it says to be.

mod claims;
#[cfg(any(test, feature = "testing"))]
mod fuzzing;
mod jwks;
mod keys;
mod signed;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::AUTHORIZATION;

use self::claims::Claims;
use self::jwks::KeySet;
use self::keys::{KeyShelf, Known};
use self::signed::Signed;
use super::{Caller, Ground};
use crate::admission::keys::hash_of_bytes;
use crate::admission::settings::JwtSettings;
use crate::admission::{Knock, Refusal};
use crate::base::clock::Clock;

#[cfg(any(test, feature = "testing"))]
pub use fuzzing::token;
pub use jwks::Algorithm;

/// Most tokens that are remembered as judged; then all are judged anew.
const REMEMBERED_MAX: usize = 4096;

/// One issuer.
#[derive(Debug)]
pub(super) struct Issuer {
    settings: JwtSettings,
    clock: Clock,
    keys: KeyShelf,
    /// Tokens whose signature was right under the keys in force, by their hash.
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Of which keys.
    generation: u64,
    tokens: HashMap<[u8; 32], Arc<Claims>>,
}

impl Issuer {
    /// Reads the keys file, or what the issuer's keys were when they last came.
    pub(super) fn open(
        ground: &Ground,
        block: &str,
        settings: JwtSettings,
    ) -> Result<Self, String> {
        let keys = KeyShelf::open(ground, block, &settings)?;
        let clock = ground.clock.clone();
        Ok(Self { settings, clock, keys, remembered: Mutex::default() })
    }

    /// `None` without a token, or with that of another issuer.
    pub(super) async fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        let token = token_of(knock)?;
        let signed = Signed::parse(token)?;
        if signed.issuer() != Some(&self.settings.issuer) {
            return None;
        }
        Some(self.judge(token, &signed).await)
    }

    async fn judge(&self, token: &str, signed: &Signed<'_>) -> Result<Caller, Refusal> {
        let print = hash_of_bytes(token.as_bytes());
        let known = self.keys.known(signed.key_id()).await.ok_or(Refusal::Unchecked)?;
        let claims = match self.recall(known.generation, &print) {
            Some(claims) => claims,
            None => self.verify(signed, &known, print)?,
        };
        caller(&claims, &self.settings, self.clock.unix_ms())
    }

    fn verify(
        &self,
        signed: &Signed<'_>,
        known: &Known,
        print: [u8; 32],
    ) -> Result<Arc<Claims>, Refusal> {
        let claims = Arc::new(proven(signed, &known.keys, &self.settings.algorithms)?);
        self.remember(known.generation, print, &claims);
        Ok(claims)
    }

    fn recall(&self, generation: u64, print: &[u8; 32]) -> Option<Arc<Claims>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.generation != generation {
            return None;
        }
        remembered.tokens.get(print).cloned()
    }

    fn remember(&self, generation: u64, print: [u8; 32], claims: &Arc<Claims>) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.generation != generation || remembered.tokens.len() >= REMEMBERED_MAX {
            remembered.tokens.clear();
            remembered.generation = generation;
        }
        remembered.tokens.insert(print, claims.clone());
    }
}

/// The claims of a token that one of the keys signed.
fn proven(signed: &Signed<'_>, keys: &KeySet, algorithms: &[Algorithm]) -> Result<Claims, Refusal> {
    let algorithm = Algorithm::named(signed.algorithm())
        .filter(|algorithm| algorithms.contains(algorithm))
        .ok_or(bad("its algorithm is not taken"))?;
    if signed.has_extensions() {
        return Err(bad("it has extensions that are not known"));
    }
    let mut candidates = keys.candidates(signed.key_id(), algorithm).peekable();
    candidates.peek().ok_or(bad("its key is not known"))?;
    if !candidates.any(|key| key.verifies(algorithm, signed.message(), signed.signature())) {
        return Err(bad("its signature is wrong"));
    }
    Claims::parse(signed.payload()).ok_or(bad("its claims are none"))
}

/// Whom the claims name, if they are good here and now.
fn caller(claims: &Claims, settings: &JwtSettings, now_ms: u64) -> Result<Caller, Refusal> {
    claims.check(settings, now_ms).map_err(bad)?;
    let name = claims.text(&settings.caller_claim).ok_or(bad("it names no caller"))?;
    let mut caller = Caller::checked(name).ok_or(bad("its caller has no usable name"))?;
    if let Some(claim) = &settings.plan_claim {
        caller.plan = claims.text(claim).map(str::to_owned);
    }
    Ok(caller)
}

/// Why a token is worth nothing; for its sender, who can do something about it.
fn bad(why: &'static str) -> Refusal {
    Refusal::BadToken { why }
}

/// The token, with `Bearer` before it or without.
fn token_of<'a>(knock: &Knock<'a>) -> Option<&'a str> {
    let value = knock.shown.head?.headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    match value.split_once(' ') {
        None => Some(value),
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()),
    }
}

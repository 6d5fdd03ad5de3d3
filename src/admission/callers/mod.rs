//! Who knocks: the auth blocks of a door, tried in order. One file per kind of block.
//!
//! A block answers `None` for what is not its own (no key at all, another issuer's token), and its
//! verdict for what is; the first verdict decides.

mod api_key;
mod authorizer;
mod jwt;
mod mtls;
mod operators;
mod peer;
mod sigv4;

mod pattern;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use self::api_key::KeyRing;
use self::authorizer::Authorizer;
use self::jwt::Issuer;
use self::sigv4::Signers;
use super::settings::{AuthKind, AuthSettings};
use super::{Knock, Refusal};
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;
use crate::sink::Lambda;

#[cfg(any(test, feature = "testing"))]
pub use jwt::token;
#[cfg(any(test, feature = "testing"))]
pub use sigv4::signature;

pub use jwt::Algorithm;
pub use mtls::{SubjectField, SubjectRule};
pub use operators::Operators;
pub use pattern::Pattern;
pub use peer::PeerRule;

/// Longest name that somebody else may give a caller, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Who it is.
#[derive(Debug, Default)]
pub(super) struct Caller {
    /// Empty at an open door.
    pub(super) name: String,
    /// The block that recognised it: two blocks may give one name to different callers.
    pub(super) block: String,
    pub(super) plan: Option<String>,
    /// The only streams it may hand in for.
    pub(super) streams: Option<Vec<String>>,
    /// What can be judged only when the body is there; until then it is only who it says it is.
    pub(super) proof: Option<Box<dyn Proof>>,
}

impl Caller {
    /// A known caller without a plan.
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The same, with a name that stands in a certificate or a token; `None` if it is no name that
    /// can stand on records and in logs.
    fn checked(name: &str) -> Option<Self> {
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
            && !name.chars().any(|c| c.is_control() || c.is_whitespace() && c != ' ');
        is_name.then(|| Self::named(name))
    }
}

/// A no of an auth block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct No {
    pub(super) refusal: Refusal,
    /// Whether it was as good a guess as a wrong key.
    pub(super) is_guess: bool,
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        let is_guess = matches!(refusal, Refusal::UnknownCaller | Refusal::BadToken { .. });
        Self { refusal, is_guess }
    }
}

/// The last piece of evidence, which covers the body.
pub(super) trait Proof: fmt::Debug + Send + Sync {
    /// Judges the whole body, as it came in.
    fn judge(&self, body: &[u8]) -> Result<(), Refusal>;
}

/// What blocks stand on.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) disk: SharedDisk,
    pub(super) clock: Clock,
    /// Names of all plans: nobody may come in by one that does not exist, which would be no limit.
    pub(super) plans: Arc<BTreeSet<String>>,
}

/// All auth blocks by name.
#[derive(Debug)]
pub(super) struct Callers(BTreeMap<String, Block>);

/// One auth block.
#[derive(Debug)]
struct Block {
    way: Way,
    plan: Option<String>,
    streams: Option<Vec<String>>,
    plans: Arc<BTreeSet<String>>,
}

/// One way to recognise a caller.
#[derive(Debug)]
enum Way {
    ApiKey(KeyRing),
    SigV4(Signers),
    Jwt(Box<Issuer>),
    Mtls(Vec<SubjectRule>),
    Peer(Vec<PeerRule>),
    Authorizer(Box<Authorizer>),
}

impl Callers {
    /// `lambdas` are the functions that authorizers ask, by the name of their block.
    pub(super) fn open(
        ground: &Ground,
        settings: BTreeMap<String, AuthSettings>,
        mut lambdas: BTreeMap<String, Lambda>,
    ) -> Result<Self, String> {
        let mut blocks = BTreeMap::new();
        for (name, settings) in settings {
            let lambda = lambdas.remove(&name);
            let way = Way::open(ground, &name, settings.kind, lambda)?;
            let AuthSettings { plan, streams, .. } = settings;
            blocks.insert(name, Block { way, plan, streams, plans: ground.plans.clone() });
        }
        Ok(Self(blocks))
    }

    /// The first block that recognises the caller decides.
    pub(super) async fn identify(&self, knock: &Knock<'_>) -> Result<Caller, No> {
        if knock.auth.is_empty() {
            return Ok(Caller::default());
        }
        for name in knock.auth {
            let Some(block) = self.0.get(name) else { continue };
            if let Some(verdict) = block.recognise(knock).await {
                return verdict.map(|caller| Caller { block: name.clone(), ..caller });
            }
        }
        // Whoever shows nothing has guessed nothing.
        Err(No { refusal: Refusal::UnknownCaller, is_guess: !knock.shown.is_nothing() })
    }
}

impl Block {
    async fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, No>> {
        let verdict = self.way.recognise(knock).await?;
        Some(verdict.and_then(|caller| self.grant(caller).map_err(No::from)))
    }

    /// What every caller of this block is held to.
    fn grant(&self, mut caller: Caller) -> Result<Caller, Refusal> {
        caller.plan = caller.plan.or_else(|| self.plan.clone());
        // A plan that is not in the configuration must not become none.
        let lacks_plan = caller.plan.as_ref().is_some_and(|plan| !self.plans.contains(plan));
        if lacks_plan {
            return Err(Refusal::NotAllowed);
        }
        // Both the block and what it knows of the caller may name the streams; for which of them the
        // caller comes is known later.
        caller.streams = match (caller.streams, &self.streams) {
            (own, None) => own,
            (None, Some(all)) => Some(all.clone()),
            (Some(mut own), Some(all)) => {
                own.retain(|stream| all.contains(stream));
                Some(own)
            }
        };
        Ok(caller)
    }
}

impl Way {
    fn open(
        ground: &Ground,
        block: &str,
        kind: AuthKind,
        lambda: Option<Lambda>,
    ) -> Result<Self, String> {
        Ok(match kind {
            AuthKind::ApiKey { file } => Self::ApiKey(KeyRing::open(ground, block, file)?),
            AuthKind::SigV4(settings) => Self::SigV4(Signers::open(ground, block, settings)?),
            AuthKind::Jwt(settings) => Self::Jwt(Box::new(Issuer::open(ground, block, *settings)?)),
            AuthKind::Mtls { callers } => Self::Mtls(callers),
            AuthKind::Peer { callers } => Self::Peer(callers),
            AuthKind::Authorizer(settings) => Self::Authorizer(Box::new(Authorizer::open(
                &ground.clock,
                block,
                *settings,
                lambda,
            )?)),
        })
    }

    /// Kinds that may have to ask somebody else wait here, within their own bounds.
    async fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, No>> {
        let verdict = match self {
            Self::ApiKey(ring) => ring.recognise(knock),
            Self::SigV4(signers) => signers.recognise(knock),
            Self::Mtls(rules) => mtls::recognise(rules, knock),
            Self::Peer(rules) => peer::recognise(rules, knock),
            Self::Jwt(issuer) => issuer.recognise(knock).await,
            // Its future is large and seldom waited for.
            Self::Authorizer(authorizer) => return Box::pin(authorizer.recognise(knock)).await,
        };
        verdict.map(|verdict| verdict.map_err(No::from))
    }
}

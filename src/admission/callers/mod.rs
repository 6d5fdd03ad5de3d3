//! Who knocks: the auth blocks of a door, tried in order. One file per kind of block.
//!
//! A block answers `None` for what is not its own (no key at all, another issuer's token), and its
//! verdict for what is; the first verdict decides.

mod api_key;
mod sigv4;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use self::api_key::KeyRing;
use self::sigv4::Signers;
use super::{AuthSettings, Knock, Refusal};
use crate::base::clock::Clock;
use crate::base::disk::SharedDisk;

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

/// One way to recognise a caller.
#[derive(Debug)]
enum Block {
    ApiKey(KeyRing),
    SigV4(Signers),
}

impl Callers {
    pub(super) fn open(
        ground: &Ground,
        settings: BTreeMap<String, AuthSettings>,
    ) -> Result<Self, String> {
        let mut blocks = BTreeMap::new();
        for (name, settings) in settings {
            let block = Block::open(ground, &name, settings)?;
            blocks.insert(name, block);
        }
        Ok(Self(blocks))
    }

    /// The first block that recognises the caller decides.
    pub(super) async fn identify(&self, knock: &Knock<'_>) -> Result<Caller, Refusal> {
        if knock.auth.is_empty() {
            return Ok(Caller::default());
        }
        for name in knock.auth {
            let Some(block) = self.0.get(name) else { continue };
            if let Some(verdict) = block.recognise(knock).await {
                return verdict.map(|caller| Caller { block: name.clone(), ..caller });
            }
        }
        Err(Refusal::UnknownCaller)
    }
}

impl Block {
    fn open(ground: &Ground, name: &str, settings: AuthSettings) -> Result<Self, String> {
        Ok(match settings {
            AuthSettings::ApiKey { file, plan } => {
                Self::ApiKey(KeyRing::open(ground, name, file, plan)?)
            }
            AuthSettings::SigV4(settings) => Self::SigV4(Signers::open(ground, name, settings)?),
        })
    }

    /// Kinds that may have to ask somebody else wait here, within their own bounds.
    #[expect(clippy::unused_async, reason = "kinds that ask the network stand here soon")]
    async fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        match self {
            Self::ApiKey(ring) => ring.recognise(knock),
            Self::SigV4(signers) => signers.recognise(knock),
        }
    }
}

//! Public keys as issuers publish them (JWKS), and what they verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// Most keys of one issuer.
const KEYS_MAX: usize = 100;

/// A signature that is taken. There is none that needs a shared secret, and none that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `RS256`.
    Rs256,
    /// `RS384`.
    Rs384,
    /// `RS512`.
    Rs512,
    /// `PS256`.
    Ps256,
    /// `PS384`.
    Ps384,
    /// `PS512`.
    Ps512,
    /// `ES256`.
    Es256,
    /// `ES384`.
    Es384,
    /// `EdDSA`, with Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// By its name, exactly.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::EdDsa => return None,
        })
    }
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(super) struct KeySet(Vec<PublicKey>);

/// One key that we can use.
#[derive(Debug)]
pub(super) struct PublicKey {
    id: Option<String>,
    /// The only algorithm it says to be for.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// One key as it is written. Members that we don't know are none of our business.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Keys of kinds that we don't use are passed over.
    ///
    /// # Errors
    /// In words, when no key is left.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json)
            .map_err(|error| format!("this is no set of keys (JWKS): {error}"))?;
        if document.keys.len() > KEYS_MAX {
            let count = document.keys.len();
            return Err(format!("it has {count} keys; at most {KEYS_MAX} are taken"));
        }
        let read = |key| PublicKey::read(serde_json::from_value(key).ok()?);
        let keys: Vec<PublicKey> = document.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            return Err("it has no key for signatures by RSA, P-256, P-384 or Ed25519".to_owned());
        }
        Ok(Self(keys))
    }

    /// Whether a token that names its key so can be judged.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        id.is_none_or(|id| self.0.iter().any(|key| key.id.as_deref() == Some(id)))
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Keys that a token may be signed with: the one that it names, or all if it names none.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().filter(move |key| {
            let is_named = id.is_none_or(|id| key.id.as_deref() == Some(id));
            is_named && key.only.is_none_or(|only| only == algorithm) && key.fits(algorithm)
        })
    }
}

impl PublicKey {
    fn read(written: Written) -> Option<Self> {
        let decode = |part: &Option<String>| {
            let text = part.as_deref()?.trim_end_matches('=');
            URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| !bytes.is_empty())
        };
        if written.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let only = match &written.alg {
            Some(name) => Some(Algorithm::named(name)?),
            None => None,
        };
        let curve = written.crv.as_deref().unwrap_or_default();
        let material = match (written.kty.as_str(), curve) {
            ("RSA", _) => {
                let (mut n, mut e) = (decode(&written.n)?, decode(&written.e)?);
                // Some write the sign that other encodings need; ring wants none.
                [&mut n, &mut e].into_iter().for_each(|number| {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    number.drain(..zeros);
                });
                Material::Rsa(RsaPublicKeyComponents { n, e })
            }
            ("EC", "P-256") => {
                Material::P256(point(&decode(&written.x)?, &decode(&written.y)?, 32)?)
            }
            ("EC", "P-384") => {
                Material::P384(point(&decode(&written.x)?, &decode(&written.y)?, 48)?)
            }
            ("OKP", "Ed25519") => Material::Ed25519(decode(&written.x)?),
            _ => return None,
        };
        Some(Self { id: written.kid, only, material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        match self.material {
            Material::Rsa(_) => algorithm.rsa().is_some(),
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::P384(_) => algorithm == Algorithm::Es384,
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        }
    }

    /// Whether this key signed the message so.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let by_curve = |curve: &'static EcdsaVerificationAlgorithm, point: &[u8]| {
            UnparsedPublicKey::new(curve, point).verify(message, signature).is_ok()
        };
        match &self.material {
            Material::Rsa(key) => algorithm
                .rsa()
                .is_some_and(|parameters| key.verify(parameters, message, signature).is_ok()),
            Material::P256(point) => by_curve(&ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => by_curve(&ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok()
            }
        }
    }
}

/// An uncompressed point: both coordinates in full length.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    let is_whole = x.len() == length && y.len() == length;
    is_whole.then(|| [&[4], x, y].concat())
}

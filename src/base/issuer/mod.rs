//! An issuer of tokens for tests, with a key of each kind. What it signs is what it is told to sign.

#![expect(clippy::indexing_slicing, reason = "a test may panic on a test's mistake")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

/// Made for these tests alone; ring makes none.
const RSA: &[u8] = include_bytes!("rsa.pk8");

/// A key with its name.
pub struct TestKey {
    /// `kid`.
    pub id: String,
    kind: Kind,
}

enum Kind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TestKey {
    /// The one of 2048 bits that there is.
    pub fn rsa(id: &str) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Rsa(RsaKeyPair::from_pkcs8(RSA).expect("a test's key is one")),
        }
    }

    /// A new one.
    pub fn p256(id: &str) -> Self {
        Self { id: id.into(), kind: Kind::P256(curve(&ECDSA_P256_SHA256_FIXED_SIGNING)) }
    }

    /// A new one.
    pub fn p384(id: &str) -> Self {
        Self { id: id.into(), kind: Kind::P384(curve(&ECDSA_P384_SHA384_FIXED_SIGNING)) }
    }

    /// A new one.
    pub fn ed25519(id: &str) -> Self {
        let pkcs8 =
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a test's key is one");
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a test's key is one");
        Self { id: id.into(), kind: Kind::Ed25519(pair) }
    }

    /// The public half, as a set of keys has it.
    pub fn jwk(&self) -> Value {
        let point = |curve: &str, pair: &EcdsaKeyPair| {
            let (x, y) =
                pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
            json!({"kty": "EC", "crv": curve, "x": part(x), "y": part(y)})
        };
        let mut jwk = match &self.kind {
            Kind::Rsa(pair) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                json!({"kty": "RSA", "n": part(&public.n), "e": part(&public.e)})
            }
            Kind::P256(pair) => point("P-256", pair),
            Kind::P384(pair) => point("P-384", pair),
            Kind::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": part(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = self.id.as_str().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// The public modulus as bytes, for those who take it for a shared secret.
    pub fn public_bytes(&self) -> Vec<u8> {
        self.jwk().to_string().into_bytes()
    }

    /// A token with this algorithm and these claims.
    pub fn sign(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": self.id, "typ": "JWT"});
        self.sign_with(&header, claims)
    }

    /// A token with this whole header.
    pub fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header.to_string()), part(claims.to_string()));
        let signature =
            self.signature(header["alg"].as_str().unwrap_or_default(), message.as_bytes());
        format!("{message}.{}", part(signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.kind {
            Kind::P256(pair) | Kind::P384(pair) => {
                pair.sign(&random, message).expect("a test's key is one").as_ref().to_vec()
            }
            Kind::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Kind::Rsa(pair) => {
                let how: &dyn RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(how, &random, message, &mut signature).expect("a test's key is one");
                signature
            }
        }
    }
}

/// A set of keys.
pub fn jwks(keys: &[&TestKey]) -> Value {
    json!({"keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>()})
}

/// A part of a token.
pub fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn curve(algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a test's key is one");
    EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a test's key is one")
}

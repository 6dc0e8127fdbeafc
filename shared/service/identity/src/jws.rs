//! Signed tokens: JSON Web Signature in its compact form (RFC 7515), with the cryptography of ring.
//!
//! The algorithm of a signature is that of the key, never that of the header: a token whose header names another
//! algorithm, `none` among them, is refused. There are no symmetric keys, so a public key can't be used as one.
//!
//! Own code instead of the crates `jsonwebtoken` and `openidconnect`, whose cryptography is aws-lc, or the crate `rsa` with
//! RUSTSEC-2023-0071 (docs/decisions/0036).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use neap_catalog::VerificationKey;
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{
        self, ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Maximum bytes of a token.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Bytes of a coordinate of the curve P-256.
const P256_COORDINATE_BYTES: usize = 32;

/// First byte of a point that is not compressed (SEC 1).
const UNCOMPRESSED: u8 = 4;

/// Why a token is refused before its claims are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwsError {
    /// It is no token of this form.
    #[error("malformed token")]
    Malformed,
    /// The header names another algorithm than that of the key.
    #[error("the algorithm is not that of the key")]
    Algorithm,
    #[error("wrong signature")]
    Signature,
}

/// The header of a token.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JwsHeader {
    /// The algorithm.
    pub(crate) alg: String,
    /// The id of the key.
    pub(crate) kid: Option<String>,
    /// The kind of token.
    pub(crate) typ: Option<String>,
    /// Extensions that must be understood. There are none.
    crit: Option<serde_json::Value>,
}

impl JwsHeader {
    /// Returns the header of a token whose other parts may be anything; `None` if it is none.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        let (header, _) = token.split_once('.').filter(|_| token.len() <= MAX_TOKEN_BYTES)?;
        serde_json::from_slice(&decode(header)?).ok()
    }
}

#[derive(Serialize)]
struct NewHeader<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'static str,
}

/// A token whose signature is not verified yet.
#[derive(Debug)]
pub(crate) struct UnverifiedToken<'a> {
    pub(crate) header: JwsHeader,
    /// The signed part.
    message: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> UnverifiedToken<'a> {
    /// Splits a token into its parts.
    /// Fails with `Malformed`.
    pub(crate) fn parse(token: &'a str) -> Result<Self, JwsError> {
        let split = || {
            let (message, signature) = token.rsplit_once('.')?;
            let (_, payload) = message.split_once('.')?;
            Some(Self {
                header: JwsHeader::of_token(token)?,
                message,
                payload: decode(payload)?,
                signature: decode(signature)?,
            })
        };
        split().filter(|token| token.header.crit.is_none()).ok_or(JwsError::Malformed)
    }

    /// Verifies the signature and returns the claims.
    /// Fails with `Algorithm`, `Signature`, or `Malformed` when the claims are not in this form.
    pub(crate) fn verify<T: DeserializeOwned>(&self, key: &PublicKey) -> Result<T, JwsError> {
        if self.header.alg != key.algorithm() {
            return Err(JwsError::Algorithm);
        }
        key.verify(self.message.as_bytes(), &self.signature)?;
        serde_json::from_slice(&self.payload).map_err(|_| JwsError::Malformed)
    }
}

/// Decodes URL-safe base64 without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A public key that verifies signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublicKey {
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
}

/// A key of a JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    pub(crate) kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublicKey {
    /// Returns the key of a JSON Web Key; `None` if it is none for signatures with a supported algorithm.
    pub(crate) fn of_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let part = |text: &Option<String>| decode(text.as_deref()?);
        let key = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => Self::Rsa { n: part(&jwk.n)?, e: part(&jwk.e)? },
            ("OKP", Some("Ed25519")) => Self::Ed25519(part(&jwk.x)?),
            ("EC", Some("P-256")) => {
                let (x, y) = (part(&jwk.x)?, part(&jwk.y)?);
                if [x.len(), y.len()] != [P256_COORDINATE_BYTES; 2] {
                    return None;
                }
                Self::P256([vec![UNCOMPRESSED], x, y].concat())
            }
            _ => return None,
        };
        let is_for_it = jwk.alg.as_deref().is_none_or(|alg| alg == key.algorithm());
        is_for_it.then_some(key)
    }

    /// Returns a key of the root catalog; `None` if it is damaged.
    pub(crate) fn of_catalog(key: &VerificationKey) -> Option<Self> {
        Some(match key {
            VerificationKey::Ed25519 { x } => Self::Ed25519(decode(x)?),
            VerificationKey::Rsa { n, e } => Self::Rsa { n: decode(n)?, e: decode(e)? },
        })
    }

    /// Returns the only algorithm of the key.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa { .. } => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JwsError> {
        let outcome = match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature)
            }
            Self::Rsa { n, e } => {
                let key = signature::RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        outcome.map_err(|_| JwsError::Signature)
    }
}

/// A private key that signs tokens.
#[derive(derive_more::Debug)]
pub(crate) enum SigningKey {
    #[debug("Ed25519")]
    Ed25519(Ed25519KeyPair),
    #[debug("Rsa")]
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// Returns the key of a seed; `None` if it is unusable.
    pub(crate) fn of_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self::Ed25519)
    }

    pub(crate) fn public(&self) -> VerificationKey {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed25519(pair) => {
                VerificationKey::Ed25519 { x: encode(pair.public_key().as_ref()) }
            }
            Self::Rsa(pair) => {
                let parts: rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                VerificationKey::Rsa { n: encode(&parts.n), e: encode(&parts.e) }
            }
        }
    }

    /// Signs claims; `None` if they can't be signed.
    pub(crate) fn sign(
        &self,
        kid: &str,
        typ: &'static str,
        claims: &impl Serialize,
    ) -> Option<String> {
        let alg = match self {
            Self::Ed25519(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        };
        let header = serde_json::to_vec(&NewHeader { alg, kid, typ }).ok()?;
        let claims = serde_json::to_vec(claims).ok()?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = match self {
            Self::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let random = SystemRandom::new();
                let signed =
                    pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature);
                signed.ok()?;
                signature
            }
        };
        Some(format!("{message}.{}", encode(&signature)))
    }
}

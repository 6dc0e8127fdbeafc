//! The private key in a file: PEM with a key of RSA in PKCS#1 or PKCS#8, or of Ed25519 in PKCS#8.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use neap_catalog::VerificationKey;
use ring::signature::{Ed25519KeyPair, RsaKeyPair};
use sha2::{Digest, Sha256};

use crate::jws::SigningKey;

/// Why a key file is unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum KeyFileError {
    #[error("cannot read the file: {reason}")]
    Unreadable { reason: String },
    #[error("the file has no private key in PEM")]
    NoKey,
    #[error("the key is encrypted: decrypt it first")]
    Encrypted,
    #[error("a key '{label}' is not supported: use RSA in PKCS#1 or PKCS#8, or Ed25519 in PKCS#8")]
    Unsupported { label: String },
    /// The key is damaged or too short.
    #[error(
        "the key can't be used: it is damaged, not of RSA or Ed25519, or shorter than 2048 bits"
    )]
    Unusable,
}

/// The private key with which a process was started.
#[derive(Clone, Debug)]
pub struct ConfiguredKey {
    pub(crate) id: String,
    pub(crate) key: Arc<SigningKey>,
}

impl ConfiguredKey {
    /// Reads a key from PEM. Without an `id`, the id is the thumbprint of the public key (RFC 7638).
    ///
    /// # Errors
    /// The file has no usable key.
    pub fn from_pem(pem: &str, id: Option<&str>) -> Result<Self, KeyFileError> {
        let (label, der) = private_key(pem)?;
        let rsa = |pair| SigningKey::Rsa(Box::new(pair));
        let key = match label {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der).ok().map(rsa),
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der).ok().map(rsa).or_else(|| {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
                pair.ok().map(SigningKey::Ed25519)
            }),
            "ENCRYPTED PRIVATE KEY" => return Err(KeyFileError::Encrypted),
            label => {
                let label = label.to_owned();
                return Err(KeyFileError::Unsupported { label });
            }
        };
        let key = key.ok_or(KeyFileError::Unusable)?;
        let id = match id {
            Some(id) => id.to_owned(),
            None => thumbprint(&key.public()),
        };
        Ok(Self { id, key: Arc::new(key) })
    }
}

/// Returns the label and the bytes of the first private key.
fn private_key(pem: &str) -> Result<(&str, Vec<u8>), KeyFileError> {
    let mut rest = pem;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (label, body) = after.split_once("-----").ok_or(KeyFileError::NoKey)?;
        let (body, next) = body.split_once("-----END ").ok_or(KeyFileError::NoKey)?;
        rest = next;
        if !label.ends_with("PRIVATE KEY") {
            continue;
        }
        // An encrypted key of PKCS#1 has headers.
        if body.contains("ENCRYPTED") {
            return Err(KeyFileError::Encrypted);
        }
        let text: String = body.split_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| KeyFileError::Unusable)?;
        return Ok((label, der));
    }
    Err(KeyFileError::NoKey)
}

/// Returns the thumbprint of a public key: the SHA-256 of its required members in lexicographic order.
pub(crate) fn thumbprint(key: &VerificationKey) -> String {
    let members = match key {
        VerificationKey::Ed25519 { x } => {
            format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
        }
        VerificationKey::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
    };
    URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

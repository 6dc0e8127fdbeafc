//! Tests over real sockets, with a write function on a store in memory.

mod access;
mod connections;
pub(crate) mod http;
mod malformed;
mod memory;
mod test_bed;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use neap_catalog::ClientPrivateKey;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};

/// Signs a challenge as a client does.
pub(crate) fn sign(key: &ClientPrivateKey, challenge: &[u8]) -> Signature {
    let d = URL_SAFE_NO_PAD.decode(key.reveal()).unwrap();
    SigningKey::from_slice(&d).unwrap().sign(challenge)
}

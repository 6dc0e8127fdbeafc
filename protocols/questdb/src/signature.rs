//! The challenge of a handshake, and the signature that answers it.
//!
//! The signature is ECDSA over the curve P-256 with SHA-256, in base64: usually in DER, or the two numbers in 64 bytes
//! (P1363), as QuestDB accepts.

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use neap_bucket::World;
use neap_catalog::ClientPublicKey;
use p256::{
    AffinePoint,
    ecdsa::{Signature, VerifyingKey, signature::Verifier},
};

pub(crate) const CHALLENGE_BYTES: usize = 512;

/// Maximum bytes of a signature in base64.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 96;

/// Bytes of a signature of two numbers.
const P1363_BYTES: usize = 64;

/// The printable ASCII characters, from the space to the tilde.
const PRINTABLE: std::ops::RangeInclusive<u8> = b' '..=b'~';

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns random printable characters for a client to sign.
pub(crate) fn draw_challenge(world: &World) -> [u8; CHALLENGE_BYTES] {
    let mut challenge = [0; CHALLENGE_BYTES];
    world.entropy.fill_secret(&mut challenge);
    let printable = PRINTABLE.end() - PRINTABLE.start() + 1;
    for byte in &mut challenge {
        *byte = PRINTABLE.start() + *byte % printable;
    }
    challenge
}

/// Returns whether a key has signed a challenge. Without a key, verifies with another key and returns false, so that
/// the duration does not reveal which keys exist.
pub(crate) fn is_signed_by(
    key: Option<&ClientPublicKey>,
    challenge: &[u8],
    signature: &[u8],
) -> bool {
    let verifying = match key {
        Some(key) => VerifyingKey::from_sec1_bytes(&key.to_sec1_bytes()),
        None => VerifyingKey::from_affine(AffinePoint::GENERATOR),
    };
    let (Ok(verifying), Some(signature)) = (verifying, decode(signature)) else {
        return false;
    };
    let is_signed = verifying.verify(challenge, &signature).is_ok();
    is_signed && key.is_some()
}

fn decode(text: &[u8]) -> Option<Signature> {
    if text.len() > MAX_SIGNATURE_BYTES {
        return None;
    }
    let bytes = BASE64.decode(text).ok()?;
    let pair = (bytes.len() == P1363_BYTES).then(|| Signature::from_slice(&bytes).ok());
    pair.flatten().or_else(|| Signature::from_der(&bytes).ok())
}

#[cfg(test)]
mod tests {
    use neap_catalog::ClientPrivateKey;

    use super::*;
    use crate::tests::sign;

    #[test]
    fn challenges_are_printable_and_differ() {
        let world = World::system();
        let (one, other) = (draw_challenge(&world), draw_challenge(&world));
        assert!(one.iter().all(|byte| PRINTABLE.contains(byte)));
        assert_ne!(one, other);
    }

    #[test]
    fn only_the_key_itself_signs() {
        let world = World::system();
        let key = ClientPrivateKey::generate(&world);
        let public = key.public_key();
        let challenge = draw_challenge(&world);
        let signature = sign(&key, &challenge);
        let der = BASE64.encode(signature.to_der().as_bytes());
        let pair = BASE64.encode(signature.to_bytes());
        let verify =
            |challenge: &[u8], text: &str| is_signed_by(Some(&public), challenge, text.as_bytes());
        for text in [&der, der.trim_end_matches('='), &pair] {
            assert!(verify(&challenge, text), "{text}");
            assert!(!verify(&draw_challenge(&world), text));
            assert!(!is_signed_by(None, &challenge, text.as_bytes()));
            let other = ClientPrivateKey::generate(&world).public_key();
            assert!(!is_signed_by(Some(&other), &challenge, text.as_bytes()));
        }
    }

    #[test]
    fn malformed_signatures_are_refused() {
        let world = World::system();
        let public = ClientPrivateKey::generate(&world).public_key();
        let challenge = draw_challenge(&world);
        let zero = BASE64.encode([0; P1363_BYTES]);
        let long = "A".repeat(MAX_SIGNATURE_BYTES + 4);
        for text in ["", "A", "!!!!", "MAYCAQACAQA=", &zero, &long, "ä"] {
            assert!(!is_signed_by(Some(&public), &challenge, text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn the_decoy_key_lets_nobody_in() {
        let world = World::system();
        let challenge = draw_challenge(&world);
        // The generator is the public key of the number 1.
        let mut one = [0; 32];
        one[31] = 1;
        let key = p256::ecdsa::SigningKey::from_slice(&one).unwrap();
        let signature: Signature = p256::ecdsa::signature::Signer::sign(&key, &challenge[..]);
        let text = BASE64.encode(signature.to_der().as_bytes());
        assert!(!is_signed_by(None, &challenge, text.as_bytes()));
    }
}

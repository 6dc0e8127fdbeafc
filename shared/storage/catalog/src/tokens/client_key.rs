//! The key pairs of clients that sign a challenge instead of sending a token, as QuestDB's clients do over TCP.
//!
//! ```text
//!   d            32 random bytes, shown once by the program that generates them; the server never has it
//!     └── P-256 ──> x, y        in the root catalog, in the entry of a token without a secret
//! ```
//!
//! Numbers are written as in the configuration strings of QuestDB's clients: in URL-safe base64 without padding.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use neap_bucket::World;
use p256::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};

use super::MAX_TOKEN_NAME_BYTES;

const COORDINATE_BYTES: usize = 32;

/// First byte of a point that is not compressed (SEC 1).
const UNCOMPRESSED: u8 = 4;

/// Why a key can't be registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// The name is empty, too long, or has a character that the protocol of QuestDB reserves.
    #[error(
        "invalid name of a key: use up to {MAX_TOKEN_NAME_BYTES} ASCII letters, digits and the characters - _ . : @ + /"
    )]
    Name,
    /// A coordinate is not 32 bytes in URL-safe base64 without padding.
    #[error(
        "invalid coordinate '{name}' of a key: expected 32 bytes in URL-safe base64 without padding"
    )]
    Coordinate {
        /// `x` or `y`.
        name: &'static str,
    },
    /// The coordinates are not those of a point of the curve.
    #[error("the coordinates of the key are not a point of the curve P-256")]
    NotOnCurve,
}

/// The public key of a client: a point of the curve P-256.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, derive_more::Debug)]
#[debug("ClientPublicKey({}, {})", self.x(), self.y())]
#[serde(try_from = "Coordinates", into = "Coordinates")]
pub struct ClientPublicKey {
    x: [u8; COORDINATE_BYTES],
    y: [u8; COORDINATE_BYTES],
}

/// The coordinates of a key as text.
#[derive(Serialize, Deserialize)]
struct Coordinates {
    x: String,
    y: String,
}

impl ClientPublicKey {
    /// Creates a key from its coordinates.
    ///
    /// # Errors
    /// `Coordinate` or `NotOnCurve`.
    pub fn new(x: &str, y: &str) -> Result<Self, ClientKeyError> {
        let key = Self::decode(x, y)?;
        let point = PublicKey::from_sec1_bytes(&key.to_sec1_bytes());
        point.map_err(|_| ClientKeyError::NotOnCurve)?;
        Ok(key)
    }

    fn decode(x: &str, y: &str) -> Result<Self, ClientKeyError> {
        let decode = |name, text: &str| {
            let bytes = URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .and_then(|bytes| <[u8; COORDINATE_BYTES]>::try_from(bytes).ok());
            bytes.ok_or(ClientKeyError::Coordinate { name })
        };
        Ok(Self { x: decode("x", x)?, y: decode("y", y)? })
    }

    /// Returns the first coordinate as text.
    pub fn x(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.x)
    }

    /// Returns the second coordinate as text.
    pub fn y(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.y)
    }

    /// Returns the uncompressed point (SEC 1).
    pub fn to_sec1_bytes(&self) -> [u8; 1 + 2 * COORDINATE_BYTES] {
        let mut point = [UNCOMPRESSED; 1 + 2 * COORDINATE_BYTES];
        let coordinates = self.x.iter().chain(&self.y);
        for (byte, coordinate) in point.iter_mut().skip(1).zip(coordinates) {
            *byte = *coordinate;
        }
        point
    }
}

impl From<ClientPublicKey> for Coordinates {
    fn from(key: ClientPublicKey) -> Self {
        Self { x: key.x(), y: key.y() }
    }
}

impl TryFrom<Coordinates> for ClientPublicKey {
    type Error = ClientKeyError;

    /// Checks the form only, because the curve was checked when the key was registered.
    fn try_from(coordinates: Coordinates) -> Result<Self, ClientKeyError> {
        Self::decode(&coordinates.x, &coordinates.y)
    }
}

/// The secret of a client's key. `Debug` hides it; only [`reveal`](Self::reveal) returns it.
#[derive(Clone, derive_more::Debug)]
#[debug("ClientPrivateKey")]
pub struct ClientPrivateKey {
    d: SecretKey,
}

impl ClientPrivateKey {
    /// Generates a key.
    pub fn generate(world: &World) -> Self {
        loop {
            let mut random = [0; COORDINATE_BYTES];
            world.entropy.fill_secret(&mut random);
            // Fails with a probability of 2^-32: the number is 0 or above the order of the curve.
            if let Ok(d) = SecretKey::from_slice(&random) {
                return Self { d };
            }
        }
    }

    /// Returns the secret as text. Never log it.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.d.to_bytes())
    }

    /// Returns the public key.
    pub fn public_key(&self) -> ClientPublicKey {
        let point = self.d.public_key().to_sec1_bytes();
        let coordinates = point.get(1..).unwrap_or_default();
        let mut key = ClientPublicKey { x: [0; COORDINATE_BYTES], y: [0; COORDINATE_BYTES] };
        let ClientPublicKey { x, y } = &mut key;
        for (byte, coordinate) in x.iter_mut().chain(y).zip(coordinates) {
            *byte = *coordinate;
        }
        key
    }
}

/// A key to register under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClientKey {
    name: String,
    public_key: ClientPublicKey,
}

impl NewClientKey {
    /// Checks the name and the coordinates of a key. A client sends the name in a line of its own, which must differ
    /// from all lines of line protocol.
    ///
    /// # Errors
    /// See [`ClientKeyError`].
    pub fn new(name: &str, x: &str, y: &str) -> Result<Self, ClientKeyError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@+/".contains(&byte);
        if name.is_empty() || name.len() > MAX_TOKEN_NAME_BYTES || !name.bytes().all(allowed) {
            return Err(ClientKeyError::Name);
        }
        Ok(Self {
            name: name.to_owned(),
            public_key: ClientPublicKey::new(x, y)?,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn public_key(&self) -> ClientPublicKey {
        self.public_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of the examples in QuestDB's documentation.
    const X: &str = "fLKYEaoEb9lrn3nkwLDA-M_xnuFOdSt9y0Z7_vWSHLU";
    const Y: &str = "Dt5tbS1dEDMSYfym3fgMv0B99szno-dFc1rYF9t0aac";

    #[test]
    fn keys_have_the_form_of_questdb() {
        let d = URL_SAFE_NO_PAD.decode("5UjEMuA0Pj5pjK8a-fa24dyIf-Es5mYny3oE_Wmus48");
        let private = ClientPrivateKey { d: SecretKey::from_slice(&d.unwrap()).unwrap() };
        let public = private.public_key();
        assert_eq!(public, ClientPublicKey::new(X, Y).unwrap());
        assert_eq!((public.x().as_str(), public.y().as_str()), (X, Y));
        let json = serde_json::to_string(&public).unwrap();
        assert_eq!(json, format!(r#"{{"x":"{X}","y":"{Y}"}}"#));
        let read: ClientPublicKey = serde_json::from_str(&json).unwrap();
        assert_eq!(read, public);
    }

    #[test]
    fn generated_keys_differ_and_hide_their_secret() {
        let world = World::system();
        let (one, other) = (ClientPrivateKey::generate(&world), ClientPrivateKey::generate(&world));
        assert_ne!(one.reveal(), other.reveal());
        assert_ne!(one.public_key(), other.public_key());
        assert_eq!(one.reveal().len(), 43);
        assert_eq!(format!("{one:?}"), "ClientPrivateKey");
        let public = one.public_key();
        assert!(NewClientKey::new("a", &public.x(), &public.y()).is_ok());
    }

    #[test]
    fn malformed_keys_are_refused_with_the_reason() {
        let error = |name: &str, x: &str, y: &str| NewClientKey::new(name, x, y).unwrap_err();
        let long = "n".repeat(MAX_TOKEN_NAME_BYTES + 1);
        for name in ["", "a b", "a=b", "a,b", "a\nb", "#a", "a;b", "ä", &long] {
            assert_eq!(error(name, X, Y), ClientKeyError::Name, "{name}");
        }
        let x = ClientKeyError::Coordinate { name: "x" };
        let padded = format!("{X}=");
        for text in ["", "AA", &padded, "!", &X[1..]] {
            assert_eq!(error("a", text, Y), x, "{text}");
        }
        assert_eq!(error("a", X, ""), ClientKeyError::Coordinate { name: "y" });
        assert_eq!(error("a", Y, X), ClientKeyError::NotOnCurve);
        let zero = URL_SAFE_NO_PAD.encode([0; 32]);
        assert_eq!(error("a", &zero, &zero), ClientKeyError::NotOnCurve);
    }
}

//! The header of every object in Neap's own formats.
//!
//! ```text
//! 0   magic     4 bytes
//! 4   version   u16, little endian
//! 6   reserved  u16, zero
//! 8   put_id    u128, little endian
//! 24  checksum  u32, CRC-32C of the payload
//! 28  payload
//! ```
//!
//! The decoder refuses a version newer than it knows, with an error that names the version. It never guesses.

use bytes::{BufMut, Bytes, BytesMut};

/// The number of bytes before the payload.
pub const HEADER_BYTES: usize = 28;

/// Error in the format of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum FormatError {
    /// The object does not start with the magic of its kind.
    #[error("'{key}' is damaged: it is not a {kind}")]
    Magic {
        key: String,
        /// The expected kind of object.
        kind: &'static str,
    },
    /// The object was written by a newer release.
    #[error("'{key}' has format version {found}; this release reads {kind} up to version {known}")]
    Newer {
        key: String,
        kind: &'static str,
        /// Its version.
        found: u16,
        /// The newest version that this release reads.
        known: u16,
    },
    /// The object's bytes are not those that were written.
    #[error("'{key}' is damaged: {reason}")]
    Damaged { key: String, reason: String },
}

/// A kind of object: its magic, its name in messages, and the newest version that this code reads and writes.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use neap_bucket::ObjectFormat;
///
/// let format = ObjectFormat {
///     magic: *b"DEMO",
///     kind: "demo",
///     version: 1,
/// };
/// let object = format.encode(7, b"payload");
/// let (put_id, payload) = format.decode("a/key", &object)?;
/// assert_eq!((put_id, payload), (7, Bytes::from_static(b"payload")));
///
/// let truncated = object.slice(..30);
/// assert!(format.decode("a/key", &truncated).is_err());
/// # Ok::<(), neap_bucket::FormatError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ObjectFormat {
    /// The first four bytes.
    pub magic: [u8; 4],
    /// The name in messages.
    pub kind: &'static str,
    /// The version.
    pub version: u16,
}

/// Verifies the checksum of an object of any kind. The error describes the damage.
fn verify_checksum(object: &[u8]) -> Result<(), String> {
    let Some((header, payload)) = object.split_first_chunk::<HEADER_BYTES>() else {
        return Err(format!("it has only {} bytes", object.len()));
    };
    let checksum = header.last_chunk::<4>().copied().map(u32::from_le_bytes);
    if checksum == Some(crc32c::crc32c(payload)) {
        Ok(())
    } else {
        Err("its checksum does not match".to_owned())
    }
}

impl ObjectFormat {
    pub(crate) const fn new(magic: [u8; 4], kind: &'static str, version: u16) -> Self {
        Self { magic, kind, version }
    }

    /// Encodes an object with this payload.
    pub fn encode(&self, put_id: u128, payload: &[u8]) -> Bytes {
        self.encode_parts(put_id, &[payload])
    }

    /// Encodes an object whose payload consists of these parts, one after the other. They are copied once.
    pub fn encode_parts(&self, put_id: u128, payload: &[&[u8]]) -> Bytes {
        let size_bytes: usize = payload.iter().map(|part| part.len()).sum();
        let checksum =
            payload.iter().fold(0, |checksum, part| crc32c::crc32c_append(checksum, part));
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + size_bytes);
        bytes.put_slice(&self.magic);
        bytes.put_u16_le(self.version);
        bytes.put_u16_le(0);
        bytes.put_u128_le(put_id);
        bytes.put_u32_le(checksum);
        for part in payload {
            bytes.put_slice(part);
        }
        bytes.freeze()
    }

    /// Verifies the checksum of an object and returns its `put_id` and payload.
    pub fn decode(&self, key: &str, object: &Bytes) -> Result<(u128, Bytes), FormatError> {
        let put_id = self.decode_header(key, object)?;
        verify_checksum(object)
            .map_err(|reason| FormatError::Damaged { key: key.to_owned(), reason })?;
        Ok((put_id, object.slice(HEADER_BYTES..)))
    }

    /// Verifies the magic and the version of an object, of which only the first bytes may be given, and returns its `put_id`.
    pub fn decode_header(&self, key: &str, object: &[u8]) -> Result<u128, FormatError> {
        let damaged =
            |reason: &str| FormatError::Damaged { key: key.to_owned(), reason: reason.to_owned() };
        let Some((header, _)) = object.split_first_chunk::<HEADER_BYTES>() else {
            return Err(damaged(&format!("it has only {} bytes", object.len())));
        };
        let [m0, m1, m2, m3, v0, v1, _, _, rest @ ..] = header;
        if [*m0, *m1, *m2, *m3] != self.magic {
            return Err(FormatError::Magic { key: key.to_owned(), kind: self.kind });
        }
        let found = u16::from_le_bytes([*v0, *v1]);
        if found > self.version {
            let (kind, known) = (self.kind, self.version);
            return Err(FormatError::Newer { key: key.to_owned(), kind, found, known });
        }
        // The checksum does not cover the header.
        if found == 0 {
            return Err(damaged("it has format version 0, which no release writes"));
        }
        let put_id = rest.first_chunk::<16>().copied().map(u128::from_le_bytes);
        put_id.ok_or_else(|| damaged("its header is truncated"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: ObjectFormat = ObjectFormat { magic: *b"TEST", kind: "test", version: 2 };

    #[test]
    fn payload_and_put_id_come_back() {
        let object = FORMAT.encode(7, b"payload");
        assert_eq!(FORMAT.decode("k", &object), Ok((7, Bytes::from_static(b"payload"))));
    }

    #[test]
    fn parts_are_one_payload() {
        let parts = FORMAT.encode_parts(7, &[b"", b"pay", b"lo", b"", b"ad"]);
        assert_eq!(parts, FORMAT.encode(7, b"payload"));
        assert_eq!(FORMAT.encode_parts(7, &[]), FORMAT.encode(7, b""));
    }

    #[test]
    fn any_flipped_bit_of_the_payload_and_any_truncation_is_detected() {
        let object = FORMAT.encode(7, b"payload");
        assert_eq!(verify_checksum(&object), Ok(()));
        for at in HEADER_BYTES..object.len() {
            let mut bytes = object.to_vec();
            bytes[at] ^= 1;
            assert!(verify_checksum(&bytes).is_err());
            assert!(verify_checksum(&object[..at]).is_err());
            assert!(FORMAT.decode("k", &bytes.into()).is_err());
            assert!(FORMAT.decode("k", &object.slice(..at)).is_err());
        }
    }

    #[test]
    fn a_version_that_no_release_writes_is_damage() {
        let object = ObjectFormat { version: 0, ..FORMAT }.encode(7, b"");
        let error = FORMAT.decode("k", &object).unwrap_err();
        assert!(matches!(error, FormatError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_newer_version_is_refused_by_its_number() {
        let object = ObjectFormat { version: 3, ..FORMAT }.encode(7, b"");
        let error = FORMAT.decode("k", &object).unwrap_err();
        assert_eq!(
            error.to_string(),
            "'k' has format version 3; this release reads test up to version 2"
        );
    }
}

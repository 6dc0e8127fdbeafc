//! Objects of the bucket with valid checksums, so that decoders behind the checksum are reached.

use bytes::Bytes;
use neap_bucket::HEADER_BYTES;

/// The bytes of the payload of a cache layer before its rows.
pub const LAYER_HEADER_BYTES: usize = 20;

/// Returns the object with the checksum of its payload.
pub(crate) fn with_checksum(object: &[u8]) -> Bytes {
    let mut object = object.to_vec();
    if let Some((header, payload)) = object.split_at_mut_checked(HEADER_BYTES) {
        let checksum = crc32c::crc32c(payload).to_le_bytes();
        if let Some(place) = header.last_chunk_mut::<4>() {
            *place = checksum;
        }
    }
    object.into()
}

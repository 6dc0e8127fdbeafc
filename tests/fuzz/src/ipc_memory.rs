//! The memory that a stream of Arrow messages states.

use arrow_ipc::root_as_message;
use neap_rows::columnar::decompressed_bytes;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Maximum memory of the buffers of a stream, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Returns whether the decompressed buffers of a stream have at most [`MAX_BYTES`].
///
/// Objects of the bucket with valid checksums are trusted: they may state any size, and Arrow allocates it. Such streams
/// are not inputs of their decoders, because they would hide everything else.
pub(crate) fn has_small_buffers(stream: &[u8]) -> bool {
    let mut rest = stream;
    let mut total = 0;
    while let Some((message, body, after)) = split_message(rest) {
        rest = after;
        let Ok(message) = root_as_message(message) else {
            return true;
        };
        let dictionary = message.header_as_dictionary_batch();
        let batch = message
            .header_as_record_batch()
            .or_else(|| dictionary.and_then(|dictionary| dictionary.data()));
        let Some(batch) = batch else {
            continue;
        };
        match decompressed_bytes(&batch, body, MAX_BYTES) {
            Ok(bytes) => total += bytes,
            Err(_) => return false,
        }
    }
    total <= MAX_BYTES
}

/// Splits the first message from a stream: its metadata, its body and the rest. A body that is cut off ends with the
/// stream.
fn split_message(stream: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (mut length, mut rest) = stream.split_first_chunk::<4>()?;
    while *length == CONTINUATION {
        (length, rest) = rest.split_first_chunk::<4>()?;
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (metadata, rest) = rest.split_at_checked(length).filter(|_| length > 0)?;
    let body = root_as_message(metadata).map_or(0, |message| message.bodyLength());
    let body = usize::try_from(body).unwrap_or(0).min(rest.len());
    let (body, rest) = rest.split_at(body);
    Some((metadata, body, rest))
}

//! Frames of a streamed answer: the length as a varint, a checksum, the message.

use prost::{Message, encoding::encode_varint};

use crate::ChunkedReadResponse;

/// Appends a message as a frame.
pub fn encode_frame(message: &ChunkedReadResponse, frames: &mut Vec<u8>) {
    let bytes = message.encode_to_vec();
    encode_varint(bytes.len() as u64, frames);
    frames.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    frames.extend_from_slice(&bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_a_length_a_checksum_and_a_message() {
        let message = ChunkedReadResponse { chunked_series: Vec::new(), query_index: 3 };
        let mut frames = Vec::new();
        encode_frame(&message, &mut frames);
        let checksum = crc32c::crc32c(&[0x10, 3]).to_be_bytes();
        assert_eq!(frames, [&[2][..], &checksum, &[0x10, 3]].concat());
    }
}

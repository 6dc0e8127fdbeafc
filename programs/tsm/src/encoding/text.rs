//! Strings: lengths and bytes, compressed with Snappy as a whole.

use super::varint::read_varint;
use crate::{DecodeError, Strings};

const SNAPPY: u8 = 1;

/// Maximum size of the strings of a block in bytes: 1,000 strings of the largest size that InfluxDB accepts, 64 KiB, and
/// four times as much for clients that InfluxDB did not check.
const MAX_TEXT_BYTES: usize = 256 << 20;

/// A decoder with reused buffers.
#[derive(Default, derive_more::Debug)]
#[debug("TextDecoder {{ .. }}")]
pub(crate) struct TextDecoder {
    snappy: snap::raw::Decoder,
    plain: Vec<u8>,
    /// Number of strings whose invalid bytes were replaced since the last call of `take_replaced`.
    replaced: u64,
}

impl TextDecoder {
    /// Appends at most `limit` strings to `out`. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    ///
    /// The bytes are invalid, or there are more strings.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        limit: usize,
        out: &mut Strings,
    ) -> Result<(), DecodeError> {
        let Some((&head, compressed)) = bytes.split_first() else {
            return Ok(());
        };
        if head >> 4 != SNAPPY {
            return Err(DecodeError::UnknownEncoding { encoding: head >> 4, of: "strings" });
        }
        let mut rest = decompress(&mut self.snappy, compressed, MAX_TEXT_BYTES, &mut self.plain)?;
        let end = out.len().saturating_add(limit);
        while !rest.is_empty() {
            if out.len() == end {
                return Err(DecodeError::TooManyValues(limit));
            }
            let truncated = || DecodeError::Truncated("string");
            let (length, bytes) = read_varint(rest).ok_or_else(truncated)?;
            let length = usize::try_from(length).map_err(|_| truncated())?;
            let (text, bytes) = bytes.split_at_checked(length).ok_or_else(truncated)?;
            self.replaced += push_lossy(text, out);
            rest = bytes;
        }
        Ok(())
    }

    /// Returns the number of strings whose invalid bytes were replaced since the last call.
    pub(crate) fn take_replaced(&mut self) -> u64 {
        std::mem::take(&mut self.replaced)
    }
}

/// Appends a text. Returns 1 if it has bytes that are not UTF-8, which are replaced, and 0 otherwise.
pub(crate) fn push_lossy(text: &[u8], out: &mut Strings) -> u64 {
    match str::from_utf8(text) {
        Ok(text) => {
            out.push(text);
            0
        }
        Err(_) => {
            out.push(&String::from_utf8_lossy(text));
            1
        }
    }
}

/// Decompresses bytes of at most `limit` bytes into a reused buffer.
///
/// # Errors
///
/// The bytes are invalid, or there are more bytes.
pub(crate) fn decompress<'a>(
    snappy: &mut snap::raw::Decoder,
    compressed: &[u8],
    limit: usize,
    plain: &'a mut Vec<u8>,
) -> Result<&'a [u8], DecodeError> {
    let invalid = |error: snap::Error| DecodeError::Compression(error.to_string());
    let length = snap::raw::decompress_len(compressed).map_err(invalid)?;
    // Snappy copies at most 64 bytes for each 3 bytes of its input.
    if length > limit || length / 32 > compressed.len() {
        return Err(DecodeError::Invalid("size of compressed bytes"));
    }
    if plain.len() < length {
        plain.resize(length, 0);
    }
    let into = plain.get_mut(..length).unwrap_or_default();
    let written = snappy.decompress(compressed, into).map_err(invalid)?;
    Ok(plain.get(..written).unwrap_or_default())
}

//! Timestamps in nanoseconds: the first one, and differences that are divided by a power of ten.

use super::{
    simple8b,
    varint::{read_u64, read_varint},
};
use crate::DecodeError;

const UNCOMPRESSED: u8 = 0;
const PACKED: u8 = 1;
const RUN_LENGTH: u8 = 2;

/// Appends at most `limit` timestamps to `out`. `scratch` is overwritten.
///
/// # Errors
///
/// The bytes are invalid, or there are more timestamps.
pub(crate) fn decode(
    bytes: &[u8],
    limit: usize,
    out: &mut Vec<i64>,
    scratch: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    let Some((&head, bytes)) = bytes.split_first() else {
        return Ok(());
    };
    let scale = 10u64.pow(u32::from(head & 0x0f));
    match head >> 4 {
        UNCOMPRESSED => decode_uncompressed(bytes, limit, out),
        PACKED => {
            let truncated = DecodeError::Truncated("timestamps");
            let (first, words) = read_u64(bytes).ok_or(truncated)?;
            scratch.clear();
            simple8b::decode(words, limit.saturating_sub(1), scratch)?;
            let mut last = first;
            out.push(first.cast_signed());
            out.extend(scratch.iter().map(|difference| {
                last = last.wrapping_add(difference.wrapping_mul(scale));
                last.cast_signed()
            }));
            Ok(())
        }
        RUN_LENGTH => decode_run(bytes, scale, limit, out),
        encoding => Err(DecodeError::UnknownEncoding { encoding, of: "timestamps" }),
    }
}

fn decode_uncompressed(bytes: &[u8], limit: usize, out: &mut Vec<i64>) -> Result<(), DecodeError> {
    let (words, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(DecodeError::Truncated("timestamp"));
    }
    if words.len() > limit {
        return Err(DecodeError::TooManyValues(limit));
    }
    let mut last = 0u64;
    out.extend(words.iter().map(|word| {
        last = last.wrapping_add(u64::from_be_bytes(*word));
        last.cast_signed()
    }));
    Ok(())
}

/// Decodes timestamps at equal distances. The count includes the first one.
fn decode_run(
    bytes: &[u8],
    scale: u64,
    limit: usize,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    let truncated = || DecodeError::Truncated("run of timestamps");
    let (first, bytes) = read_u64(bytes).ok_or_else(truncated)?;
    let (difference, bytes) = read_varint(bytes).ok_or_else(truncated)?;
    let (count, _) = read_varint(bytes).ok_or_else(truncated)?;
    if count > limit as u64 {
        return Err(DecodeError::TooManyValues(limit));
    }
    let difference = difference.wrapping_mul(scale);
    out.extend((0..count).map(|index| {
        let distance = difference.wrapping_mul(index);
        first.wrapping_add(distance).cast_signed()
    }));
    Ok(())
}

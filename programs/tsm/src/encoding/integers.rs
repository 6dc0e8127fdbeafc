//! Signed integers: the first one, and zigzag-encoded differences. Unsigned integers are encoded as signed ones with the
//! same bits.

use super::{
    simple8b,
    varint::{from_zigzag, read_u64, read_varint},
};
use crate::DecodeError;

const UNCOMPRESSED: u8 = 0;
const PACKED: u8 = 1;
const RUN_LENGTH: u8 = 2;

/// Appends at most `limit` integers to `out`. `scratch` is overwritten.
///
/// # Errors
///
/// The bytes are invalid, or there are more integers.
pub(crate) fn decode<T: Extend<i64>>(
    bytes: &[u8],
    limit: usize,
    out: &mut T,
    scratch: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    let Some((&head, bytes)) = bytes.split_first() else {
        return Ok(());
    };
    match head >> 4 {
        UNCOMPRESSED => {
            let (words, rest) = bytes.as_chunks::<8>();
            if !rest.is_empty() {
                return Err(DecodeError::Truncated("integer"));
            }
            if words.len() > limit {
                return Err(DecodeError::TooManyValues(limit));
            }
            let words = words.iter().map(|word| u64::from_be_bytes(*word));
            extend_with_sums(0, words, out);
            Ok(())
        }
        PACKED => {
            let (first, words) = read_u64(bytes).ok_or(DecodeError::Truncated("integers"))?;
            scratch.clear();
            scratch.push(first);
            simple8b::decode(words, limit, scratch)?;
            extend_with_sums(0, scratch.iter().copied(), out);
            Ok(())
        }
        RUN_LENGTH => decode_run(bytes, limit, out),
        encoding => Err(DecodeError::UnknownEncoding { encoding, of: "integers" }),
    }
}

/// Decodes integers at equal distances. The count does not include the first one.
fn decode_run<T: Extend<i64>>(bytes: &[u8], limit: usize, out: &mut T) -> Result<(), DecodeError> {
    let truncated = || DecodeError::Truncated("run of integers");
    let (first, bytes) = read_u64(bytes).ok_or_else(truncated)?;
    let (difference, bytes) = read_varint(bytes).ok_or_else(truncated)?;
    let (count, _) = read_varint(bytes).ok_or_else(truncated)?;
    if count >= limit as u64 {
        return Err(DecodeError::TooManyValues(limit));
    }
    let (first, difference) = (from_zigzag(first), from_zigzag(difference));
    out.extend((0..=count).map(|index| {
        let distance = difference.wrapping_mul(index.cast_signed());
        first.wrapping_add(distance)
    }));
    Ok(())
}

fn extend_with_sums<T: Extend<i64>>(
    mut last: i64,
    differences: impl Iterator<Item = u64>,
    out: &mut T,
) {
    out.extend(differences.map(|difference| {
        last = last.wrapping_add(from_zigzag(difference));
        last
    }));
}

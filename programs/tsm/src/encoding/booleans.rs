//! Booleans: a count, and one bit for each.

use super::varint::read_varint;
use crate::DecodeError;

/// Appends at most `limit` booleans to `out`.
///
/// # Errors
///
/// The bytes are invalid, or there are more booleans.
pub(crate) fn decode(bytes: &[u8], limit: usize, out: &mut Vec<bool>) -> Result<(), DecodeError> {
    let Some((_, bytes)) = bytes.split_first() else {
        return Ok(());
    };
    let (count, bytes) = read_varint(bytes).ok_or(DecodeError::Truncated("booleans"))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > limit {
        return Err(DecodeError::TooManyValues(limit));
    }
    if bytes.len() < count.div_ceil(8) {
        return Err(DecodeError::Truncated("booleans"));
    }
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    out.extend(bits.take(count));
    Ok(())
}

//! What a cache holds, brought from one mark to a later one.

use neap_cache::{CacheError, Layer, Shape};
use neap_row_delete::Condition;

/// The most memory of what a cache holds, in bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 192 << 20;

/// What is left of a layer after deletes and expiry, with what was written later; without what is before `from`.
///
/// # Errors
/// `Incomplete`: it has to be made anew of the sections. `TooLarge`: it is not worth keeping.
pub(crate) fn advanced(
    base: &Layer,
    shape: &Shape,
    deletes: &[&Condition],
    expired: Option<i64>,
    newer: &Layer,
    from: i64,
) -> Result<Layer, CacheError> {
    let left = base.without(shape, deletes, expired)?;
    let advanced = left.merged(shape, newer, from)?;
    if advanced.size_bytes() > MAX_CONTENT_BYTES {
        let limit = MAX_CONTENT_BYTES;
        return Err(CacheError::TooLarge { limit });
    }
    Ok(advanced)
}

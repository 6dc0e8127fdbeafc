//! Advances the contents of a cache from one mark to a later one.

use neap_cache::{CacheError, CacheLayer, CacheShape};
use neap_row_delete::Condition;

/// Maximum memory of the contents of a cache, in bytes.
pub(crate) const MAX_CONTENT_BYTES: usize = 192 << 20;

/// Applies deletes and expiry to a layer, merges later rows, and drops rows before `from`.
/// Fails with `Incomplete` if the cache must be rebuilt from the sections; `TooLarge` if it is not worth keeping.
pub(crate) fn advanced(
    base: &CacheLayer,
    shape: &CacheShape,
    deletes: &[&Condition],
    expired: Option<i64>,
    newer: &CacheLayer,
    from: i64,
) -> Result<CacheLayer, CacheError> {
    let left = base.without(shape, deletes, expired)?;
    let advanced = left.merged(shape, newer, from)?;
    if advanced.size_bytes() > MAX_CONTENT_BYTES {
        let limit = MAX_CONTENT_BYTES;
        return Err(CacheError::TooLarge { limit });
    }
    Ok(advanced)
}

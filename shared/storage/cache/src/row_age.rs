//! Removal of the rows of a batch that are too old.

use std::borrow::Cow;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use neap_points::times;

use crate::CacheError;

/// Returns the rows that are not older than `from`.
pub(crate) fn not_before(
    batch: &RecordBatch,
    from: i64,
) -> Result<Cow<'_, RecordBatch>, CacheError> {
    let times = times(batch)?.values();
    if times.iter().all(|time| *time >= from) {
        return Ok(Cow::Borrowed(batch));
    }
    let young: BooleanBuffer = times.iter().map(|time| *time >= from).collect();
    let young = BooleanArray::new(young, None);
    Ok(Cow::Owned(filter_record_batch(batch, &young)?))
}

//! Applies row deletes to the rows that are older than the deletes.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use neap_row_delete::{Condition, DeleteIndex};

use crate::{PointsError, columns::time_range};

/// One change in the history of a table.
#[derive(Clone, Debug)]
pub enum TableChange<'a> {
    /// Rows were written.
    Rows(RecordBatch),
    /// Older rows were deleted.
    Delete(&'a Condition),
}

/// Returns the rows of a history, given from the oldest change to the newest, that no later delete removed, in their
/// order. Omits batches without remaining rows; does not copy batches that lose no row.
///
/// The result is input for deduplication. Deletes give the same result before and after deduplication, because a
/// condition holds for all versions of a point or for none.
///
/// # Errors
/// A condition can't be evaluated because the rows are not those of the table.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{RecordBatch, TimestampNanosecondArray};
/// use arrow_schema::Schema;
/// use neap_points::{TableChange, apply_deletes};
/// use neap_row_delete::Condition;
/// use neap_schema::ColumnType;
///
/// let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
/// let rows = |times: Vec<i64>| {
///     let times = Arc::new(TimestampNanosecondArray::from(times));
///     RecordBatch::try_new(Arc::clone(&schema), vec![times])
/// };
/// let condition = Condition::between(0, 5);
/// let remaining = apply_deletes(vec![
///     TableChange::Rows(rows(vec![1, 9])?),
///     TableChange::Delete(&condition),
///     TableChange::Rows(rows(vec![2])?),
/// ])?;
/// assert_eq!(remaining, [rows(vec![9])?, rows(vec![2])?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply_deletes(history: Vec<TableChange<'_>>) -> Result<Vec<RecordBatch>, PointsError> {
    let mut deletes = DeleteIndex::default();
    let mut written = Vec::new();
    for change in history {
        match change {
            TableChange::Delete(condition) => deletes.push(condition),
            TableChange::Rows(rows) => written.push((rows, deletes.len())),
        }
    }
    let left = written.into_iter().map(|(rows, later)| without(rows, &deletes, later));
    left.filter_map(Result::transpose).collect()
}

/// Returns the rows that no delete at position `later` or after it matches; `None` if there are none.
fn without(
    rows: RecordBatch,
    deletes: &DeleteIndex,
    later: usize,
) -> Result<Option<RecordBatch>, PointsError> {
    // Without deletes, the rows need no keys.
    if later == deletes.len() {
        return Ok(Some(rows));
    }
    let times = time_range(&rows)?;
    if !times.is_some_and(|(first, last)| deletes.meets(first, last)) {
        return Ok(Some(rows));
    }
    let gone = deletes.mask(&rows, later)?;
    let count = gone.count_set_bits();
    if count == 0 {
        return Ok(Some(rows));
    }
    if count == rows.num_rows() {
        return Ok(None);
    }
    let left = BooleanArray::new(!&gone, None);
    Ok(Some(filter_record_batch(&rows, &left)?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::TimestampNanosecondArray;
    use arrow_schema::Schema;
    use neap_schema::ColumnType;

    use super::*;

    #[test]
    fn batches_that_lose_no_row_are_not_copied_and_empty_batches_are_omitted() {
        let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
        let rows = |times: &[i64]| {
            let times = Arc::new(TimestampNanosecondArray::from(times.to_vec()));
            RecordBatch::try_new(Arc::clone(&schema), vec![times]).unwrap()
        };
        let (kept, lost, part) = (rows(&[1, 9]), rows(&[3]), rows(&[2, 3, 4]));
        let first = Condition::Time { min: 2, max: 2 };
        let second = Condition::Time { min: 3, max: 4 };
        let left = apply_deletes(vec![
            TableChange::Rows(kept.clone()),
            TableChange::Rows(lost.clone()),
            TableChange::Delete(&first),
            TableChange::Rows(part),
            TableChange::Delete(&second),
            TableChange::Rows(lost.clone()),
        ])
        .unwrap();
        assert_eq!(left, [kept.clone(), rows(&[2]), lost]);
        assert!(Arc::ptr_eq(left[0].column(0), kept.column(0)));
    }
}

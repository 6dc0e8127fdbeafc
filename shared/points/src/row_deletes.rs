//! Applies row deletes to the rows that are older than the deletes.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use neap_row_delete::Condition;

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
pub fn apply_deletes(history: Vec<TableChange<'_>>) -> Result<Vec<RecordBatch>, PointsError> {
    let mut later: Vec<&Condition> = Vec::new();
    let mut left = Vec::new();
    for version in history.into_iter().rev() {
        match version {
            TableChange::Delete(condition) => later.push(condition),
            TableChange::Rows(rows) => left.extend(without(rows, &later)?),
        }
    }
    left.reverse();
    Ok(left)
}

/// Returns the rows for which none of the conditions holds; `None` if there are none.
fn without(
    rows: RecordBatch,
    conditions: &[&Condition],
) -> Result<Option<RecordBatch>, PointsError> {
    if conditions.is_empty() {
        return Ok(Some(rows));
    }
    let Some(gone) = deleted(&rows, conditions)? else {
        return Ok(Some(rows));
    };
    if gone.count_set_bits() == rows.num_rows() {
        return Ok(None);
    }
    let left = BooleanArray::new(!&gone, None);
    Ok(Some(filter_record_batch(&rows, &left)?))
}

/// Returns a mask of the rows for which one of the conditions holds; `None` if there are none.
fn deleted(
    rows: &RecordBatch,
    conditions: &[&Condition],
) -> Result<Option<BooleanBuffer>, PointsError> {
    let Some((first, last)) = time_range(rows)? else {
        return Ok(None);
    };
    let mut gone: Option<BooleanBuffer> = None;
    for condition in conditions {
        let meets = condition
            .time_bounds()
            .is_some_and(|(min, max)| min <= last && first <= max);
        if !meets {
            continue;
        }
        let mask = condition.mask(rows)?;
        gone = Some(match gone {
            Some(gone) => &gone | &mask,
            None => mask,
        });
    }
    Ok(gone.filter(|gone| gone.count_set_bits() > 0))
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

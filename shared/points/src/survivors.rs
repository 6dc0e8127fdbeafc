//! What row deletes leave of the rows that were there before them.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBuffer;
use arrow_select::filter::filter_record_batch;
use neap_row_delete::Condition;

use crate::{PointsError, columns::time_range};

/// One step in the history of a table.
#[derive(Clone, Debug)]
pub enum Version<'a> {
    /// Rows were written.
    Rows(RecordBatch),
    /// Rows that were there were deleted.
    Delete(&'a Condition),
}

/// The rows of a history, from the oldest step to the newest, that no later delete removed, in their order.
/// Batches of which nothing is left are left out; those that lose nothing are not copied.
///
/// To be folded: a delete before the fold and one after it come to the same, since it is true of all versions
/// of a point or of none.
///
/// # Errors
/// A delete can't be asked of the rows, which are then not those of the table.
pub fn survivors(history: Vec<Version<'_>>) -> Result<Vec<RecordBatch>, PointsError> {
    let mut later: Vec<&Condition> = Vec::new();
    let mut left = Vec::new();
    for version in history.into_iter().rev() {
        match version {
            Version::Delete(condition) => later.push(condition),
            Version::Rows(rows) => left.extend(without(rows, &later)?),
        }
    }
    left.reverse();
    Ok(left)
}

/// The rows for which none of the conditions holds; `None` when there are none.
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

/// The rows for which one of the conditions holds; `None` when there are none.
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
            .time_hull()
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
    fn batches_that_lose_nothing_are_not_copied_and_those_that_lose_all_leave() {
        let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
        let rows = |times: &[i64]| {
            let times = Arc::new(TimestampNanosecondArray::from(times.to_vec()));
            RecordBatch::try_new(Arc::clone(&schema), vec![times]).unwrap()
        };
        let (kept, lost, part) = (rows(&[1, 9]), rows(&[3]), rows(&[2, 3, 4]));
        let first = Condition::Time { min: 2, max: 2 };
        let second = Condition::Time { min: 3, max: 4 };
        let left = survivors(vec![
            Version::Rows(kept.clone()),
            Version::Rows(lost.clone()),
            Version::Delete(&first),
            Version::Rows(part),
            Version::Delete(&second),
            Version::Rows(lost.clone()),
        ])
        .unwrap();
        assert_eq!(left, [kept.clone(), rows(&[2]), lost]);
        assert!(Arc::ptr_eq(left[0].column(0), kept.column(0)));
    }
}

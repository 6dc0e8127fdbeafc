//! Evaluates conditions on record batches.
//!
//! A tag is compared once for each value of its dictionary, then each row by its key: a batch with a million rows of a
//! hundred hosts takes a hundred string comparisons.

use arrow_array::{
    Array, DictionaryArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Int32Type, TimestampNanosecondType},
};
use arrow_buffer::BooleanBuffer;
use neap_schema::TIME_COLUMN;

use crate::Condition;

/// A condition can't be evaluated on a batch. Each variant is a bug of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaskError {
    /// The batch has no column `time` of nanoseconds.
    #[error("the batch has no time column")]
    NoTime,
    /// The column of a tag is not a dictionary of text.
    #[error("column '{column}' has type {found} where a tag is expected")]
    NotATag {
        /// The column.
        column: String,
        /// Its type.
        found: String,
    },
}

impl Condition {
    /// Returns the rows of `batch` for which the condition holds. A tag without a column is missing in all rows.
    ///
    /// # Errors
    /// The condition needs the time and the batch has none, or the column of a tag has another type.
    pub fn mask(&self, batch: &RecordBatch) -> Result<BooleanBuffer, MaskError> {
        let rows = batch.num_rows();
        match self {
            Self::Time { min, max } => time_mask(batch, *min, *max),
            Self::Tag { name, value } => tag_mask(batch, name, value.as_deref()),
            Self::All(all) => {
                let mut mask = BooleanBuffer::new_set(rows);
                for part in all {
                    if mask.count_set_bits() == 0 {
                        break;
                    }
                    mask = &mask & &part.mask(batch)?;
                }
                Ok(mask)
            }
            Self::Any(any) => {
                let mut mask = BooleanBuffer::new_unset(rows);
                for part in any {
                    if mask.count_set_bits() == rows {
                        break;
                    }
                    mask = &mask | &part.mask(batch)?;
                }
                Ok(mask)
            }
        }
    }
}

fn time_mask(batch: &RecordBatch, min: i64, max: i64) -> Result<BooleanBuffer, MaskError> {
    let range = min..=max;
    let times = time_values(batch)?.iter();
    Ok(times.map(|time| range.contains(time)).collect())
}

/// Returns the times of the rows of a batch.
pub(crate) fn time_values(batch: &RecordBatch) -> Result<&[i64], MaskError> {
    let column = batch.column_by_name(TIME_COLUMN);
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampNanosecondType>());
    Ok(times.ok_or(MaskError::NoTime)?.values())
}

/// Returns the column of a tag with the values of its dictionary; `None` if the batch has no such column.
pub(crate) fn tag_column<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<Option<(&'a DictionaryArray<Int32Type>, &'a StringArray)>, MaskError> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    let wrong_type = || MaskError::NotATag {
        column: name.to_owned(),
        found: column.data_type().to_string(),
    };
    let column: &DictionaryArray<Int32Type> = column.as_dictionary_opt().ok_or_else(wrong_type)?;
    let values = column.values().as_string_opt().ok_or_else(wrong_type)?;
    Ok(Some((column, values)))
}

fn tag_mask(
    batch: &RecordBatch,
    name: &str,
    value: Option<&str>,
) -> Result<BooleanBuffer, MaskError> {
    let rows = batch.num_rows();
    // Line protocol treats a missing tag and an empty one as equal.
    let wanted = value.unwrap_or_default();
    let Some((column, values)) = tag_column(batch, name)? else {
        return Ok(if wanted.is_empty() {
            BooleanBuffer::new_set(rows)
        } else {
            BooleanBuffer::new_unset(rows)
        });
    };
    let matches: Vec<bool> =
        values.iter().map(|found| found.unwrap_or_default() == wanted).collect();
    if !wanted.is_empty() && !matches.contains(&true) {
        return Ok(BooleanBuffer::new_unset(rows));
    }
    let of_key = |key: Option<i32>| match key.and_then(|key| usize::try_from(key).ok()) {
        Some(key) => matches.get(key).copied().unwrap_or(false),
        None => wanted.is_empty(),
    };
    Ok(column.keys().iter().map(of_key).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array, Int32Array, TimestampNanosecondArray};
    use arrow_schema::Schema;
    use neap_schema::ColumnType;
    use proptest::prelude::*;

    use super::*;
    use crate::condition::tests::{conditions, tag};

    pub(crate) type TestRow = (i64, [Option<String>; 2]);

    pub(crate) fn batch(rows: &[TestRow], with_u: bool) -> RecordBatch {
        let mut columns: Vec<(ColumnType, &str, ArrayRef)> = Vec::new();
        for (at, name) in ["t", "u"].into_iter().enumerate() {
            if at == 0 || with_u {
                let column: DictionaryArray<Int32Type> =
                    rows.iter().map(|row| row.1[at].as_deref()).collect();
                columns.push((ColumnType::Tag, name, Arc::new(column)));
            }
        }
        let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.0));
        columns.push((ColumnType::Time, "time", Arc::new(times)));
        let fields: Vec<_> = columns.iter().map(|(kind, name, _)| kind.arrow_field(name)).collect();
        let columns = columns.into_iter().map(|(_, _, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    /// Rows with the tags `t` and `u`.
    pub(crate) fn rows() -> impl Strategy<Value = Vec<TestRow>> {
        let tags = proptest::array::uniform2(proptest::option::of("[a-c]?"));
        proptest::collection::vec((-4_i64..4, tags), 0..40)
    }

    /// Evaluates a condition on one row, by its definition.
    fn holds(condition: &Condition, (time, tags): &TestRow, with_u: bool) -> bool {
        match condition {
            Condition::Time { min, max } => min <= time && time <= max,
            Condition::Tag { name, value } => {
                let found = match name.as_str() {
                    "t" => tags[0].clone(),
                    "u" if with_u => tags[1].clone(),
                    _ => None,
                };
                let some = |text: Option<String>| text.filter(|text| !text.is_empty());
                some(found) == some(value.clone())
            }
            Condition::All(all) => {
                all.iter().all(|part| holds(part, &(*time, tags.clone()), with_u))
            }
            Condition::Any(any) => {
                any.iter().any(|part| holds(part, &(*time, tags.clone()), with_u))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn mask_equals_the_row_by_row_evaluation(
            condition in conditions(),
            rows in rows(),
            with_u in any::<bool>(),
        ) {
            let mask = condition.mask(&batch(&rows, with_u)).unwrap();
            let expected: Vec<bool> = rows.iter().map(|row| holds(&condition, row, with_u)).collect();
            prop_assert_eq!(mask.iter().collect::<Vec<_>>(), expected);
            let resolved = condition.resolved(&|name| name == "t" || name == "u" && with_u);
            prop_assert_eq!(&resolved.mask(&batch(&rows, with_u)).unwrap(), &mask);
            let times = rows.iter().zip(&mask).filter(|(_, gone)| *gone).map(|(row, _)| row.0);
            for time in times {
                let bounds = condition.time_bounds();
                prop_assert!(bounds.is_some_and(|(min, max)| min <= time && time <= max));
            }
        }
    }

    #[test]
    fn the_mask_of_a_slice_covers_only_its_rows() {
        let rows: Vec<TestRow> = ["a", "b", "a", "c"]
            .into_iter()
            .zip(0..)
            .map(|(value, time)| (time, [Some(value.to_owned()), None]))
            .collect();
        let slice = batch(&rows, true).slice(1, 3);
        let mask = tag("t", "a").mask(&slice).unwrap();
        assert_eq!(mask.iter().collect::<Vec<_>>(), [false, true, false]);
    }

    #[test]
    fn a_null_in_the_dictionary_is_a_missing_tag() {
        let values = Arc::new(StringArray::from(vec![Some("a"), None, Some("")]));
        let keys = Int32Array::from(vec![Some(0), Some(1), Some(2), None]);
        let column = DictionaryArray::<Int32Type>::try_new(keys, values).unwrap();
        let schema = Schema::new(vec![ColumnType::Tag.arrow_field("t")]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap();
        for value in [None, Some(String::new())] {
            let missing = Condition::Tag { name: "t".to_owned(), value };
            let mask = missing.mask(&batch).unwrap();
            assert_eq!(mask.iter().collect::<Vec<_>>(), [false, true, true, true]);
        }
        let time = Condition::Time { min: 0, max: 1 };
        assert_eq!(time.mask(&batch), Err(MaskError::NoTime));
    }

    #[test]
    fn a_field_is_an_error_where_a_tag_is_expected() {
        let schema = Schema::new(vec![ColumnType::Float.arrow_field("t")]);
        let column = Arc::new(Float64Array::from(vec![1.0]));
        let batch = RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap();
        let error = tag("t", "a").mask(&batch).unwrap_err();
        assert_eq!(error.to_string(), "column 't' has type Float64 where a tag is expected");
    }
}

//! Rows whose columns may be missing and have any type.

use arrow_array::{Array, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType};
use neap_http::{ApiError, Kind};

/// The columns of a batch, as texts and integers. A column that is neither is a text.
#[derive(Clone, Debug)]
pub(crate) struct SpanBatch {
    rows: usize,
    texts: Vec<(String, StringArray)>,
    integers: Vec<(String, Int64Array)>,
}

fn unreadable(error: &ArrowError) -> ApiError {
    ApiError::text(Kind::Internal, format!("a column of spans can't be read: {error}"))
}

impl SpanBatch {
    pub(crate) fn new(batch: &RecordBatch) -> Result<Self, ApiError> {
        let (mut texts, mut integers) = (Vec::new(), Vec::new());
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let is_integer = match field.data_type() {
                DataType::Timestamp(..) => true,
                other => other.is_integer(),
            };
            let to = if is_integer {
                DataType::Int64
            } else {
                DataType::Utf8
            };
            let values = cast(column, &to).map_err(|error| unreadable(&error))?;
            let name = field.name().clone();
            if let Some(numbers) = values.as_primitive_opt::<Int64Type>() {
                integers.push((name, numbers.clone()));
            } else if let Some(strings) = values.as_string_opt::<i32>() {
                texts.push((name, strings.clone()));
            }
        }
        Ok(Self { rows: batch.num_rows(), texts, integers })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the text of a column; `None` if it is null or the column does not exist.
    pub(crate) fn text(&self, name: &str, row: usize) -> Option<&str> {
        let (_, values) = self.texts.iter().find(|(column, _)| column == name)?;
        values.is_valid(row).then(|| values.value(row))
    }

    /// Returns the integer of a column; `None` if it is null or the column does not exist.
    pub(crate) fn integer(&self, name: &str, row: usize) -> Option<i64> {
        let (_, values) = self.integers.iter().find(|(column, _)| column == name)?;
        values.is_valid(row).then(|| values.value(row))
    }

    /// Returns the names and texts of a row.
    pub(crate) fn texts(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        let valid = self.texts.iter().filter(move |(_, values)| values.is_valid(row));
        valid.map(move |(name, values)| (name.as_str(), values.value(row)))
    }
}

//! Divides the rows of one table into series.

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast, partition},
    datatypes::{DataType, Schema},
    error::ArrowError,
};

use super::{
    cell::InfiniteFloatError,
    encoder::{SeriesEncoder, SeriesKey},
    rows::AnswerRows,
};
use crate::{rendered::RenderedValues, series::SeriesLayout};

/// The reason why rows can't be encoded.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// A column has a type without text form.
    #[error("{0}")]
    Type(#[from] ArrowError),
    /// A value can't be encoded in the format.
    #[error("{0}")]
    Value(#[from] InfiniteFloatError),
}

/// Divides the rows of a statement into series. Rows of one series must be adjacent.
#[derive(Debug)]
pub struct SeriesWriter {
    /// The index of the column with the name of the table.
    measurement: Option<usize>,
    /// The name of the only series.
    name: Option<&'static str>,
    /// The tags that identify a series, with their column indexes.
    tags: Vec<(String, usize)>,
    /// The indexes of the columns written as values.
    shown: Vec<usize>,
    /// The rendered values of their dictionaries.
    rendered: Vec<RenderedValues>,
    columns: Vec<String>,
    /// The series of the last written row.
    current: Option<SeriesKey>,
}

impl SeriesWriter {
    /// Creates a writer of rows with this schema.
    pub fn new(schema: &Schema, series: &SeriesLayout) -> Self {
        let mut series_writer = Self {
            measurement: None,
            name: None,
            tags: Vec::new(),
            shown: Vec::new(),
            rendered: Vec::new(),
            columns: Vec::new(),
            current: None,
        };
        let mut hidden = Vec::new();
        match series {
            SeriesLayout::Single(name) => series_writer.name = *name,
            SeriesLayout::Columns(key) => {
                let measurement = key.measurement_column_index as usize;
                series_writer.measurement = Some(measurement);
                hidden.push(measurement);
                for tag in &key.tag_key_columns {
                    let column = tag.column_index as usize;
                    series_writer.tags.push((tag.tag_key.clone(), column));
                    if !tag.is_projected {
                        hidden.push(column);
                    }
                }
            }
        }
        for (index, field) in schema.fields().iter().enumerate() {
            if !hidden.contains(&index) {
                series_writer.shown.push(index);
                series_writer.rendered.push(RenderedValues::default());
                series_writer.columns.push(field.name().clone());
            }
        }
        series_writer
    }

    /// The names of the columns written as values.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Encodes rows with `encoder` and appends them to `out`.
    ///
    /// # Errors
    /// A column has a type without text form, or a float is infinite.
    pub fn write(
        &mut self,
        batch: &RecordBatch,
        encoder: &mut dyn SeriesEncoder,
        out: &mut Vec<u8>,
    ) -> Result<(), SeriesError> {
        let text = |index: usize| cast(batch.column(index), &DataType::Utf8);
        let measurement = self.measurement.map(text).transpose()?;
        let tags: Vec<ArrayRef> =
            self.tags.iter().map(|(_, index)| text(*index)).collect::<Result<_, _>>()?;
        let ranges = ranges(batch.num_rows(), measurement.as_ref(), &tags)?;
        let series = ranges.into_iter().map(|range| {
            let key = self.key(range.start, measurement.as_ref(), &tags);
            (range, key)
        });
        let series: Vec<(Range<usize>, SeriesKey)> = series.collect();
        let mut rows = AnswerRows::new(batch, &self.shown, &mut self.rendered)?;
        for (range, key) in series {
            if self.current.as_ref() != Some(&key) {
                encoder.series(&key, out);
                self.current = Some(key);
            }
            encoder.rows(&mut rows, range, out)?;
        }
        Ok(())
    }

    fn key(&self, row: usize, measurement: Option<&ArrayRef>, tags: &[ArrayRef]) -> SeriesKey {
        let text = |values: &ArrayRef| {
            if values.is_valid(row) {
                values.as_string::<i32>().value(row).to_owned()
            } else {
                String::new()
            }
        };
        let named = self.tags.iter().zip(tags);
        SeriesKey {
            name: match measurement {
                Some(measurement) => Some(text(measurement)),
                None => self.name.map(str::to_owned),
            },
            tags: named.map(|((tag, _), values)| (tag.clone(), text(values))).collect(),
        }
    }
}

/// Returns the ranges of adjacent rows of one series.
fn ranges(
    rows: usize,
    measurement: Option<&ArrayRef>,
    tags: &[ArrayRef],
) -> Result<Vec<Range<usize>>, ArrowError> {
    let keys: Vec<ArrayRef> = measurement.into_iter().chain(tags).cloned().collect();
    if rows == 0 {
        return Ok(Vec::new());
    }
    if keys.is_empty() {
        return Ok(std::iter::once(0..rows).collect());
    }
    Ok(partition(&keys)?.ranges())
}

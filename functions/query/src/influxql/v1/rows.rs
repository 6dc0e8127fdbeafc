//! Rows of one table as rows of series.

use std::ops::Range;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{cast, partition},
    datatypes::{DataType, Schema},
    error::ArrowError,
};

use super::{
    cell::{Column, Infinite},
    encoder::{Encoder, SeriesKey},
};
use crate::influxql::series::Series;

/// Why rows can't be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    /// A column has a type that there is no text for.
    #[error("{0}")]
    Type(#[from] ArrowError),
    /// A value can't be written in the format.
    #[error("{0}")]
    Value(#[from] Infinite),
}

/// Divides the rows of a statement into series, of which rows come next to each other.
#[derive(Debug)]
pub(super) struct Divider {
    /// The column with the name of the table.
    measurement: Option<usize>,
    /// The name of the one series that there is.
    name: Option<&'static str>,
    /// The tags that tell series apart, with their columns.
    tags: Vec<(String, usize)>,
    /// The columns of rows.
    shown: Vec<usize>,
    columns: Vec<String>,
    /// The series of the last row.
    current: Option<SeriesKey>,
}

impl Divider {
    pub(super) fn new(schema: &Schema, series: &Series) -> Self {
        let mut divider = Self {
            measurement: None,
            name: None,
            tags: Vec::new(),
            shown: Vec::new(),
            columns: Vec::new(),
            current: None,
        };
        let mut hidden = Vec::new();
        match series {
            Series::One(name) => divider.name = *name,
            Series::Of(key) => {
                let measurement = key.measurement_column_index as usize;
                divider.measurement = Some(measurement);
                hidden.push(measurement);
                for tag in &key.tag_key_columns {
                    let column = tag.column_index as usize;
                    divider.tags.push((tag.tag_key.clone(), column));
                    if !tag.is_projected {
                        hidden.push(column);
                    }
                }
            }
        }
        for (index, field) in schema.fields().iter().enumerate() {
            if !hidden.contains(&index) {
                divider.shown.push(index);
                divider.columns.push(field.name().clone());
            }
        }
        divider
    }

    /// The names of the columns of rows.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Writes rows.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        encoder: &mut dyn Encoder,
        out: &mut Vec<u8>,
    ) -> Result<(), RowsError> {
        let text = |index: usize| cast(batch.column(index), &DataType::Utf8);
        let measurement = self.measurement.map(text).transpose()?;
        let tags = self.tags.iter().map(|(_, index)| text(*index));
        let tags: Vec<ArrayRef> = tags.collect::<Result<_, _>>()?;
        let columns = self
            .shown
            .iter()
            .map(|index| Column::of(batch.column(*index)));
        let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
        let epoch = encoder.epoch();
        for rows in ranges(batch.num_rows(), measurement.as_ref(), &tags)? {
            let key = self.key(rows.start, measurement.as_ref(), &tags);
            if self.current.as_ref() != Some(&key) {
                encoder.series(&key, out);
                self.current = Some(key);
            }
            for row in rows {
                encoder.row(
                    &mut columns.iter().map(|column| column.cell(row, epoch)),
                    out,
                )?;
            }
        }
        Ok(())
    }

    fn key(&self, row: usize, measurement: Option<&ArrayRef>, tags: &[ArrayRef]) -> SeriesKey {
        let text = |values: &ArrayRef| match values.is_valid(row) {
            true => values.as_string::<i32>().value(row).to_owned(),
            false => String::new(),
        };
        let named = self.tags.iter().zip(tags);
        SeriesKey {
            name: match measurement {
                Some(measurement) => Some(text(measurement)),
                None => self.name.map(str::to_owned),
            },
            tags: named
                .map(|((tag, _), values)| (tag.clone(), text(values)))
                .collect(),
        }
    }
}

/// Rows that are next to each other and of one series.
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

//! Series in the rows of a table, which come in the order of their tags.

use arrow_array::{
    Array, ArrayRef, DictionaryArray, RecordBatch, StringArray,
    cast::AsArray,
    types::{Float64Type, Int32Type, TimestampNanosecondType},
};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType};

use neap_query::promql::{Metric, NANOS_PER_MILLI, label_column};
use neap_schema::ColumnType;

use crate::{HISTOGRAM_FIELD, Histogram, Label, NON_FINITE_FIELD, VALUE_FIELD, non_finite_value};

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowSample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Box<Histogram>),
}

/// The rows of a batch with the columns of a [`MetricSelection`](neap_query::promql::MetricSelection).
#[derive(Debug)]
pub(crate) struct SeriesRows<'a> {
    metric: &'a Metric,
    rows: usize,
    tags: Vec<TagColumn>,
    times: Option<ArrayRef>,
    values: Option<ArrayRef>,
    non_finite: Option<StringArray>,
    histograms: Option<StringArray>,
}

/// A tag column. Equal keys of a dictionary are equal values; different keys may be, too.
#[derive(Debug)]
struct TagColumn {
    label: String,
    values: DictionaryArray<Int32Type>,
    texts: StringArray,
}

impl TagColumn {
    fn new(label: &str, column: &ArrayRef) -> Result<Self, ArrowError> {
        let values =
            cast(column, &ColumnType::Tag.data_type())?.as_dictionary::<Int32Type>().clone();
        let texts = values.values().as_string::<i32>().clone();
        Ok(Self { label: label.to_owned(), values, texts })
    }

    /// Returns the value of a row; empty if it is absent.
    fn value(&self, row: usize) -> &str {
        match self.values.key(row) {
            Some(key) if key < self.texts.len() && self.texts.is_valid(key) => {
                self.texts.value(key)
            }
            _ => "",
        }
    }

    fn is_same(&self, row: usize, other: usize) -> bool {
        let (key, other_key) = (self.values.key(row), self.values.key(other));
        key == other_key || self.value(row) == self.value(other)
    }
}

impl<'a> SeriesRows<'a> {
    /// Reads the columns of a batch.
    pub(crate) fn new(metric: &'a Metric, batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str, data_type: &DataType| -> Result<Option<ArrayRef>, ArrowError> {
            let column = batch.column_by_name(name);
            column.map(|column| cast(column, data_type)).transpose()
        };
        let texts = |name: &str| -> Result<Option<StringArray>, ArrowError> {
            let texts = column(name, &DataType::Utf8)?;
            Ok(texts.map(|texts| texts.as_string::<i32>().clone()))
        };
        let mut tags = Vec::new();
        for (position, label) in metric.tag_labels().enumerate() {
            if let Some(column) = batch.column_by_name(&label_column(position)) {
                tags.push(TagColumn::new(label, column)?);
            }
        }
        tags.sort_by(|a, b| a.label.cmp(&b.label));
        let times = DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, None);
        Ok(Self {
            metric,
            rows: batch.num_rows(),
            tags,
            times: column("time", &times)?,
            values: column(VALUE_FIELD, &DataType::Float64)?,
            non_finite: texts(NON_FINITE_FIELD)?,
            histograms: texts(HISTOGRAM_FIELD)?,
        })
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Returns whether two rows belong to the same series.
    pub(crate) fn is_same_series(&self, row: usize, other: usize) -> bool {
        self.tags.iter().all(|tag| tag.is_same(row, other))
    }

    /// Returns the labels of a row in the order of their names.
    pub(crate) fn labels(&self, row: usize) -> Vec<Label> {
        let constant = self
            .metric
            .constant_labels()
            .map(|(name, value)| Label { name: name.to_owned(), value: value.to_owned() });
        let mut labels: Vec<Label> = constant.collect();
        for tag in &self.tags {
            let value = tag.value(row);
            if !value.is_empty() {
                labels.push(Label { name: tag.label.clone(), value: value.to_owned() });
            }
        }
        labels.sort_unstable();
        labels
    }

    /// Returns the time of a row, in milliseconds since the Unix epoch.
    pub(crate) fn time_ms(&self, row: usize) -> Option<i64> {
        let times = self.times.as_ref()?.as_primitive_opt::<TimestampNanosecondType>()?;
        let is_present = row < times.len() && times.is_valid(row);
        is_present.then(|| times.value(row).div_euclid(NANOS_PER_MILLI))
    }

    /// Returns the sample of a row; `None` if it has none. A number takes precedence.
    pub(crate) fn sample(&self, row: usize, time_ms: i64) -> Option<RowSample> {
        let values =
            self.values.as_ref().and_then(|values| values.as_primitive_opt::<Float64Type>());
        if let Some(values) = values
            && values.is_valid(row)
        {
            return Some(RowSample::Float(values.value(row)));
        }
        if let Some(name) = text(self.non_finite.as_ref(), row)
            && let Some(value) = non_finite_value(name)
        {
            return Some(RowSample::Float(value));
        }
        let histogram = Histogram::from_json(text(self.histograms.as_ref(), row)?, time_ms)?;
        Some(RowSample::Histogram(Box::new(histogram)))
    }
}

fn text(column: Option<&StringArray>, row: usize) -> Option<&str> {
    let column = column?;
    column.is_valid(row).then(|| column.value(row))
}

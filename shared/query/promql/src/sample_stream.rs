//! Streams the samples of a selector, series by series.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, UInt32Array},
    compute::{cast, partition, take},
    datatypes::{DataType, Float64Type, Int64Type, TimeUnit},
    error::ArrowError,
};
use async_trait::async_trait;
use datafusion::{
    common::{Result as PlanResult, internal_datafusion_err},
    execution::SendableRecordBatchStream,
};
use futures::StreamExt;
use promql_parser::label::Matcher;
use tokio::task::coop::consume_budget;

use crate::{
    error::PromqlError,
    histogram::FloatHistogram,
    labels::Labels,
    source::{DecodedColumn, MetricSource, SampleTable, SampleTables},
    value::SampleValue,
};

/// Maximum number of histograms that are decoded at once.
const MAX_HISTOGRAMS: usize = 64;

/// Consecutive samples of a series.
#[derive(Debug)]
pub(crate) struct SampleChunk {
    /// The labels if the series begins; `None` if it is that of the chunk before.
    pub(crate) labels: Option<Labels>,
    /// Times in milliseconds, ascending, and values.
    pub(crate) samples: Vec<(i64, SampleValue)>,
}

/// Series of samples.
#[async_trait]
pub(crate) trait ChunkStream: Send {
    async fn next(&mut self) -> Result<Option<SampleChunk>, PromqlError>;
}

/// What a selector selects.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) matchers: Vec<Matcher>,
    /// The time before the first sample.
    pub(crate) after_ms: i64,
    /// The time of the last sample.
    pub(crate) until_ms: i64,
}

impl Selection {
    fn contains(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.is_match(labels.get(&matcher.name)))
    }
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> PlanResult<&'a ArrayRef> {
    batch
        .column_by_name(name)
        .ok_or_else(|| internal_datafusion_err!("samples have no column '{name}'"))
}

fn texts(column: &dyn Array) -> Result<StringArray, ArrowError> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// Returns the codes of a dictionary, which cost less to compare than its values. Equal values may have several codes; other columns
/// are returned as they are.
fn codes(column: &ArrayRef) -> ArrayRef {
    match column.as_any_dictionary_opt() {
        Some(dictionary) => dictionary.keys().slice(0, column.len()),
        None => Arc::clone(column),
    }
}

/// Returns the times of a column in milliseconds.
fn milliseconds(column: &dyn Array) -> PlanResult<Vec<i64>> {
    let unit = match column.data_type() {
        DataType::Timestamp(unit, _) => *unit,
        other => return Err(internal_datafusion_err!("the time of samples is {other}")),
    };
    let integers = cast(column, &DataType::Int64)?;
    let times = integers.as_primitive::<Int64Type>().values().iter().copied();
    // A division by a constant takes a fraction of the time of one by a variable.
    Ok(match unit {
        TimeUnit::Second => times.map(|time: i64| time.saturating_mul(1_000)).collect(),
        TimeUnit::Millisecond => times.collect(),
        TimeUnit::Microsecond => times.map(|time: i64| time.div_euclid(1_000)).collect(),
        TimeUnit::Nanosecond => times.map(|time: i64| time.div_euclid(1_000_000)).collect(),
    })
}

/// A text column, and the function that decodes its values.
#[derive(Debug)]
struct DecodedTexts<T> {
    texts: StringArray,
    decode: fn(&str) -> Option<T>,
}

impl<T> DecodedTexts<T> {
    fn new(batch: &RecordBatch, decoded: &DecodedColumn<T>) -> PlanResult<Self> {
        Ok(Self {
            texts: texts(column(batch, &decoded.column)?)?,
            decode: decoded.decode,
        })
    }

    fn get(&self, row: usize) -> Option<T> {
        if self.texts.is_null(row) {
            return None;
        }
        (self.decode)(self.texts.value(row))
    }
}

#[derive(Debug)]
struct BatchSamples {
    times: Vec<i64>,
    numbers: Option<Float64Array>,
    special: Option<DecodedTexts<f64>>,
    histograms: Option<DecodedTexts<FloatHistogram>>,
}

impl BatchSamples {
    fn new(batch: &RecordBatch, table: &SampleTable) -> PlanResult<Self> {
        let numbers = match &table.value_column {
            Some(name) => {
                let numbers = cast(column(batch, name)?, &DataType::Float64)?;
                Some(numbers.as_primitive::<Float64Type>().clone())
            }
            None => None,
        };
        let special = table.special_value_column.as_ref();
        let histograms = table.histogram_column.as_ref();
        Ok(Self {
            times: milliseconds(column(batch, &table.time_column)?)?,
            numbers,
            special: special.map(|special| DecodedTexts::new(batch, special)).transpose()?,
            histograms: histograms.map(|text| DecodedTexts::new(batch, text)).transpose()?,
        })
    }

    fn value(&self, row: usize) -> Option<SampleValue> {
        let histogram = self.histograms.as_ref().and_then(|texts| texts.get(row));
        if let Some(histogram) = histogram {
            return Some(histogram.into());
        }
        let special = self.special.as_ref().and_then(|texts| texts.get(row));
        let number = self.numbers.as_ref().filter(|numbers| numbers.is_valid(row));
        special
            .or_else(|| number.map(|numbers| numbers.value(row)))
            .map(SampleValue::Float)
    }

    /// Returns the samples of rows. Of those of the same time, the last one counts.
    fn samples(&self, rows: Range<usize>, selection: &Selection) -> Vec<(i64, SampleValue)> {
        let mut samples: Vec<(i64, SampleValue)> = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(time) = self.times.get(row).copied() else {
                break;
            };
            if time <= selection.after_ms || time > selection.until_ms {
                continue;
            }
            let Some(value) = self.value(row) else {
                continue;
            };
            match samples.last_mut() {
                Some(last) if last.0 == time => last.1 = value,
                _ => samples.push((time, value)),
            }
        }
        samples
    }
}

/// A batch whose samples are being returned.
#[derive(Debug)]
struct CurrentBatch {
    samples: BatchSamples,
    /// The series and their rows.
    series: VecDeque<(Labels, Range<usize>)>,
}

impl CurrentBatch {
    /// Removes the next rows of a series. Those with histograms are divided, because these are large.
    fn next_rows(&mut self) -> Option<(Labels, Range<usize>)> {
        let (labels, rows) = self.series.pop_front()?;
        if self.samples.histograms.is_none() || rows.len() <= MAX_HISTOGRAMS {
            return Some((labels, rows));
        }
        let middle = rows.start + MAX_HISTOGRAMS;
        self.series.push_front((labels.clone(), middle..rows.end));
        Some((labels, rows.start..middle))
    }
}

/// The sorted rows of a table.
struct TableRows {
    table: SampleTable,
    rows: SendableRecordBatchStream,
    constant_labels: Vec<(Arc<str>, Arc<str>)>,
    label_names: Vec<Arc<str>>,
}

impl TableRows {
    fn new(table: SampleTable, rows: SendableRecordBatchStream) -> Self {
        let constant = table.constant_labels.iter();
        Self {
            constant_labels: constant
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
            label_names: table.labels.iter().map(|label| label.label.as_str().into()).collect(),
            table,
            rows,
        }
    }

    /// Returns the rows of each series in a batch, with its labels.
    fn series(&self, batch: &RecordBatch) -> PlanResult<Vec<(Labels, Range<usize>)>> {
        let labels = self.table.labels.iter();
        let columns: Vec<ArrayRef> = labels
            .map(|label| column(batch, &label.column).cloned())
            .collect::<PlanResult<_>>()?;
        let ranges = if columns.is_empty() {
            std::iter::once(0..batch.num_rows()).collect()
        } else {
            partition(&columns.iter().map(codes).collect::<Vec<_>>())?.ranges()
        };
        let starts = UInt32Array::from_iter_values(
            ranges.iter().map(|range| u32::try_from(range.start).unwrap_or(u32::MAX)),
        );
        let first_values = columns
            .iter()
            .map(|column| texts(&take(column, &starts, None)?))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let series = ranges.into_iter().enumerate();
        Ok(series
            .map(|(position, range)| (self.labels(&first_values, position), range))
            .collect())
    }

    fn labels(&self, values: &[StringArray], position: usize) -> Labels {
        let labels = self.label_names.iter().zip(values);
        let present = labels.filter(|(_, values)| values.is_valid(position));
        let pairs = present.map(|(name, values)| (Arc::clone(name), values.value(position).into()));
        Labels::from_pairs(self.constant_labels.iter().cloned().chain(pairs))
    }
}

/// The samples of a selector.
pub(crate) struct SampleStream<'a> {
    source: &'a dyn MetricSource,
    selection: Selection,
    tables: SampleTables<'a>,
    table: Option<TableRows>,
    batch: Option<CurrentBatch>,
    /// The series of the chunk before.
    series: Option<Labels>,
    /// The time of the last sample of the chunk before.
    last_ms: i64,
}

impl<'a> SampleStream<'a> {
    pub(crate) async fn new(
        source: &'a dyn MetricSource,
        selection: Selection,
    ) -> Result<Self, PromqlError> {
        let Selection { matchers, after_ms, until_ms } = &selection;
        let tables = source.select(matchers, *after_ms, *until_ms).await?;
        Ok(Self {
            source,
            selection,
            tables,
            table: None,
            batch: None,
            series: None,
            last_ms: i64::MIN,
        })
    }

    /// Reads the next batch. Returns whether there was one.
    async fn read_batch(&mut self) -> Result<bool, PromqlError> {
        loop {
            let Some(table) = &mut self.table else {
                let Some(table) = self.tables.next().await.transpose()? else {
                    return Ok(false);
                };
                let rows = self.source.execute(table.plan.clone()).await?;
                self.table = Some(TableRows::new(table, rows));
                self.series = None;
                continue;
            };
            let Some(batch) = table.rows.next().await.transpose()? else {
                self.table = None;
                continue;
            };
            let series = table.series(&batch)?.into_iter();
            self.batch = Some(CurrentBatch {
                samples: BatchSamples::new(&batch, &table.table)?,
                series: series.filter(|(labels, _)| self.selection.contains(labels)).collect(),
            });
            return Ok(true);
        }
    }
}

#[async_trait]
impl ChunkStream for SampleStream<'_> {
    async fn next(&mut self) -> Result<Option<SampleChunk>, PromqlError> {
        loop {
            consume_budget().await;
            let next = self.batch.as_mut().and_then(|batch| {
                let (labels, rows) = batch.next_rows()?;
                Some((labels, batch.samples.samples(rows, &self.selection)))
            });
            let Some((labels, mut samples)) = next else {
                self.batch = None;
                if self.read_batch().await? {
                    continue;
                }
                return Ok(None);
            };
            let is_new = self.series.as_ref() != Some(&labels);
            if is_new {
                self.series = Some(labels.clone());
                self.last_ms = i64::MIN;
            } else {
                // A label that is null and one that is empty are the same, but not sorted as the same.
                samples.retain(|(time, _)| *time >= self.last_ms);
            }
            self.last_ms = samples.last().map_or(self.last_ms, |(time, _)| *time);
            return Ok(Some(SampleChunk { labels: is_new.then_some(labels), samples }));
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray,
    };

    use super::*;

    #[test]
    fn times_of_any_unit_are_rounded_down_to_milliseconds() {
        let columns: [(ArrayRef, i64); 7] = [
            (Arc::new(TimestampSecondArray::from(vec![-2])), -2_000),
            (Arc::new(TimestampSecondArray::from(vec![i64::MAX])), i64::MAX),
            (Arc::new(TimestampMillisecondArray::from(vec![-2])), -2),
            (Arc::new(TimestampMicrosecondArray::from(vec![1_999])), 1),
            (Arc::new(TimestampMicrosecondArray::from(vec![-1])), -1),
            (Arc::new(TimestampNanosecondArray::from(vec![1_999_999])), 1),
            (Arc::new(TimestampNanosecondArray::from(vec![-1])), -1),
        ];
        for (column, expected) in columns {
            let unit = column.data_type();
            assert_eq!(milliseconds(&column).unwrap(), [expected], "{unit}");
        }
        assert!(milliseconds(&Float64Array::from(vec![1.0])).is_err());
    }
}

//! The contents of a request.

use neap_rows::columnar::{ColumnConflict, PointBatches};

use super::SeriesExemplar;
use crate::{
    EXEMPLARS_FIELDS, EXEMPLARS_TABLE, EXEMPLARS_TAGS, METADATA_FIELDS, METADATA_METRIC_TAG,
    METADATA_TABLE, non_finite_name,
};

/// Nanoseconds per millisecond.
pub(super) const NANOS_PER_MILLI: i64 = 1_000_000;

/// What a row of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// A float sample.
    Sample,
    /// A native histogram.
    Histogram,
    /// The description of a metric.
    Metadata,
    /// An exemplar.
    Exemplar,
    /// Discarded, because its values do not fit the columns.
    Discarded,
}

/// The contents of a request.
#[derive(Debug, Default)]
pub struct DecodedWrite<'a> {
    /// The samples and histograms.
    pub points: PointBatches,
    /// The kinds of the rows of `points`, in the order of their numbers.
    pub rows: Vec<RowKind>,
    /// The descriptions of metrics, one for each metric.
    pub metadata: Vec<MetricMetadata<'a>>,
    /// The values that cannot be stored.
    pub refused: RefusedValues,
    /// The exemplars of the series.
    pub exemplars: Vec<SeriesExemplar<'a>>,
    /// The number of exemplars that are invalid, or too many.
    pub dropped_exemplars: usize,
}

/// Values that are refused before their rows exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RefusedValues {
    /// The number of samples and histograms.
    pub count: usize,
    /// The first errors, at most [`RefusedValues::MAX_MESSAGES`].
    pub messages: Vec<String>,
}

impl RefusedValues {
    /// Maximum number of errors that are kept.
    pub const MAX_MESSAGES: usize = 16;

    /// Maximum length of an error, in bytes.
    const MAX_MESSAGE_BYTES: usize = 2_000;

    pub(super) fn add(&mut self, count: usize, message: impl FnOnce() -> String) {
        self.count += count;
        if self.messages.len() < Self::MAX_MESSAGES {
            let mut message = message();
            message.truncate(message.floor_char_boundary(Self::MAX_MESSAGE_BYTES));
            message.shrink_to_fit();
            self.messages.push(message);
        }
    }
}

/// The description of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetricMetadata<'a> {
    /// The name of the metric.
    pub metric: &'a str,
    /// The type: `counter`, `gauge`, `histogram`, `gaugehistogram`, `summary`, `info`, `stateset` or `unknown`.
    pub kind: &'static str,
    /// What the metric measures.
    pub help: &'a str,
    /// The unit; empty if there is none.
    pub unit: &'a str,
}

impl DecodedWrite<'_> {
    /// Adds rows with the descriptions of metrics, at a time in nanoseconds since the Unix epoch.
    ///
    /// # Errors
    /// The message has a metric with the name of the table of descriptions, and with other columns.
    pub fn add_metadata(
        &mut self,
        metadata: &[MetricMetadata<'_>],
        time_ns: i64,
    ) -> Result<(), ColumnConflict> {
        let [kind, help, unit] = METADATA_FIELDS;
        for metadata in metadata {
            let table = self.points.table(METADATA_TABLE);
            table.begin_row(time_ns);
            self.rows.push(RowKind::Metadata);
            let added = table
                .tag(METADATA_METRIC_TAG, metadata.metric)
                .and_then(|()| table.string(kind, metadata.kind))
                .and_then(|()| table.string(help, metadata.help))
                .and_then(|()| table.string(unit, metadata.unit));
            if added.is_err() {
                table.discard_row();
                self.rows.pop();
                self.rows.push(RowKind::Discarded);
                return added;
            }
        }
        Ok(())
    }

    /// Adds rows with the exemplars of the series. Returns the number of exemplars that have none: their time is out of range, or
    /// the message has a metric with the name of their table.
    pub fn add_exemplars(&mut self) -> usize {
        let mut dropped = 0;
        for exemplar in std::mem::take(&mut self.exemplars) {
            if !self.add_exemplar(&exemplar) {
                dropped += 1;
            }
        }
        dropped
    }

    /// Adds the row of an exemplar. Returns whether there is one.
    fn add_exemplar(&mut self, exemplar: &SeriesExemplar<'_>) -> bool {
        let Some(time_ns) = exemplar.time_ms.checked_mul(NANOS_PER_MILLI) else {
            return false;
        };
        let [metric, series] = EXEMPLARS_TAGS;
        let [labels, value] = EXEMPLARS_FIELDS;
        let number = non_finite_name(exemplar.value)
            .map_or_else(|| exemplar.value.to_string(), str::to_owned);
        let table = self.points.table(EXEMPLARS_TABLE);
        table.begin_row(time_ns);
        let added = table
            .tag(metric, exemplar.metric)
            .and_then(|()| table.tag(series, &exemplar.series))
            .and_then(|()| table.string(labels, &exemplar.labels))
            .and_then(|()| table.string(value, &number));
        self.rows.push(if added.is_ok() {
            RowKind::Exemplar
        } else {
            table.discard_row();
            RowKind::Discarded
        });
        added.is_ok()
    }

    /// Returns the number of rows of a kind.
    pub fn count(&self, kind: RowKind) -> usize {
        self.rows.iter().filter(|row| **row == kind).count()
    }
}

/// Returns the name of a type of metric, whose number is the same in both versions.
pub(super) fn metric_kind(number: u64) -> &'static str {
    match number {
        1 => "counter",
        2 => "gauge",
        3 => "histogram",
        4 => "gaugehistogram",
        5 => "summary",
        6 => "info",
        7 => "stateset",
        _ => "unknown",
    }
}

//! The contents of a request.

use neap_rows::columnar::{ColumnConflict, PointBatches};

use crate::{METADATA_FIELDS, METADATA_METRIC_TAG, METADATA_TABLE};

/// What a row of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// A float sample.
    Sample,
    /// A native histogram.
    Histogram,
    /// The description of a metric.
    Metadata,
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
    /// The number of exemplars, which are not stored.
    pub exemplars: usize,
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

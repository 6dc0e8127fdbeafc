//! Series with their samples, as samples or as compressed chunks.

use arrow_array::RecordBatch;
use neap_query::promql::Metric;

use crate::{
    Chunk, ChunkEncoding, Histogram, Label, MAX_CHUNK_SAMPLES, Sample, XorChunkBuilder,
    remote_read::{
        failure::{ReadFailure, ReadResult},
        row_series::{RowSample, SeriesRows},
    },
};

/// The memory of a label besides its texts, in bytes.
const LABEL_BYTES: usize = size_of::<Label>();

/// The memory of a series besides its labels and samples, in bytes.
const SERIES_BYTES: usize = 256;

#[derive(Debug)]
pub(crate) struct ReadSeries {
    /// The labels in the order of their names.
    pub(crate) labels: Vec<Label>,
    pub(crate) data: SeriesData,
    last_time: Option<i64>,
}

/// The samples of a series.
#[derive(Debug)]
pub(crate) enum SeriesData {
    /// Samples and native histograms.
    Samples {
        samples: Vec<Sample>,
        histograms: Vec<Histogram>,
    },
    /// Complete chunks, and the last one.
    Chunks {
        complete: Vec<Chunk>,
        last: XorChunkBuilder,
    },
}

/// The form in which samples are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleForm {
    /// Samples.
    Plain,
    /// Chunks.
    Compressed,
}

/// Series of one or several metrics, within a limit of memory.
#[derive(Debug)]
pub(crate) struct SeriesCollector {
    form: SampleForm,
    max_bytes: usize,
    bytes: usize,
    series: Vec<ReadSeries>,
}

impl SeriesCollector {
    pub(crate) fn new(form: SampleForm, max_bytes: usize) -> Self {
        Self { form, max_bytes, bytes: 0, series: Vec::new() }
    }

    /// Returns the memory of the series, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Adds rows of a metric, which come in the order of their tags and times.
    ///
    /// # Errors
    /// The series take too much memory, or they cannot be collected in this form.
    pub(crate) fn add_rows(&mut self, metric: &Metric, batch: &RecordBatch) -> ReadResult {
        let rows = SeriesRows::new(metric, batch)?;
        for row in 0..rows.len() {
            let continues = match row.checked_sub(1) {
                Some(previous) => rows.is_same_series(row, previous),
                None => self.continues(&rows.labels(row)),
            };
            if !continues {
                self.begin_series(rows.labels(row));
            }
            self.add_sample(&rows, row)?;
        }
        Ok(())
    }

    /// Returns whether the series with these labels is the last one.
    fn continues(&self, labels: &[Label]) -> bool {
        self.series.last().is_some_and(|series| series.labels == labels)
    }

    fn begin_series(&mut self, labels: Vec<Label>) {
        if let Some(previous) = self.series.last_mut() {
            self.bytes += previous.data.complete_chunk();
        }
        let texts = labels.iter().map(|label| label.name.len() + label.value.len() + LABEL_BYTES);
        self.bytes += SERIES_BYTES + texts.sum::<usize>();
        let data = match self.form {
            SampleForm::Plain => {
                SeriesData::Samples { samples: Vec::new(), histograms: Vec::new() }
            }
            SampleForm::Compressed => {
                SeriesData::Chunks { complete: Vec::new(), last: XorChunkBuilder::new() }
            }
        };
        self.series.push(ReadSeries { labels, data, last_time: None });
    }

    fn add_sample(&mut self, rows: &SeriesRows<'_>, row: usize) -> ReadResult {
        let (Some(series), Some(time)) = (self.series.last_mut(), rows.time_ms(row)) else {
            return Ok(());
        };
        // Rows of other writers may differ by nanoseconds only. Prometheus has one sample per millisecond.
        if series.last_time.is_some_and(|last| time <= last) {
            return Ok(());
        }
        let Some(sample) = rows.sample(row, time) else {
            return Ok(());
        };
        series.last_time = Some(time);
        self.bytes += series.data.add(time, sample)?;
        if self.bytes > self.max_bytes {
            Err(ReadFailure::TooLarge(self.max_bytes))
        } else {
            Ok(())
        }
    }

    /// Returns the series in the order of their labels.
    pub(crate) fn finish(mut self) -> Vec<ReadSeries> {
        self.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        self.series.retain(|series| series.last_time.is_some());
        self.series
    }
}

impl SeriesData {
    /// Adds a sample. Returns the bytes by which the memory grows.
    fn add(&mut self, time: i64, sample: RowSample) -> ReadResult<usize> {
        match (&mut *self, sample) {
            (Self::Samples { samples, .. }, RowSample::Float(value)) => {
                samples.push(Sample { value, timestamp: time });
                Ok(size_of::<Sample>())
            }
            (Self::Samples { histograms, .. }, RowSample::Histogram(histogram)) => {
                let bytes = histogram_bytes(&histogram);
                histograms.push(*histogram);
                Ok(bytes)
            }
            (Self::Chunks { last, .. }, RowSample::Float(value)) => {
                let is_full = last.len() >= MAX_CHUNK_SAMPLES;
                let bytes = if is_full { self.complete_chunk() } else { 0 };
                if let Self::Chunks { last, .. } = self {
                    last.push(time, value);
                }
                Ok(bytes)
            }
            (Self::Chunks { .. }, RowSample::Histogram(_)) => Err(ReadFailure::HistogramChunks),
        }
    }

    /// Completes the last chunk. Returns the bytes by which the memory grows.
    fn complete_chunk(&mut self) -> usize {
        match self {
            Self::Chunks { complete, last } if !last.is_empty() => {
                let chunk = finish_chunk(std::mem::take(last));
                let bytes = chunk.data.len() + size_of::<Chunk>();
                complete.push(chunk);
                bytes
            }
            _ => 0,
        }
    }

    /// Returns all chunks; none if the samples are not compressed.
    pub(crate) fn into_chunks(mut self) -> Vec<Chunk> {
        self.complete_chunk();
        match self {
            Self::Samples { .. } => Vec::new(),
            Self::Chunks { complete, .. } => complete,
        }
    }
}

fn finish_chunk(chunk: XorChunkBuilder) -> Chunk {
    Chunk {
        min_time_ms: chunk.first_time(),
        max_time_ms: chunk.last_time(),
        encoding: ChunkEncoding::Xor.into(),
        data: chunk.finish(),
    }
}

fn histogram_bytes(histogram: &Histogram) -> usize {
    let buckets = histogram.negative_deltas.len()
        + histogram.negative_counts.len()
        + histogram.positive_deltas.len()
        + histogram.positive_counts.len()
        + histogram.custom_values.len();
    let spans = histogram.negative_spans.len() + histogram.positive_spans.len();
    size_of::<Histogram>() + (buckets + spans) * size_of::<f64>()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{
        ArrayRef, DictionaryArray, Float64Array, StringArray, TimestampNanosecondArray,
        types::Int32Type,
    };
    use neap_schema::ColumnType;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn metric() -> Arc<Metric> {
        let columns = [
            ("job", ColumnType::Tag),
            ("Zone", ColumnType::Tag),
            ("time", ColumnType::Time),
            ("value", ColumnType::Float),
            ("non_finite", ColumnType::String),
            ("histogram", ColumnType::String),
        ];
        let fields = columns.iter().map(|(name, kind)| kind.arrow_field(name));
        let schema = arrow_schema::Schema::new(fields.collect::<Vec<_>>());
        Metric::of_tables([("up", &schema)], &[]).remove(0)
    }

    type Row<'a> = (&'a str, Option<&'a str>, i64, Option<f64>, Option<&'a str>);

    fn batch(rows: &[Row<'_>]) -> RecordBatch {
        let jobs: DictionaryArray<Int32Type> = rows.iter().map(|row| Some(row.0)).collect();
        let zones: DictionaryArray<Int32Type> = rows.iter().map(|row| row.1).collect();
        let times = rows.iter().map(|row| row.2 * 1_000_000 + 5);
        let values: Float64Array = rows.iter().map(|row| row.3).collect();
        let names: StringArray = rows.iter().map(|row| row.4).collect();
        RecordBatch::try_from_iter([
            // The labels have the positions of the tags.
            ("label 0", Arc::new(jobs) as ArrayRef),
            ("label 1", Arc::new(zones)),
            ("time", Arc::new(TimestampNanosecondArray::from_iter_values(times))),
            ("value", Arc::new(values)),
            ("non_finite", Arc::new(names)),
        ])
        .unwrap()
    }

    fn labels(series: &ReadSeries) -> String {
        series
            .labels
            .iter()
            .map(|label| format!("{}={}", label.name, label.value))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn series_continue_in_the_next_batch_and_are_sorted_by_labels() {
        let mut collector = SeriesCollector::new(SampleForm::Plain, LIMIT);
        let first = batch(&[
            ("a", None, 1, Some(1.0), None),
            ("a", None, 2, None, Some("NaN")),
            ("a", Some("z"), 1, Some(5.0), None),
        ]);
        let second = batch(&[
            ("a", Some("z"), 1, Some(6.0), None),
            ("a", Some("z"), 2, Some(7.0), None),
            ("b", None, 1, None, None),
        ]);
        collector.add_rows(&metric(), &first).unwrap();
        collector.add_rows(&metric(), &second).unwrap();
        let series = collector.finish();
        let names: Vec<_> = series.iter().map(labels).collect();
        assert_eq!(names, ["Zone=z,__name__=up,job=a", "__name__=up,job=a"]);
        let SeriesData::Samples { samples, .. } = &series[0].data else {
            panic!("samples are not compressed");
        };
        let samples: Vec<_> = samples.iter().map(|it| (it.timestamp, it.value)).collect();
        assert_eq!(samples, [(1, 5.0), (2, 7.0)]);
    }

    #[test]
    fn chunks_have_at_most_120_samples() {
        let rows: Vec<_> = (0..300).map(|time| ("a", None, time, Some(1.0), None)).collect();
        let mut collector = SeriesCollector::new(SampleForm::Compressed, LIMIT);
        collector.add_rows(&metric(), &batch(&rows)).unwrap();
        let series = collector.finish().remove(0);
        let chunks = series.data.into_chunks();
        let times: Vec<_> =
            chunks.iter().map(|chunk| (chunk.min_time_ms, chunk.max_time_ms)).collect();
        assert_eq!(times, [(0, 119), (120, 239), (240, 299)]);
    }

    #[test]
    fn memory_is_limited() {
        let rows: Vec<_> = (0..300).map(|time| ("a", None, time, Some(1.0), None)).collect();
        let mut collector = SeriesCollector::new(SampleForm::Plain, 1_000);
        let refused = collector.add_rows(&metric(), &batch(&rows));
        assert!(matches!(refused, Err(ReadFailure::TooLarge(1_000))));
    }
}

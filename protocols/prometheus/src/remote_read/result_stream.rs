//! The JSON of a result, in pieces.

use std::{iter, sync::Arc, time::Duration, vec};

use bytes::Bytes;
use neap_bucket::World;
use neap_promql::{
    FloatHistogram, MatrixSeries, QueryResult, QueryValue, SampleValue, VectorSample,
};
use neap_query::{TextPieces, promql::ResultFormat};
use serde_json::{Value, json};

use crate::remote_read::{
    answer::TRUNCATED,
    result_stats::StatsDetail,
    result_text::{
        histogram_text, labels_text, scalar_text, text_in_quotes, time_text, value_text,
    },
};

/// The size from which a piece is sent, in bytes.
const PIECE_BYTES: usize = 256 << 10;

/// The number of samples after which the size of a piece is checked.
const SAMPLES_PER_CHECK: usize = 1_000;

/// The format of answers to queries.
#[derive(Debug)]
pub(crate) struct ResultJson {
    /// Maximum number of series; `None` is no limit.
    pub(crate) limit: Option<usize>,
    pub(crate) stats: Option<StatsDetail>,
    pub(crate) world: World,
    /// When the query started, by the monotonic clock.
    pub(crate) started_at: Duration,
}

impl ResultFormat for ResultJson {
    fn text(&self, result: QueryResult) -> TextPieces {
        let stats = self.stats.map(|detail| {
            let elapsed = self.world.clock.monotonic().saturating_sub(self.started_at);
            detail.json(&result.samples, elapsed)
        });
        let mut writer = ResultWriter::new(result, self.limit, stats);
        TextPieces::new(iter::from_fn(move || writer.next_piece()))
    }
}

/// A result that is being written.
#[derive(Debug)]
struct ResultWriter {
    items: ResultItems,
    /// Whether an item is written.
    has_items: bool,
    /// The text after the items; `None` if it is written.
    end: Option<String>,
    out: String,
    /// The result without its value. It keeps the memory of the items reserved.
    _result: QueryResult,
}

/// The items of a result that are not written.
#[derive(Debug)]
enum ResultItems {
    /// The text of a scalar or a string.
    Text(Option<String>),
    Vector(vec::IntoIter<VectorSample>),
    Matrix {
        series: vec::IntoIter<MatrixSeries>,
        /// The series that is being written.
        open: Option<OpenSeries>,
    },
}

/// A series that is being written. Its numbers come before its histograms.
#[derive(Debug)]
struct OpenSeries {
    samples: vec::IntoIter<(i64, SampleValue)>,
    has_numbers: bool,
    histograms: Vec<(i64, Arc<FloatHistogram>)>,
}

impl ResultWriter {
    fn new(mut result: QueryResult, limit: Option<usize>, stats: Option<Value>) -> Self {
        let mut value = std::mem::replace(&mut result.value, QueryValue::Vector(Vec::new()));
        if truncate(&mut value, limit.unwrap_or(usize::MAX)) {
            result.warnings.push(TRUNCATED.to_owned());
        }
        let (kind, items) = match value {
            QueryValue::Scalar { at_ms, value } => {
                let text = format!("[{},{}]", time_text(at_ms), scalar_text(value));
                ("scalar", ResultItems::Text(Some(text)))
            }
            QueryValue::Text { at_ms, value } => {
                let text = format!("[{},{}]", time_text(at_ms), text_in_quotes(&value));
                ("string", ResultItems::Text(Some(text)))
            }
            QueryValue::Vector(samples) => ("vector", ResultItems::Vector(samples.into_iter())),
            QueryValue::Matrix(series) => {
                let series = series.into_iter();
                ("matrix", ResultItems::Matrix { series, open: None })
            }
        };
        let is_list = !matches!(items, ResultItems::Text(_));
        let (open, close) = if is_list { ("[", "]") } else { ("", "") };
        let mut end = close.to_owned();
        if let Some(stats) = stats {
            end += &format!(r#","stats":{stats}"#);
        }
        end.push('}');
        for (name, texts) in [("warnings", &result.warnings), ("infos", &result.infos)] {
            if !texts.is_empty() {
                end += &format!(r#","{name}":{}"#, json!(texts));
            }
        }
        end.push('}');
        Self {
            items,
            has_items: false,
            end: Some(end),
            out: format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{open}"#),
            _result: result,
        }
    }

    /// Returns the next piece; `None` after the last one.
    fn next_piece(&mut self) -> Option<Bytes> {
        while self.out.len() < PIECE_BYTES {
            if !self.write_next() {
                self.out += &self.end.take()?;
                break;
            }
        }
        Some(Bytes::from(std::mem::take(&mut self.out)))
    }

    /// Writes an item, or a part of one. Returns false if there is none.
    fn write_next(&mut self) -> bool {
        let out = &mut self.out;
        let separator = if self.has_items { "," } else { "" };
        match &mut self.items {
            ResultItems::Text(text) => {
                let Some(text) = text.take() else {
                    return false;
                };
                *out += &text;
            }
            ResultItems::Vector(samples) => {
                let Some(sample) = samples.next() else {
                    return false;
                };
                let (name, value) = match &sample.value {
                    SampleValue::Float(value) => ("value", value_text(*value)),
                    SampleValue::Histogram(histogram) => ("histogram", histogram_text(histogram)),
                };
                let (labels, time) = (labels_text(&sample.labels), time_text(sample.at_ms));
                *out += &format!(r#"{separator}{{"metric":{labels},"{name}":[{time},{value}]}}"#);
            }
            ResultItems::Matrix { series, open } => match open {
                Some(current) => {
                    if !current.write_samples(out) {
                        *open = None;
                    }
                }
                None => {
                    let Some(next) = series.next() else {
                        return false;
                    };
                    *out += &format!(r#"{separator}{{"metric":{}"#, labels_text(&next.labels));
                    *open = Some(OpenSeries {
                        samples: next.samples.into_iter(),
                        has_numbers: false,
                        histograms: Vec::new(),
                    });
                }
            },
        }
        self.has_items = true;
        true
    }
}

impl OpenSeries {
    /// Writes samples. Returns false if the series is complete.
    fn write_samples(&mut self, out: &mut String) -> bool {
        for (at_ms, sample) in self.samples.by_ref().take(SAMPLES_PER_CHECK) {
            match sample {
                SampleValue::Float(value) => {
                    *out += if self.has_numbers {
                        ","
                    } else {
                        r#","values":["#
                    };
                    *out += &format!("[{},{}]", time_text(at_ms), value_text(value));
                    self.has_numbers = true;
                }
                SampleValue::Histogram(histogram) => self.histograms.push((at_ms, histogram)),
            }
        }
        if !self.samples.as_slice().is_empty() {
            return true;
        }
        if self.has_numbers {
            out.push(']');
        }
        let mut histograms = self.histograms.drain(..);
        if let Some((at_ms, first)) = histograms.next() {
            let text = histogram_text(&first);
            *out += &format!(r#","histograms":[[{},{text}]"#, time_text(at_ms));
            for (at_ms, histogram) in histograms {
                let text = histogram_text(&histogram);
                *out += &format!(",[{},{text}]", time_text(at_ms));
            }
            out.push(']');
        }
        out.push('}');
        false
    }
}

/// Removes the series after the first ones. Returns whether there were any.
fn truncate(value: &mut QueryValue, limit: usize) -> bool {
    match value {
        QueryValue::Vector(samples) if samples.len() > limit => samples.truncate(limit),
        QueryValue::Matrix(series) if series.len() > limit => series.truncate(limit),
        _ => return false,
    }
    true
}

//! Adds the values of one series after the other to the points of a request.

use std::{collections::HashSet, sync::Arc};

use neap_rows::columnar::{ColumnConflict, TableBatch};
use neap_schema::prometheus::{
    COUNT_FIELD, HISTOGRAM_FIELD, NAME_LABEL, NON_FINITE_FIELD, SUM_FIELD, VALUE_FIELD,
    non_finite_name,
};
use prost::Message;

use super::{
    DecodedWrite, MetricMetadata, RowKind, SeriesExemplar,
    decoded_write::NANOS_PER_MILLI,
    exemplar::{MAX_EXEMPLARS, MessageExemplar, series_json},
    labels::SeriesLabels,
};
use crate::{
    DecodeError,
    messages::Histogram,
    wire::{WireField, WireReader},
};

/// Maximum number of labels of a series. Tables have at most 250 tags by default.
pub(super) const MAX_LABELS: usize = 1_000;

/// The error of a series with more labels.
pub(super) const TOO_MANY_LABELS: &str = "the series has more than 1000 labels";

/// Maximum encoded length of a histogram, in bytes. Strings of tables are not longer either.
const MAX_HISTOGRAM_BYTES: usize = 1 << 20;

/// The memory of a description besides its texts, in bytes: its entries here and in the list of new descriptions, and
/// its row.
const METADATA_BYTES: usize = 320;

/// The memory of a value before its row exists, in bytes.
const VALUE_BYTES: usize = size_of::<(f64, i64)>();

/// The number of rows after which the memory is checked.
const ROWS_PER_CHECK: usize = 256;

/// Maximum length of a series in an error, in characters.
const MAX_SERIES_CHARS: usize = 200;

/// The parts of the current series, and the request so far.
#[derive(Debug)]
pub(super) struct SeriesWriter<'a> {
    pub(super) write: DecodedWrite<'a>,
    max_bytes: usize,
    /// The memory of symbols and descriptions, in bytes.
    other_bytes: usize,
    name: Option<&'a str>,
    /// The bytes of the last label with a name of a metric, and this name.
    name_label: (&'a [u8], &'a str),
    labels: SeriesLabels<'a>,
    /// The values with their times in milliseconds.
    samples: Vec<(f64, i64)>,
    histograms: Vec<&'a [u8]>,
    /// The exemplars: their labels as JSON, their numbers, and their times in milliseconds.
    exemplars: Vec<(String, f64, i64)>,
    /// The reason why the series is refused.
    defect: Option<&'static str>,
    described: HashSet<&'a str>,
}

impl<'a> SeriesWriter<'a> {
    /// Begins a request, whose symbols take `other_bytes`.
    pub(super) fn new(max_bytes: usize, other_bytes: usize) -> Self {
        Self {
            write: DecodedWrite::default(),
            max_bytes,
            other_bytes,
            name: None,
            name_label: (&[], ""),
            labels: SeriesLabels::default(),
            samples: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            defect: None,
            described: HashSet::new(),
        }
    }

    /// Begins a series.
    pub(super) fn begin(&mut self) {
        self.name = None;
        self.labels.begin();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.defect = None;
    }

    /// The name of the metric of the series.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.name
    }

    /// Refuses the series.
    pub(super) fn refuse(&mut self, defect: &'static str) {
        self.defect.get_or_insert(defect);
    }

    /// Reads a label of a message that has labels as text.
    #[inline]
    pub(super) fn read_label(&mut self, field: &WireField<'a>) -> Result<(), DecodeError> {
        let encoded = field.bytes()?;
        let (name_label, name) = self.name_label;
        if self.name.is_none() && !encoded.is_empty() && encoded == name_label {
            self.name = Some(name);
        } else if !self.labels.repeat(encoded) {
            let (name, value) = match short_label(encoded) {
                Some((name, value)) => (Some(name), Some(value)),
                None => decode_label(field.nested()?)?,
            };
            self.add_label(encoded, name, value);
        }
        Ok(())
    }

    /// Adds a label. `encoded` are its bytes, empty if the message has them elsewhere; a text of `None` is not UTF-8.
    #[inline]
    pub(super) fn add_label(
        &mut self,
        encoded: &'a [u8],
        name: Option<&'a str>,
        value: Option<&'a str>,
    ) {
        let (Some(name), Some(value)) = (name, value) else {
            return self.refuse("a label is not UTF-8");
        };
        if name == NAME_LABEL {
            self.name_label = (encoded, value);
            if self.name.replace(value).is_some() {
                self.refuse("the label __name__ occurs several times");
            }
        } else if name.is_empty() {
            self.refuse("a label has no name");
        } else if self.labels.len() >= MAX_LABELS {
            self.refuse(TOO_MANY_LABELS);
        } else {
            self.labels.push(encoded, name, value);
        }
    }

    /// Reads a sample, which has the same form in both versions.
    #[inline]
    pub(super) fn add_sample(&mut self, field: &WireField<'a>) -> Result<(), DecodeError> {
        let mut reader = field.nested()?;
        let (mut value, mut time) = reader.short_sample().unwrap_or_default();
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => value = field.float()?,
                2 => time = field.integer()?,
                _ => {}
            }
        }
        self.samples.push((value, time));
        self.check_values()
    }

    pub(super) fn add_histogram(&mut self, field: &WireField<'a>) -> Result<(), DecodeError> {
        self.histograms.push(field.bytes()?);
        self.check_values()
    }

    /// Checks the memory of the values of the series.
    #[inline]
    fn check_values(&self) -> Result<(), DecodeError> {
        let values = self.samples.len() + self.histograms.len();
        if values * VALUE_BYTES + self.other_bytes > self.max_bytes {
            Err(DecodeError::TooManyPoints(self.max_bytes))
        } else {
            Ok(())
        }
    }

    /// Adds an exemplar of the series, unless its labels are invalid or the request has too many.
    pub(super) fn add_exemplar(&mut self, exemplar: &MessageExemplar<'_>) {
        let has_room = self.write.exemplars.len() + self.exemplars.len() < MAX_EXEMPLARS;
        match has_room.then(|| exemplar.labels_json()).flatten() {
            Some(labels) => self.exemplars.push((labels, exemplar.value, exemplar.time_ms)),
            None => self.write.dropped_exemplars += 1,
        }
    }

    /// Keeps the exemplars of the series for rows that are added after all others.
    fn keep_exemplars(&mut self, metric: &'a str) -> Result<(), DecodeError> {
        let Some(series) = series_json(self.labels.pairs()) else {
            self.write.dropped_exemplars += self.exemplars.len();
            return Ok(());
        };
        for (labels, value, time_ms) in self.exemplars.drain(..) {
            let kept =
                SeriesExemplar { metric, series: Arc::clone(&series), labels, value, time_ms };
            self.other_bytes += kept.memory_size();
            self.write.exemplars.push(kept);
        }
        self.check_memory()
    }

    /// Adds the description of a metric, unless the request has one already.
    pub(super) fn add_metadata(&mut self, metadata: MetricMetadata<'a>) -> Result<(), DecodeError> {
        let is_empty = metadata.kind == "unknown" && metadata.help.is_empty();
        if !metadata.metric.is_empty() && !is_empty && self.described.insert(metadata.metric) {
            self.write.metadata.push(metadata);
            let texts = [metadata.metric, metadata.help, metadata.unit];
            self.other_bytes += METADATA_BYTES + texts.map(str::len).iter().sum::<usize>();
            self.check_memory()?;
        }
        Ok(())
    }

    /// Adds the rows of the series.
    pub(super) fn finish(&mut self) -> Result<(), DecodeError> {
        let values = self.samples.len() + self.histograms.len();
        if values == 0 && self.exemplars.is_empty() {
            return Ok(());
        }
        let metric = match (self.name, self.defect) {
            (None | Some(""), _) => Err("the series has no label __name__"),
            (Some(_), Some(defect)) => Err(defect),
            (Some(name), None) => Ok(name),
        };
        match metric {
            Ok(name) if !self.exemplars.is_empty() => self.keep_exemplars(name)?,
            Ok(_) => {}
            Err(defect) => {
                self.write.dropped_exemplars += self.exemplars.len();
                if values > 0 {
                    self.refuse_values(values, || defect.to_owned());
                }
                return Ok(());
            }
        }
        if values == 0 {
            return Ok(());
        }
        self.labels.look_up(&mut self.write.points);
        self.add_samples()?;
        if !self.histograms.is_empty() {
            self.add_histograms()?;
        }
        self.check_memory()
    }

    fn add_samples(&mut self) -> Result<(), DecodeError> {
        for index in 0..self.samples.len() {
            let Some((value, time)) = self.samples.get(index).copied() else {
                break;
            };
            let added = self.add_row(time, RowKind::Sample, |table| match non_finite_name(value) {
                None => table.float(VALUE_FIELD, value),
                Some(name) => table.string(NON_FINITE_FIELD, name),
            });
            if let Err(message) = added {
                self.refuse_values(1, || message);
            }
            if index % ROWS_PER_CHECK == ROWS_PER_CHECK - 1 {
                self.check_memory()?;
            }
        }
        Ok(())
    }

    fn add_histograms(&mut self) -> Result<(), DecodeError> {
        for index in 0..self.histograms.len() {
            let Some(message) = self.histograms.get(index).copied() else {
                break;
            };
            if message.len() > MAX_HISTOGRAM_BYTES {
                self.refuse_values(1, || {
                    format!("a histogram has more than {MAX_HISTOGRAM_BYTES} bytes")
                });
                continue;
            }
            let histogram = Histogram::decode(message)?;
            if let Err(defect) = histogram.validate() {
                self.refuse_values(1, || defect.to_string());
                continue;
            }
            let added = self.add_row(histogram.timestamp, RowKind::Histogram, |table| {
                let count = histogram.count_value();
                if count.is_finite() {
                    table.float(COUNT_FIELD, count)?;
                }
                if histogram.sum.is_finite() {
                    table.float(SUM_FIELD, histogram.sum)?;
                }
                table.string(HISTOGRAM_FIELD, &histogram.to_json())
            });
            if let Err(message) = added {
                self.refuse_values(1, || message);
            }
            self.check_memory()?;
        }
        Ok(())
    }

    /// Adds a row with the labels of the series. Returns why it cannot be stored.
    #[inline]
    fn add_row(
        &mut self,
        time_ms: i64,
        kind: RowKind,
        add_fields: impl FnOnce(&mut TableBatch) -> Result<(), ColumnConflict>,
    ) -> Result<(), String> {
        let Some(time) = time_ms.checked_mul(NANOS_PER_MILLI) else {
            return Err(format!("the time {time_ms} ms is out of range"));
        };
        let table = self.write.points.table(self.name.unwrap_or_default());
        table.begin_row(time);
        self.write.rows.push(kind);
        let mut tags = self.labels.point_values();
        let added = tags
            .try_for_each(|value| table.tag_value(value))
            .and_then(|()| add_fields(table));
        added.map_err(|conflict| {
            table.discard_row();
            if let Some(kind) = self.write.rows.last_mut() {
                *kind = RowKind::Discarded;
            }
            conflict.to_string()
        })
    }

    #[cold]
    fn refuse_values(&mut self, count: usize, reason: impl FnOnce() -> String) {
        let (name, labels) = (self.name.unwrap_or_default(), &self.labels);
        let message = || format!("{}: {}", series_text(name, labels), reason());
        self.write.refused.add(count, message);
    }

    fn check_memory(&self) -> Result<(), DecodeError> {
        if self.write.points.size_bytes() + self.other_bytes > self.max_bytes {
            Err(DecodeError::TooManyPoints(self.max_bytes))
        } else {
            Ok(())
        }
    }
}

/// Returns a series as Prometheus writes it, cut if it is long.
fn series_text(name: &str, labels: &SeriesLabels<'_>) -> String {
    let prefix = |text: &str| text.chars().take(MAX_SERIES_CHARS + 1).collect::<String>();
    let mut text = prefix(name);
    for (index, (label, value)) in labels.tags().enumerate() {
        let separator = if index == 0 { "{" } else { "," };
        text += &format!("{separator}{}={:?}", prefix(label), prefix(value));
        if text.len() > MAX_SERIES_CHARS {
            break;
        }
    }
    let end = text.char_indices().nth(MAX_SERIES_CHARS);
    match end {
        Some((end, _)) => {
            text.truncate(end);
            text + "..."
        }
        None if labels.len() == 0 => text,
        None => text + "}",
    }
}

/// Reads the name and the value of a label that has both, each with less than 128 bytes. Returns `None` if the label has
/// another form, or is not UTF-8.
#[inline]
fn short_label(encoded: &[u8]) -> Option<(&str, &str)> {
    // Everything but the texts is ASCII, so that each text is UTF-8 if all bytes are.
    let text = str::from_utf8(encoded).ok()?;
    let mut reader = WireReader::new(encoded);
    let name = reader.short_block(1)?.bytes().ok()?;
    reader.short_block(2)?;
    let (name_end, value_start) = (2 + name.len(), 4 + name.len());
    if reader.is_empty() {
        Some((text.get(2..name_end)?, text.get(value_start..)?))
    } else {
        None
    }
}

/// Reads the name and the value of a label; `None` is a text that is not UTF-8.
#[inline]
pub(super) fn decode_label<'a>(
    mut reader: WireReader<'a>,
) -> Result<(Option<&'a str>, Option<&'a str>), DecodeError> {
    let (mut name, mut value) = (Some(""), Some(""));
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => name = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((name, value))
}

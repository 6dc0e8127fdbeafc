//! Version 1: `prometheus.WriteRequest`.

use super::{
    DecodedWrite, MetricMetadata,
    decoded_write::metric_kind,
    exemplar::{MAX_EXEMPLAR_LABELS, MessageExemplar},
    series::{SeriesWriter, decode_label},
};
use crate::{
    DecodeError,
    wire::{WireField, WireReader},
};

pub(super) fn decode(message: &[u8], max_bytes: usize) -> Result<DecodedWrite<'_>, DecodeError> {
    let mut writer = SeriesWriter::new(max_bytes, 0);
    let mut reader = WireReader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => add_series(&mut writer, &field)?,
            3 => writer.add_metadata(read_metadata(&field)?)?,
            _ => {}
        }
    }
    Ok(writer.write)
}

fn add_series<'a>(
    writer: &mut SeriesWriter<'a>,
    series: &WireField<'a>,
) -> Result<(), DecodeError> {
    writer.begin();
    let mut reader = series.nested()?;
    // The labels are first in almost all messages.
    while let Some(label) = reader.short_block(1) {
        writer.read_label(&label)?;
    }
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => writer.read_label(&field)?,
            2 => writer.add_sample(&field)?,
            3 => writer.add_exemplar(&read_exemplar(&field)?),
            4 => writer.add_histogram(&field)?,
            _ => {}
        }
    }
    writer.finish()
}

fn read_exemplar<'a>(field: &WireField<'a>) -> Result<MessageExemplar<'a>, DecodeError> {
    let mut exemplar = MessageExemplar::default();
    let mut reader = field.nested()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 if exemplar.labels.len() < MAX_EXEMPLAR_LABELS => {
                exemplar.labels.push(decode_label(field.nested()?)?);
            }
            2 => exemplar.value = field.float()?,
            3 => exemplar.time_ms = field.integer()?,
            _ => {}
        }
    }
    Ok(exemplar)
}

fn read_metadata<'a>(field: &WireField<'a>) -> Result<MetricMetadata<'a>, DecodeError> {
    let mut metadata = MetricMetadata { metric: "", kind: metric_kind(0), help: "", unit: "" };
    let mut reader = field.nested()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => metadata.kind = metric_kind(field.unsigned()?),
            2 => metadata.metric = field.text()?.unwrap_or_default(),
            4 => metadata.help = field.text()?.unwrap_or_default(),
            5 => metadata.unit = field.text()?.unwrap_or_default(),
            _ => {}
        }
    }
    Ok(metadata)
}

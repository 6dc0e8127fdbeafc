//! Version 2: `io.prometheus.write.v2.Request`.

use super::{
    DecodedWrite, MetricMetadata,
    decoded_write::metric_kind,
    exemplar::{MAX_EXEMPLAR_LABELS, MessageExemplar},
    series::{MAX_LABELS, SeriesWriter, TOO_MANY_LABELS},
};
use crate::{
    DecodeError,
    wire::{WireField, WireReader, WireValue},
};

/// Maximum number of symbols of a message.
const MAX_SYMBOLS: usize = 1 << 20;

/// The memory of a symbol besides its text, in bytes.
const SYMBOL_BYTES: usize = size_of::<Option<&str>>();

/// Maximum number of references of a series: those of its labels and of its name.
const MAX_REFERENCES: usize = 2 * MAX_LABELS + 2;

/// The error of a reference to a symbol that does not exist.
const UNKNOWN_SYMBOL: &str = "a label refers to a symbol that the message does not have";

pub(super) fn decode(message: &[u8], max_bytes: usize) -> Result<DecodedWrite<'_>, DecodeError> {
    let symbols = read_symbols(message, max_bytes)?;
    let mut writer = SeriesWriter::new(max_bytes, symbols.len() * SYMBOL_BYTES);
    let mut references = Vec::new();
    let mut reader = WireReader::new(message);
    while let Some(field) = reader.next_field()? {
        if field.number == 5 {
            add_series(&mut writer, &symbols, &mut references, &field)?;
        }
    }
    Ok(writer.write)
}

/// Reads the symbols, which may follow the series that refer to them. `None` is a symbol that is not UTF-8.
fn read_symbols(message: &[u8], max_bytes: usize) -> Result<Vec<Option<&str>>, DecodeError> {
    let mut symbols = Vec::new();
    let mut reader = WireReader::new(message);
    while let Some(field) = reader.next_field()? {
        if field.number == 4 {
            if symbols.len() >= MAX_SYMBOLS {
                return Err(DecodeError::TooManySymbols(MAX_SYMBOLS));
            }
            symbols.push(field.text()?);
            if symbols.len() * SYMBOL_BYTES > max_bytes {
                return Err(DecodeError::TooManyPoints(max_bytes));
            }
        }
    }
    Ok(symbols)
}

fn add_series<'a>(
    writer: &mut SeriesWriter<'a>,
    symbols: &[Option<&'a str>],
    references: &mut Vec<u64>,
    series: &WireField<'a>,
) -> Result<(), DecodeError> {
    writer.begin();
    references.clear();
    let mut metadata = None;
    let mut reader = series.nested()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 if !read_references(&field, references)? => writer.refuse(TOO_MANY_LABELS),
            1 => {}
            2 => writer.add_sample(&field)?,
            3 => writer.add_histogram(&field)?,
            4 => writer.add_exemplar(&read_exemplar(&field, symbols)?),
            5 => {
                field.bytes()?;
                metadata = Some(field);
            }
            _ => {}
        }
    }
    let (pairs, rest) = references.as_chunks::<2>();
    if !rest.is_empty() {
        writer.refuse("the series has a label without a value");
    }
    for [name, value] in pairs {
        match (symbol(symbols, *name), symbol(symbols, *value)) {
            (Some(name), Some(value)) => writer.add_label(&[], name, value),
            _ => writer.refuse(UNKNOWN_SYMBOL),
        }
    }
    if let (Some(field), Some(metric)) = (metadata, writer.name()) {
        writer.add_metadata(read_metadata(&field, symbols, metric)?)?;
    }
    writer.finish()
}

/// Returns a symbol; the outer `None` is a reference to no symbol.
fn symbol<'a>(symbols: &[Option<&'a str>], reference: u64) -> Option<Option<&'a str>> {
    symbols.get(usize::try_from(reference).ok()?).copied()
}

/// Reads references to symbols, packed or not. Returns whether the series may have that many.
fn read_references(field: &WireField<'_>, references: &mut Vec<u64>) -> Result<bool, DecodeError> {
    if let WireValue::Varint(reference) = field.value {
        return Ok(push_reference(reference, references));
    }
    let mut packed = field.nested()?;
    let mut all_fit = true;
    while !packed.is_empty() {
        all_fit &= push_reference(packed.varint()?, references);
    }
    Ok(all_fit)
}

#[inline]
fn push_reference(reference: u64, references: &mut Vec<u64>) -> bool {
    let fits = references.len() < MAX_REFERENCES;
    if fits {
        references.push(reference);
    }
    fits
}

fn read_exemplar<'a>(
    field: &WireField<'_>,
    symbols: &[Option<&'a str>],
) -> Result<MessageExemplar<'a>, DecodeError> {
    let mut exemplar = MessageExemplar::default();
    let mut references = Vec::new();
    let mut reader = field.nested()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                read_references(&field, &mut references)?;
            }
            2 => exemplar.value = field.float()?,
            3 => exemplar.time_ms = field.integer()?,
            _ => {}
        }
    }
    let text = |reference: Option<&u64>| symbol(symbols, *reference?).flatten();
    let labels = references.chunks(2).take(MAX_EXEMPLAR_LABELS);
    exemplar.labels = labels.map(|label| (text(label.first()), text(label.get(1)))).collect();
    Ok(exemplar)
}

fn read_metadata<'a>(
    field: &WireField<'a>,
    symbols: &[Option<&'a str>],
    metric: &'a str,
) -> Result<MetricMetadata<'a>, DecodeError> {
    let mut metadata = MetricMetadata { metric, kind: metric_kind(0), help: "", unit: "" };
    let text = |field: &WireField<'_>| -> Result<&'a str, DecodeError> {
        Ok(symbol(symbols, field.unsigned()?).flatten().unwrap_or_default())
    };
    let mut reader = field.nested()?;
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => metadata.kind = metric_kind(field.unsigned()?),
            3 => metadata.help = text(&field)?,
            4 => metadata.unit = text(&field)?,
            _ => {}
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_beyond_the_limit_take_no_memory() {
        let unpacked = [0x08, 7].repeat(MAX_REFERENCES + 1);
        let packed = [&[0x0a, 0x80, 0x80, 0x04][..], &[7; 1 << 16]].concat();
        for message in [unpacked, packed] {
            let (mut reader, mut references) = (WireReader::new(&message), Vec::new());
            let mut all_fit = true;
            while let Some(field) = reader.next_field().unwrap() {
                all_fit &= read_references(&field, &mut references).unwrap();
            }
            assert!(!all_fit);
            assert_eq!(references.len(), MAX_REFERENCES);
        }
    }
}

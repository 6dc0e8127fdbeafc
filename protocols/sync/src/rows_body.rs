//! The body of a part with rows: tables, one after the other, each as an Arrow IPC stream behind its name.
//!
//! ```text
//! u32, little endian   length of the name
//!                      name of the table
//! u32, little endian   length of the stream
//!                      Arrow IPC stream, compressed by zstd
//! ```

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray, cast::AsArray,
};
use arrow_ipc::{
    CompressionType,
    writer::{IpcWriteOptions, StreamWriter},
};
use arrow_schema::{ArrowError, FieldRef, Schema};
use bytes::{Buf, Bytes};
use neap_file_formats::{FileInput, FileReader, Format, ReadError, ReadOptions};
use neap_rows::columnar::{
    ColumnMapping, ColumnarRows, MappingError, NumberedBatch, TablePart, batch_bytes,
};
use neap_schema::ColumnType;

/// The reason why a body has no rows that can be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowsBodyError {
    #[error("the body is cut off")]
    CutOff,
    #[error("the rows take more memory than stated")]
    TooLarge,
    #[error(
        "table '{0}' has a column '{SITE_TAG}', which is the tag with the name of the site: rename it"
    )]
    OwnTag(String),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Mapping(#[from] MappingError),
}

/// The tag that has the name of the site in all of its rows. All sites have the same tag, because the rows of a site with
/// another one could have the name of a foreign site in this one.
pub(crate) const SITE_TAG: &str = "site";

/// Memory of a decoded column beside its values, in bytes: the ends of its buffers.
const COLUMN_BYTES: usize = 256;

/// Returns the memory of decoded rows in bytes, with their whole dictionaries.
pub(crate) fn decoded_bytes(batch: &RecordBatch) -> usize {
    let columns = batch.columns().iter();
    let dictionaries = columns.filter_map(|column| {
        let values = column.as_any_dictionary_opt()?.values();
        let bytes = values.to_data().get_slice_memory_size();
        Some(bytes.unwrap_or_else(|_| values.get_array_memory_size()))
    });
    batch_bytes(batch)
        .saturating_add(dictionaries.sum())
        .saturating_add(COLUMN_BYTES.saturating_mul(batch.num_columns()))
}

/// Adds the rows of a table to a body.
pub(crate) fn push_table(
    body: &mut Vec<u8>,
    table: &str,
    batch: &RecordBatch,
) -> Result<(), ArrowError> {
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options)?;
    writer.write(batch)?;
    push(body, table.as_bytes())?;
    push(body, &writer.into_inner()?)
}

fn push(body: &mut Vec<u8>, bytes: &[u8]) -> Result<(), ArrowError> {
    let length = u32::try_from(bytes.len())
        .map_err(|_| ArrowError::IpcError("the rows of a part are too large".to_owned()))?;
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(bytes);
    Ok(())
}

/// Decodes the rows of a body, which take at most `max_bytes`, and adds the tag of the site to them.
///
/// # Errors
/// The body is malformed or too large, or a table has the tag already.
pub(crate) fn read_rows(
    mut body: Bytes,
    site: &str,
    max_bytes: u64,
) -> Result<ColumnarRows, RowsBodyError> {
    let mut parts = Vec::new();
    let mut free_bytes = max_bytes;
    while !body.is_empty() {
        let name = take(&mut body)?;
        let table = String::from_utf8(name.to_vec()).map_err(|_| RowsBodyError::CutOff)?;
        let options = ReadOptions {
            format: Some(Format::Arrow),
            mapping: ColumnMapping::for_table(table),
            max_decoded_bytes: Some(free_bytes),
            ..ReadOptions::default()
        };
        let mut reader = FileReader::open(FileInput::Bytes(take(&mut body)?), options)?;
        while let Some(part) = reader.next_part()? {
            let bytes: usize = part.batches.iter().map(|one| decoded_bytes(&one.batch)).sum();
            let free = free_bytes.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
            free_bytes = free.ok_or(RowsBodyError::TooLarge)?;
            parts.push(with_tag(part, site)?);
        }
    }
    Ok(ColumnarRows::from_parts(parts)?)
}

/// Takes bytes behind their length.
fn take(body: &mut Bytes) -> Result<Bytes, RowsBodyError> {
    let length = body.try_get_u32_le().map_err(|_| RowsBodyError::CutOff)?;
    let length = usize::try_from(length).map_err(|_| RowsBodyError::CutOff)?;
    if length > body.len() {
        return Err(RowsBodyError::CutOff);
    }
    Ok(body.split_to(length))
}

fn with_tag(part: TablePart, site: &str) -> Result<TablePart, RowsBodyError> {
    let TablePart { mapping, batches } = part;
    let tagged = batches.into_iter().map(|numbered| {
        if numbered.batch.schema_ref().column_with_name(SITE_TAG).is_some() {
            return Err(RowsBodyError::OwnTag(mapping.table.clone()));
        }
        Ok(NumberedBatch { batch: with_column(&numbered.batch, site)?, ..numbered })
    });
    let tagged_batches = tagged.collect::<Result<Vec<_>, _>>()?;
    Ok(TablePart { mapping, batches: tagged_batches })
}

fn with_column(batch: &RecordBatch, site: &str) -> Result<RecordBatch, ArrowError> {
    let keys = Int32Array::from(vec![0; batch.num_rows()]);
    let values = StringArray::from(vec![site]);
    let column: ArrayRef = Arc::new(DictionaryArray::try_new(keys, Arc::new(values))?);
    let mut fields: Vec<FieldRef> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(ColumnType::Tag.arrow_field(SITE_TAG));
    let mut columns = batch.columns().to_vec();
    columns.push(column);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, TimestampNanosecondArray};
    use neap_rows::line_protocol::RowSource;

    use super::*;

    const SITE: &str = "plant-1";

    fn batch(rows: usize) -> RecordBatch {
        let fields =
            vec![ColumnType::Float.arrow_field("load"), ColumnType::Time.arrow_field("time")];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![0.5; rows])),
            Arc::new(TimestampNanosecondArray::from(vec![7; rows])),
        ];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn body() -> Vec<u8> {
        let mut body = Vec::new();
        push_table(&mut body, "cpu", &batch(3)).unwrap();
        push_table(&mut body, "mem", &batch(2)).unwrap();
        push_table(&mut body, "cpu", &batch(1)).unwrap();
        body
    }

    #[test]
    fn tables_keep_their_order_and_get_the_tag() {
        let rows = read_rows(body().into(), SITE, 1 << 20).unwrap();
        let debug = format!("{rows:?}");
        assert!(debug.contains("parts: 3"), "{debug}");
        assert!(rows.size_bytes() > 0);
    }

    #[test]
    fn a_body_that_is_cut_off_is_refused() {
        let whole = body();
        // Between two tables, the rest is a shorter body, whose length the transfer protects.
        for length in [1, 5, whole.len() - 1] {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert!(read_rows(cut, SITE, 1 << 20).is_err(), "{length}");
        }
    }

    #[test]
    fn rows_that_are_larger_than_stated_are_refused() {
        let mut body = Vec::new();
        push_table(&mut body, "cpu", &batch(10_000)).unwrap();
        let refused = read_rows(body.into(), SITE, 10_000).unwrap_err();
        assert!(matches!(refused, RowsBodyError::Read(ReadError::TooLarge { .. })), "{refused}");
    }

    #[test]
    fn dictionaries_count_although_no_row_has_their_values() {
        let long = "x".repeat(100_000);
        let values = StringArray::from(vec![long.as_str(), "y"]);
        let unit = DictionaryArray::try_new(Int32Array::from(vec![1]), Arc::new(values)).unwrap();
        let of_time = batch(1);
        let mut fields: Vec<FieldRef> = of_time.schema_ref().fields().iter().cloned().collect();
        fields.push(ColumnType::Tag.arrow_field("unit"));
        let mut columns = of_time.columns().to_vec();
        columns.push(Arc::new(unit));
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut body = Vec::new();
        for _ in 0..10 {
            push_table(&mut body, "cpu", &rows).unwrap();
        }
        assert!(read_rows(body.clone().into(), SITE, 2 << 20).is_ok());
        assert!(read_rows(body.into(), SITE, 400_000).is_err());
    }

    #[test]
    fn a_table_with_the_tag_of_the_site_is_refused() {
        let tagged = with_column(&batch(1), "plant-2").unwrap();
        let mut body = Vec::new();
        push_table(&mut body, "cpu", &tagged).unwrap();
        let refused = read_rows(body.into(), SITE, 1 << 20).unwrap_err();
        assert!(matches!(refused, RowsBodyError::OwnTag(_)), "{refused}");
    }
}

//! How many rows of a Parquet file are decoded at once, and the memory for this.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::{
    basic::Type,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::ChunkReader,
    },
};

use crate::{
    ReadError,
    limits::{MAX_BATCH_ROWS, MAX_PART_BYTES},
    parquet_pages::ChunkPages,
};

/// The memory of a view or an offset with its null flag, rounded up: the minimum of a value.
const MIN_VALUE_BYTES: u64 = 16;

/// The rows to decode at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodingPlan {
    pub(crate) batch_rows: usize,
    /// The bytes of memory while they are decoded: in each column a dictionary and a page, and the values.
    pub(crate) memory_bytes: u64,
    /// The bytes of all pages when they are decompressed.
    pub(crate) total_bytes: u64,
}

impl DecodingPlan {
    /// Reads the headers of all pages.
    pub(crate) fn read<R: ChunkReader>(
        file: &R,
        metadata: &ParquetMetaData,
    ) -> Result<Self, ReadError> {
        let part_bytes = MAX_PART_BYTES as u64;
        let mut plan = Self { batch_rows: MAX_BATCH_ROWS, memory_bytes: 0, total_bytes: 0 };
        for group in metadata.row_groups() {
            let (mut row_bytes, mut open_bytes) = (0_u64, 0_u64);
            for chunk in group.columns() {
                let pages = ChunkPages::read(file, chunk)?;
                row_bytes = row_bytes.saturating_add(value_bytes(chunk, &pages));
                open_bytes = open_bytes
                    .saturating_add(pages.dictionary_bytes)
                    .saturating_add(pages.page_bytes);
                plan.total_bytes = plan.total_bytes.saturating_add(pages.total_bytes);
            }
            let rows = (part_bytes / row_bytes.max(1)).max(1);
            let rows = usize::try_from(rows).unwrap_or(MAX_BATCH_ROWS);
            plan.batch_rows = plan.batch_rows.min(rows);
            plan.memory_bytes = plan.memory_bytes.max(open_bytes);
        }
        // The values, and a part of them whose texts are copied.
        plan.memory_bytes = plan.memory_bytes.saturating_add(2 * part_bytes);
        Ok(plan)
    }
}

/// Returns the bytes of a value of a column, a maximum over its pages. Texts do not count again for each row with the same
/// value of the dictionary, because they are decoded as views.
fn value_bytes(chunk: &ColumnChunkMetaData, pages: &ChunkPages) -> u64 {
    let column = chunk.column_descr();
    if column.max_rep_level() > 0 {
        // A row has any number of values.
        return pages.page_bytes.max(MIN_VALUE_BYTES);
    }
    let fixed = match column.physical_type() {
        Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(column.type_length()).unwrap_or(0),
        _ => 0,
    };
    pages.value_bytes.max(fixed).max(MIN_VALUE_BYTES)
}

/// Returns the schema with views in the place of texts and binary values.
pub(crate) fn with_views(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<FieldRef> = schema.fields().iter().map(view_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn view_field(field: &FieldRef) -> FieldRef {
    let nested = |field: &FieldRef| view_field(field);
    let data_type = match field.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::List(item) => DataType::List(nested(item)),
        DataType::LargeList(item) => DataType::LargeList(nested(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nested).collect()),
        DataType::Map(entries, is_sorted) => DataType::Map(nested(entries), *is_sorted),
        other => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

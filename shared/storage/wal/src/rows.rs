//! Encoded rows: one Arrow IPC stream for each request and table.
//!
//! A request encodes its own rows before it joins the group commit, so that requests encode in parallel and a PUT only
//! concatenates bytes. Therefore a table may have several streams in one segment, in the order in which their requests
//! arrived.

use std::{cell::RefCell, sync::Arc};

use arrow_array::{Array, RecordBatch, TimestampNanosecondArray, cast::AsArray, types::Int32Type};
use arrow_ipc::{
    CompressionType,
    writer::{IpcDataGenerator, IpcWriteContext, write_message},
};
use arrow_schema::{ArrowError, DataType};
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;
use neap_schema::{TIME_COLUMN, TableId};

use crate::{
    EncodeError,
    narrow_columns::narrowed_columns,
    stream_dictionaries::append_dictionaries,
    stream_messages::MessageBody,
    stream_schema::{StreamSchema, schema_options},
};

/// The zstd level of the buffers of a stream. Encoding is on the path of every write, and a segment lives
/// for a minute: higher levels save a few per cent of its bytes for a multiple of the time.
const ZSTD_LEVEL: i32 = 1;

/// The memory size below which the buffers of a batch are not compressed, in bytes. zstd spends most of its time on the
/// tables of such small buffers, and the metadata of the stream takes as much room as they do.
const MIN_COMPRESSED_BYTES: u64 = 8 << 10;

/// About the bytes of the messages of a stream besides its values, for each column.
const COLUMN_OVERHEAD_BYTES: usize = 256;

/// About the memory size of a batch as a multiple of its compressed buffers.
const COMPRESSION_RATIO: u64 = 8;

/// The end of a stream: a continuation marker and a message of no bytes.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Returns the memory size of a batch, in bytes. If the batch is a slice, counts only the slice.
fn memory_bytes(batch: &RecordBatch) -> u64 {
    let columns = batch.columns().iter();
    columns.map(|column| column_memory_bytes(column.as_ref()) as u64).sum()
}

/// Returns what Arrow's `get_slice_memory_size` returns for a column of a type that segments support, without building
/// the data of the array.
fn column_memory_bytes(column: &dyn Array) -> usize {
    let rows = column.len();
    let bits = rows.div_ceil(8);
    let nulls = match column.null_count() {
        0 => 0,
        _ => bits,
    };
    if let Some(tags) = column.as_dictionary_opt::<Int32Type>() {
        return nulls + rows * size_of::<i32>() + column_memory_bytes(tags.values().as_ref());
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        let offsets = texts.value_offsets();
        let bytes = match offsets {
            [first, .., last] => usize::try_from(last - first).unwrap_or_default(),
            _ => 0,
        };
        return nulls + size_of_val(offsets) + bytes;
    }
    match column.data_type() {
        DataType::Boolean => nulls + bits,
        _ => nulls + rows * size_of::<u64>(),
    }
}

/// The rows of one request for one table, encoded. Cloning is cheap.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{RecordBatch, TimestampNanosecondArray};
/// use arrow_schema::Schema;
/// use neap_schema::{ColumnType, TableId};
/// use neap_wal::EncodedRows;
///
/// let schema = Arc::new(Schema::new(vec![ColumnType::Time.arrow_field("time")]));
/// let times = Arc::new(TimestampNanosecondArray::from(vec![30, 10]));
/// let batch = RecordBatch::try_new(schema, vec![times])?;
/// let rows = EncodedRows::encode(TableId::new(1), &batch)?;
/// assert_eq!((rows.rows(), rows.min_time(), rows.max_time()), (2, 10, 30));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EncodedRows {
    table: TableId,
    stream: Bytes,
    rows: u32,
    min_time: i64,
    max_time: i64,
    crc32c: u32,
    memory_bytes: u64,
}

impl EncodedRows {
    /// Encodes the rows of a table. CPU-bound; the time is proportional to the size of the rows.
    ///
    /// The columns are fields made by [`neap_schema::ColumnType::arrow_field`]. A column `time` without nulls is required.
    pub fn encode(table: TableId, batch: &RecordBatch) -> Result<Self, EncodeError> {
        let rows = u32::try_from(batch.num_rows()).map_err(|_| EncodeError::Arrow {
            table,
            source: ArrowError::InvalidArgumentError("too many rows".to_owned()),
        })?;
        if rows == 0 {
            return Err(EncodeError::Empty(table));
        }
        let failed = |source| EncodeError::Arrow { table, source };
        let memory_bytes = memory_bytes(batch);
        let narrow = if memory_bytes < MIN_COMPRESSED_BYTES {
            None
        } else {
            narrowed_columns(batch).map_err(failed)?
        };
        let columns = narrow.as_deref().unwrap_or(batch.columns());
        let schema = StreamSchema::try_new(table, batch.schema_ref(), columns)?;
        let (min_time, max_time) = time_range(batch).ok_or(EncodeError::Time(table))?;
        let encoded = match narrow {
            None => write_stream(&schema, batch, memory_bytes),
            Some(columns) => RecordBatch::try_new(Arc::clone(schema.schema()), columns)
                .and_then(|narrow| write_stream(&schema, &narrow, memory_bytes)),
        };
        let stream = encoded.map_err(failed)?;
        Ok(Self {
            table,
            rows,
            min_time,
            max_time,
            crc32c: crc32c::crc32c(&stream),
            memory_bytes,
            stream: stream.into(),
        })
    }

    /// Returns the rows as those of another table. The rows of a new table are encoded before it has an id.
    #[must_use]
    pub fn in_table(self, table: TableId) -> Self {
        Self { table, ..self }
    }

    /// The table.
    pub fn table(&self) -> TableId {
        self.table
    }

    /// The number of rows, at least one.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub fn min_time(&self) -> i64 {
        self.min_time
    }

    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub fn max_time(&self) -> i64 {
        self.max_time
    }

    /// The size of the decoded rows in memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The size of the encoded rows in a segment, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.stream.len()
    }

    pub(crate) fn stream(&self) -> &Bytes {
        &self.stream
    }

    pub(crate) fn crc32c(&self) -> u32 {
        self.crc32c
    }
}

fn time_range(batch: &RecordBatch) -> Option<(i64, i64)> {
    let column = batch.column_by_name(TIME_COLUMN)?;
    let times: &TimestampNanosecondArray = column.as_primitive_opt()?;
    if times.null_count() > 0 {
        return None;
    }
    let (first, rest) = times.values().split_first()?;
    Some(
        rest.iter()
            .fold((*first, *first), |(min, max), time| (min.min(*time), max.max(*time))),
    )
}

thread_local! {
    /// The zstd context and the buffers of this thread. Creating them takes longer than encoding a hundred rows, and a
    /// request may have rows of many tables.
    static WRITE_CONTEXT: RefCell<IpcWriteContext> = RefCell::default();

    /// The builder of metadata of this thread. Its buffer is used again.
    static METADATA_BUILDER: RefCell<FlatBufferBuilder<'static>> = RefCell::default();
}

/// Writes the stream of a batch with this memory size. The columns are those of the stream.
fn write_stream(
    schema: &StreamSchema,
    batch: &RecordBatch,
    memory_bytes: u64,
) -> Result<Vec<u8>, ArrowError> {
    let is_compressed = memory_bytes >= MIN_COMPRESSED_BYTES;
    let value_bytes = if is_compressed {
        memory_bytes / COMPRESSION_RATIO
    } else {
        memory_bytes
    };
    // A stream that grows by and by is copied several times.
    let overhead = batch.num_columns().saturating_mul(COLUMN_OVERHEAD_BYTES);
    let capacity = usize::try_from(value_bytes)
        .unwrap_or_default()
        .saturating_add(schema.message().len() + overhead);
    let mut stream = Vec::with_capacity(capacity);
    stream.extend_from_slice(schema.message());
    if is_compressed {
        append_compressed_rows(&mut stream, schema, batch)?
    } else {
        append_rows(&mut stream, batch)?
    }
    stream.extend_from_slice(&END_OF_STREAM);
    // The stream is kept until its segment is stored.
    if stream.capacity() / 2 > stream.len() {
        stream.shrink_to_fit();
    }
    Ok(stream)
}

/// Appends the dictionaries of a batch and its rows to a stream that has the schema already.
/// Fails if a column has a type that segments do not support.
fn append_rows(stream: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), ArrowError> {
    METADATA_BUILDER.with_borrow_mut(|builder| {
        append_dictionaries(stream, builder, batch)?;
        let mut rows = MessageBody::default();
        for column in batch.columns() {
            rows.add_column(column.as_ref())?;
        }
        rows.append_to(stream, builder, batch.num_rows(), None);
        Ok(())
    })
}

/// Appends the dictionaries of a batch and its rows with compressed buffers.
fn append_compressed_rows(
    stream: &mut Vec<u8>,
    schema: &StreamSchema,
    batch: &RecordBatch,
) -> Result<(), ArrowError> {
    let options = schema_options()?
        .try_with_compression(Some(CompressionType::ZSTD))?
        .try_with_compression_level(Some(ZSTD_LEVEL))?;
    let mut dictionaries = schema.dictionaries();
    let (of_dictionaries, of_rows) = WRITE_CONTEXT.with_borrow_mut(|context| {
        IpcDataGenerator::default().encode(batch, &mut dictionaries, &options, context)
    })?;
    for message in of_dictionaries.into_iter().chain([of_rows]) {
        write_message(&mut *stream, message, &options)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
    use arrow_ipc::writer::StreamWriter;
    use arrow_schema::{Field, Schema};
    use neap_schema::ColumnType;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        narrow_columns::with_wide_integers,
        stream_reader::{WantedColumns, read_stream},
        test_world::{batch_of_times, batches},
    };

    fn stream_of(batch: &RecordBatch, memory_bytes: u64) -> Vec<u8> {
        let schema =
            StreamSchema::try_new(TableId::new(1), batch.schema_ref(), batch.columns()).unwrap();
        write_stream(&schema, batch, memory_bytes).unwrap()
    }

    /// Returns the batch as it is in a compressed stream.
    fn narrow(batch: &RecordBatch) -> RecordBatch {
        let columns = narrowed_columns(batch).unwrap().unwrap_or_else(|| batch.columns().to_vec());
        let schema = StreamSchema::try_new(TableId::new(1), &batch.schema(), &columns).unwrap();
        RecordBatch::try_new(Arc::clone(schema.schema()), columns).unwrap()
    }

    /// Returns the stream of a batch, compressed with narrow columns.
    fn narrow_stream_of(batch: &RecordBatch) -> Vec<u8> {
        let narrow = narrow(batch);
        let schema =
            StreamSchema::try_new(TableId::new(1), &batch.schema(), narrow.columns()).unwrap();
        write_stream(&schema, &narrow, MIN_COMPRESSED_BYTES).unwrap()
    }

    fn read_all(stream: impl Into<Bytes>) -> Result<RecordBatch, ArrowError> {
        read(stream, &|_| true)
    }

    fn read(
        stream: impl Into<Bytes>,
        wanted: WantedColumns<'_>,
    ) -> Result<RecordBatch, ArrowError> {
        with_wide_integers(read_stream(stream.into(), wanted)?)
    }

    /// Whole batches, and slices of them.
    fn slices() -> impl Strategy<Value = RecordBatch> {
        (batches(), 0usize..8, 1usize..40).prop_map(|(batch, start, rows)| {
            let start = start.min(batch.num_rows() - 1);
            batch.slice(start, rows.min(batch.num_rows() - start))
        })
    }

    /// Returns the stream that Arrow's writer writes.
    fn expected_stream(batch: &RecordBatch, is_compressed: bool) -> Vec<u8> {
        let mut options = schema_options().unwrap();
        if is_compressed {
            options = options
                .try_with_compression(Some(CompressionType::ZSTD))
                .and_then(|options| options.try_with_compression_level(Some(ZSTD_LEVEL)))
                .unwrap();
        }
        let mut writer =
            StreamWriter::try_new_with_options(Vec::new(), &batch.schema(), options).unwrap();
        writer.write(batch).unwrap();
        writer.into_inner().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(neap_test_inputs::cases(256)))]
        #[test]
        fn a_stream_is_that_of_the_stream_writer(batch in slices()) {
            prop_assert_eq!(stream_of(&batch, 0), expected_stream(&batch, false));
            let compressed = stream_of(&batch, MIN_COMPRESSED_BYTES);
            prop_assert_eq!(compressed, expected_stream(&batch, true));
            prop_assert_eq!(narrow_stream_of(&batch), expected_stream(&narrow(&batch), true));
        }

        #[test]
        fn rows_of_every_type_round_trip(batch in batches()) {
            let rows = EncodedRows::encode(TableId::new(1), &batch).unwrap();
            prop_assert_eq!(rows.rows() as usize, batch.num_rows());
            for stream in [rows.stream().clone(), narrow_stream_of(&batch).into()] {
                let back = read_all(stream).unwrap();
                prop_assert_eq!(back.schema(), batch.schema());
                prop_assert_eq!(&back, &batch);
            }
        }

        #[test]
        fn some_columns_are_read(batch in slices(), wanted in any::<u16>()) {
            let schema = batch.schema();
            let is_wanted = |column: usize| wanted >> (column % 16) & 1 == 1;
            let columns: Vec<usize> = (0..batch.num_columns()).filter(|at| is_wanted(*at)).collect();
            let expected = batch.project(&columns).unwrap();
            let streams = [0, MIN_COMPRESSED_BYTES].map(|bytes| stream_of(&batch, bytes));
            for stream in streams.into_iter().chain([narrow_stream_of(&batch)]) {
                let read = read(stream, &|name| {
                    schema.index_of(name).is_ok_and(is_wanted)
                });
                prop_assert_eq!(&read.unwrap(), &expected);
            }
        }

        #[test]
        fn the_memory_size_of_every_type_is_that_of_arrow(batch in slices()) {
            for column in batch.columns() {
                let expected = column.to_data().get_slice_memory_size().unwrap();
                prop_assert_eq!(column_memory_bytes(column.as_ref()), expected);
            }
        }
    }

    #[test]
    fn values_of_tags_may_be_slices() {
        let texts = StringArray::from(vec![Some("a"), Some("bc"), None, Some("")]);
        for (start, count) in [(0, 4), (1, 3), (1, 1), (2, 1), (4, 0), (2, 0)] {
            let values = texts.slice(start, count);
            let keys = Int32Array::from(vec![(count > 0).then_some(0), None]);
            let tags = DictionaryArray::try_new(keys, Arc::new(values)).unwrap();
            let times = TimestampNanosecondArray::from(vec![1, 2]);
            let fields =
                vec![ColumnType::Tag.arrow_field("host"), ColumnType::Time.arrow_field("time")];
            let columns: Vec<ArrayRef> = vec![Arc::new(tags), Arc::new(times)];
            let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
            let stream = stream_of(&batch, 0);
            assert_eq!(stream, expected_stream(&batch, false), "{start} {count}");
            assert_eq!(read_all(stream).unwrap(), batch);
        }
    }

    #[test]
    fn a_stream_with_a_malformed_schema_does_not_panic() {
        let stream = stream_of(&batch_of_times(&[5, -7, 3]), 0);
        // The first message is the schema. Its length is after four bytes of ones.
        let length = u32::from_le_bytes(*stream[4..].first_chunk().unwrap()) as usize;
        let mut refused = 0;
        for (at, value) in (8..8 + length).flat_map(|at| [(at, 0), (at, 0xff)]) {
            let mut malformed = stream.clone();
            malformed[at] = value;
            refused += usize::from(read_all(malformed).is_err());
        }
        assert!(refused > 0);
    }

    #[test]
    fn small_batches_stay_as_they_are_and_large_ones_are_compressed_with_narrow_columns() {
        for (rows, is_large) in [(100, false), (10_000, true)] {
            let batch = batch_of_times(&vec![7; rows]);
            let encoded = EncodedRows::encode(TableId::new(1), &batch).unwrap();
            assert_eq!(read_all(encoded.stream().clone()).unwrap(), batch);
            let expected = if is_large {
                narrow_stream_of(&batch)
            } else {
                stream_of(&batch, 0)
            };
            assert_eq!(*encoded.stream(), expected);
        }
    }

    #[test]
    fn the_time_range_is_that_of_the_rows() {
        let rows = EncodedRows::encode(TableId::new(1), &batch_of_times(&[5, -7, 3])).unwrap();
        assert_eq!((rows.min_time(), rows.max_time()), (-7, 5));
    }

    #[test]
    fn the_memory_size_is_that_of_the_decoded_rows() {
        let times = vec![7; 10_000];
        let rows = EncodedRows::encode(TableId::new(1), &batch_of_times(&times)).unwrap();
        assert!(rows.size_bytes() < 10_000, "{}", rows.size_bytes());
        // Each row has 8 bytes for the time and 4 bytes for the dictionary key of the tag.
        assert!((120_000..130_000).contains(&rows.memory_bytes()), "{}", rows.memory_bytes());
        let slice = batch_of_times(&times).slice(0, 10);
        let rows = EncodedRows::encode(TableId::new(1), &slice).unwrap();
        assert!(rows.memory_bytes() < 10_000, "{}", rows.memory_bytes());
    }

    #[test]
    fn a_slice_of_a_batch_encodes_only_its_rows() {
        let batch = batch_of_times(&[1, 2, 3, 4]).slice(1, 2);
        let rows = EncodedRows::encode(TableId::new(1), &batch).unwrap();
        assert_eq!((rows.min_time(), rows.max_time()), (2, 3));
        assert_eq!(read_all(rows.stream().clone()).unwrap(), batch);
    }

    #[test]
    fn invalid_batches_are_refused() {
        let table = TableId::new(1);
        let batch = batch_of_times(&[1]);
        let encode = |batch: &RecordBatch| EncodedRows::encode(table, batch);
        assert!(matches!(encode(&batch.slice(0, 0)), Err(EncodeError::Empty(_))));
        let without_time = batch.project(&[0]).unwrap();
        assert_eq!(without_time.schema().field(0).name(), "host");
        assert!(matches!(encode(&without_time), Err(EncodeError::Time(_))));
        let plain = Schema::new(vec![Field::new("time", ColumnType::Time.data_type(), false)]);
        let untyped = RecordBatch::try_new(plain.into(), batch.columns()[1..].to_vec()).unwrap();
        assert!(matches!(encode(&untyped), Err(EncodeError::Column { .. })));
    }
}

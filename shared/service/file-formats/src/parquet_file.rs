//! Parquet files.

use std::{
    fs::File,
    io::Seek,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart, batch_bytes};
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
        ParquetRecordBatchReaderBuilder,
    },
    file::{metadata::ParquetMetaData, reader::ChunkReader},
};

use crate::{
    ReadError,
    decoding_plan::{DecodingPlan, with_views},
    input::FileInput,
    limits::{MAX_PART_BYTES, check_columns},
    part_source::PartSource,
};

pub(crate) struct ParquetFile {
    opened: OpenedFile,
    /// Decoded rows with views, which share equal texts of a dictionary.
    decoded: Option<RecordBatch>,
    mapping: ColumnMapping,
    /// The number of rows that are read or skipped.
    rows: usize,
    bytes: u64,
    consumed: Arc<AtomicU64>,
}

struct OpenedFile {
    reader: ParquetRecordBatchReader,
    /// The columns without views.
    schema: SchemaRef,
    plan: DecodingPlan,
    total_rows: usize,
}

impl ParquetFile {
    /// Opens a file after its first rows.
    pub(crate) fn open(
        input: FileInput,
        mapping: ColumnMapping,
        skip_rows: usize,
        max_decoded_bytes: Option<u64>,
        consumed: Arc<AtomicU64>,
    ) -> Result<Self, ReadError> {
        let (opened, bytes) = match input {
            FileInput::File(mut file) => {
                let bytes = file.metadata()?.len();
                file.rewind()?;
                let opened = OpenedFile::new::<File>(file, skip_rows, max_decoded_bytes)?;
                (opened, bytes)
            }
            FileInput::Bytes(contents) => {
                let bytes = contents.len() as u64;
                let opened = OpenedFile::new::<Bytes>(contents, skip_rows, max_decoded_bytes)?;
                (opened, bytes)
            }
            FileInput::Stream(_) => return Err(ReadError::NeedsFile),
        };
        Ok(Self {
            rows: skip_rows.min(opened.total_rows),
            opened,
            decoded: None,
            mapping,
            bytes,
            consumed,
        })
    }

    /// Returns the next decoded rows, at most [`MAX_PART_BYTES`] or one row.
    fn next_rows(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let decoded = match self.decoded.take() {
            Some(decoded) => decoded,
            None => match self.opened.reader.next().transpose()? {
                Some(decoded) => decoded,
                None => return Ok(None),
            },
        };
        let total = decoded.num_rows();
        let mut rows = total;
        while rows > 1 && batch_bytes(&decoded.slice(0, rows)) > MAX_PART_BYTES {
            rows /= 2;
        }
        if rows < total {
            self.decoded = Some(decoded.slice(rows, total - rows));
        }
        without_views(&decoded.slice(0, rows), &self.opened.schema).map(Some)
    }
}

impl OpenedFile {
    fn new<R: ChunkReader + 'static>(
        input: R,
        skip_rows: usize,
        max_decoded_bytes: Option<u64>,
    ) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Parquet { row: 0, error };
        let stated =
            ArrowReaderMetadata::load(&input, ArrowReaderOptions::new()).map_err(failed)?;
        let metadata = Arc::clone(stated.metadata());
        check_columns(metadata.file_metadata().schema_descr().num_columns())?;
        let limit = max_decoded_bytes.unwrap_or(u64::MAX);
        let check_size = |bytes: u64| {
            if bytes > limit {
                Err(ReadError::TooLarge { limit })
            } else {
                Ok(())
            }
        };
        check_size(stated_bytes(&metadata))?;
        let plan = DecodingPlan::read(&input, &metadata)?;
        check_size(plan.total_bytes)?;
        let schema = Arc::clone(stated.schema());
        let options = ArrowReaderOptions::new().with_schema(with_views(&schema));
        let with_views = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options);
        let builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, with_views.map_err(failed)?);
        let reader = builder
            .with_batch_size(plan.batch_rows)
            .with_offset(skip_rows)
            .build()
            .map_err(failed)?;
        let rows = metadata.file_metadata().num_rows();
        Ok(Self {
            reader,
            schema,
            plan,
            total_rows: usize::try_from(rows).unwrap_or_default(),
        })
    }
}

/// Returns the size that the footer states for the decompressed columns, in bytes.
fn stated_bytes(metadata: &ParquetMetaData) -> u64 {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    columns
        .map(|column| u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX))
        .fold(0, u64::saturating_add)
}

/// Returns a batch with the types of a schema.
fn without_views(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| cast(column, field.data_type()))
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

impl PartSource for ParquetFile {
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError> {
        let batch = self.next_rows().map_err(|error| ReadError::Arrow { row: self.rows, error })?;
        let Some(batch) = batch else {
            return Ok(Vec::new());
        };
        let first_row = self.rows + 1;
        self.rows += batch.num_rows();
        let total_rows = self.opened.total_rows.max(1);
        let share = u128::from(self.bytes) * self.rows as u128 / total_rows as u128;
        let share = u64::try_from(share).unwrap_or(self.bytes).min(self.bytes);
        self.consumed.store(share, Ordering::Relaxed);
        Ok(vec![TablePart {
            mapping: self.mapping.clone(),
            batches: vec![NumberedBatch {
                first_row,
                batch,
                refused: Vec::new(),
                has_tag_dictionaries: false,
            }],
        }])
    }

    fn memory_bytes(&self) -> u64 {
        self.opened.plan.memory_bytes
    }
}

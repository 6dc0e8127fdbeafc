//! What the footer of a Parquet file says about its rows.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef, TimeUnit};
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    file::{
        metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader},
        statistics::Statistics,
    },
};

use crate::ReadError;

/// The length of the end of a Parquet file that has the length of its footer, in bytes.
pub const PARQUET_TAIL_BYTES: usize = 8;

/// The contents of a Parquet file according to its footer.
#[derive(Clone, Debug)]
pub struct ParquetSummary {
    /// The number of rows.
    pub rows: u64,
    /// The columns.
    pub schema: SchemaRef,
    metadata: Arc<ParquetMetaData>,
}

/// Returns the length of the footer, without the end of the file, in bytes. `tail` is the end of the file.
///
/// # Errors
/// The file is not Parquet, or is encrypted.
pub fn parquet_footer_bytes(tail: [u8; PARQUET_TAIL_BYTES]) -> Result<usize, ReadError> {
    let tail = FooterTail::try_new(&tail).map_err(|error| ReadError::Parquet { row: 0, error })?;
    Ok(tail.metadata_length())
}

impl ParquetSummary {
    /// Decodes a footer.
    ///
    /// # Errors
    /// The footer is damaged, or a column has a type without a counterpart.
    pub fn decode(footer: &[u8]) -> Result<Self, ReadError> {
        let failed = |error| ReadError::Parquet { row: 0, error };
        let metadata = Arc::new(ParquetMetaDataReader::decode_metadata(footer).map_err(failed)?);
        let options = ArrowReaderOptions::new();
        let decoded = ArrowReaderMetadata::try_new(Arc::clone(&metadata), options);
        let schema = Arc::clone(decoded.map_err(failed)?.schema());
        Ok(Self {
            rows: u64::try_from(metadata.file_metadata().num_rows()).unwrap_or_default(),
            schema,
            metadata,
        })
    }

    /// Returns the earliest and the latest time of a column, in nanoseconds since the Unix epoch; `None` if the column
    /// has no timestamps, or the file has no statistics.
    pub fn time_range(&self, column: &str) -> Option<(i64, i64)> {
        let field = self.schema.field_with_name(column).ok()?;
        let factor = match field.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
            DataType::Timestamp(TimeUnit::Nanosecond, _) => 1,
            _ => return None,
        };
        let mut range: Option<(i64, i64)> = None;
        for group in self.metadata.row_groups() {
            let chunk =
                group.columns().iter().find(|chunk| chunk.column_path().parts() == [column])?;
            let Some(Statistics::Int64(times)) = chunk.statistics() else {
                return None;
            };
            let (min, max) = (*times.min_opt()?, *times.max_opt()?);
            let (min, max) = (min.checked_mul(factor)?, max.checked_mul(factor)?);
            range = Some(range.map_or((min, max), |(first, last)| (first.min(min), last.max(max))));
        }
        range
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{RecordBatch, TimestampMillisecondArray};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn file(times: &[i64]) -> Vec<u8> {
        let times = TimestampMillisecondArray::from(times.to_vec());
        let batch = RecordBatch::try_from_iter([("at", Arc::new(times) as _)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn summary(file: &[u8]) -> Result<ParquetSummary, ReadError> {
        let (rest, tail) = file.split_last_chunk::<PARQUET_TAIL_BYTES>().unwrap();
        let length = parquet_footer_bytes(*tail)?;
        ParquetSummary::decode(&rest[rest.len() - length..])
    }

    #[test]
    fn a_footer_tells_rows_columns_and_times() {
        let summary = summary(&file(&[5, -3, 9])).unwrap();
        assert_eq!(summary.rows, 3);
        assert_eq!(summary.schema.field(0).name(), "at");
        assert_eq!(summary.time_range("at"), Some((-3_000_000, 9_000_000)));
        assert_eq!(summary.time_range("time"), None);
    }

    #[test]
    fn files_of_other_formats_are_errors() {
        assert!(summary(b"time,temp\n1,2\n3,4\n").is_err());
        let mut damaged = file(&[1]);
        let end = damaged.len() - PARQUET_TAIL_BYTES;
        damaged[end - 20..end].fill(0xff);
        assert!(summary(&damaged).is_err());
    }
}

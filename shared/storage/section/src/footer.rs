//! The decoded footer of a section, which verifies ranges of the section.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parquet::{
    arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions},
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};

use crate::checksums::{self, ChecksummedPart};

/// Why bytes of a section cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParquetPartError {
    /// The bytes are damaged.
    #[error("the checksum of column '{column}' does not match")]
    Checksum {
        /// The column.
        column: String,
    },
    /// The bytes are not whole pages or bloom filters, so they have no checksum.
    #[error("its bytes {start} to {end} have no checksum")]
    Unaligned {
        /// The offset of the first byte in the section.
        start: u64,
        /// The offset after the last byte.
        end: u64,
    },
}

/// The approximate memory of the Arrow schema of a column, in bytes.
const ARROW_COLUMN_BYTES: usize = 512;

/// The metadata of a section, and the checksums of its pages and bloom filters.
#[derive(Clone, Debug)]
pub struct SectionFooter {
    metadata: Arc<ParquetMetaData>,
    checksums: Box<[ChecksummedPart]>,
    /// The metadata with the Arrow schema, after its first use.
    arrow_metadata: OnceLock<ArrowReaderMetadata>,
}

impl SectionFooter {
    /// Decodes the last bytes of a section of `length` bytes. The caller must have verified them. The policy is for the
    /// column index; the offset index is always decoded, because it contains the locations of the parts.
    ///
    /// # Errors
    /// The bytes are not the end of a Parquet file with checksums, or the position of a column or a number of rows is negative.
    pub fn decode(
        footer: &Bytes,
        length: u64,
        column_index: PageIndexPolicy,
    ) -> Result<Self, ParquetError> {
        let mut reader = ParquetMetaDataReader::new()
            .with_column_index_policy(column_index)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        reader.try_parse_sized(footer, length)?;
        let metadata = reader.finish()?;
        check_positions(&metadata)?;
        let start = length.saturating_sub(footer.len() as u64);
        let checksums = checksums::decode(footer, start, &metadata).ok_or_else(|| {
            ParquetError::General("the checksums of its pages are missing".to_owned())
        })?;
        Ok(Self {
            checksums,
            metadata: Arc::new(metadata),
            arrow_metadata: OnceLock::new(),
        })
    }

    /// Returns the Parquet metadata.
    pub fn metadata(&self) -> &Arc<ParquetMetaData> {
        &self.metadata
    }

    /// Returns the Parquet metadata with the Arrow schema.
    ///
    /// # Errors
    /// The Arrow schema is not that of the Parquet columns.
    pub fn arrow_metadata(&self) -> Result<&ArrowReaderMetadata, ParquetError> {
        if let Some(metadata) = self.arrow_metadata.get() {
            return Ok(metadata);
        }
        let options = ArrowReaderOptions::new();
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&self.metadata), options)?;
        Ok(self.arrow_metadata.get_or_init(|| metadata))
    }

    /// Returns the approximate memory size, in bytes.
    pub fn size_bytes(&self) -> usize {
        let columns = self.metadata.file_metadata().schema_descr().num_columns();
        self.metadata.memory_size()
            + self.checksums.len() * size_of::<ChecksummedPart>()
            + columns * ARROW_COLUMN_BYTES
    }

    /// Verifies bytes of the section from offset `start`. They must be one or more consecutive whole parts.
    ///
    /// # Errors
    /// The bytes are damaged, or are not whole parts.
    pub fn verify(&self, start: u64, bytes: &[u8]) -> Result<(), ParquetPartError> {
        let parts = &self.checksums;
        let end = start.saturating_add(bytes.len() as u64);
        let unaligned = || ParquetPartError::Unaligned { start, end };
        let first = parts.partition_point(|checked| checked.part.range.start < start);
        let mut rest = bytes;
        let mut at = start;
        for checked in parts.iter().skip(first) {
            if at == end {
                break;
            }
            let Range { start, end } = checked.part.range;
            let length = usize::try_from(end.saturating_sub(start)).map_err(|_| unaligned())?;
            let (part, after) =
                rest.split_at_checked(length).filter(|_| start == at).ok_or_else(unaligned)?;
            if crc32c::crc32c(part) != checked.crc32c {
                return Err(ParquetPartError::Checksum {
                    column: self.column_name(checked.part.column),
                });
            }
            (rest, at) = (after, end);
        }
        if at == end { Ok(()) } else { Err(unaligned()) }
    }

    /// Verifies all parts of a section.
    ///
    /// # Errors
    /// A part is damaged, or the section is truncated.
    pub fn verify_all(&self, section: &[u8]) -> Result<(), ParquetPartError> {
        let parts = self.checksums.iter();
        for Range { start, end } in parts.map(|checked| checked.part.range.clone()) {
            let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            let bytes = range
                .and_then(|(start, end)| section.get(start..end))
                .ok_or(ParquetPartError::Unaligned { start, end })?;
            self.verify(start, bytes)?;
        }
        Ok(())
    }

    fn column_name(&self, column: usize) -> String {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        let column = columns.get(column);
        column.map_or_else(String::new, |column| column.path().string())
    }
}

/// Checks that no row group has a negative number of rows, and that no column chunk has a negative offset or length, because
/// [`ColumnChunkMetaData::byte_range`] panics then.
///
/// [`ColumnChunkMetaData::byte_range`]: parquet::file::metadata::ColumnChunkMetaData::byte_range
fn check_positions(metadata: &ParquetMetaData) -> Result<(), ParquetError> {
    let groups = metadata.row_groups().iter();
    if groups.clone().any(|group| group.num_rows() < 0) {
        return Err(ParquetError::General(
            "the number of rows of a row group is negative".to_owned(),
        ));
    }
    for column in groups.flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        if start < 0 || column.compressed_size() < 0 {
            let path = column.column_path().string();
            return Err(ParquetError::General(format!(
                "the position of column '{path}' is negative"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "footer_tests.rs"]
mod tests;

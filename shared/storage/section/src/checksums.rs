//! Encodes and decodes the checksums of a section.

use std::io::{self, Write};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, ParquetMetaDataWriter},
        writer::TrackedWrite,
    },
};

use crate::parts::{ParquetPart, page_index_start, parts_of};

/// The first bytes of the checksums.
const MAGIC: &[u8; 4] = b"NPCS";

/// Bytes before the first checksum.
const HEADER_BYTES: usize = 8;

/// Bytes of one checksum.
const CHECKSUM_BYTES: usize = 4;

/// A part with its checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChecksummedPart {
    pub(crate) part: ParquetPart,
    pub(crate) crc32c: u32,
}

/// Adds the checksums of all parts to a Parquet file. `metadata` is that of the file, including its page index.
///
/// # Errors
/// The metadata does not match the file.
pub fn add_checksums(
    mut file: Vec<u8>,
    metadata: &ParquetMetaData,
) -> Result<Vec<u8>, ParquetError> {
    let Some(start) = page_index_start(metadata) else {
        // Without a row group there are no parts.
        return Ok(file);
    };
    let start = usize::try_from(start)?;
    let checksums = encode(&file, &parts_of(metadata))?;
    file.truncate(start);
    let mut end = SuffixBuffer { prefix_bytes: start, bytes: Vec::new() };
    // The writer computes the offsets of the page index from the first byte that it receives.
    let mut writer = TrackedWrite::new(&mut end);
    writer.write_all(&file)?;
    writer.write_all(&checksums)?;
    ParquetMetaDataWriter::new_with_tracked(writer, metadata).finish()?;
    file.extend_from_slice(&end.bytes);
    Ok(file)
}

/// A writer that skips a prefix and keeps the bytes after it.
struct SuffixBuffer {
    prefix_bytes: usize,
    bytes: Vec<u8>,
}

impl Write for SuffixBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let skipped = self.prefix_bytes.min(bytes.len());
        self.prefix_bytes -= skipped;
        self.bytes.extend_from_slice(bytes.get(skipped..).unwrap_or_default());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode(file: &[u8], parts: &[ParquetPart]) -> Result<Vec<u8>, ParquetError> {
    let count = u32::try_from(parts.len())?;
    let mut checksums = Vec::with_capacity(HEADER_BYTES + parts.len() * CHECKSUM_BYTES);
    checksums.extend_from_slice(MAGIC);
    checksums.extend_from_slice(&count.to_le_bytes());
    for part in parts {
        let range = usize::try_from(part.range.start)?..usize::try_from(part.range.end)?;
        let bytes = file
            .get(range)
            .ok_or_else(|| ParquetError::EOF("a page is outside of its file".to_owned()))?;
        checksums.extend_from_slice(&crc32c::crc32c(bytes).to_le_bytes());
    }
    Ok(checksums)
}

/// Returns the parts of a section with the checksums in its footer; `None` if its checksums are missing. `start` is
/// the offset of the footer in the section.
pub(crate) fn decode(
    footer: &Bytes,
    start: u64,
    metadata: &ParquetMetaData,
) -> Option<Box<[ChecksummedPart]>> {
    let parts = parts_of(metadata);
    if parts.is_empty() {
        return Some(Box::default());
    }
    let length = HEADER_BYTES.checked_add(parts.len().checked_mul(CHECKSUM_BYTES)?)?;
    let end = usize::try_from(page_index_start(metadata)?.checked_sub(start)?).ok()?;
    let checksums = footer.get(end.checked_sub(length)?..end)?;
    let (header, checksums) = checksums.split_first_chunk::<HEADER_BYTES>()?;
    let count = header.strip_prefix(MAGIC)?.first_chunk::<4>()?;
    if usize::try_from(u32::from_le_bytes(*count)) != Ok(parts.len()) {
        return None;
    }
    let (checksums, _) = checksums.as_chunks::<CHECKSUM_BYTES>();
    let checked = parts
        .into_iter()
        .zip(checksums)
        .map(|(part, checksum)| ChecksummedPart { part, crc32c: u32::from_le_bytes(*checksum) });
    Some(checked.collect())
}

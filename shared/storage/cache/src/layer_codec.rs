//! The encoding of layers as objects of the bucket.
//!
//! ```text
//! header of all of Neap's formats, magic NCAC, with a checksum of the rest
//! 0   kind            u8: 1 last values, 2 distinct values
//! 1   zero            3 bytes
//! 4   cache           u32, little endian: the id of the cache
//! 8   complete_from   i64, little endian: nanoseconds since the Unix epoch
//! 16  definition      u32, little endian: a checksum of the cache's definition
//! 20  an Arrow IPC stream of one batch, its buffers compressed by zstd; at a multiple of 8 in the object
//! ```

use std::{panic, sync::Arc};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::{
    CompressionType, MetadataVersion,
    reader::StreamDecoder,
    writer::{IpcWriteOptions, StreamWriter},
};
use arrow_schema::ArrowError;
use bytes::Bytes;
use neap_bucket::{FormatError, ObjectFormat, formats};
use neap_schema::CacheId;

use crate::{
    CacheError, DistinctCacheShape, DistinctValues, LastCacheShape, LastRows,
    codes::{compare_rows, is_sorted},
    definition::{DefinitionChecksum, LayerKind},
};

const FORMAT: ObjectFormat = formats::CACHE;

/// Number of bytes of the payload before the stream.
const PREFIX_BYTES: usize = 20;

const ALIGNMENT_BYTES: usize = 8;

/// The lowest level, because every flush that changes a layer writes it, and higher levels hardly make floats smaller.
const ZSTD_LEVEL: i32 = 1;

/// Encodes a layer of a last value cache as an object.
///
/// # Errors
/// Arrow can't encode the rows.
pub fn encode_last(cache: CacheId, put_id: u128, rows: &LastRows) -> Result<Bytes, CacheError> {
    let header = LayerHeader { kind: LayerKind::Last, cache, definition: rows.definition() };
    header.encode(put_id, rows.batch(), rows.complete_from())
}

/// Decodes a layer from the object named `key`, and adapts it to the current shape of the table.
///
/// # Errors
/// The object is not a layer of this cache with this definition, is from a newer release, or is damaged.
pub fn decode_last(
    cache: CacheId,
    key: &str,
    object: &Bytes,
    shape: &LastCacheShape,
) -> Result<LastRows, CacheError> {
    let damaged = |reason: String| damaged(key, reason);
    let header = LayerHeader { kind: LayerKind::Last, cache, definition: shape.definition() };
    let (rows, complete_from) = header.decode(key, object)?;
    let rows = neap_points::conform_to_schema(&rows, shape.schema())
        .map_err(|error| damaged(error.to_string()))?;
    let layer =
        LastRows::new(shape, rows, complete_from).map_err(|error| damaged(error.to_string()))?;
    if !layer.is_in_order(shape)? {
        return Err(damaged("its rows are not in order".to_owned()));
    }
    Ok(layer)
}

/// Encodes a layer of a distinct value cache as an object.
///
/// # Errors
/// Arrow can't encode the values.
pub fn encode_distinct(
    cache: CacheId,
    put_id: u128,
    values: &DistinctValues,
) -> Result<Bytes, CacheError> {
    let header = LayerHeader {
        kind: LayerKind::Distinct,
        cache,
        definition: values.definition(),
    };
    header.encode(put_id, values.batch(), values.complete_from())
}

/// Decodes a layer from the object named `key`.
///
/// # Errors
/// The object is not a layer of this cache with this definition, is from a newer release, or is damaged.
pub fn decode_distinct(
    cache: CacheId,
    key: &str,
    object: &Bytes,
    shape: &DistinctCacheShape,
) -> Result<DistinctValues, CacheError> {
    let header = LayerHeader {
        kind: LayerKind::Distinct,
        cache,
        definition: shape.definition(),
    };
    let (rows, complete_from) = header.decode(key, object)?;
    let rows = RecordBatch::try_new(Arc::clone(shape.schema()), rows.columns().to_vec())
        .map_err(|error| damaged(key, error.to_string()))?;
    let layer = DistinctValues::new(shape, rows, complete_from);
    let columns = layer.columns()?;
    let in_order = columns.iter().all(|column| is_sorted(column.values()))
        && layer.seen().is_ok_and(|seen| seen.iter().all(|seen| *seen >= complete_from))
        && layer.len() <= shape.max_cardinality()
        && (1..layer.len()).all(|row| compare_rows(&columns, row - 1, row).is_lt());
    if !in_order {
        return Err(damaged(key, "its values are not in order".to_owned()));
    }
    Ok(layer)
}

/// The part of an object that identifies its cache.
#[derive(Clone, Copy, Debug)]
struct LayerHeader {
    kind: LayerKind,
    cache: CacheId,
    definition: DefinitionChecksum,
}

impl LayerHeader {
    fn encode(
        self,
        put_id: u128,
        rows: &RecordBatch,
        complete_from: i64,
    ) -> Result<Bytes, CacheError> {
        let mut payload = Vec::with_capacity(PREFIX_BYTES);
        payload.extend([self.kind as u8, 0, 0, 0]);
        payload.extend(self.cache.get().to_le_bytes());
        payload.extend(complete_from.to_le_bytes());
        payload.extend(self.definition.to_le_bytes());
        let options = IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, MetadataVersion::V5)?
            .try_with_compression(Some(CompressionType::ZSTD))?
            .try_with_compression_level(Some(ZSTD_LEVEL))?;
        let mut writer = StreamWriter::try_new_with_options(payload, rows.schema_ref(), options)?;
        writer.write(rows)?;
        Ok(FORMAT.encode(put_id, &writer.into_inner()?))
    }

    /// Returns the rows of an object with the same header, and the time from which they are complete.
    fn decode(self, key: &str, object: &Bytes) -> Result<(RecordBatch, i64), CacheError> {
        let (_, payload) = FORMAT.decode(key, object)?;
        let cut = || damaged(key, "its header is truncated".to_owned());
        let (kind, rest) = payload.split_first_chunk::<4>().ok_or_else(cut)?;
        let (cache, rest) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let (complete_from, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        let (definition, _) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let other = |what: &str| Err(damaged(key, format!("it is of another {what}")));
        if *kind != [self.kind as u8, 0, 0, 0] {
            return other("kind of cache");
        }
        if u32::from_le_bytes(*cache) != self.cache.get() {
            return other("cache");
        }
        if *definition != self.definition.to_le_bytes() {
            return other("definition of the cache");
        }
        let stream = payload.slice(PREFIX_BYTES..);
        let rows = read_stream(stream).map_err(|error| damaged(key, error.to_string()))?;
        Ok((rows, i64::from_le_bytes(*complete_from)))
    }
}

/// Decodes a stream that has exactly one batch. Arrow's decoder panics if a message lacks some parts.
fn read_stream(stream: Bytes) -> Result<RecordBatch, ArrowError> {
    let decoded = panic::catch_unwind(|| decode_stream(stream));
    decoded.unwrap_or_else(|_| Err(ArrowError::IpcError("it is malformed".to_owned())))
}

fn decode_stream(stream: Bytes) -> Result<RecordBatch, ArrowError> {
    let mut buffer = Buffer::from(stream);
    let mut decoder = StreamDecoder::new();
    let missing = || ArrowError::IpcError("it has no batch".to_owned());
    let batch = decoder.decode(&mut buffer)?.ok_or_else(missing)?;
    if decoder.decode(&mut buffer)?.is_some() {
        return Err(ArrowError::IpcError("it has more than one batch".to_owned()));
    }
    decoder.finish()?;
    Ok(batch)
}

fn damaged(key: &str, reason: String) -> CacheError {
    let key = key.to_owned();
    FormatError::Damaged { key, reason }.into()
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;

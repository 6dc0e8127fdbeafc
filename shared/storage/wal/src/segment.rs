//! The segment format. A segment is one object of the tail.
//!
//! ```text
//! envelope   magic NWAL, version, put_id (stamp and nonce), checksum of the payload
//! payload    u32, little endian   length of the header
//!            header               JSON: stamp, nonce, salt, needs_catalog, directory; deletes; depth; progress
//!            streams              Arrow IPC, one after the other, in the order of the directory
//! ```
//!
//! A segment has row deletes, which are in the header, or rows, which are in the streams. The Arrow schema of a stream has the types
//! that its columns have there. Some are narrower than in memory.
//!
//! The header of rows of plugins has their depth, the number of chained plugin runs that produced them.
//!
//! `progress` is that of import jobs and sites whose rows or row deletes the segment contains. A segment that only has progress
//! has no streams.
//!
//! An entry of the directory has the table, the byte range relative to the first stream, the number of rows, their time
//! range and the CRC-32C of the stream. The checksum of the envelope covers the whole payload.
//!
//! If the checksum of the envelope does not match, the header can still be verified. The CRC-32C of a concatenation
//! follows from the CRC-32Cs and lengths of its parts. Therefore the CRC-32C of the header as read, combined with the
//! CRC-32Cs of the streams in the directory, must equal the checksum of the envelope. If it does, exactly the streams
//! whose own checksums do not match are damaged, and the others are served. Otherwise the whole segment is damaged.

use std::{fmt::Display, ops::Range};

use arrow_array::RecordBatch;
use bytes::{Buf, Bytes};
use neap_bucket::{FormatError, HEADER_BYTES, Key, ObjectFormat, SegmentName, Stamp, formats};
use neap_row_delete::RowDelete;
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};

use crate::{
    EncodedRows, ImportProgress,
    narrow_columns::with_wide_integers,
    stream_reader::{WantedColumns, read_stream},
};

const FORMAT: ObjectFormat = formats::SEGMENT;

/// Maximum size of a segment, in bytes, and of the encoded rows of a request, because a request is never divided. The
/// PUT must end within the acknowledgement limit: 5 s are enough for this size at 13 MB/s.
pub const MAX_SEGMENT_BYTES: usize = 64 << 20;

/// Maximum size of the envelope and the header without its directory, in bytes, if one request has progress. Requests of several
/// sites share only segments that are much smaller than [`MAX_SEGMENT_BYTES`].
pub(crate) const SEGMENT_OVERHEAD_BYTES: usize = 512;

/// Maximum size of one entry of the directory, in bytes.
pub(crate) const ENTRY_BYTES: usize = 192;

/// Maximum size of the deletes of one request, in bytes. Deletes are copied into the manifest and stay there as long as
/// there are rows that they may remove.
pub(crate) const MAX_DELETES_BYTES: usize = 1 << 20;

/// Reasons why a segment can't be read. Every message names the object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum SegmentError {
    /// The object is not a segment, was written by a newer release, or is damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("'{key}' is damaged: rows of table {table}: {reason}")]
    Rows {
        key: String,
        table: TableId,
        /// The evidence of the damage.
        reason: String,
    },
}

/// An entry of the directory. Describes one stream of the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamEntry {
    /// The table.
    pub table: TableId,
    /// The start of the stream, in bytes from the first stream.
    pub offset: u32,
    /// The length of the stream, in bytes.
    pub length: u32,
    /// The number of rows.
    pub rows: u32,
    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub max_time: i64,
    /// The CRC-32C of the stream.
    pub crc32c: u32,
    /// The size of the decoded rows in memory, in bytes.
    pub memory_bytes: u64,
}

impl StreamEntry {
    fn range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.length).ok()?)?;
        Some(start..end)
    }
}

/// The JSON header of a segment. Unknown fields are an error, because a reader must not ignore them: a release that
/// adds a field raises the version. A release that ignored the depth would run plugins in an endless loop.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentHeader {
    stamp: Stamp,
    nonce: u64,
    salt: u16,
    needs_catalog: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    deletes: Vec<RowDelete>,
    #[serde(default, skip_serializing_if = "is_zero")]
    depth: u8,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    progress: Vec<ImportProgress>,
    directory: Vec<StreamEntry>,
}

fn is_zero(depth: &u8) -> bool {
    *depth == 0
}

impl SegmentHeader {
    /// Returns whether a segment may have this header: row deletes have no streams and no depth.
    fn is_valid(&self) -> bool {
        self.deletes.is_empty() || self.directory.is_empty() && self.depth == 0
    }

    /// Returns whether the checksum of the envelope was computed over this header. `head` has the bytes of the header
    /// as read.
    fn matches_checksum(&self, head: &Bytes, checksum: u32) -> bool {
        let streams = self.directory.iter();
        let combined = streams.fold(crc32c::crc32c(head), |crc, entry| {
            let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
            crc32c::crc32c_combine(crc, entry.crc32c, length)
        });
        combined == checksum
    }

    /// Returns the offsets of the streams whose checksums do not match.
    fn damaged_streams(&self, streams: &Bytes) -> Vec<u32> {
        let is_damaged = |entry: &&StreamEntry| {
            let stream = entry.range().and_then(|range| streams.get(range));
            stream.is_none_or(|stream| crc32c::crc32c(stream) != entry.crc32c)
        };
        let damaged = self.directory.iter().filter(is_damaged);
        damaged.map(|entry| entry.offset).collect()
    }
}

/// A summary of the rows of one table in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// The table.
    pub table: TableId,
    /// The number of rows.
    pub rows: u64,
    /// The earliest time of a row, in nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of a row, in nanoseconds since the Unix epoch.
    pub max_time: i64,
    /// The size of the decoded rows in memory, in bytes.
    pub memory_bytes: u64,
}

/// A segment with an intact header. Rows are decoded on demand; decoding a damaged stream is an error.
#[derive(Clone, Debug)]
pub struct Segment {
    database: DatabaseId,
    name: SegmentName,
    needs_catalog: u64,
    deletes: Vec<RowDelete>,
    depth: u8,
    progress: Vec<ImportProgress>,
    directory: Vec<StreamEntry>,
    /// The offsets of the damaged streams, in the order of the streams.
    damaged: Vec<u32>,
    object: Bytes,
    streams: Bytes,
}

impl Segment {
    /// Encodes a segment of these rows, one stream for each item, and the progress of their import jobs. Returns `None` if
    /// the segment would exceed [`MAX_SEGMENT_BYTES`].
    pub(crate) fn encode(
        database: DatabaseId,
        name: SegmentName,
        salt: u16,
        needs_catalog: u64,
        depth: u8,
        rows: &[EncodedRows],
        progress: Vec<ImportProgress>,
    ) -> Option<Self> {
        let header = SegmentHeader {
            stamp: name.stamp,
            nonce: name.nonce,
            salt,
            needs_catalog,
            deletes: Vec::new(),
            depth,
            progress,
            directory: directory(rows)?,
        };
        let streams: Vec<_> = rows.iter().map(EncodedRows::stream).collect();
        Self::build(database, header, &streams)
    }

    /// Encodes a segment of these row deletes, at least one, and the progress of their site. Returns `None` if the segment
    /// would exceed [`MAX_SEGMENT_BYTES`].
    pub(crate) fn encode_deletes(
        database: DatabaseId,
        name: SegmentName,
        salt: u16,
        needs_catalog: u64,
        deletes: &[RowDelete],
        progress: Vec<ImportProgress>,
    ) -> Option<Self> {
        let header = SegmentHeader {
            stamp: name.stamp,
            nonce: name.nonce,
            salt,
            needs_catalog,
            deletes: deletes.to_vec(),
            depth: 0,
            progress,
            directory: Vec::new(),
        };
        Self::build(database, header, &[])
    }

    fn build(database: DatabaseId, header: SegmentHeader, streams: &[&Bytes]) -> Option<Self> {
        if !header.is_valid() {
            return None;
        }
        let text = serde_json::to_vec(&header).ok()?;
        let text_bytes = u32::try_from(text.len()).ok()?.to_le_bytes();
        let mut payload: Vec<&[u8]> = vec![&text_bytes, &text];
        payload.extend(streams.iter().map(|stream| stream.as_ref()));
        let name = SegmentName { stamp: header.stamp, nonce: header.nonce };
        let object = FORMAT.encode_parts(put_id(name), &payload);
        if object.len() > MAX_SEGMENT_BYTES {
            return None;
        }
        Some(Self {
            database,
            name,
            needs_catalog: header.needs_catalog,
            deletes: header.deletes,
            depth: header.depth,
            progress: header.progress,
            directory: header.directory,
            damaged: Vec::new(),
            streams: object.slice(HEADER_BYTES + 4 + text.len()..),
            object,
        })
    }

    /// Returns the segment as one of another database with the same tables. The catalog of that database contains all
    /// tables and columns from version `needs_catalog` on. Returns `None` for a damaged segment.
    pub fn moved_to(&self, database: DatabaseId, needs_catalog: u64) -> Option<Self> {
        let payload = self.object.slice_ref(self.object.get(HEADER_BYTES..)?);
        let (header, streams) = split(&payload)?;
        if self.is_damaged() {
            return None;
        }
        let header = SegmentHeader { needs_catalog, ..header };
        Self::build(database, header, &[&streams])
    }

    /// Decodes a segment and verifies everything except the content of its streams. If only streams are damaged,
    /// decoding succeeds and [`Segment::damaged_streams`] returns them.
    ///
    /// # Errors
    ///
    /// The object is not the one that was put under this name, and the damage may not be limited to streams.
    pub fn decode(
        database: DatabaseId,
        name: SegmentName,
        object: Bytes,
    ) -> Result<Self, SegmentError> {
        let key = Key::Segment(database, name).to_string();
        let checksum = match FORMAT.decode(&key, &object) {
            Ok(_) => EnvelopeChecksum::Holds,
            Err(error) => match stored_checksum(&object) {
                Some(stored) => EnvelopeChecksum::Fails { stored, error },
                None => return Err(error.into()),
            },
        };
        let damaged = |reason: &str| damaged(&key, reason);
        let payload = object.slice(HEADER_BYTES..);
        let (header, streams) = match (split(&payload), &checksum) {
            (Some(parts), _) => parts,
            (None, EnvelopeChecksum::Holds) => return Err(damaged("its header is truncated")),
            (None, EnvelopeChecksum::Fails { error, .. }) => return Err(error.clone().into()),
        };
        let damaged_streams = match checksum {
            EnvelopeChecksum::Holds => Vec::new(),
            EnvelopeChecksum::Fails { stored, error } => {
                let head = payload.slice(..payload.len() - streams.len());
                header
                    .matches_checksum(&head, stored)
                    .then(|| header.damaged_streams(&streams))
                    .filter(|damaged| !damaged.is_empty())
                    .ok_or(error)?
            }
        };
        if !header.is_valid() {
            return Err(damaged("its header is not valid for a segment"));
        }
        // The checksum does not cover the envelope itself.
        if !object.starts_with(&magic_and_version()) {
            return Err(damaged("its reserved bytes are not zero"));
        }
        if (header.stamp, header.nonce) != (name.stamp, name.nonce)
            || object.get(8..24) != Some(&put_id(name).to_le_bytes())
        {
            return Err(damaged("it was written under another name"));
        }
        let end = header.directory.iter().try_fold(0, |end, entry| {
            let range = entry.range()?;
            (range.start == end).then_some(range.end)
        });
        // Bytes that are missing at the end belong to damaged streams.
        if end.is_none_or(|end| end < streams.len())
            || damaged_streams.is_empty() && end != Some(streams.len())
        {
            return Err(damaged("its directory does not match its streams"));
        }
        Ok(Self {
            database,
            name,
            needs_catalog: header.needs_catalog,
            deletes: header.deletes,
            depth: header.depth,
            progress: header.progress,
            directory: header.directory,
            damaged: damaged_streams,
            object,
            streams,
        })
    }

    /// Returns the summaries that the header of an object contains, whether or not the header is intact. For
    /// diagnostics only. Empty if the header can't be decoded.
    pub fn unverified_tables(object: &Bytes) -> Vec<TableSummary> {
        let payload = object.slice(HEADER_BYTES.min(object.len())..);
        let header = split(&payload).map(|(header, _)| header);
        header.map_or_else(Vec::new, |header| summarize_tables(&header.directory))
    }

    /// The database.
    pub fn database(&self) -> DatabaseId {
        self.database
    }

    /// The name. It contains the stamp, the position in the order of all writes.
    pub fn name(&self) -> SegmentName {
        self.name
    }

    /// The version of the database catalog that contains all tables and columns of this segment.
    pub fn needs_catalog(&self) -> u64 {
        self.needs_catalog
    }

    /// The bytes of the stored object.
    pub fn object(&self) -> &Bytes {
        &self.object
    }

    /// The size of the object, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.object.len()
    }

    /// The row deletes. They remove rows of older sections and segments. A segment with deletes has no rows.
    pub fn deletes(&self) -> &[RowDelete] {
        &self.deletes
    }

    /// The number of chained plugin runs that produced the rows; 0 if clients sent them.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// The progress of the import jobs and sites whose rows or row deletes the segment contains.
    pub fn progress(&self) -> &[ImportProgress] {
        &self.progress
    }

    /// The streams, in their order.
    pub fn directory(&self) -> &[StreamEntry] {
        &self.directory
    }

    /// The damaged streams, in their order.
    pub fn damaged_streams(&self) -> impl Iterator<Item = &StreamEntry> {
        let streams = self.directory.iter();
        streams.filter(|entry| self.damaged.contains(&entry.offset))
    }

    /// Returns whether a stream is damaged.
    pub fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Summaries of the rows of the damaged streams: one item for each table, sorted by table id.
    pub fn damaged_rows(&self) -> Vec<TableSummary> {
        summarize_tables(self.damaged_streams())
    }

    /// Returns the segment without the streams that start at these offsets.
    #[must_use]
    pub fn without_streams(&self, offsets: &[u32]) -> Self {
        let mut rest = self.clone();
        rest.directory.retain(|entry| !offsets.contains(&entry.offset));
        rest.damaged.retain(|offset| !offsets.contains(offset));
        rest
    }

    /// Summaries of all rows, including those of damaged streams: one item for each table, sorted by table id. Empty
    /// for a segment with deletes.
    pub fn tables(&self) -> impl Iterator<Item = TableSummary> {
        summarize_tables(&self.directory).into_iter()
    }

    /// Decodes the rows of a table: one batch for each stream, in the order in which the requests arrived. Of two rows
    /// of the same point, the later one wins. The batches may have different columns. Empty if the segment has no rows
    /// of the table.
    pub fn rows(&self, table: TableId) -> Result<Vec<RecordBatch>, SegmentError> {
        self.columns(table, &|_| true)
    }

    /// Decodes those columns of the rows of a table whose names are `wanted`: batches like those of [`rows`](Self::rows).
    /// A batch may have none of the columns, and still has the number of its rows.
    ///
    /// # Errors
    /// A stream of the table is damaged.
    pub fn columns(
        &self,
        table: TableId,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<RecordBatch>, SegmentError> {
        let widened =
            |batch| with_wide_integers(batch).map_err(|error| self.damaged(table, &error));
        let batches = self.narrow_columns(table, wanted)?.into_iter();
        batches.map(widened).collect()
    }

    /// Decodes the same values as [`columns`](Self::columns), with integers as they are in the segment. Their types may be
    /// narrower than in the table, and differ between the batches.
    ///
    /// # Errors
    /// A stream of the table is damaged.
    pub fn narrow_columns(
        &self,
        table: TableId,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<RecordBatch>, SegmentError> {
        let entries = self.directory.iter().filter(|entry| entry.table == table);
        entries.map(|entry| self.batch(entry, wanted)).collect()
    }

    fn damaged(&self, table: TableId, reason: &dyn Display) -> SegmentError {
        SegmentError::Rows {
            key: Key::Segment(self.database, self.name).to_string(),
            table,
            reason: reason.to_string(),
        }
    }

    fn batch(
        &self,
        entry: &StreamEntry,
        wanted: WantedColumns<'_>,
    ) -> Result<RecordBatch, SegmentError> {
        let failed = |reason: &dyn Display| self.damaged(entry.table, reason);
        let range = entry
            .range()
            .filter(|range| range.end <= self.streams.len())
            .ok_or_else(|| failed(&"they are truncated"))?;
        if self.damaged.contains(&entry.offset) {
            return Err(failed(&"their checksum does not match"));
        }
        let batch =
            read_stream(self.streams.slice(range), wanted).map_err(|error| failed(&error))?;
        if u32::try_from(batch.num_rows()) != Ok(entry.rows) {
            return Err(failed(&"their number differs from the directory"));
        }
        Ok(batch)
    }
}

/// Derives the `put_id` of a segment from its name, so that a changed name is detected.
fn put_id(name: SegmentName) -> u128 {
    u128::from(name.stamp.as_u64()) << 64 | u128::from(name.nonce)
}

/// Returns the bytes of an envelope before its `put_id`.
fn magic_and_version() -> [u8; 8] {
    let [m0, m1, m2, m3] = FORMAT.magic;
    let [low, high] = FORMAT.version.to_le_bytes();
    [m0, m1, m2, m3, low, high, 0, 0]
}

fn directory(rows: &[EncodedRows]) -> Option<Vec<StreamEntry>> {
    let mut offset = 0_u32;
    let entries = rows.iter().map(|rows| {
        let entry = StreamEntry {
            table: rows.table(),
            offset,
            length: u32::try_from(rows.size_bytes()).ok()?,
            rows: rows.rows(),
            min_time: rows.min_time(),
            max_time: rows.max_time(),
            crc32c: rows.crc32c(),
            memory_bytes: rows.memory_bytes(),
        };
        offset = offset.checked_add(entry.length)?;
        Some(entry)
    });
    entries.collect()
}

fn split(payload: &Bytes) -> Option<(SegmentHeader, Bytes)> {
    let mut rest = payload.clone();
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    if length > rest.len() {
        return None;
    }
    let header = serde_json::from_slice(&rest.split_to(length)).ok()?;
    Some((header, rest))
}

fn damaged(key: &str, reason: &str) -> SegmentError {
    SegmentError::Format(FormatError::Damaged { key: key.to_owned(), reason: reason.to_owned() })
}

/// The result of verifying the checksum of an envelope.
enum EnvelopeChecksum {
    Holds,
    Fails { stored: u32, error: FormatError },
}

/// Returns the checksum in the envelope of an object without verifying it; `None` if the object is not a segment, or was
/// written by a newer release.
fn stored_checksum(object: &Bytes) -> Option<u32> {
    let (envelope, _) = object.split_first_chunk::<HEADER_BYTES>()?;
    let is_known = envelope.starts_with(&magic_and_version());
    let checksum = envelope.last_chunk::<4>().filter(|_| is_known)?;
    Some(u32::from_le_bytes(*checksum))
}

/// Summarises the rows of streams: one item for each table, sorted by table id.
fn summarize_tables<'a>(streams: impl IntoIterator<Item = &'a StreamEntry>) -> Vec<TableSummary> {
    let mut entries: Vec<&StreamEntry> = streams.into_iter().collect();
    entries.sort_by_key(|entry| entry.table);
    let mut tables: Vec<TableSummary> = Vec::new();
    for entry in entries {
        let rows = u64::from(entry.rows);
        match tables.last_mut() {
            Some(last) if last.table == entry.table => {
                last.rows += rows;
                last.min_time = last.min_time.min(entry.min_time);
                last.max_time = last.max_time.max(entry.max_time);
                last.memory_bytes = last.memory_bytes.saturating_add(entry.memory_bytes);
            }
            _ => tables.push(TableSummary {
                table: entry.table,
                rows,
                min_time: entry.min_time,
                max_time: entry.max_time,
                memory_bytes: entry.memory_bytes,
            }),
        }
    }
    tables
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;

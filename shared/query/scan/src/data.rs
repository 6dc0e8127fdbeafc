//! Reads bytes of sections by exact ranges: coalesced, verified, and cached within a memory limit.
//!
//! ```text
//!   footer    its checksum is in the manifest; read from a page of the manifest, or by one request
//!     |       contains the checksums of pages and bloom filters
//!   ranges    one or more pages each, verified before they are decompressed or cached
//!     |       if a checksum does not match: read once more, then an error
//! ```

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use moka::{future, sync};
use neap_bucket::{Bucket, FormatError, Get, GetOptions, Key, StoreError, VersionedValue};
use neap_manifest::{DroppedItem, Manifest, Section, SectionWithFooter};
use neap_schema::DatabaseId;
use neap_section::{MAX_ROW_GROUP_ROWS, ParquetPartError, SectionFooter};
use parquet::{errors::ParquetError, file::metadata::PageIndexPolicy};

use crate::{io_runtime::IoRuntime, read_ahead::ReadAhead, regions::TimeInterval};

/// Ranges with a gap of at most this many bytes between them are read with one request.
const COALESCE_GAP_BYTES: u64 = 1 << 20;

/// Maximum bytes that one request reads. Larger requests do not increase the throughput of object stores.
const MAX_READ_BYTES: u64 = 16 << 20;

/// Maximum number of concurrent requests of one reader.
const PARALLEL_READS: usize = 16;

/// The share of the cache of column chunks that one reader may read ahead: a part of it, as 1/n.
const READ_AHEAD_SHARE: u64 = 16;

/// Maximum number of databases whose replaced sections are recognised.
const MAX_MANIFEST_VERSIONS: u64 = 10_000;

/// Maximum number of reads of a footer whose checksum does not match.
const READ_ATTEMPTS: usize = 2;

/// An error of a read of a section.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages and names document themselves")]
pub enum SectionDataError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object differs from its description in the manifest.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A checksum of the object's bytes does not match, even after a second read.
    #[error("'{object}' is damaged: the section of table '{table}' at byte {offset}: {part}")]
    Damaged {
        object: String,
        table: Arc<str>,
        /// The start of the section in the object, in bytes.
        offset: u64,
        part: SectionPart,
    },
    /// The object is gone.
    #[error("'{0}' is missing from the bucket")]
    Missing(String),
}

/// The part of a section that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionPart {
    /// Its footer.
    #[error("the checksum of its footer does not match")]
    Footer,
    /// A page or a bloom filter.
    #[error(transparent)]
    Column(#[from] ParquetPartError),
}

/// The limits of the caches of sections.
#[derive(Clone, Copy, Debug)]
pub struct DataCacheLimits {
    /// Maximum bytes of decoded footers.
    pub metadata_bytes: u64,
    /// Maximum bytes of column chunks.
    pub chunk_bytes: u64,
}

/// Statistics of the caches of sections: sizes, hits and misses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataCacheStats {
    /// Number of column chunks that were found in memory.
    pub hits: u64,
    /// Number of column chunks that were read from the store.
    pub misses: u64,
    /// Number of reads of footers, pages and bloom filters whose checksum did not match.
    pub checksum_failures: u64,
    /// Bytes of column chunks in memory.
    pub chunk_bytes: u64,
    /// Bytes of decoded footers in memory.
    pub footer_bytes: u64,
}

/// The sections of a bucket, read through caches. Cached bytes never become stale, because objects are immutable.
#[derive(Clone, Debug)]
pub struct SectionData {
    bucket: Bucket,
    io_runtime: IoRuntime,
    footers: future::Cache<(Key, u64), Arc<SectionFooter>>,
    /// Column chunks, by object, start in the object, and end in the section.
    chunks: sync::Cache<(Key, u64, u64), Bytes>,
    /// A recent version of the manifest of each database: the last one of [`evict_replaced`](Self::evict_replaced).
    manifest_versions: sync::Cache<DatabaseId, u64>,
    looks: Arc<CacheLookups>,
}

/// Counters of chunk lookups.
#[derive(Debug, Default)]
struct CacheLookups {
    hits: AtomicU64,
    misses: AtomicU64,
    checksum_failures: AtomicU64,
}

impl SectionData {
    /// Creates empty caches over a bucket. Requests to the bucket run on `io_runtime`.
    pub fn new(bucket: Bucket, io_runtime: IoRuntime, limits: DataCacheLimits) -> Self {
        let footers = future::Cache::builder()
            .max_capacity(limits.metadata_bytes)
            .weigher(|_, footer: &Arc<SectionFooter>| weight(footer.size_bytes()))
            .build();
        let chunks = sync::Cache::builder()
            .max_capacity(limits.chunk_bytes)
            .weigher(|_, bytes: &Bytes| weight(bytes.len()))
            .build();
        Self {
            bucket,
            io_runtime,
            footers,
            chunks,
            manifest_versions: sync::Cache::new(MAX_MANIFEST_VERSIONS),
            looks: Arc::default(),
        }
    }

    /// Drops all cached column chunks.
    pub fn release_chunks(&self) {
        self.chunks.invalidate_all();
        // Otherwise they would stay in memory until the cache is used again.
        self.chunks.run_pending_tasks();
    }

    /// Removes the column chunks of sections that the manifest lists as replaced since the version of the previous call for
    /// the database. Few queries still read such a section: those as of an earlier time, and those that have begun.
    ///
    /// Sections that came from another database stay, because that database may use them. So do those that the manifest
    /// has moved to a page since: they leave the cache when others need the room.
    pub fn evict_replaced(&self, database: DatabaseId, manifest: &VersionedValue<Manifest>) {
        let last = self.manifest_versions.get(&database);
        if last.is_some_and(|last| last >= manifest.version) {
            return;
        }
        self.manifest_versions.insert(database, manifest.version);
        let Some(last) = last else {
            return;
        };
        let mut replaced: BTreeMap<Key, Vec<Range<u64>>> = BTreeMap::new();
        let condemned = manifest.value.condemned.iter();
        for entry in condemned.filter(|entry| entry.version > last) {
            if let DroppedItem::Section(section) = &entry.what
                && section.origin.is_none()
            {
                let end = section.offset.saturating_add(section.length);
                let ranges = replaced.entry(section.key(database)).or_default();
                ranges.push(section.offset..end);
            }
        }
        if replaced.is_empty() {
            return;
        }
        for (id, _) in &self.chunks {
            let (key, start, _) = &*id;
            let ranges = replaced.get(key);
            if ranges.is_some_and(|ranges| ranges.iter().any(|range| range.contains(start))) {
                self.chunks.invalidate(&*id);
            }
        }
        self.chunks.run_pending_tasks();
    }

    /// Returns the sizes, hits and misses of the caches.
    pub fn stats(&self) -> DataCacheStats {
        self.chunks.run_pending_tasks();
        // Always ready, except while another thread does the same.
        self.footers.run_pending_tasks().now_or_never();
        DataCacheStats {
            hits: self.looks.hits.load(Ordering::Relaxed),
            misses: self.looks.misses.load(Ordering::Relaxed),
            checksum_failures: self.looks.checksum_failures.load(Ordering::Relaxed),
            chunk_bytes: self.chunks.weighted_size(),
            footer_bytes: self.footers.weighted_size(),
        }
    }

    /// Returns the decoded footer of a section with its page index: from the cache, from the manifest's page, or by one
    /// request of the range that the manifest names.
    pub(crate) async fn footer(
        &self,
        file: &SectionFile,
    ) -> Result<Arc<SectionFooter>, Arc<SectionDataError>> {
        let (key, offset) = file.id();
        let id = (key.clone(), offset);
        self.footers.try_get_with(id, self.load_footer(file)).await
    }

    async fn load_footer(
        &self,
        file: &SectionFile,
    ) -> Result<Arc<SectionFooter>, SectionDataError> {
        let mut of_page = file.footer.clone();
        for _ in 0..READ_ATTEMPTS {
            let footer = match of_page.take() {
                Some(footer) => footer,
                None => self.get(&file.key, file.section.footer_range()).await?,
            };
            if file.section.matches_footer(&footer) {
                let length = file.section.length;
                return SectionFooter::decode(&footer, length, PageIndexPolicy::Optional)
                    .map(Arc::new)
                    .map_err(|error| file.decode_error(&error));
            }
            self.count_checksum_failure();
        }
        Err(file.damaged(SectionPart::Footer))
    }

    fn count_checksum_failure(&self) {
        self.looks.checksum_failures.fetch_add(1, Ordering::Relaxed);
    }

    async fn get(&self, key: &Key, range: Range<u64>) -> Result<Bytes, SectionDataError> {
        let expected = range.end.saturating_sub(range.start);
        let options = GetOptions { range: Some(range), if_none_match: None };
        let (bucket, name) = (self.bucket.clone(), key.clone());
        let answer = async move { bucket.get(&name, options).await };
        let Get::Found(object) = self.io_runtime.run(answer).await?.value else {
            return Err(SectionDataError::Missing(key.to_string()));
        };
        if object.bytes.len() as u64 != expected {
            let reason = "its length differs from the manifest".to_owned();
            return Err(FormatError::Damaged { key: key.to_string(), reason }.into());
        }
        Ok(object.bytes)
    }

    /// Returns the bytes of ranges of a section, and reads those of `ahead` into the cache. Ranges are relative to the start
    /// of the section.
    pub(crate) async fn ranges(
        &self,
        file: &SectionFile,
        footer: &SectionFooter,
        ranges: &[Range<u64>],
        ahead: Vec<Range<u64>>,
    ) -> Result<SectionRanges, SectionDataError> {
        let id = |range: &Range<u64>| {
            let start = file.object_range(range).start;
            (file.key.clone(), start, range.end)
        };
        let mut found: Vec<Option<Bytes>> =
            ranges.iter().map(|range| self.chunks.get(&id(range))).collect();
        let ahead: Vec<_> = ahead
            .into_iter()
            .filter(|range| !self.chunks.contains_key(&id(range)))
            .collect();
        let missing: Vec<Range<u64>> = ranges
            .iter()
            .zip(&found)
            .filter(|(_, found)| found.is_none())
            .map(|(range, _)| range.clone())
            .collect();
        let hits = ranges.len().saturating_sub(missing.len());
        self.looks.hits.fetch_add(hits as u64, Ordering::Relaxed);
        let misses = missing.len() + ahead.len();
        self.looks.misses.fetch_add(misses as u64, Ordering::Relaxed);
        let reads = coalesce([missing.as_slice(), ahead.as_slice()].concat());
        let store_bytes = reads.iter().map(|read| read.end - read.start).sum();
        let blocks: Vec<(u64, Bytes)> = stream::iter(reads)
            .map(|read| async move {
                let bytes = self.get(&file.key, file.object_range(&read)).await?;
                Ok::<_, SectionDataError>((read.start, bytes))
            })
            .buffered(PARALLEL_READS)
            .try_collect()
            .await?;
        for (range, slot) in ranges.iter().zip(&mut found) {
            if slot.is_none() {
                let part = cut(&blocks, range).ok_or_else(|| {
                    SectionDataError::Missing(format!("{} from byte {}", file.key, range.start))
                })?;
                let bytes = self.verify_or_read_again(file, footer, range, part).await?;
                self.chunks.insert(id(range), bytes.clone());
                *slot = Some(bytes);
            }
        }
        for range in ahead {
            // A damaged part is found when it is asked for.
            let intact = cut(&blocks, &range).filter(|it| footer.verify(range.start, it).is_ok());
            if let Some(bytes) = intact {
                self.chunks.insert(id(&range), bytes);
            }
        }
        Ok(SectionRanges { ranges: found.into_iter().flatten().collect(), store_bytes })
    }

    /// Returns the state of a reader of a part of a section.
    pub(crate) fn read_ahead(&self, part: Option<Range<u64>>) -> ReadAhead {
        let capacity = self.chunks.policy().max_capacity().unwrap_or_default();
        ReadAhead::new(part, capacity / READ_AHEAD_SHARE)
    }

    /// Returns the bytes of a range if their checksums match. Otherwise reads the range from the store once more and
    /// verifies it.
    async fn verify_or_read_again(
        &self,
        file: &SectionFile,
        footer: &SectionFooter,
        range: &Range<u64>,
        bytes: Bytes,
    ) -> Result<Bytes, SectionDataError> {
        if footer.verify(range.start, &bytes).is_ok() {
            return Ok(bytes);
        }
        self.count_checksum_failure();
        let again = self.get(&file.key, file.object_range(range)).await?;
        match footer.verify(range.start, &again) {
            Ok(()) => Ok(again),
            Err(error) => {
                self.count_checksum_failure();
                Err(file.damaged(error.into()))
            }
        }
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Returns the ranges of the requests that together read `ranges`.
fn coalesce(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut reads: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match reads.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(COALESCE_GAP_BYTES)
                    && range.end.max(last.end) - last.start <= MAX_READ_BYTES =>
            {
                last.end = last.end.max(range.end);
            }
            _ => reads.push(range),
        }
    }
    reads
}

/// Returns one range of the blocks that were read. The blocks are sorted by their start.
fn cut(blocks: &[(u64, Bytes)], range: &Range<u64>) -> Option<Bytes> {
    let block = blocks.partition_point(|(start, _)| *start <= range.start).checked_sub(1)?;
    let (start, bytes) = blocks.get(block)?;
    let from = usize::try_from(range.start - start).ok()?;
    let to = usize::try_from(range.end - start).ok()?;
    if to > bytes.len() {
        return None;
    }
    let part = bytes.slice(from..to);
    // A small part of a large block is copied, because a slice keeps the whole block in memory.
    Some(if part.len() * 2 < bytes.len() {
        Bytes::copy_from_slice(&part)
    } else {
        part
    })
}

/// Ranges of a section that were read.
#[derive(Debug)]
pub(crate) struct SectionRanges {
    pub(crate) ranges: Vec<Bytes>,
    /// The bytes that were read from the store, with those between the ranges.
    pub(crate) store_bytes: u64,
}

/// A section as a Parquet file: a whole object, or a range of one.
#[derive(Clone, Debug)]
pub(crate) struct SectionFile {
    key: Key,
    table: Arc<str>,
    section: Arc<Section>,
    footer: Option<Bytes>,
}

impl SectionFile {
    pub(crate) fn new(database: DatabaseId, table: Arc<str>, loaded: &SectionWithFooter) -> Self {
        Self {
            key: loaded.section.key(database),
            table,
            section: Arc::clone(&loaded.section),
            footer: loaded.footer.clone(),
        }
    }

    /// The object, and the start of the section in it, in bytes.
    pub(crate) fn id(&self) -> (&Key, u64) {
        (&self.key, self.section.offset)
    }

    /// The time range of its rows.
    pub(crate) fn time(&self) -> TimeInterval {
        TimeInterval { min: self.section.min_time, max: self.section.max_time }
    }

    /// The record of the section in the manifest.
    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.section.length
    }

    /// Returns the bytes of its largest row group, if all have the same size per row. A reader of all columns holds them.
    pub(crate) fn row_group_bytes(&self) -> u64 {
        let rows = self.section.rows.max(1);
        let of_group =
            u128::from(self.section.length) * u128::from(rows.min(MAX_ROW_GROUP_ROWS as u64));
        u64::try_from(of_group / u128::from(rows)).unwrap_or(u64::MAX)
    }

    /// The name in plans and messages.
    pub(crate) fn name(&self) -> String {
        format!("{}@{}", self.key, self.section.offset)
    }

    /// Converts a range of the section to a range of its object.
    fn object_range(&self, range: &Range<u64>) -> Range<u64> {
        let offset = self.section.offset;
        offset.saturating_add(range.start)..offset.saturating_add(range.end)
    }

    fn damaged(&self, part: SectionPart) -> SectionDataError {
        SectionDataError::Damaged {
            object: self.key.to_string(),
            table: Arc::clone(&self.table),
            offset: self.section.offset,
            part,
        }
    }

    fn decode_error(&self, error: &ParquetError) -> SectionDataError {
        FormatError::Damaged { key: self.key.to_string(), reason: error.to_string() }.into()
    }
}

#[cfg(test)]
mod tests;

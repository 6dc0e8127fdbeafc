//! The bytes of an input: its footer first, then window by window.
//!
//! They are checked against the section's checksum on the way: a merge would give damaged rows a checksum that
//! is right, and nobody would ever find them.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use neap_bucket::{Bucket, FormatError, Get, GetOptions, Key, Operation, StoreError};
use neap_manifest::{Section, SectionWithFooter};
use neap_schema::DatabaseId;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use super::{
    MergeError,
    input::{Window, windows},
};

/// After this time a read counts as unanswered: longer than a store's own patience.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// How much of an input is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadSizes {
    /// A section of at most so many bytes is read by one request, footer and all.
    pub(super) whole_bytes: u64,
    /// Row groups are read together up to this.
    pub(super) window_bytes: u64,
}

/// Where the bytes of a section come from.
#[derive(Clone, Debug)]
pub(super) struct Place {
    bucket: Bucket,
    key: Key,
    offset: u64,
}

impl Place {
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.key, self.offset)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, MergeError> {
        let expected = range.end - range.start;
        let at = self.offset.saturating_add(range.start)..self.offset.saturating_add(range.end);
        let options = GetOptions {
            range: Some(at),
            if_none_match: None,
        };
        let get = self.bucket.get(&self.key, options);
        let answer = self.bucket.world().timeout(READ_LIMIT, get).await;
        let answer = answer.ok_or_else(|| StoreError::Unavailable {
            operation: Operation::Get,
            key: self.key.to_string(),
            reason: format!("no answer within {} s", READ_LIMIT.as_secs()),
        })??;
        let Get::Found(object) = answer.value else {
            return Err(MergeError::Missing(self.key.to_string()));
        };
        if object.bytes.len() as u64 != expected {
            let reason = "it is shorter than the manifest says".to_owned();
            return Err(FormatError::Damaged {
                key: self.key.to_string(),
                reason,
            }
            .into());
        }
        Ok(object.bytes)
    }

    /// The bytes of a window, by one request for each of its ranges.
    pub(super) async fn fetch(self, window: Window) -> Result<Fetched, MergeError> {
        let reads = window.ranges.iter().map(|range| self.read(range.clone()));
        let bytes = try_join_all(reads).await?;
        Ok(Fetched { window, bytes })
    }
}

/// A window with its bytes.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) window: Window,
    pub(super) bytes: Vec<Bytes>,
}

/// A section whose footer is known.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) metadata: Arc<ParquetMetaData>,
    /// What is still to be read.
    pub(super) windows: VecDeque<Window>,
    /// What was read and not yet handed on.
    pub(super) ready: Option<Fetched>,
    /// Whether a window is on its way.
    pub(super) is_fetching: bool,
    checksum: Checksum,
}

/// The checksum of a section, of as much of it as was read, from its start on.
#[derive(Clone, Copy, Debug)]
struct Checksum {
    expected: Option<u32>,
    crc: u32,
    /// Where what was read ends.
    end: u64,
    /// Checksum and length of what is read first.
    footer: (u32, usize),
    length: u64,
}

/// What every Parquet file begins with; no window has it.
const MAGIC: &[u8] = b"PAR1";

impl Checksum {
    fn new(section: &Section, footer: &Bytes) -> Self {
        Self {
            expected: section.crc32c,
            crc: crc32c::crc32c(MAGIC),
            end: MAGIC.len() as u64,
            footer: (crc32c::crc32c(footer), footer.len()),
            length: section.length,
        }
    }

    fn add(&mut self, fetched: &Fetched) {
        for (range, bytes) in fetched.window.ranges.iter().zip(&fetched.bytes) {
            if range.start == self.end {
                self.crc = crc32c::crc32c_append(self.crc, bytes);
                self.end = range.end;
            }
        }
    }

    /// Whether it is right, as far as that can be told: something may lie between the windows in a file that
    /// another release has written.
    fn is_right(&self) -> bool {
        let (crc, length) = self.footer;
        self.end.saturating_add(length as u64) != self.length
            || self
                .expected
                .is_none_or(|expected| crc32c::crc32c_combine(self.crc, crc, length) == expected)
    }
}

impl Source {
    /// Reads the footer of a section, or all of a small one.
    pub(super) async fn open(
        bucket: Bucket,
        database: DatabaseId,
        found: SectionWithFooter,
        sizes: ReadSizes,
    ) -> Result<Self, MergeError> {
        let section = found.section;
        let place = Place {
            bucket,
            key: section.key(database),
            offset: section.offset,
        };
        if section.length <= sizes.whole_bytes {
            let (start, end) = (0, section.length);
            let all = Window {
                ranges: Vec::from([Range { start, end }]),
            };
            let fetched = place.clone().fetch(all).await?;
            let bytes = fetched.bytes.first().cloned().unwrap_or_default();
            // All of it is the footer, as far as the checksum goes.
            let checksum = Checksum {
                crc: 0,
                end: 0,
                ..Checksum::new(&section, &bytes)
            };
            return Ok(Self {
                metadata: decode_footer(&place, &bytes, section.length)?,
                place,
                windows: VecDeque::new(),
                ready: Some(fetched),
                is_fetching: false,
                checksum,
            });
        }
        let footer = match found.footer {
            Some(footer) => footer,
            None => {
                let start = section
                    .length
                    .saturating_sub(u64::from(section.footer_length));
                place.read(start..section.length).await?
            }
        };
        let metadata = decode_footer(&place, &footer, section.length)?;
        Ok(Self {
            windows: windows(&metadata, sizes.window_bytes),
            place,
            metadata,
            ready: None,
            is_fetching: false,
            checksum: Checksum::new(&section, &footer),
        })
    }

    /// Takes in what was read.
    pub(super) fn note(&mut self, fetched: Fetched) {
        self.checksum.add(&fetched);
        self.ready = Some(fetched);
        self.is_fetching = false;
    }

    /// Whether all that was read is what the manifest says. To be asked at the end.
    pub(super) fn check(&self) -> Result<(), MergeError> {
        if self.checksum.is_right() {
            return Ok(());
        }
        Err(MergeError::damaged(
            &self.place.name(),
            &"its checksum is wrong",
        ))
    }
}

fn decode_footer(
    place: &Place,
    end: &Bytes,
    length: u64,
) -> Result<Arc<ParquetMetaData>, MergeError> {
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip);
    reader
        .try_parse_sized(end, length)
        .and_then(|()| reader.finish())
        .map(Arc::new)
        .map_err(|error| MergeError::damaged(&place.name(), &error))
}

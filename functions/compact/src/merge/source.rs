//! The bytes of an input: its footer first, then window by window.
//!
//! A merge would give damaged rows a checksum that is right, and no check would ever find them. So the footer and
//! each window are verified before they are decoded. What an earlier release wrote has no checksums for that; the
//! checksum of the whole section is verified at the end.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use neap_bucket::{Bucket, FormatError, Get, GetOptions, Key, Operation, StoreError};
use neap_manifest::{Section, SectionWithFooter};
use neap_schema::DatabaseId;
use neap_section::SectionFooter;
use parquet::file::metadata::PageIndexPolicy;

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

    fn damaged(&self, reason: &impl fmt::Display) -> MergeError {
        MergeError::damaged(&self.name(), reason)
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
    pub(super) footer: Arc<SectionFooter>,
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
            return Self::open_whole(place, &section).await;
        }
        let bytes = match found.footer {
            Some(bytes) if section.matches_footer(&bytes) => bytes,
            _ => {
                let length = u64::from(section.footer_length);
                let start = section.length.saturating_sub(length);
                place.read(start..section.length).await?
            }
        };
        if !section.matches_footer(&bytes) {
            return Err(place.damaged(&"the checksum of its footer is wrong"));
        }
        let footer = decode_footer(&place, &bytes, section.length)?;
        Ok(Self {
            windows: windows(footer.metadata(), sizes.window_bytes),
            place,
            footer,
            ready: None,
            is_fetching: false,
            checksum: Checksum::new(&section, &bytes),
        })
    }

    /// Reads all of a section by one request.
    async fn open_whole(place: Place, section: &Section) -> Result<Self, MergeError> {
        let bytes = place.read(0..section.length).await?;
        let data_length = section.length.saturating_sub(section.footer_length.into());
        let end = usize::try_from(data_length).ok();
        let end = end.and_then(|start| bytes.get(start..));
        if !end.is_some_and(|end| section.matches_footer(end)) {
            return Err(place.damaged(&"the checksum of its footer is wrong"));
        }
        let footer = decode_footer(&place, &bytes, section.length)?;
        footer
            .verify_all(&bytes)
            .map_err(|error| place.damaged(&error))?;
        // All of it is the footer, as far as the checksum goes.
        let checksum = Checksum {
            crc: 0,
            end: 0,
            ..Checksum::new(section, &bytes)
        };
        let (start, end) = (0, section.length);
        let window = Window {
            ranges: Vec::from([Range { start, end }]),
        };
        Ok(Self {
            footer,
            place,
            windows: VecDeque::new(),
            ready: Some(Fetched {
                window,
                bytes: Vec::from([bytes]),
            }),
            is_fetching: false,
            checksum,
        })
    }

    /// Reads the bytes of a window, by one request for each of its ranges, and verifies them.
    pub(super) fn fetch(
        &self,
        window: Window,
    ) -> impl Future<Output = Result<Fetched, MergeError>> + Send + 'static {
        let (place, footer) = (self.place.clone(), Arc::clone(&self.footer));
        async move {
            let reads = window.ranges.iter().map(|range| place.read(range.clone()));
            let bytes = try_join_all(reads).await?;
            for (range, bytes) in window.ranges.iter().zip(&bytes) {
                footer
                    .verify(range.start, bytes)
                    .map_err(|error| place.damaged(&error))?;
            }
            Ok(Fetched { window, bytes })
        }
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
        Err(self.place.damaged(&"its checksum is wrong"))
    }
}

fn decode_footer(
    place: &Place,
    end: &Bytes,
    length: u64,
) -> Result<Arc<SectionFooter>, MergeError> {
    SectionFooter::decode(end, length, PageIndexPolicy::Skip)
        .map(Arc::new)
        .map_err(|error| place.damaged(&error))
}

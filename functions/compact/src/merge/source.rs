//! Reads an input: its footer first, then window by window.
//!
//! A merge of damaged rows would write them with a valid checksum, so that later checks could not find the damage.
//! Therefore the footer and each window are verified before decoding.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::try_join_all;
use neap_bucket::{Bucket, FormatError, Get, GetOptions, Key, Operation};
use neap_manifest::{Section, SectionWithFooter};
use neap_schema::DatabaseId;
use neap_section::SectionFooter;
use parquet::file::metadata::PageIndexPolicy;

use super::{
    MergeError,
    input::{ReadWindow, windows},
};

/// Timeout of a read: longer than the retries of the store.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Read sizes of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadSizes {
    /// Maximum length of a section that is read whole, including the footer, by one request.
    pub(super) whole_bytes: u64,
    /// Maximum bytes of row groups that are read together.
    pub(super) window_bytes: u64,
}

/// Location of a section in the bucket.
#[derive(Clone, Debug)]
pub(super) struct SectionByteReader {
    bucket: Bucket,
    key: Key,
    offset: u64,
}

impl SectionByteReader {
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.key, self.offset)
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, MergeError> {
        let expected = range.end - range.start;
        let at = self.offset.saturating_add(range.start)..self.offset.saturating_add(range.end);
        let options = GetOptions { range: Some(at), if_none_match: None };
        let get = self.bucket.get(&self.key, options);
        let answer = self.bucket.in_time(READ_TIMEOUT, Operation::Get, &self.key, get).await?;
        let Get::Found(object) = answer.value else {
            return Err(MergeError::Missing(self.key.to_string()));
        };
        if object.bytes.len() as u64 != expected {
            let reason = "the length of the object differs from the manifest".to_owned();
            return Err(FormatError::Damaged { key: self.key.to_string(), reason }.into());
        }
        Ok(object.bytes)
    }

    fn damaged(&self, reason: &impl fmt::Display) -> MergeError {
        MergeError::damaged(&self.name(), reason)
    }
}

/// A window with its bytes.
#[derive(Debug)]
pub(super) struct FetchedWindow {
    pub(super) window: ReadWindow,
    pub(super) bytes: Vec<Bytes>,
}

/// A section whose footer is known.
#[derive(Debug)]
pub(super) struct SectionSource {
    pub(super) place: SectionByteReader,
    pub(super) footer: Arc<SectionFooter>,
    /// Windows not yet read.
    pub(super) windows: VecDeque<ReadWindow>,
    /// The fetched window that is not yet decoded.
    pub(super) ready: Option<FetchedWindow>,
    /// Whether a window is being fetched.
    pub(super) is_fetching: bool,
}

impl SectionSource {
    /// Reads the footer of a section, or the whole section if it is small.
    pub(super) async fn open(
        bucket: Bucket,
        database: DatabaseId,
        found: SectionWithFooter,
        sizes: ReadSizes,
    ) -> Result<Self, MergeError> {
        let section = found.section;
        let place =
            SectionByteReader { bucket, key: section.key(database), offset: section.offset };
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
        })
    }

    /// Reads the whole section by one request.
    async fn open_whole(place: SectionByteReader, section: &Section) -> Result<Self, MergeError> {
        let bytes = place.read(0..section.length).await?;
        let data_length = section.length.saturating_sub(section.footer_length.into());
        let end = usize::try_from(data_length).ok().and_then(|start| bytes.get(start..));
        if !end.is_some_and(|end| section.matches_footer(end)) {
            return Err(place.damaged(&"the checksum of its footer is wrong"));
        }
        let footer = decode_footer(&place, &bytes, section.length)?;
        footer.verify_all(&bytes).map_err(|error| place.damaged(&error))?;
        let (start, end) = (0, section.length);
        let window = ReadWindow { ranges: Vec::from([Range { start, end }]) };
        Ok(Self {
            footer,
            place,
            windows: VecDeque::new(),
            ready: Some(FetchedWindow { window, bytes: Vec::from([bytes]) }),
            is_fetching: false,
        })
    }

    /// Reads the bytes of a window, by one request for each of its ranges, and verifies them.
    pub(super) fn fetch(
        &self,
        window: ReadWindow,
    ) -> impl Future<Output = Result<FetchedWindow, MergeError>> + Send + 'static {
        let (place, footer) = (self.place.clone(), Arc::clone(&self.footer));
        async move {
            let reads = window.ranges.iter().map(|range| place.read(range.clone()));
            let bytes = try_join_all(reads).await?;
            for (range, bytes) in window.ranges.iter().zip(&bytes) {
                footer.verify(range.start, bytes).map_err(|error| place.damaged(&error))?;
            }
            Ok(FetchedWindow { window, bytes })
        }
    }

    /// Accepts a fetched window.
    pub(super) fn note(&mut self, fetched: FetchedWindow) {
        self.ready = Some(fetched);
        self.is_fetching = false;
    }
}

fn decode_footer(
    place: &SectionByteReader,
    end: &Bytes,
    length: u64,
) -> Result<Arc<SectionFooter>, MergeError> {
    SectionFooter::decode(end, length, PageIndexPolicy::Skip)
        .map(Arc::new)
        .map_err(|error| place.damaged(&error))
}

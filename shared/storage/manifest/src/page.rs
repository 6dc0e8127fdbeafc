//! Pages: lists of sections that a manifest no longer holds inline, stored with their Parquet footers.
//!
//! ```text
//! <ulid>.page   page, page, ...            an object contains several pages, as a bundle contains several sections
//! page          header of Neap's formats ("NPAG"), and as payload:
//!               u32 LE  length of the next part
//!               JSON    the sections, and the ranges of their footers in the last part; zstd
//!               bytes   the concatenated footers
//! ```
//!
//! The part before the footers is the head. It can be read alone, because the manifest has its length and checksum.
//!
//! A table with many sections has pages of its own. Other tables share pages: a reference then has the lowest and the
//! highest table, and the sections in the page are sorted by table.

use std::{
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};
use neap_bucket::{FormatError, HEADER_BYTES, Key, ObjectFormat, Stamp, compression, formats};
use neap_schema::{DatabaseId, TableId};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::{Section, SectionBounds, TimeRange};

const FORMAT: ObjectFormat = formats::PAGE;

/// A reference to a page: its location, and the bounds of its sections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRef {
    /// The object that contains the page.
    pub object: Ulid,
    /// The offset of the page in the object, in bytes.
    pub offset: u64,
    /// The length of the page in bytes.
    pub size_bytes: u64,
    /// The lowest table of its sections.
    pub table: TableId,
    /// The highest table of its sections, if tables share the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_table: Option<TableId>,
    /// The first day of any row, in days since the epoch.
    pub first_day: i32,
    /// The last day of any row, in days since the epoch.
    pub last_day: i32,
    /// The earliest timestamp, in nanoseconds since the epoch.
    pub min_time: i64,
    /// The latest timestamp, in nanoseconds since the epoch.
    pub max_time: i64,
    /// Exclusive lower bound of the sections' stamp intervals.
    pub above: Stamp,
    /// Inclusive upper bound of these intervals.
    pub upto: Stamp,
    /// Row deletes up to this stamp have been applied to all its sections.
    pub clean_upto: Stamp,
    /// The first version of the manifest that had any of its sections.
    pub first_added: u64,
    /// The length of the head in bytes.
    pub head_bytes: u32,
    /// The CRC-32C of the head.
    pub head_crc32c: u32,
    /// The number of sections.
    pub sections: u32,
    /// The number of rows of all its sections.
    pub rows: u64,
}

impl PageRef {
    /// Returns bounds that contain those of all sections of the page.
    pub(crate) fn bounds(&self) -> SectionBounds {
        SectionBounds {
            first_day: self.first_day,
            last_day: self.last_day,
            above: self.above,
            upto: self.upto,
        }
    }

    /// Returns the key of the object.
    pub fn key(&self, database: DatabaseId) -> Key {
        Key::Page(database, self.object)
    }

    /// Returns the range of the page in the object, in bytes.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.size_bytes)
    }

    /// Verifies the checksums of the page in the bytes of its object.
    ///
    /// # Errors
    /// [`FormatError::Newer`] if the page is of a later release, as for [`verify_head`](Self::verify_head). Otherwise, it is
    /// damaged or truncated.
    pub fn verify(&self, database: DatabaseId, object: &Bytes) -> Result<(), FormatError> {
        let key = self.key(database).to_string();
        let part = |range: Range<u64>| {
            let [start, end] = [range.start, range.end].map(usize::try_from);
            let range = start.ok()?..end.ok()?;
            (range.start <= range.end && range.end <= object.len()).then(|| object.slice(range))
        };
        let Some(page) = part(self.range()) else {
            let reason = "it is truncated".to_owned();
            return Err(FormatError::Damaged { key, reason });
        };
        let head = part(self.head_range()).unwrap_or_default();
        self.verify_head(database, &head)?;
        decode(&key, &page).map(|_| ())
    }

    /// Verifies the bytes of the page's head.
    ///
    /// # Errors
    /// [`FormatError::Newer`] if the head is intact, and a later release wrote it. A head whose version number alone is
    /// damaged is [`FormatError::Damaged`].
    pub fn verify_head(&self, database: DatabaseId, head: &Bytes) -> Result<(), FormatError> {
        let key = self.key(database).to_string();
        decode_head(&key, self, head).map(|_| ())
    }

    /// Returns the range of the page's head in the object, in bytes.
    pub fn head_range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(u64::from(self.head_bytes))
    }

    /// Returns whether a row of a section may have a time in `times`.
    pub fn meets(&self, times: TimeRange) -> bool {
        times.meets(self.min_time, self.max_time)
    }

    /// Returns the range of tables of its sections. The first and the last one have sections; those between may have
    /// some.
    pub fn tables(&self) -> RangeInclusive<TableId> {
        self.table..=self.last_table.unwrap_or(self.table)
    }

    /// Returns whether the page may hold sections of a table.
    pub fn may_hold(&self, table: TableId) -> bool {
        self.tables().contains(&table)
    }

    /// Returns the number of table ids in its range of tables.
    pub(crate) fn table_span(&self) -> u64 {
        span_of(&self.tables())
    }

    /// Returns the approximate number of rows per table.
    pub fn rows_per_table(&self) -> u64 {
        let tables = self.table_span().min(u64::from(self.sections)).max(1);
        self.rows.div_ceil(tables)
    }

    /// Returns whether both are the same bytes of the same object.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place() == other.place()
    }

    /// Returns the location, which is unique to the page.
    pub(crate) fn place(&self) -> PageLocation {
        (self.object, self.offset)
    }

    /// Returns the reference to a page with these sections; `None` if there are no sections.
    pub(crate) fn new(
        sections: &[SectionWithFooter],
        object: Ulid,
        offset: u64,
        page: &EncodedPage,
    ) -> Option<Self> {
        let all = || sections.iter().map(|with_footer| with_footer.section.as_ref());
        let table = all().map(|section| section.table).min()?;
        let last_table = all().map(|section| section.table).max()?;
        Some(Self {
            object,
            offset,
            size_bytes: page.bytes.len() as u64,
            table,
            last_table: (last_table > table).then_some(last_table),
            first_day: all().map(|section| section.first_day).min()?,
            last_day: all().map(|section| section.last_day).max()?,
            min_time: all().map(|section| section.min_time).min()?,
            max_time: all().map(|section| section.max_time).max()?,
            above: all().map(|section| section.above).min()?,
            upto: all().map(|section| section.upto).max()?,
            clean_upto: all().map(Section::clean_upto).min()?,
            first_added: all().map(|section| section.added).min()?,
            head_bytes: u32::try_from(page.head.len()).ok()?,
            head_crc32c: crc32c::crc32c(&page.head),
            sections: u32::try_from(sections.len()).ok()?,
            rows: all().map(|section| section.rows).sum(),
        })
    }
}

/// Returns the number of table ids in a range.
pub(crate) fn span_of(tables: &RangeInclusive<TableId>) -> u64 {
    u64::from(tables.end().get().saturating_sub(tables.start().get())) + 1
}

/// The location of a page: the object, and the offset in it.
pub(crate) type PageLocation = (Ulid, u64);

/// A section, with its Parquet footer if the page contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionWithFooter {
    /// The section.
    pub section: Arc<Section>,
    /// The bytes of [`Section::footer_range`]; `None` if they must be read from the section's object.
    pub footer: Option<Bytes>,
}

impl SectionWithFooter {
    /// Wraps a section that the manifest holds inline.
    pub(crate) fn inline(section: &Arc<Section>) -> Self {
        Self { section: Arc::clone(section), footer: None }
    }

    /// Returns the sort key of sections in a page: by table, then by time.
    pub(crate) fn page_order(&self) -> (TableId, i32, (Stamp, Stamp, TableId, i32)) {
        let section = &self.section;
        (section.table, section.first_day, section.order())
    }
}

#[derive(Serialize, Deserialize)]
struct StoredSection {
    section: Arc<Section>,
    /// The byte range of the footer in the last part of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    footer: Option<Range<usize>>,
}

#[derive(Debug)]
pub(crate) struct EncodedPage {
    pub(crate) bytes: Bytes,
    head: Bytes,
}

pub(crate) fn encode(sections: &[SectionWithFooter], put_id: u128) -> std::io::Result<EncodedPage> {
    let mut footers = BytesMut::new();
    let entries: Vec<_> = sections
        .iter()
        .map(|with_footer| {
            let footer = with_footer.footer.as_ref().map(|footer| {
                let start = footers.len();
                footers.put_slice(footer);
                start..footers.len()
            });
            StoredSection { section: Arc::clone(&with_footer.section), footer }
        })
        .collect();
    let plain = serde_json::to_vec(&entries)?;
    let json = compression::compress(&plain)?;
    let length = u32::try_from(json.len()).map_err(std::io::Error::other)?;
    let mut payload = BytesMut::with_capacity(4 + json.len() + footers.len());
    payload.put_u32_le(length);
    payload.put_slice(&json);
    payload.put_slice(&footers);
    let bytes = FORMAT.encode(put_id, &payload);
    let head = bytes.slice(..HEADER_BYTES + 4 + json.len());
    Ok(EncodedPage { bytes, head })
}

/// Decodes a page. The footers share its memory.
pub(crate) fn decode(key: &str, page: &Bytes) -> Result<Vec<SectionWithFooter>, FormatError> {
    let damaged = |reason: String| FormatError::Damaged { key: key.to_owned(), reason };
    let (_, payload) = FORMAT.decode(key, page)?;
    let cut = || damaged("a part of the page is missing".to_owned());
    let (length, _) = payload.split_first_chunk::<4>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?;
    if payload.len() - 4 < length {
        return Err(cut());
    }
    let entries = entries(key, &payload.slice(4..4 + length))?;
    let footers = payload.slice(4 + length..);
    let sections = entries.into_iter().map(|entry| {
        let footer = match entry.footer {
            None => None,
            Some(range) if range.start <= range.end && range.end <= footers.len() => {
                Some(footers.slice(range))
            }
            Some(_) => return Err(cut()),
        };
        Ok(SectionWithFooter { section: entry.section, footer })
    });
    sections.collect()
}

/// Decodes the sections of a page from its head alone, without footers.
pub(crate) fn decode_head(
    key: &str,
    page: &PageRef,
    head: &Bytes,
) -> Result<Vec<SectionWithFooter>, FormatError> {
    let json = head
        .get(HEADER_BYTES + 4..)
        .filter(|_| crc32c::crc32c(head) == page.head_crc32c)
        .ok_or_else(|| FormatError::Damaged {
            key: key.to_owned(),
            reason: "the checksum of a page's head does not match".to_owned(),
        })?;
    FORMAT.decode_header(key, head)?;
    let entries = entries(key, json)?.into_iter();
    let sections = entries.map(|entry| SectionWithFooter { section: entry.section, footer: None });
    Ok(sections.collect())
}

fn entries(key: &str, json: &[u8]) -> Result<Vec<StoredSection>, FormatError> {
    let damaged = |error: std::io::Error| FormatError::Damaged {
        key: key.to_owned(),
        reason: error.to_string(),
    };
    let json = compression::decompress(json).map_err(damaged)?;
    serde_json::from_slice(&json).map_err(|error| damaged(error.into()))
}

/// Returns the approximate memory size of a decoded page, in bytes.
pub(crate) fn size_bytes(page: &Bytes, sections: &[SectionWithFooter]) -> usize {
    let sections = sections.iter().map(|with_footer| {
        let tags = with_footer.section.tags.iter().map(|(name, range)| {
            let values =
                [&range.min, &range.max].map(|value| value.as_ref().map_or(0, String::len));
            size_of::<crate::TagRange>() + name.len() + values.iter().sum::<usize>()
        });
        let series = with_footer.section.series.as_ref().map_or(0, String::len);
        size_of::<Section>() + series + tags.sum::<usize>()
    });
    HEADER_BYTES + page.len() + sections.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{section, stamp};

    fn sections() -> Vec<SectionWithFooter> {
        vec![
            SectionWithFooter {
                section: Arc::new(section(1, 0, 0, 10)),
                footer: Some(Bytes::from_static(b"first footer")),
            },
            SectionWithFooter { section: Arc::new(section(1, 2, 20, 30)), footer: None },
            SectionWithFooter {
                section: Arc::new(section(1, 1, 10, 20)),
                footer: Some(Bytes::from_static(b"last")),
            },
        ]
    }

    #[test]
    fn sections_and_footers_survive_a_round_trip() {
        let page = encode(&sections(), 5).unwrap().bytes;
        assert_eq!(&page[..4], b"NPAG");
        assert_eq!(decode("k", &page).unwrap(), sections());
    }

    #[test]
    fn reference_covers_all_sections() {
        let encoded = encode(&sections(), 5).unwrap();
        let page = PageRef::new(&sections(), Ulid::from_parts(1, 1), 7, &encoded).unwrap();
        assert_eq!((page.first_day, page.last_day), (0, 2));
        assert_eq!((page.above, page.upto), (stamp(0), stamp(30)));
        let end = 7 + encoded.bytes.len() as u64;
        assert_eq!((page.sections, page.rows, page.range()), (3, 3, 7..end));
        assert_eq!(page.head_range(), 7..end - 16);
        assert_eq!(PageRef::new(&[], Ulid::from_parts(1, 1), 0, &encoded), None);
    }

    #[test]
    fn a_page_of_several_tables_names_the_lowest_and_the_greatest() {
        let tables = |tables: &[u32]| {
            let sections: Vec<_> = tables
                .iter()
                .map(|table| SectionWithFooter {
                    section: Arc::new(section(*table, 0, 0, 10)),
                    footer: None,
                })
                .collect();
            let encoded = encode(&sections, 5).unwrap();
            PageRef::new(&sections, Ulid::from_parts(1, 1), 0, &encoded).unwrap()
        };
        let page = tables(&[3, 5, 9]);
        assert_eq!(page.tables(), TableId::new(3)..=TableId::new(9));
        assert!(page.may_hold(TableId::new(9)) && !page.may_hold(TableId::new(10)));
        assert_eq!(tables(&[3, 3]).last_table, None);
    }

    #[test]
    fn a_head_contains_the_sections_without_their_footers() {
        let encoded = encode(&sections(), 5).unwrap();
        let page = PageRef::new(&sections(), Ulid::from_parts(1, 1), 0, &encoded).unwrap();
        let found = decode_head("k", &page, &encoded.head).unwrap();
        let expected: Vec<_> = sections().into_iter().map(|one| one.section).collect();
        let found: Vec<_> = found.into_iter().map(|one| one.section).collect();
        assert_eq!(found, expected);
        for at in 0..encoded.head.len() {
            let mut damaged = encoded.head.to_vec();
            damaged[at] ^= 1;
            assert!(decode_head("k", &page, &damaged.into()).is_err());
            assert!(decode_head("k", &page, &encoded.head.slice(..at)).is_err());
        }
    }

    #[test]
    fn a_page_of_a_later_version_is_refused_as_a_whole_and_by_its_head() {
        let encoded = encode(&sections(), 5).unwrap();
        let mut page = PageRef::new(&sections(), Ulid::from_parts(1, 1), 0, &encoded).unwrap();
        let [whole, head] = [&encoded.bytes, &encoded.head].map(|bytes| {
            let mut later = bytes.to_vec();
            later[4] += 1;
            Bytes::from(later)
        });
        page.head_crc32c = crc32c::crc32c(&head);
        for decoded in [decode("k", &whole), decode_head("k", &page, &head)] {
            let error = decoded.unwrap_err();
            assert!(matches!(error, FormatError::Newer { .. }), "{error}");
        }
    }

    #[test]
    fn a_page_with_a_damaged_version_is_damaged_and_not_of_a_later_release() {
        let encoded = encode(&sections(), 5).unwrap();
        let mut page = PageRef::new(&sections(), Ulid::from_parts(1, 1), 0, &encoded).unwrap();
        let database = DatabaseId::new(1);
        assert_eq!(page.verify(database, &encoded.bytes), Ok(()));
        let mut bytes = encoded.bytes.to_vec();
        bytes[4] += 1;
        let changed = Bytes::from(bytes);
        let damaged = page.verify(database, &changed).unwrap_err();
        assert!(matches!(damaged, FormatError::Damaged { .. }), "{damaged}");
        page.head_crc32c = crc32c::crc32c(&changed[..encoded.head.len()]);
        let newer = page.verify(database, &changed).unwrap_err();
        assert!(matches!(newer, FormatError::Newer { .. }), "{newer}");
    }

    #[test]
    fn damaged_pages_are_errors() {
        let page = encode(&sections(), 5).unwrap().bytes;
        for at in 0..page.len() {
            assert!(decode("k", &page.slice(..at)).is_err());
        }
        for payload in [&b""[..], &[1, 0], &[200, 0, 0, 0, 1], &[0, 0, 0, 0]] {
            assert!(decode("k", &FORMAT.encode(1, payload)).is_err());
        }
    }
}

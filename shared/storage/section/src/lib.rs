//! Checksums of the parts of a section, so that a reader of a few ranges can verify them, and the digest of its series.
//!
//! ```text
//! section   "PAR1"
//!           column chunks      the pages of one column of one row group each
//!           bloom filters   \
//!           checksums        |  the footer of the section, `Section::footer_length` bytes, whose checksum is
//!           page index       |  in the manifest
//!           Parquet footer  /
//!
//! checksums "NPCS", u32 LE number of parts, and for each part its CRC-32C, u32 LE, in the order of their offsets
//! ```
//!
//! Each dictionary page, each data page and each bloom filter is a part, because these are the smallest ranges that
//! Parquet readers request. The page index contains their locations, so the checksums need no offsets of their own.
//! They end where the page index starts. Other Parquet readers ignore them, because no offset points to them.

mod checksums;
mod footer;
mod parts;
mod series_digest;

pub use checksums::add_checksums;
pub use footer::{ParquetPartError, SectionFooter};
pub use series_digest::SeriesDigest;

/// Maximum number of rows of a row group.
pub const MAX_ROW_GROUP_ROWS: usize = 262_144;

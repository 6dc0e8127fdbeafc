//! Checksums of the parts of a section, so that a reader of a few ranges can verify them.
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
//! The parts are each dictionary page, each data page and each bloom filter: the smallest ranges that Parquet
//! readers ask for. The page index says where they are, so the checksums need no offsets of their own. They end
//! where the page index starts. To other Parquet readers they are bytes that no offset points to.

mod checksums;
mod footer;
mod parts;

pub use checksums::add_checksums;
pub use footer::{PartError, SectionFooter};

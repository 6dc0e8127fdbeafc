//! The header of a TSM file.

/// The first bytes of a TSM file.
pub(crate) const MAGIC: u32 = 0x16d1_16d1;
/// The version of the format.
pub(crate) const VERSION: u8 = 1;
/// Size of the magic number and the version in bytes.
pub(crate) const HEADER_BYTES: u64 = 5;

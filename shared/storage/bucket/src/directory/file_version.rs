//! The version of an object, from the metadata of its file.

use std::{fs::Metadata, os::unix::fs::MetadataExt};

use crate::{ETag, StoreTime};

/// The nanoseconds of the modification time of a file whose name may not be durable, besides its microseconds.
pub(super) const UNSETTLED_NANOS: i64 = 1;

/// Returns the time at which a file was last modified.
pub(super) fn modified(metadata: &Metadata) -> StoreTime {
    let micros = metadata.mtime().saturating_mul(1_000_000);
    StoreTime::from_micros(micros.saturating_add(metadata.mtime_nsec() / 1000))
}

/// Returns the version of a file.
pub(super) fn etag(metadata: &Metadata) -> ETag {
    let (micros, inode) = (modified(metadata).micros(), metadata.ino());
    ETag::new(format!("\"{micros:x}-{inode:x}-{:x}\"", metadata.len()))
}

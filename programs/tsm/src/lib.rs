//! Readers of the data files of InfluxDB 1 and 2: TSM, tombstones and the write-ahead log.
//!
//! [`ShardReader`] opens the files of one shard and returns its [`Series`] in the order of their keys. For each series,
//! [`RowReader`] returns the rows in the order of their times: the fields of the series are joined, and of several values
//! for the same time the newest one wins, as InfluxDB itself decides.
//!
//! ```text
//! 000000001-000000002.tsm  ┐
//! 000000001-000000002.tombstone  ├─ IndexCursor ─┐
//! 000000003-000000001.tsm  ┘                     ├─ ShardReader ── Series ── RowReader ── RowChunk
//! _00007.wal, _00008.wal ─────── WalCache ───────┘
//! ```
//!
//! # Files
//!
//! | file | reader | contents |
//! |---|---|---|
//! | `GENERATION-SEQUENCE.tsm` | [`TsmFile`], [`IndexCursor`] | blocks of up to about 1,000 values of one field of one series, with checksums, and an index at the end |
//! | `GENERATION-SEQUENCE.tombstone` | [`Tombstones`] | ranges of time that are deleted from the TSM file of the same name |
//! | `_NUMBER.wal` | [`WalCache`] | writes and deletes after the newest TSM file |
//!
//! A key is the series key of line protocol, `#!~#`, and the name of the field. InfluxDB 2 has the same files, with a
//! bucket in the place of a database.
//!
//! # Damage
//!
//! No bytes of a file cause a panic. A part that cannot be read is left out and reported as [`Damage`] with the file and
//! the offset, and everything else is read. Memory is bounded: an index is read through a small buffer, blocks are read
//! one by one, a chunk has a bounded number of blocks, and the log has a limit.

mod block;
mod damage;
mod encoding;
mod field_merge;
mod file;
mod header;
mod index;
mod key;
mod rows;
mod shard;
mod strings;
#[cfg(test)]
mod tests;
mod tombstone;
mod values;
mod wal;

pub use block::{BlockDecoder, MAX_BLOCK_VALUES};
pub use damage::{Damage, DecodeError, TsmError};
pub use file::TsmFile;
pub use index::{IndexCursor, IndexEntry, IndexKey};
pub use key::{FIELD_SEPARATOR, SeriesKey, split_key};
pub use rows::{FieldColumn, RowChunk, RowReader};
pub use shard::{BlockRef, Field, Series, ShardFiles, ShardReader};
pub use strings::Strings;
pub use tombstone::{TimeRange, Tombstones};
pub use values::{ValueType, Values};
pub use wal::WalCache;

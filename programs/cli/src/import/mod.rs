//! Imports from InfluxDB 1, 2 and 3.
//!
//! | source | module | sent as |
//! |---|---|---|
//! | shards in a data folder or a backup | [`shards`] | Arrow, or line protocol for few rows |
//! | exports of line protocol | [`line_protocol`] | line protocol |
//! | annotated CSV | [`annotated_csv`] | line protocol |
//! | a running server | [`live`] | line protocol |
//!
//! ```text
//! shards ── worker threads: series ── rows ── table batches ──┐
//! exports ── reader thread: batches of lines ─────────────────┴─ channel ── BodySender ── server
//!                                                                                │
//!                                                              ImportState ◄─────┘ what is answered
//! ```
//!
//! An import is idempotent, because a point with the same tags and time replaces the earlier one. Therefore the state
//! only has to name what is certainly answered: an import that is started again sends the rest, and a little of what was
//! in flight again.

mod annotated_csv;
mod body;
mod error;
mod file_import;
mod filter;
mod line_escapes;
mod line_filter;
mod line_protocol;
mod live;
mod names;
mod problems;
mod sender;
mod shards;
mod state;
mod summary;
mod table_counts;
mod verify;

pub(crate) use annotated_csv::{CsvFiles, import_csv};
pub(crate) use error::ImportError;
pub(crate) use filter::ImportFilter;
pub(crate) use line_protocol::{LineFile, import_lines};
pub(crate) use live::{LiveImport, SourceSettings, SourceToken, SourceVersion, import_live};
pub(crate) use names::{DatabaseNames, Rename};
pub(crate) use sender::{BodySender, SenderSettings};
pub(crate) use shards::{ConflictPolicy, FoundShards, ShardImport, find_shards, import_shards};
pub(crate) use state::{ImportState, StateFile};
pub(crate) use summary::ImportSummary;
pub(crate) use verify::verify_counts;

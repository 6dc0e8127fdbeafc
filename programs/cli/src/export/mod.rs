//! Exports of tables as files, through a server.
//!
//! ```text
//!   server                        directory
//!     |-- tables, rows per day ---> plan: one slice per table and day
//!     |-- rows of a slice --------> .partial/N   Parquet, as the server sent it
//!     |                                |  other formats: encoded from it
//!     |                                v
//!     |                             <table>/day=2026-11-01/part-00000000000000.parquet
//!     |                             export.json   the snapshot, and the finished parts
//!     |                             SHA256SUMS    written at the end
//! ```
//!
//! All queries are answered as of one stamp, so that the files have one state of the database. A part gets its name
//! after it is complete and on the disk, and is in `export.json` after that. An export that was interrupted continues
//! with the parts that are missing.
//!
//! | module | contents |
//! |---|---|
//! | `exporter` | plans and runs an export |
//! | `directory`, `manifest`, `part_file`, `table_folders` | the files of an export |
//! | `file_tasks` | work on files that outlives a request |
//! | `encode`, `format` | the formats |
//! | `server` | the queries |
//! | `snapshot` | the state that all queries read |
//! | `time_range` | slices of time |
//! | `verify` | compares an export with its checksums |

mod directory;
mod encode;
mod error;
mod exporter;
mod file_tasks;
mod format;
mod manifest;
mod part_file;
mod server;
mod snapshot;
mod table_folders;
mod time_range;
mod verify;

use self::error::ExportResult;
pub(crate) use self::{
    error::ExportError,
    exporter::{ExportStats, Exporter},
    format::{ExportCompression, ExportFormat},
    manifest::{ExportRequest, ExportSource},
    time_range::TimeRange,
    verify::{VerifyStats, verify},
};

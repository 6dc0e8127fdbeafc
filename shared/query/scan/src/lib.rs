//! Reads the rows of a table at a snapshot: selects the sections and segments that a query needs, and merges their rows to points.
//!
//! ```text
//!   snapshot_table   the table as DataFusion reads it
//!     snapshot_scan    in a distributed query: a scan by name, which workers open
//!       scan_exec        its operator
//!         fragment, fragment_plan, assignment   the part of a table that a worker reads
//!     plan             scans, and merges where times overlap
//!       dedup            merges sorted inputs, and outputs each point once
//!       section_scan, section_files   the rows of sections
//!         reader, read_ahead, data      their bytes, verified and cached
//!       tail             the rows of the tail: images in memory, and runs in spill files
//!       visibility       deleted and expired rows
//!   redundant_time_bounds   what an optimizer rule removes above scans
//!   newest_series           sections that a rule leaves out, because others have newer rows of all series
//! ```

mod assignment;
mod data;
mod dedup;
mod dynamic_filters;
mod error;
mod file_scans;
mod fragment;
mod fragment_plan;
mod io_runtime;
mod lookup;
mod newest_series;
mod not_deleted;
mod plan;
mod plan_methods;
mod predicate;
mod read_ahead;
mod reader;
mod redundant_time_bounds;
mod regions;
mod required_tags;
mod row_estimate;
mod scan_context;
mod scan_exec;
mod section_files;
mod section_scan;
mod sequence;
mod shown_columns;
mod snapshot_scan;
mod snapshot_table;
mod tag_conditions;
mod tail;
mod temporary_errors;
mod visibility;

pub use data::{DataCacheLimits, DataCacheStats, SectionData, SectionDataError, SectionPart};
pub use dedup::DedupExec;
pub use error::external;
pub use file_scans::{FileScans, read_bytes};
pub use fragment::ScanFragment;
pub use io_runtime::{IoRuntime, run_on};
pub use lookup::is_lookup;
pub use newest_series::NewestSeries;
pub use plan::SeriesOrder;
pub use predicate::first_time;
pub use reader::cold_bytes_read;
pub use redundant_time_bounds::without_redundant_time_bounds;
pub use scan_context::ScanContext;
pub use scan_exec::{DistributedScans, ScanEnvironment, SnapshotScanExec};
pub use section_files::STORE_URL;
pub use sequence::SequenceExec;
pub use snapshot_table::SnapshotTable;
pub use tail::{
    NewestRows, OverlayRequest, StaleTail, TailImageError, TailImages, TailRun, TailScanExec,
    TailSnapshot, TailView, is_stale_snapshot,
};
pub use temporary_errors::is_temporary;

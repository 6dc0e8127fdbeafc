//! Tables of a snapshot: selects the sections and segments that a query needs, and merges their rows to points.

mod assignment;
mod data;
mod dedup;
mod dynamic_filters;
mod error;
mod file_scans;
mod fragment;
mod fragment_plan;
mod lookup;
mod not_deleted;
mod plan;
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
mod snapshot_scan;
mod snapshot_table;
mod tag_conditions;
mod tail;
mod tail_filters;
mod temporary_errors;
mod visibility;

pub use data::DataCacheStats;
pub(crate) use data::SectionDataError;
pub use data::{DataCacheLimits, SectionData};
pub(crate) use dedup::DedupExec;
pub use error::external;
pub use file_scans::{FileScans, read_bytes};
pub use fragment::ScanFragment;
pub(crate) use lookup::is_lookup;
pub(crate) use redundant_time_bounds::without_redundant_time_bounds;
pub use scan_context::ScanContext;
pub use scan_exec::{DistributedScans, ScanEnvironment, SnapshotScanExec};
pub(crate) use section_files::STORE_URL;
pub(crate) use snapshot_table::SnapshotTable;
pub(crate) use tail::{NewestRows, OverlayRequest, TailScanExec};
pub use tail::{
    StaleTail, TailImageError, TailImages, TailRun, TailSnapshot, TailView, is_stale_snapshot,
};
pub(crate) use tail_filters::with_filtered_tails;
pub use temporary_errors::is_temporary;

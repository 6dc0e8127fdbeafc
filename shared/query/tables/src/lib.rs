//! The tables of a database at a snapshot, as DataFusion reads them.
//!
//! ```text
//!   session      names, optimizer rules, functions: a statement is planned in a session
//!     small_plans  the options of plans with few rows
//!     last_rows  the rows that aggregates of last values need
//!     run_aggregate  the first step of aggregates, run by run
//!       row_groups   the groups of rows by their keys
//!     system     the schema `system`
//!     caches     last and distinct value caches: `last_cache(...)`, `distinct_cache(...)`, and tables read from them
//!       scope    the view of one query: snapshot, times
//!         cache_layers   base layers: the part of each cache that comes from sections
//!           scan         sections and the tail, deduplicated, with deleted rows hidden
//! ```
//!
//! A module uses only modules below it. All state in memory is a cache of immutable objects, bounded in bytes.

mod aggregate_split;
mod background;
mod cache_layers;
mod caches;
mod cancellation;
mod grouping_sets;
mod io_runtime;
mod last_rows;
mod one_input;
mod operator_rules;
mod planning_interrupts;
mod plugin_files;
mod rank_sort;
mod regex_backslashes;
mod renamed_columns;
mod row_groups;
mod run_aggregate;
mod scan;
mod scope;
mod session;
mod single_execution;
mod small_plans;
mod statement_errors;
mod subqueries;
mod substitution_rule;
mod system;
mod time_range;
mod unused_values;

pub use cache_layers::{CacheLayers, CacheStats};
pub use caches::CacheTable;
pub use cancellation::{CANCELLED, Cancellation, RunningGuard, with_cancellation};
pub use grouping_sets::{SmallBatchesExec, UnorderedExec};
pub use io_runtime::{IoRuntime, run_on};
pub use last_rows::{LastRowsExec, LastRowsParameters, TimeEnd};
pub use planning_interrupts::interruptible;
pub use plugin_files::{PluginFile, PluginFiles, PluginFilesError};
pub use rank_sort::RankSortExec;
pub use run_aggregate::RunAggregateExec;
pub use scan::{
    DataCacheLimits, DataCacheStats, DistributedScans, FileScans, ScanContext, ScanEnvironment,
    ScanFragment, SectionData, SnapshotScanExec, StaleTail, TailImageError, TailImages, TailRun,
    TailSnapshot, TailView, external, is_stale_snapshot, is_temporary, read_bytes,
};
pub use scope::{QueryScope, QueryTimes, SharedTables};
pub use session::{CATALOG, QueryContext, SCHEMA, SessionSettings, Sessions, runtime};
pub use small_plans::{create_optimized_plan, create_physical_plan, is_one_scan, optimize};
pub use statement_errors::is_of_statement;
pub use system::{FORMER_TIME_COLUMN, QueryHistory, QueryRecord, StoreRequests, SystemSources};
pub use unused_values::release_unused_values;

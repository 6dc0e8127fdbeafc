//! The tables of a database at a snapshot, as DataFusion reads them.
//!
//! ```text
//!   early_execution  executes plans while a statement is planned
//!   session      names, optimizer rules, functions: a statement is planned in a session
//!     small_plans  the options of plans with few rows
//!     repeatable_plan  whether a plan returns the same rows each time it is executed over a snapshot
//!     system     the schema `system`
//!     caches     last and distinct value caches: `last_cache(...)`, `distinct_cache(...)`, and tables read from them
//!       scope    the view of one query: snapshot, times
//!         cache_layers   base layers: the part of each cache that comes from sections
//! ```
//!
//! A module uses only modules below it. Rows come from scans (`neap-scan`). All state in memory is a cache of immutable
//! objects, bounded in bytes.

mod background;
mod balanced_tree;
mod cache_layers;
mod caches;
mod early_execution;
mod plugin_files;
mod repeatable_plan;
mod scope;
mod session;
mod small_plans;
mod system;
mod unsupported_plans;

pub use balanced_tree::balanced;
pub use cache_layers::{CacheLayers, CacheStats};
pub use caches::CacheTable;
pub use plugin_files::{PluginFile, PluginFiles, PluginFilesError};
pub use repeatable_plan::{ScannedTimes, is_repeatable};
pub use scope::{QueryScope, QueryTimes, SharedTables};
pub use session::{CATALOG, QueryContext, SCHEMA, SessionSettings, Sessions, runtime};
pub use small_plans::{create_optimized_plan, create_physical_plan, is_one_scan, optimize};
pub use system::{FORMER_TIME_COLUMN, QueryHistory, QueryRecord, StoreRequests, SystemSources};

//! An optimizer rule that answers queries of tables from caches. The statement does not name the cache.
//!
//! If a plan depends only on the newest rows of each key, or only on the existing values, its scan may read just those
//! rows from a cache. All nodes above the scan stay, so that the answer is the same with either input:
//!
//! ```text
//!   Aggregate: groupBy=[host], aggr=[selector_last(usage, time)]
//!     TableScan: cpu, filters=[time >= ...]      all rows, or of each host the newest one
//! ```
//!
//! | shape of the plan | required rows |
//! |---|---|
//! | `SELECT DISTINCT tags`, `GROUP BY tags` with only `max(time)` | the existing values |
//! | `GROUP BY tags` with `selector_last`, `last_value(... ORDER BY time)`, `DISTINCT ON` | the newest row of each |
//! | `WHERE tags = ... ORDER BY time DESC LIMIT n` | the newest n rows |
//!
//! The scan checks that the cache is exact for the query: no older row matters, the size limit of the cache cut off no
//! rows, and no row is excluded because it lacks a key column. Otherwise the scan reads the table.

mod required_rows;
mod rule;
mod table;

use required_rows::RequiredRows;

pub(crate) use rule::CacheRewrite;
pub(crate) use table::RewrittenTable;

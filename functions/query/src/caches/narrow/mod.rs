//! Queries of tables that a cache can help, without a word about it in the statement.
//!
//! A plan in which only the newest rows of each key matter, or only which values there are, gets a scan that
//! may give just those rows, out of a cache. All that was above the scan stays, so that the answer is the same
//! whichever rows come:
//!
//! ```text
//!   Aggregate: groupBy=[host], aggr=[selector_last(usage, time)]
//!     TableScan: cpu, filters=[time >= ...]      all rows, or of each host the newest one
//! ```
//!
//! | shape of the plan | what it needs |
//! |---|---|
//! | `SELECT DISTINCT tags`, `GROUP BY tags` with nothing but `max(time)` | which values there are |
//! | `GROUP BY tags` with `selector_last`, `last_value(... ORDER BY time)`, `DISTINCT ON` | the newest row of each |
//! | `WHERE tags = ... ORDER BY time DESC LIMIT n` | the newest n rows |
//!
//! The scan makes sure that the cache is exact for it: that no older row counts, that nothing was cut off, and
//! that rows which the cache leaves out are none. Else it reads the table.

mod need;
mod rule;
mod table;

use need::Need;

pub(crate) use rule::NarrowToCache;

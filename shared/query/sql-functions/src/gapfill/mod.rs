//! Gap filling: aggregates over time with a row for every bin, including bins without data.
//!
//! ```sql
//! SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, room, avg(temp), locf(max(co))
//! FROM home WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY t, room
//! ```
//!
//! The SQL functions are placeholders ([`functions`]). An analyzer rule ([`rewrite`]) replaces the binning function
//! with its plain form and adds a [`node::GapFill`] above the aggregate. The time bounds are extracted from the query's
//! predicates ([`time_bounds`]), or are arguments after the origin, as in plans of InfluxQL. Each `locf` or
//! `interpolate` becomes an additional column of that node.
//! [`exec::GapFillExec`] executes the node; its input is sorted by group and time.
//!
//! In a bin without data an aggregate is NULL, or its value over no rows if it is never NULL (`count`: 0). `locf` and
//! `interpolate` also replace NULLs in bins with data. A group without data in the range has no rows. If the lower
//! bound is `i64::MIN`, each group begins with the bin of its first row. The number of bins of a group is limited
//! ([`GapFillLimit`]).

pub(crate) mod functions;
pub(crate) mod node;
pub(crate) mod planner;
pub(crate) mod rewrite;

pub use limit::GapFillLimit;

mod exec;
mod group_bins;
mod groups;
mod interpolate;
mod limit;
mod series;
mod spec;
mod time_bounds;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

//! Gap filling: aggregates by time that have a row for every bin, also for those without data.
//!
//! ```sql
//! SELECT date_bin_gapfill(INTERVAL '1 hour', time) AS t, room, avg(temp), locf(max(co))
//! FROM home WHERE time >= '2024-01-01' AND time < '2024-01-02' GROUP BY t, room
//! ```
//!
//! The functions have no meaning by themselves ([`functions`]). An analyzer rule ([`rewrite`])
//! replaces the binning function by its plain form and puts a [`node::GapFill`] above the
//! aggregate, with the time bounds that it found in the query's predicates ([`bounds`]); each
//! `locf` or `interpolate` becomes a further column of that node. The node is executed by
//! [`exec::GapFillExec`], whose input is sorted by group and time, one group after the other.
//!
//! In a bin without data an aggregate is NULL, or what it is for no rows if it never is NULL
//! (`count`: 0). `locf` and `interpolate` also replace the NULLs of bins with data. A group without
//! any data in the range has no rows. If the lower bound is before all times (`i64::MIN`), each group begins
//! with the bin of its first row.

pub(crate) mod functions;
pub(crate) mod planner;
pub(crate) mod rewrite;

mod bounds;
mod exec;
mod group_bins;
mod groups;
mod interpolate;
mod node;
mod series;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

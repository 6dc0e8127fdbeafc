//! Computes the first step of an aggregate with groups that are found once for each run of rows.
//!
//! ```text
//!   AggregateExec (final: max(a), avg(b) by date_bin(time), host)
//!     RunAggregateExec          the partial states of the groups of its input
//!       AggregateExec (partial)   says what is computed, and is not executed
//!         scan                      rows, sorted by tags and time
//! ```
//!
//! DataFusion's operator encodes and hashes the keys of each row, which for tags takes longer than the functions. Rows of a group
//! follow each other in sections, so that nearly all of them have the group of the row before. Rows in any other order are
//! grouped as DataFusion does it.

mod exec;
mod partial_states;
mod run_states;
mod time_windows;

pub use exec::RunAggregateExec;

#[cfg(test)]
mod tests;

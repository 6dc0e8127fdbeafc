//! `ASOF JOIN`: each row of the left table with the row of the right one that is nearest in time, among those with the same keys.
//!
//! ```text
//!   l ASOF JOIN r ON l.sym = r.sym AND l.time >= r.time                    as in DuckDB
//!   l ASOF JOIN r MATCH_CONDITION (l.time >= r.time) ON l.sym = r.sym      as in Snowflake, and DataFusion after 55.2
//!   l ASOF JOIN r ON (sym) TOLERANCE 1h                                    as in QuestDB
//!     syntax      tokens in the form that the parser knows, the second one
//!     relation    plans the tables and conditions
//!       node        the logical node, and its operator
//!         filters     the conditions that its inputs can check
//!         exec        the operator: merges inputs that are sorted by keys and time
//!           merge       the rows of one partition
//! ```
//!
//! DataFusion 55.2 has no `ASOF JOIN`; later versions have the second form, with the same answers, as a broadcast of the right table.
//! They replace `relation`, `node`, `filters` and `exec`, for all joins that keep the rows without a match.
//!
//! A match is the last row of the right table at or before the time of the left row (`>=`), before it (`>`), or the first one at or
//! after it (`<=`), after it (`<`). If several rows have this time, it is one of them. Nulls match nothing.

mod conditions;
mod exec;
pub(crate) mod filters;
mod merge;
pub(crate) mod node;
pub(crate) mod relation;
pub(crate) mod syntax;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

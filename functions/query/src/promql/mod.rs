//! PromQL over the tables of a database.
//!
//! ```text
//!   expression ── PromqlQuery ──► ExpressionPlanner ── evaluate (neap-promql) ──► ResultFormat ──► PromqlAnswer
//!                                        │                  │
//!                                        │            TableSource ── scans of a snapshot
//!                                        │                  │
//!                                 permit, log,        Metric: a field of a table
//!                                 timeout, memory     Matcher: a condition on a label, as SQL
//! ```
//!
//! An expression is evaluated while it is planned, like a `SHOW` statement of InfluxQL. Remote read and the lists of labels and
//! series use the same metrics and matchers.

mod condition;
mod histogram;
mod matcher;
mod matcher_error;
mod metric;
mod pattern;
mod planner;
mod query;
mod selection;
mod source;
#[cfg(test)]
mod tests;

pub use self::{
    condition::{NANOS_PER_MILLI, TimeRange},
    matcher::{LabelMatcher, MAX_MATCHERS, Matcher, MatcherKind, compile_matchers},
    matcher_error::MatcherError,
    metric::{Metric, TABLE_LABEL},
    planner::ResultFormat,
    query::{PromqlAnswer, PromqlQuery, PromqlQueryError},
    selection::{MetricSelection, label_column, values_sql},
};

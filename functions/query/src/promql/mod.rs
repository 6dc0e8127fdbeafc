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
//! An expression is evaluated while it is planned, like a `SHOW` statement of InfluxQL. So are the lists of labels and series
//! ([`MetricRowReader`]), over the same metrics and matchers, which remote read uses, too.

mod condition;
mod histogram;
mod matcher;
mod matcher_error;
mod metric;
mod metric_rows;
mod metric_tables;
mod pattern;
mod planner;
mod query;
mod selection;
mod source;
mod statement_plan;
#[cfg(test)]
mod tests;

pub use self::{
    condition::{NANOS_PER_MILLI, TimeRange},
    matcher::{LabelMatcher, MAX_MATCHERS, Matcher, MatcherKind, compile_matchers},
    matcher_error::MatcherError,
    metric::{Metric, TABLE_LABEL},
    metric_rows::{MetricRowReader, MetricStatements},
    planner::ResultFormat,
    query::{PromqlAnswer, PromqlQuery, PromqlQueryError},
    selection::{MetricSelection, label_column, values_sql},
};

//! PromQL: parses expressions and evaluates them over streams of sorted samples.
//!
//! ```text
//! text ── parse ──► Expr ──┐
//!                          ├── evaluate ──► QueryResult: scalar, string, vector or matrix
//! MetricSource ── select ──┘
//!     tables of samples: a plan each, executed in the order of series and time
//! ```
//!
//! The semantics are those of Prometheus 3: ranges and the look-back exclude their start. A selector, a function over a
//! range and a function of each series handle one series at a time, so their memory does not grow with the number of
//! series. An aggregation keeps one accumulator for each group and step. What is kept is reserved in the memory pool.
//!
//! Of the experimental language, `mad_over_time`, `ts_of_…_over_time`, `first_over_time`, `double_exponential_smoothing`,
//! `sort_by_label`, `limitk`, `limit_ratio` and `info` are evaluated. `histogram_quantiles`, `integral`, `min_of`, `max_of`,
//! `start_timestamp`, the functions `start`, `end`, `step` and `range`, `fill` and arithmetic of durations are refused.
//! Errors, warnings and hints have the words of Prometheus, without positions, because the parser has none.

mod aggregate;
mod annotations;
mod budget;
mod chosen_series;
mod classic_histogram;
mod count_values;
mod error;
mod evaluator;
mod expr_properties;
mod histogram;
mod histogram_estimates;
mod info_series;
mod kahan;
mod label_functions;
mod labels;
mod limit_ratio;
mod number;
mod number_functions;
mod operators;
mod pattern;
mod pattern_memory;
mod quantile;
mod query;
mod range_function;
mod range_series;
mod sample_counts;
mod sample_stream;
mod selection;
mod series;
mod source;
mod step_set;
mod steps;
mod syntax;
#[cfg(test)]
mod tests;
mod unique_series;
mod value;
mod vector_matching;
mod vector_summaries;
mod window;
mod work_counter;

pub use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{Expr, value::ValueType},
};

pub use crate::{
    budget::EvaluationLimits,
    error::PromqlError,
    expr_properties::selector_matchers,
    histogram::{CounterResetHint, FloatHistogram, HistogramBucket, bucket_counts},
    labels::{Labels, NAME_LABEL},
    pattern::{anchored_pattern, pattern_of},
    query::{
        DEFAULT_LOOKBACK_MS, DEFAULT_SUBQUERY_STEP_MS, Evaluation, EvaluationRange, RangeError,
        evaluate,
    },
    source::{DecodedColumn, LabelColumn, MetricSource, SampleTable, SampleTables},
    syntax::parse,
    value::{
        MatrixSeries, QueryResult, QueryValue, STALE_NAN_BITS, SampleStats, SampleValue,
        VectorSample,
    },
};

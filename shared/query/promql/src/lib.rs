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

mod error;
mod histogram;
mod labels;
mod query;
mod source;
mod value;

pub use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{Expr, value::ValueType},
};

pub use crate::{
    error::PromqlError,
    histogram::{CounterResetHint, FloatHistogram, HistogramBucket, bucket_counts},
    labels::{Labels, NAME_LABEL},
    query::{Evaluation, EvaluationLimits, EvaluationRange, evaluate, parse},
    source::{DecodedColumn, LabelColumn, MetricSource, SampleTable},
    value::{MatrixSeries, QueryResult, QueryValue, STALE_NAN_BITS, SampleValue, VectorSample},
};

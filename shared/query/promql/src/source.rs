//! The interface to the tables that contain the samples.

use async_trait::async_trait;
use datafusion::{execution::SendableRecordBatchStream, logical_expr::LogicalPlan};
use futures::stream::BoxStream;
use promql_parser::label::Matcher;

use crate::{error::PromqlError, histogram::FloatHistogram};

/// Tables of samples. Each one is planned when it is read, because plans take much memory.
pub type SampleTables<'a> = BoxStream<'a, Result<SampleTable, PromqlError>>;

/// The samples of metrics.
#[async_trait]
pub trait MetricSource: Send + Sync {
    /// Returns the tables with series that satisfy all matchers. The name of the metric is a matcher of the label
    /// `__name__`.
    ///
    /// The plans leave out the rows that indexes and statistics exclude. They may return other rows: the evaluation checks
    /// the labels and the time of what it reads. Times are milliseconds since 1970; `after_ms` is excluded and `until_ms`
    /// included.
    ///
    /// # Errors
    /// If the query asks for too much, or the catalog cannot be read.
    async fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        after_ms: i64,
        until_ms: i64,
    ) -> Result<SampleTables<'a>, PromqlError>;

    /// Executes the plan of a table.
    ///
    /// # Errors
    /// As planning and execution have.
    async fn execute(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream, PromqlError>;
}

/// The rows of one table, or of one field of a table. A row is a sample. Two tables have no series in common.
#[derive(Clone, Debug)]
pub struct SampleTable {
    /// The rows with the columns that are named below, in the order of the labels, then of the time. Nulls come first.
    pub plan: LogicalPlan,
    /// Labels with the same value in all rows, such as `__name__`.
    pub constant_labels: Vec<(String, String)>,
    /// The columns with the other labels, in the order of the rows. A row whose value is null or empty does not have the
    /// label.
    pub labels: Vec<LabelColumn>,
    /// The column with the time, a timestamp of any unit. Times are rounded down to milliseconds; of the rows of a series
    /// with the same millisecond, the last one counts.
    pub time_column: String,
    /// The column with the number of a sample: any type of numbers, or booleans.
    pub value_column: Option<String>,
    /// The text column with numbers that the value column cannot contain, such as the marker of the end of a series
    /// (see [`crate::STALE_NAN_BITS`]).
    pub special_value_column: Option<DecodedColumn<f64>>,
    /// The text column with native histograms.
    pub histogram_column: Option<DecodedColumn<FloatHistogram>>,
}

/// A column that contains a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelColumn {
    /// The name of the label.
    pub label: String,
    /// The name of the column, which contains texts.
    pub column: String,
}

/// A text column, and the function that decodes its values. A row whose value is null, or that the function returns `None`
/// for, has no such value.
#[derive(Clone, Debug)]
pub struct DecodedColumn<T> {
    /// The name of the column.
    pub column: String,
    /// Decodes a value.
    pub decode: fn(&str) -> Option<T>,
}

//! Drops rows below an aggregate of last or first values, so that the aggregate sees few rows of each group.
//!
//! ```text
//!   AggregateExec (partial: last_value(a ORDER BY time), last_value(b ORDER BY time) by host)
//!     LastRowsExec     rows of a host that are not older than one that was already seen
//!       scan           from the newest chunks and sections to the oldest
//! ```
//!
//! An aggregate updates the state of each function for each row. The last row of each group is found by its time alone,
//! and the other rows need not be looked at. Rows with the same time are all retained, so that the aggregate decides
//! between them. The image of a tail knows the newest rows of each series, so that the others are not even read. Neither are
//! sections if another one has newer rows of all their series.

mod exec;
mod group_times;
mod input_rows;
mod last_values;
mod newest_rows;
mod pending_rows;
mod rule;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::{Result, plan_err};
use serde::{Deserialize, Serialize};

pub use exec::LastRowsExec;
pub use last_values::LastValuesRule;
pub(crate) use rule::LastRowsRule;

/// The end of a group, by time, whose rows an aggregate needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeEnd {
    /// The oldest rows.
    First,
    /// The newest rows.
    Last,
}

/// The rows that an aggregate needs, by the indexes of columns of its input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LastRowsParameters {
    /// The columns whose values form a group.
    pub keys: Vec<usize>,
    /// The time of a row.
    pub time: usize,
    /// Which rows of a group are needed.
    pub end: TimeEnd,
    /// A row replaces others only if it has values of all these columns. Functions that ignore nulls need them.
    pub required: Vec<usize>,
}

impl LastRowsParameters {
    /// Checks that an input has the columns.
    fn check(&self, input: &Schema) -> Result<()> {
        let columns = self.keys.iter().chain(&self.required);
        for column in columns.chain([&self.time]) {
            if *column >= input.fields().len() {
                return plan_err!("the input has no column {column}");
            }
        }
        match input.field(self.time).data_type() {
            DataType::Timestamp(TimeUnit::Nanosecond, _) => Ok(()),
            other => plan_err!("rows are ordered by timestamps in nanoseconds, not by {other}"),
        }
    }
}

#[cfg(test)]
mod tests;

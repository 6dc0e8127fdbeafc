//! The interface of the accumulators of aggregations.

use crate::{annotations::Annotations, value::SampleValue};

/// What a cell is told with each value.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellContext<'a> {
    pub(super) annotations: &'a Annotations,
    /// The name of the aggregation.
    pub(super) aggregation: &'a str,
    /// The name of the metric.
    pub(super) metric: &'a str,
}

/// The accumulator of a group at a step.
pub(super) trait Cell: Default + Send {
    /// Adds a value. Returns the bytes that the cell takes more than before.
    fn add(&mut self, value: SampleValue, context: CellContext<'_>) -> usize;

    /// Returns the number of values that the aggregate is computed from at the end.
    fn kept_values(&self) -> usize {
        1
    }

    /// Returns the aggregate; `None` if the group has no sample. The parameter is that of the step.
    fn finish(self, parameter: f64, context: CellContext<'_>) -> Option<SampleValue>;
}

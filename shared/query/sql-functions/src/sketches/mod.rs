//! Sketches: aggregates whose states can be stored, and combined later. Materialized views compute one level from another
//! with them.
//!
//! | accumulate | combine | estimate | algorithm |
//! | --- | --- | --- | --- |
//! | `approx_percentile_accumulate(x)` | `approx_percentile_combine(state)` | `approx_percentile_estimate(state, p)` | [`percentile`]: DDSketch |
//! | `hll_accumulate(x)` | `hll_combine(state)` | `hll_estimate(state)` | [`distinct`]: HyperLogLog |
//!
//! A state is text: Base64 without padding of a Protobuf message. It depends on the set of values only, and not on their
//! order or on how they were divided among states that were combined. So a view has the same rows however often it is
//! computed. The state of no values is NULL.

mod accumulator;
mod aggregate;
mod distinct;
mod estimate;
mod percentile;

use std::fmt::Debug;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use datafusion::common::{Result, exec_err};

pub use aggregate::combine_function;
pub(crate) use aggregate::{COMBINE_FUNCTIONS, SketchAggregate};
pub(crate) use estimate::SketchEstimate;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SketchKind {
    /// Percentiles of numbers.
    Percentile,
    /// The number of distinct values.
    Distinct,
}

impl SketchKind {
    pub(crate) const ALL: [Self; 2] = [Self::Percentile, Self::Distinct];

    fn accumulate_name(self) -> &'static str {
        match self {
            Self::Percentile => "approx_percentile_accumulate",
            Self::Distinct => "hll_accumulate",
        }
    }

    fn combine_name(self) -> &'static str {
        match self {
            Self::Percentile => "approx_percentile_combine",
            Self::Distinct => "hll_combine",
        }
    }

    fn estimate_name(self) -> &'static str {
        match self {
            Self::Percentile => "approx_percentile_estimate",
            Self::Distinct => "hll_estimate",
        }
    }
}

/// A summary of values with a bounded size.
trait Sketch: Clone + Debug + Default + Send + Sync + 'static {
    const KIND: SketchKind;

    /// Returns the type that values of a type are converted to; `None` if the sketch takes no such values.
    fn value_type(data_type: &DataType) -> Option<DataType>;

    /// Adds the values of an array of a [`Self::value_type`]. NULL is no value.
    fn add(&mut self, values: &ArrayRef) -> Result<()>;

    /// Adds the values of another sketch.
    fn merge(&mut self, other: &Self);

    /// Whether the sketch has no values.
    fn is_empty(&self) -> bool;

    fn encode(&self) -> Vec<u8>;

    /// Returns `None` if the bytes are not those of a sketch.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// The allocated memory in bytes.
    fn allocated_bytes(&self) -> usize;
}

fn to_text(sketch: &impl Sketch) -> String {
    STANDARD_NO_PAD.encode(sketch.encode())
}

fn from_text<S: Sketch>(text: &str) -> Result<S> {
    let bytes = STANDARD_NO_PAD.decode(text).ok();
    let Some(sketch) = bytes.and_then(|bytes| S::decode(&bytes)) else {
        return exec_err!("the text is not a state of {}()", S::KIND.accumulate_name());
    };
    Ok(sketch)
}

#[cfg(test)]
mod tests;

//! The functions that read estimates from states.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::aggregate::state_type;
use super::distinct::DistinctSketch;
use super::percentile::PercentileSketch;
use super::{SketchKind, from_text};

/// A function of the state of a sketch.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SketchEstimate {
    kind: SketchKind,
    signature: Signature,
}

impl SketchEstimate {
    pub(crate) fn new(kind: SketchKind) -> Self {
        Self {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for SketchEstimate {
    fn name(&self) -> &str {
        self.kind.estimate_name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let (state, expected) = match (self.kind, types) {
            (SketchKind::Percentile, [state, share]) if share.is_numeric() || share.is_null() => {
                (state, vec![DataType::Utf8, DataType::Float64])
            }
            (SketchKind::Distinct, [state]) => (state, vec![DataType::Utf8]),
            (SketchKind::Percentile, _) => {
                return plan_err!("{} takes a state and a number from 0 to 1", self.name());
            }
            (SketchKind::Distinct, _) => return plan_err!("{} takes a state", self.name()),
        };
        match state_type(state) {
            Some(_) => Ok(expected),
            None => plan_err!(
                "{} takes a state of {}, which is text, not {state}",
                self.name(),
                self.kind.accumulate_name()
            ),
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            SketchKind::Percentile => DataType::Float64,
            SketchKind::Distinct => DataType::UInt64,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let estimates: ArrayRef = match (self.kind, arrays.as_slice()) {
            (SketchKind::Percentile, [states, shares]) => Arc::new(percentiles(states, shares)?),
            (SketchKind::Distinct, [states]) => Arc::new(distinct_counts(states)?),
            _ => return internal_err!("{} has other arguments", self.name()),
        };
        Ok(ColumnarValue::Array(estimates))
    }
}

fn percentiles(states: &ArrayRef, shares: &ArrayRef) -> Result<Float64Array> {
    let shares = shares.as_primitive::<Float64Type>();
    let rows = texts(states)?.iter().zip(shares);
    rows.map(|row| {
        let (Some(state), Some(share)) = row else {
            return Ok(None);
        };
        if !(0.0..=1.0).contains(&share) {
            return exec_err!("a percentile is a number from 0 to 1, not {share}");
        }
        Ok(from_text::<PercentileSketch>(state)?.estimate(share))
    })
    .collect()
}

fn distinct_counts(states: &ArrayRef) -> Result<UInt64Array> {
    let states = texts(states)?.iter();
    let estimate = |state| Ok(from_text::<DistinctSketch>(state)?.estimate());
    states.map(|state| state.map(estimate).transpose()).collect()
}

fn texts(states: &ArrayRef) -> Result<&StringArray> {
    match states.data_type() {
        DataType::Utf8 => Ok(states.as_string::<i32>()),
        other => internal_err!("states of the type {other}"),
    }
}

//! The functions that accumulate values in a sketch, and that combine sketches.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::accumulator::SketchAccumulator;
use super::distinct::DistinctSketch;
use super::percentile::PercentileSketch;
use super::{Sketch, SketchKind};

/// What the argument of a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SketchStep {
    /// Values.
    Accumulate,
    /// States of sketches.
    Combine,
}

/// An aggregate function whose result is the state of a sketch.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SketchAggregate {
    kind: SketchKind,
    step: SketchStep,
    signature: Signature,
}

impl SketchAggregate {
    pub(crate) fn accumulate(kind: SketchKind) -> Self {
        Self::new(kind, SketchStep::Accumulate)
    }

    pub(crate) fn combine(kind: SketchKind) -> Self {
        Self::new(kind, SketchStep::Combine)
    }

    fn new(kind: SketchKind, step: SketchStep) -> Self {
        Self {
            kind,
            step,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    fn argument_type(&self, given: &DataType) -> Option<DataType> {
        match (self.step, self.kind) {
            (SketchStep::Accumulate, SketchKind::Percentile) => PercentileSketch::value_type(given),
            (SketchStep::Accumulate, SketchKind::Distinct) => DistinctSketch::value_type(given),
            (SketchStep::Combine, _) => state_type(given),
        }
    }
}

/// Returns the type that states of a type are converted to; `None` if they are not text.
pub(super) fn state_type(given: &DataType) -> Option<DataType> {
    (given.is_string() || given.is_null()).then_some(DataType::Utf8)
}

impl AggregateUDFImpl for SketchAggregate {
    fn name(&self) -> &str {
        match self.step {
            SketchStep::Accumulate => self.kind.accumulate_name(),
            SketchStep::Combine => self.kind.combine_name(),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [given] = types else {
            return plan_err!("{} takes one argument", self.name());
        };
        match (self.argument_type(given), self.step) {
            (Some(argument), _) => Ok(vec![argument]),
            (None, SketchStep::Combine) => plan_err!(
                "{} takes states of {}, which are text, not {given}",
                self.name(),
                self.kind.accumulate_name()
            ),
            (None, SketchStep::Accumulate) => {
                plan_err!("{} does not take values of the type {given}", self.name())
            }
        }
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "sketch");
        Ok(vec![Arc::new(Field::new(name, DataType::Utf8, true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match self.kind {
            SketchKind::Percentile => {
                Box::new(SketchAccumulator::<PercentileSketch>::new(self.step))
            }
            SketchKind::Distinct => Box::new(SketchAccumulator::<DistinctSketch>::new(self.step)),
        })
    }
}

//! The functions that accumulate values in a sketch, and that combine sketches.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::accumulator::{SketchAccumulator, SketchStep};
use super::distinct::DistinctSketch;
use super::percentile::PercentileSketch;
use super::{Sketch, SketchKind};

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

/// The functions that combine states, in the order of [`SketchKind::ALL`].
pub(crate) static COMBINE_FUNCTIONS: LazyLock<[Arc<AggregateUDF>; 2]> = LazyLock::new(|| {
    SketchKind::ALL.map(|kind| Arc::new(AggregateUDF::from(SketchAggregate::combine(kind))))
});

/// Returns the function that combines the states of an aggregate function with this name; `None` if its results are not
/// states of sketches.
pub fn combine_function(name: &str) -> Option<Arc<AggregateUDF>> {
    let mut functions = SketchKind::ALL.into_iter().zip(COMBINE_FUNCTIONS.iter());
    let found =
        functions.find(|(kind, _)| [kind.accumulate_name(), kind.combine_name()].contains(&name));
    found.map(|(_, function)| Arc::clone(function))
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

//! Accumulates values or states of sketches.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::Accumulator;

use super::{Sketch, from_text, to_text};

/// The kind of argument that a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SketchStep {
    /// Values.
    Accumulate,
    /// States of sketches.
    Combine,
}

/// The sketch of a group.
#[derive(Debug)]
pub(super) struct SketchAccumulator<S> {
    step: SketchStep,
    sketch: S,
}

impl<S: Sketch> SketchAccumulator<S> {
    pub(super) fn new(step: SketchStep) -> Self {
        Self { step, sketch: S::default() }
    }

    /// Adds states; NULL is none.
    fn combine(&mut self, states: &ArrayRef) -> Result<()> {
        if states.data_type() != &DataType::Utf8 {
            return internal_err!("states of the type {}", states.data_type());
        }
        for state in states.as_string::<i32>().iter().flatten() {
            self.sketch.merge(&from_text(state)?);
        }
        Ok(())
    }

    fn result(&self) -> ScalarValue {
        let is_some = !self.sketch.is_empty();
        ScalarValue::Utf8(is_some.then(|| to_text(&self.sketch)))
    }
}

impl<S: Sketch> Accumulator for SketchAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let Some(values) = values.first() else {
            return internal_err!("a sketch takes one argument");
        };
        match self.step {
            SketchStep::Accumulate => self.sketch.add(values),
            SketchStep::Combine => self.combine(values),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(self.result())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sketch.allocated_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.result()])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states.iter().try_for_each(|states| self.combine(states))
    }
}

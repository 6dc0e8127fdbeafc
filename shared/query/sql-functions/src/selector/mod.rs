//! `selector_first`, `selector_last`, `selector_min` and `selector_max`: aggregates that select one row of a group and
//! return its value and its time.
//!
//! The result is a struct with the fields `value` and `time`, read as `selector_max(v, time)['time']`. It is NULL if
//! the group has no value. Rows without a value or a time are ignored. The selected row does not depend on the order of
//! the rows, so a query returns the same answer every time:
//!
//! | selector | selects | tie-breaker |
//! | --- | --- | --- |
//! | `first` | the earliest | the smallest value |
//! | `last` | the latest | the largest value |
//! | `min`, `max` | the smallest or largest value | the earliest |

mod accumulator;
mod rule;
mod values;

use std::sync::Arc;

use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Float64Type, Int64Type, TimeUnit, UInt64Type,
};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, GroupsAccumulator, Signature, Volatility,
};

pub(crate) use rule::Selector;

use accumulator::SelectorAccumulator;
use values::{SelectedBooleans, SelectedPrimitives, SelectedScalars, SelectedStrings};

/// A selector as an aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SelectorFunction {
    selector: Selector,
    signature: Signature,
}

impl SelectorFunction {
    pub(crate) fn new(selector: Selector) -> Self {
        Self {
            selector,
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// Returns an accumulator for values of the aggregate's return type, as one of DataFusion's two accumulator traits.
    fn build_accumulator<A: ?Sized>(
        &self,
        args: &AccumulatorArgs,
        build: impl AccumulatorFactory<A>,
    ) -> Result<Box<A>> {
        let DataType::Struct(fields) = args.return_type() else {
            return internal_err!("a selector returns a struct");
        };
        Ok(match fields.first().map(|value| value.data_type()) {
            Some(DataType::Float64) => {
                build.with::<SelectedPrimitives<Float64Type>>(self.selector, fields.clone())
            }
            Some(DataType::Int64) => {
                build.with::<SelectedPrimitives<Int64Type>>(self.selector, fields.clone())
            }
            Some(DataType::UInt64) => {
                build.with::<SelectedPrimitives<UInt64Type>>(self.selector, fields.clone())
            }
            Some(DataType::Boolean) => {
                build.with::<SelectedBooleans>(self.selector, fields.clone())
            }
            Some(text) if is_text(text) => {
                build.with::<SelectedStrings>(self.selector, fields.clone())
            }
            _ => build.with::<SelectedScalars>(self.selector, fields.clone()),
        })
    }
}

/// Creates [`SelectorAccumulator`] for a value type, as one of DataFusion's two accumulator traits.
trait AccumulatorFactory<A: ?Sized> {
    fn with<V: values::SelectedValues>(&self, selector: Selector, fields: Fields) -> Box<A>;
}

struct SingleGroupFactory;
struct GroupsFactory;

impl AccumulatorFactory<dyn Accumulator> for SingleGroupFactory {
    fn with<V: values::SelectedValues>(
        &self,
        selector: Selector,
        fields: Fields,
    ) -> Box<dyn Accumulator> {
        Box::new(SelectorAccumulator::<V>::new(selector, fields))
    }
}

impl AccumulatorFactory<dyn GroupsAccumulator> for GroupsFactory {
    fn with<V: values::SelectedValues>(
        &self,
        selector: Selector,
        fields: Fields,
    ) -> Box<dyn GroupsAccumulator> {
        Box::new(SelectorAccumulator::<V>::new(selector, fields))
    }
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

impl AggregateUDFImpl for SelectorFunction {
    fn name(&self) -> &str {
        match self.selector {
            Selector::First => "selector_first",
            Selector::Last => "selector_last",
            Selector::Min => "selector_min",
            Selector::Max => "selector_max",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [value, DataType::Timestamp(_, zone)] => {
                let value = if value.is_null() {
                    DataType::Float64
                } else {
                    value.clone()
                };
                Ok(vec![value, DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())])
            }
            [_, other] => {
                plan_err!("the second argument of {} must be a timestamp, not {other}", self.name())
            }
            _ => plan_err!("{} takes a value and a timestamp", self.name()),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value, time] => Ok(DataType::Struct(Fields::from(vec![
                Field::new("value", value.clone(), true),
                Field::new("time", time.clone(), true),
            ]))),
            _ => plan_err!("{} takes a value and a timestamp", self.name()),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let DataType::Struct(fields) = args.return_type() else {
            return internal_err!("a selector returns a struct");
        };
        let state = |field: &FieldRef| {
            let name = format_state_name(args.name, field.name());
            Arc::new(Field::new(name, field.data_type().clone(), true))
        };
        Ok(fields.iter().map(state).collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.build_accumulator(&args, SingleGroupFactory)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.build_accumulator(&args, GroupsFactory)
    }
}

#[cfg(test)]
mod tests;

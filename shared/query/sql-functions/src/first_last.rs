//! `first(value, time)` and `last(value, time)`: the value of the earliest and of the latest row of a group, as in TimescaleDB.
//!
//! The optimizer replaces them by `first_value` and `last_value` with an order. The value may be null; rows without a time come after
//! all others, for both functions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::{
    common::{Result, internal_err, not_impl_err, plan_err},
    functions_aggregate::first_last::{first_value_udaf, last_value_udaf},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
        expr::{AggregateFunction, AggregateFunctionParams, Sort},
        function::{AccumulatorArgs, AggregateFunctionSimplification},
        simplify::SimplifyContext,
    },
};

/// Returns `first` and `last`.
pub(crate) fn first_and_last() -> [Arc<AggregateUDF>; 2] {
    [FirstLastKind::First, FirstLastKind::Last].map(|kind| {
        let function =
            FirstLastFunction { kind, signature: Signature::any(2, Volatility::Immutable) };
        Arc::new(AggregateUDF::from(function))
    })
}

/// The row whose value is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FirstLastKind {
    First,
    Last,
}

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstLastFunction {
    kind: FirstLastKind,
    signature: Signature,
}

impl AggregateUDFImpl for FirstLastFunction {
    fn name(&self) -> &str {
        match self.kind {
            FirstLastKind::First => "first",
            FirstLastKind::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [value, _] => Ok(value.clone()),
            _ => plan_err!("{} takes a value and a time", self.name()),
        }
    }

    fn return_field(&self, arguments: &[FieldRef]) -> Result<FieldRef> {
        let [value, _] = arguments else {
            return plan_err!("{} takes a value and a time", self.name());
        };
        let field = Field::new(self.name(), value.data_type().clone(), true);
        Ok(Arc::new(field.with_metadata(value.metadata().clone())))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let name = self.name();
        not_impl_err!(
            "{name} is no window function: {name}_value(value) OVER (ORDER BY time) is one"
        )
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let kind = self.kind;
        Some(Box::new(move |call: AggregateFunction, _: &SimplifyContext| {
            let AggregateFunctionParams { args, distinct, filter, null_treatment, .. } =
                call.params;
            let Ok([value, time]) = <[Expr; 2]>::try_from(args) else {
                return internal_err!("a value and a time are two arguments");
            };
            let (function, nulls_first) = match kind {
                FirstLastKind::First => (first_value_udaf(), false),
                FirstLastKind::Last => (last_value_udaf(), true),
            };
            Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
                function,
                vec![value],
                distinct,
                filter,
                vec![Sort::new(time, true, nulls_first)],
                null_treatment,
            )))
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing;

    #[tokio::test]
    async fn values_are_those_of_the_earliest_and_the_latest_row() {
        let session = testing::session();
        let sql = "SELECT room, first(temp, time) AS a, last(temp, time) AS b, \
                   last(temp, time) FILTER (WHERE co < 5) AS c FROM home GROUP BY room ORDER BY room";
        insta::assert_snapshot!(testing::table(&session, sql).await, @r"
        | room        | a    | b    | c    |
        | Kitchen     | 21.0 | 22.7 | 22.7 |
        | Living Room | 21.1 | 22.2 | 22.4 |
        ");
    }

    #[tokio::test]
    async fn a_value_may_be_null_and_a_row_without_a_time_is_no_end() {
        let session = testing::session();
        let sql = "SELECT first(v, t) AS a, last(v, t) AS b, first(v, v) AS c FROM (VALUES (NULL, 1), (2, 2), (3, NULL)) AS r(v, t)";
        insta::assert_snapshot!(testing::table(&session, sql).await, @r"
        | a | b | c |
        |   | 2 | 2 |
        ");
        let window = "SELECT last(v, time) OVER (ORDER BY time) FROM units";
        let refusal = testing::error(&session, window).await;
        assert!(refusal.contains("last_value(value) OVER"), "{refusal}");
    }
}

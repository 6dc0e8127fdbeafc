//! Tags, which are dictionaries, where DataFusion takes only plain values: `approx_distinct`, and `||` with a number, a boolean or
//! a time.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Cast, Documentation, Expr, ExprSchemable,
    GroupsAccumulator, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Returns `approx_distinct`.
pub(crate) fn approx_distinct() -> Arc<AggregateUDF> {
    let function = ApproxDistinct {
        inner: approx_distinct_udaf(),
        signature: Signature::user_defined(Volatility::Immutable),
    };
    Arc::new(function.into())
}

/// DataFusion's `approx_distinct`, which converts dictionaries to their values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ApproxDistinct {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

impl AggregateUDFImpl for ApproxDistinct {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = take_function_args(self.name(), types)?;
        Ok(vec![match argument {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        }])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.inner.accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Converts the dictionaries that `||` joins to their values.
#[derive(Debug)]
pub(crate) struct DictionaryConcatPlanner;

impl ExprPlanner for DictionaryConcatPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        Ok(PlannerResult::Original(RawBinaryExpr {
            op: expr.op,
            left: values_of(expr.left, schema),
            right: values_of(expr.right, schema),
        }))
    }
}

/// Converts a dictionary to its values. Returns other expressions unchanged.
fn values_of(expr: Expr, schema: &DFSchema) -> Expr {
    match expr.get_type(schema) {
        Ok(DataType::Dictionary(_, values)) => Expr::Cast(Cast::new(Box::new(expr), *values)),
        _ => expr,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn distinct_tags_are_estimated() {
        let sql = "SELECT co > 20 AS much, approx_distinct(room) AS estimated, count(DISTINCT room) AS counted
            FROM home GROUP BY much ORDER BY much";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | much  | estimated | counted |
        | false | 2         | 2       |
        | true  | 1         | 1       |
        ");
        let sql = "SELECT approx_distinct(room) FILTER (WHERE co > 100) AS rooms FROM home";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | rooms |
        | 0     |
        ");
        let sql = "SELECT approx_distinct(room, co) FROM home";
        let message = error(&session(), sql).await;
        assert!(message.contains("requires 1 argument, got 2"), "{message}");
    }

    #[tokio::test]
    async fn tags_are_joined_with_values_of_other_types() {
        let sql = "SELECT room || co AS one, co || room AS two, room || true AS three FROM home WHERE co = 26";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | one       | two       | three       |
        | Kitchen26 | 26Kitchen | Kitchentrue |
        ");
    }
}

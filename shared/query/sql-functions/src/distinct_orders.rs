//! DataFusion's `array_agg` and `string_agg`, without its errors in the order of distinct values.
//!
//! * If the rows have the opposite order, or another aggregate needs it, DataFusion evaluates the reverse function. The accumulator
//!   of distinct values sorts them itself, so it returned them in the opposite order.
//! * Distinct values can be ordered by the argument only. `string_agg(DISTINCT host, ',' ORDER BY host)` is refused for a tag, because
//!   the argument is converted to text, and the order is not.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::array_agg::array_agg_udaf;
use datafusion::functions_aggregate::string_agg::string_agg_udaf;
use datafusion::logical_expr::function::{
    AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs,
};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Cast, Documentation, Expr, GroupsAccumulator,
    ReversedUDAF, Signature,
};
use datafusion::physical_expr::PhysicalSortExpr;

/// Returns `array_agg` and `string_agg`.
pub(crate) fn ordered_distincts() -> [Arc<AggregateUDF>; 2] {
    [array_agg_udaf(), string_agg_udaf()].map(|inner| Arc::new(OrderedDistinct(inner).into()))
}

/// An aggregate that collects values. It delegates everything but the order of distinct values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedDistinct(Arc<AggregateUDF>);

impl AggregateUDFImpl for OrderedDistinct {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.0.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if !args.is_distinct {
            return self.0.accumulator(args);
        }
        let order_of_statement = |sort: &PhysicalSortExpr| {
            if args.is_reversed {
                sort.reverse()
            } else {
                sort.clone()
            }
        };
        let order: Vec<_> = args.order_bys.iter().map(order_of_statement).collect();
        self.0
            .accumulator(AccumulatorArgs { order_bys: &order, is_reversed: false, ..args })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.0.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.0.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        self.0.create_groups_accumulator(args)
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        is_ordered: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let inner = AggregateUDF::clone(&self.0).with_beneficial_ordering(is_ordered)?;
        Ok(inner.map(|inner| Arc::new(Self(Arc::new(inner))) as _))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.0.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.0.reverse_udf() {
            ReversedUDAF::Reversed(inner) => ReversedUDAF::Reversed(Arc::new(Self(inner).into())),
            other => other,
        }
    }

    /// Orders distinct values by the text of a tag if they are this text.
    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        Some(Box::new(|mut call, context| {
            let params = &mut call.params;
            // The text of a number has another order than the number.
            if params.distinct
                && let Some(text) = params.args.first()
                && let Expr::Cast(Cast { expr: tag, .. }) = text
                && matches!(context.get_data_type(tag)?, DataType::Dictionary(..))
            {
                for sort in params.order_by.iter_mut().filter(|sort| sort.expr == **tag) {
                    sort.expr = text.clone();
                }
            }
            Ok(Expr::AggregateFunction(call))
        }))
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.0.supports_null_handling_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.0.documentation()
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{error, session, table};

    #[tokio::test]
    async fn distinct_values_have_the_order_of_the_statement() {
        let sql = "SELECT room, array_agg(DISTINCT co ORDER BY co) AS up, array_agg(DISTINCT co ORDER BY co DESC) AS down
            FROM home WHERE temp > 22.5 GROUP BY room ORDER BY room";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | room        | up                       | down                     |
        | Kitchen     | [0, 1, 3, 9, 18, 22, 26] | [26, 22, 18, 9, 3, 1, 0] |
        | Living Room | [5, 9]                   | [9, 5]                   |
        ");
        let sql = "SELECT array_agg(DISTINCT v ORDER BY v DESC) AS down FROM (SELECT v FROM units ORDER BY v LIMIT 2) AS u";
        insta::assert_snapshot!(table(&session(), sql).await, @r"
        | down   |
        | [2, 1] |
        ");
    }

    #[tokio::test]
    async fn distinct_tags_are_ordered_before_they_are_joined() {
        let up = "SELECT string_agg(DISTINCT room, ', ' ORDER BY room) AS up FROM home";
        insta::assert_snapshot!(table(&session(), up).await, @r"
        | up                   |
        | Kitchen, Living Room |
        ");
        let down = "SELECT string_agg(DISTINCT room, ', ' ORDER BY room DESC) AS down FROM home";
        insta::assert_snapshot!(table(&session(), down).await, @r"
        | down                 |
        | Living Room, Kitchen |
        ");
        let both = "SELECT string_agg(DISTINCT room, ', ' ORDER BY room) AS up, string_agg(DISTINCT room, ', ' ORDER BY room DESC) AS down,
            string_agg(DISTINCT room, '/' ORDER BY room) AS path, count(DISTINCT room) AS rooms FROM home";
        insta::assert_snapshot!(table(&session(), both).await, @r"
        | up                   | down                 | path                | rooms |
        | Kitchen, Living Room | Living Room, Kitchen | Kitchen/Living Room | 2     |
        ");
        let sql = "SELECT string_agg(DISTINCT room, ', ' ORDER BY time) FROM home";
        insta::assert_snapshot!(error(&session(), sql).await, @"Execution error: In an aggregate with DISTINCT, ORDER BY expressions must appear in argument list");
    }
}

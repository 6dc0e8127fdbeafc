//! Plans the logical node of gap filling as an execution plan, and evaluates its constants.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchema, Result, ScalarValue, internal_err, plan_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

use super::exec::GapFillExec;
use super::functions::{BinAlignment, GapFillFunction};
use super::limit::GapFillLimit;
use super::node::GapFill;
use super::spec::GapFillSpec;
use super::time_bounds::BoundSide;
use crate::bins::{Binning, Stride};
use crate::wallclock;

/// Plans the logical nodes that this crate adds.
#[derive(Debug)]
pub(crate) struct GapFillPlanner;

#[async_trait]
impl ExtensionPlanner for GapFillPlanner {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<GapFill>() else {
            return Ok(None);
        };
        let [input] = physical_inputs else {
            return internal_err!("gap filling has one input");
        };
        let constants = ConstantEvaluator { planner, session, context };
        let spec = constants.spec(node)?;
        let schema = Arc::new(node.schema.as_arrow().clone());
        Ok(Some(Arc::new(GapFillExec::try_new(Arc::clone(input), schema, Arc::new(spec))?)))
    }
}

/// Evaluates constant expressions.
struct ConstantEvaluator<'a> {
    planner: &'a dyn PhysicalPlanner,
    session: &'a dyn Session,
    context: &'a PhysicalPlanningContext,
}

impl ConstantEvaluator<'_> {
    fn spec(&self, node: &GapFill) -> Result<GapFillSpec> {
        let function = GapFillFunction::Bin(node.clock).name();
        let stride = self.value(&node.stride)?;
        let origin = match &node.origin {
            Some(origin) => match nanos(&self.value(origin)?)? {
                Some(origin) => Some(origin),
                None => return plan_err!("the origin of {function} must not be NULL"),
            },
            None => None,
        };
        let binning = match node.clock {
            BinAlignment::Instants => {
                Binning::instants(Stride::try_new(&stride, function)?, origin.unwrap_or(0))
            }
            BinAlignment::Wall => {
                wallclock::binning(function, &stride, origin, node.zone.as_deref())?
            }
        };
        let (mut lower, mut upper) = (i64::MIN, i64::MAX);
        for bound in &node.bounds {
            let step = i64::from(!bound.inclusive);
            match (nanos(&self.value(&bound.value)?)?, bound.side) {
                (Some(time), BoundSide::Lower) => lower = lower.max(time.saturating_add(step)),
                (Some(time), BoundSide::Upper) => upper = upper.min(time.saturating_sub(step)),
                // A comparison with NULL is never true, so there are no rows.
                (None, _) => (lower, upper) = (i64::MAX, i64::MIN),
            }
        }
        let limit = GapFillLimit::of_session(self.session.config());
        // Without a lower bound, each group has its own bins.
        if lower != i64::MIN {
            limit.check(&binning, lower, upper)?;
        }
        Ok(GapFillSpec {
            group_columns: node.group_columns,
            time_column: node.time_column,
            binning,
            lower,
            upper,
            limit,
            defaults: node.defaults.clone(),
            filled: node.filled.clone(),
        })
    }

    fn value(&self, expr: &Expr) -> Result<ScalarValue> {
        let physical = self.planner.create_physical_expr(
            expr,
            &DFSchema::empty(),
            self.session,
            self.context,
        )?;
        let one_row = RecordBatchOptions::new().with_row_count(Some(1));
        let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &one_row)?;
        match physical.evaluate(&row)? {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0),
        }
    }
}

/// Converts a constant that a time is compared with to nanoseconds.
fn nanos(value: &ScalarValue) -> Result<Option<i64>> {
    let timestamp = match value {
        // A cast would shift the time when it removes the zone.
        ScalarValue::TimestampNanosecond(time, _) => return Ok(*time),
        ScalarValue::Int64(time) => return Ok(*time),
        ScalarValue::TimestampSecond(..)
        | ScalarValue::TimestampMillisecond(..)
        | ScalarValue::TimestampMicrosecond(..) => match value.data_type() {
            arrow::datatypes::DataType::Timestamp(_, zone) => {
                value.cast_to(&arrow::datatypes::DataType::Timestamp(TimeUnit::Nanosecond, zone))?
            }
            other => return internal_err!("{other} is not a timestamp"),
        },
        other => {
            other.cast_to(&arrow::datatypes::DataType::Timestamp(TimeUnit::Nanosecond, None))?
        }
    };
    match timestamp {
        ScalarValue::TimestampNanosecond(time, _) => Ok(time),
        other => plan_err!("{other} is not a time"),
    }
}

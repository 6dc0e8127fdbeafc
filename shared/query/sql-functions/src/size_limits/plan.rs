//! Replaces functions in a plan with their size-limited versions.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

use super::call_limits::CallLimits;
use super::function::{EvaluationStage, limit_call, limit_expr};
use super::operators::{CONSTANT, ConcatOperator, PATTERN, PassThroughExpr};
use crate::lazy_conditions::with_lazy_conditions;

/// Analyzer rule that limits the functions that SQL syntax stands for, before the optimizer evaluates them.
#[derive(Debug)]
pub(crate) struct FunctionSizeLimitRule(pub(crate) CallLimits);

impl AnalyzerRule for FunctionSizeLimitRule {
    fn name(&self) -> &str {
        "bound_functions"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        limit_plan(plan, EvaluationStage::Planning, self.0)
    }
}

/// Returns the plan with its functions limited for execution, and with lazy conditions.
pub(crate) fn for_execution(plan: &LogicalPlan, limits: CallLimits) -> Result<LogicalPlan> {
    // `EXPLAIN` shows the plan as planned, because it does not run.
    if matches!(plan, LogicalPlan::Explain(_)) {
        return Ok(plan.clone());
    }
    let lazy = with_lazy_conditions(plan.clone())?;
    limit_plan(lazy, EvaluationStage::Execution, limits)
}

fn limit_plan(
    plan: LogicalPlan,
    stage: EvaluationStage,
    limits: CallLimits,
) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        node.map_expressions(|expr| limit_expr(expr, stage, limits))
    })?;
    Ok(plan.data)
}

/// Returns the functions that stand for operators and constants in a plan for execution. Sessions have no functions of
/// these names.
pub(crate) fn execution_functions(limits: CallLimits) -> Vec<Arc<ScalarUDF>> {
    let functions: [Arc<ScalarUDF>; 3] = [
        Arc::new(ConcatOperator::new().into()),
        Arc::new(PassThroughExpr::new(CONSTANT).into()),
        Arc::new(PassThroughExpr::new(PATTERN).into()),
    ];
    let limited = functions.into_iter().map(|function| {
        let call = ScalarFunction::new_udf(function, Vec::new());
        limit_call(call, EvaluationStage::Execution, limits).data.func
    });
    limited.collect()
}

//! Replaces functions in a plan with their size-limited versions.

use std::sync::Arc;

use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, ScalarValue};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::binary::BinaryTypeCoercer;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

use super::function::{EvaluationStage, SizeLimitedFunction};
use super::size_estimate::SizeEstimator;
use super::{CallLimits, MAX_CONSTANT_BYTES};
use crate::lazy_conditions::with_lazy_conditions;

/// The name of [`ConcatOperator`].
pub(super) const CONCATENATION: &str = "||";

/// The name of the function that checks the size of a large constant.
pub(super) const CONSTANT: &str = "constant";

/// The name of the function that checks the patterns of an operator.
pub(super) const PATTERN: &str = "pattern";

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

/// Returns the expression with its functions limited for a stage.
pub(super) fn limit_expr(
    expr: Expr,
    stage: EvaluationStage,
    limits: CallLimits,
) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) => {
                limit_call(call, stage, limits).update_data(Expr::ScalarFunction)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if op == Operator::StringConcat && stage == EvaluationStage::Execution =>
            {
                Transformed::yes(limited_for_execution(
                    ConcatOperator::new(),
                    vec![*left, *right],
                    limits,
                ))
            }
            Expr::Literal(value, metadata)
                if stage == EvaluationStage::Execution && is_large(&value) =>
            {
                Transformed::yes(limited_for_execution(
                    PassThroughExpr::new(CONSTANT),
                    vec![Expr::Literal(value, metadata)],
                    limits,
                ))
            }
            expr if stage == EvaluationStage::Execution => limit_comparison(expr, limits)?,
            expr => Transformed::no(expr),
        })
    })
}

fn limit_call(
    call: ScalarFunction,
    stage: EvaluationStage,
    limits: CallLimits,
) -> Transformed<ScalarFunction> {
    let function = match call.func.inner().downcast_ref::<SizeLimitedFunction>() {
        Some(function) if function.stage() == stage => None,
        Some(function) => Some(function.at(stage)),
        None if stage == EvaluationStage::Planning
            && SizeEstimator::is_list_literal(call.func.name()) =>
        {
            None
        }
        None => SizeEstimator::of(call.func.name())
            .map(|growth| SizeLimitedFunction::new(Arc::clone(&call.func), growth, stage, limits)),
    };
    match function {
        Some(function) => Transformed::yes(ScalarFunction::new_udf(function.into(), call.args)),
        None => Transformed::no(call),
    }
}

fn limited_for_execution(
    function: impl ScalarUDFImpl + 'static,
    args: Vec<Expr>,
    limits: CallLimits,
) -> Expr {
    let call = ScalarFunction::new_udf(Arc::new(function.into()), args);
    Expr::ScalarFunction(limit_call(call, EvaluationStage::Execution, limits).data)
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
        limit_call(call, EvaluationStage::Execution, limits)
            .data
            .func
    });
    limited.collect()
}

/// Returns whether a constant is too large to be repeated for every row without a size check.
fn is_large(value: &ScalarValue) -> bool {
    value.size() as u64 > MAX_CONSTANT_BYTES
}

/// Adds a size check to patterns, and removes it from constants, because a comparison does not repeat its constant.
fn limit_comparison(expr: Expr, limits: CallLimits) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_regex(op) => {
            let right = Box::new(with_size_check(*right, limits));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::SimilarTo(mut like) => {
            like.pattern = Box::new(with_size_check(*like.pattern, limits));
            Transformed::yes(Expr::SimilarTo(like))
        }
        Expr::BinaryExpr(BinaryExpr { op, .. }) if !op.supports_propagation() => {
            Transformed::no(expr)
        }
        Expr::BinaryExpr(_) | Expr::Like(_) | Expr::InList(_) | Expr::Between(_) => {
            expr.map_children(|operand| Ok(without_size_check(operand)))?
        }
        expr => Transformed::no(expr),
    })
}

fn is_regex(op: Operator) -> bool {
    matches!(
        op,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
    )
}

/// Adds a size check to a pattern unless it is a constant.
fn with_size_check(pattern: Expr, limits: CallLimits) -> Expr {
    match without_size_check(pattern).data {
        constant @ Expr::Literal(..) => constant,
        pattern => limited_for_execution(PassThroughExpr::new(PATTERN), vec![pattern], limits),
    }
}

/// Removes the size check from a constant.
fn without_size_check(operand: Expr) -> Transformed<Expr> {
    match operand {
        Expr::ScalarFunction(mut call) if is_constant(&call) => match call.args.pop() {
            Some(constant) => Transformed::yes(constant),
            None => Transformed::no(Expr::ScalarFunction(call)),
        },
        operand => Transformed::no(operand),
    }
}

fn is_constant(call: &ScalarFunction) -> bool {
    call.func.name() == CONSTANT && call.args.len() == 1
}

/// The operator `||` on strings, as a function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ConcatOperator {
    signature: Signature,
}

impl ConcatOperator {
    fn new() -> Self {
        Self {
            signature: Signature::any(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for ConcatOperator {
    fn name(&self) -> &str {
        CONCATENATION
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = take_function_args(CONCATENATION, args)?;
        let [left, right] = [left.clone(), right.clone()].map(Box::new);
        let operator = BinaryExpr::new(left, Operator::StringConcat, right);
        Ok(Expr::BinaryExpr(operator).schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [left, right] = take_function_args(CONCATENATION, types)?;
        BinaryTypeCoercer::new(left, &Operator::StringConcat, right).get_result_type()
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let result = self.return_type(&types.collect::<Vec<_>>())?;
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(CONCATENATION, result, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = take_function_args(CONCATENATION, args.args)?;
        let left = left.into_array(args.number_rows)?;
        let right = right.into_array(args.number_rows)?;
        Ok(ColumnarValue::Array(concat_elements_dyn(&left, &right)?))
    }
}

/// Returns its argument unchanged. The wrapper around it checks the argument's size for every batch.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PassThroughExpr {
    name: &'static str,
    signature: Signature,
}

impl PassThroughExpr {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for PassThroughExpr {
    fn name(&self) -> &str {
        self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [value] = take_function_args(self.name, args)?;
        Ok(value.schema_name().to_string())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [value] = take_function_args(self.name, types)?;
        Ok(value.clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let [value] = take_function_args(self.name, args.arg_fields)?;
        Ok(Arc::clone(value))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name, args.args)?;
        Ok(value)
    }
}

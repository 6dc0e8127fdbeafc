//! Scalar functions with a limit on the size of their result, and expressions whose functions are limited.

use std::sync::Arc;

use arrow::array::Array;
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, ExpressionPlacement, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, StructFieldMapping,
};

use super::call_limits::{CallLimits, MAX_CONSTANT_BYTES};
use super::operators::{CONSTANT, ConcatOperator, PATTERN, PassThroughExpr};
use super::size_estimate::{CostEstimate, CostUnit, SizeEstimator};
use super::sizes;

/// The stage at which a function is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum EvaluationStage {
    /// While a plan is built, if all arguments are constants.
    Planning,
    /// While a plan runs.
    Execution,
}

/// A scalar function with a size limit. It delegates everything else to the function that it wraps.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SizeLimitedFunction {
    inner: Arc<ScalarUDF>,
    growth: SizeEstimator,
    stage: EvaluationStage,
    limits: CallLimits,
}

impl SizeLimitedFunction {
    pub(super) fn new(
        inner: Arc<ScalarUDF>,
        growth: SizeEstimator,
        stage: EvaluationStage,
        limits: CallLimits,
    ) -> Self {
        Self { inner, growth, stage, limits }
    }

    /// Returns the same function for another stage.
    fn at(&self, stage: EvaluationStage) -> Self {
        self.wrap(Arc::clone(&self.inner), stage)
    }

    fn stage(&self) -> EvaluationStage {
        self.stage
    }

    fn wrap(&self, inner: Arc<ScalarUDF>, stage: EvaluationStage) -> Self {
        Self { inner, stage, ..*self }
    }

    /// Returns the limit for a call with these arguments, in bytes or comparisons.
    fn limit(&self, args: &ScalarFunctionArgs, unit: CostUnit) -> u64 {
        let constant = |arg: &ColumnarValue| matches!(arg, ColumnarValue::Scalar(_));
        match (unit, self.stage) {
            (CostUnit::Comparisons, _) => self.limits.comparisons,
            (CostUnit::Bytes, EvaluationStage::Planning) if args.args.iter().all(constant) => {
                self.limits.constant
            }
            (CostUnit::Bytes, EvaluationStage::Planning | EvaluationStage::Execution) => {
                self.limits.batch
            }
        }
    }

    fn refuse<T>(&self, amount: CostEstimate, limit: u64) -> Result<T> {
        exec_err!(
            "{} would produce {} {} in one batch; the limit is {}",
            self.name(),
            grouped(amount.number),
            amount.unit,
            grouped(limit)
        )
    }

    /// Evaluates the function. All of its errors are errors of its arguments.
    fn invoke_inner(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let evaluated = self.inner.invoke_with_args(args);
        evaluated.map_err(|error| match error {
            // A pattern that can't be compiled.
            DataFusionError::External(reason) => DataFusionError::Execution(reason.to_string()),
            // A size or a time that is out of range.
            DataFusionError::Internal(reason) => DataFusionError::Execution(reason),
            error => error,
        })
    }

    /// Splits the rows until the worst case of each part is within the limit, evaluates the parts, and checks the total
    /// size of the results against the limit.
    fn invoke_in_parts(
        &self,
        args: &ScalarFunctionArgs,
        worst: CostEstimate,
    ) -> Result<ColumnarValue> {
        let limit = self.limit(args, worst.unit);
        let mut made = 0_u64;
        let mut results = Vec::new();
        let mut parts = vec![(0, args.number_rows)];
        while let Some((from, rows)) = parts.pop() {
            let part = part(args, from, rows);
            let amount = self.growth.amount(&part)?;
            if amount.number > limit && rows > 1 {
                let half = rows / 2;
                parts.extend([(from + half, rows - half), (from, half)]);
                continue;
            }
            if amount.number > limit || made > limit {
                return self.refuse(worst, limit);
            }
            let result = self.invoke_inner(part)?.into_array(rows)?;
            made = made.saturating_add(sizes::bytes(&result, 0, result.len()));
            results.push(result);
        }
        if made > limit {
            return self.refuse(worst, limit);
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&results)?))
    }
}

/// Returns the arguments of a range of rows.
fn part(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let value = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        constant @ ColumnarValue::Scalar(_) => constant.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(value).collect(),
        number_rows: rows,
        ..args.clone()
    }
}

impl From<SizeLimitedFunction> for Arc<ScalarUDF> {
    fn from(function: SizeLimitedFunction) -> Self {
        Self::new(function.into())
    }
}

/// Formats a number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl ScalarUDFImpl for SizeLimitedFunction {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        let inner = self.inner.inner().with_updated_config(config)?;
        Some(self.wrap(Arc::new(inner), self.stage).into())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let amount = self.growth.amount(&args)?;
        let limit = self.limit(&args, amount.unit);
        if amount.number <= limit {
            return self.invoke_inner(args);
        }
        let has_rows = args.args.iter().any(|arg| matches!(arg, ColumnarValue::Array(_)));
        if self.growth.is_worst_case() && has_rows && args.number_rows > 1 {
            self.invoke_in_parts(&args, amount)
        } else {
            self.refuse(amount, limit)
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(args, info)? {
            // DataFusion simplifies some functions to themselves with other arguments. The new call is unlimited, so
            // limit it.
            ExprSimplifyResult::Simplified(expr) => {
                let Transformed { data, .. } = limit_expr(expr, self.stage, self.limits)?;
                ExprSimplifyResult::Simplified(data)
            }
            original @ ExprSimplifyResult::Original(_) => original,
        })
    }

    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.inner.preimage(args, literal, info)
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, inputs: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(inputs)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn struct_field_mapping(&self, args: &[Option<ScalarValue>]) -> Option<StructFieldMapping> {
        self.inner.struct_field_mapping(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
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

/// Returns the call with its function limited for a stage.
pub(super) fn limit_call(
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
        None => SizeEstimator::for_function(call.func.name())
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

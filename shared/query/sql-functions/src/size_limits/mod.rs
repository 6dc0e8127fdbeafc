//! Size limits for functions whose results can be much larger than their arguments.
//!
//! DataFusion evaluates one expression over one batch without interruption: the call cannot be cancelled, and its
//! result is not in any memory pool. A failed allocation aborts the process. So these functions estimate their result
//! before they run: [`SizeEstimator`] computes the size of the result in bytes from the arguments of a call, and the call is
//! an error if the size exceeds a limit. If the estimate is only a worst case, the rows are evaluated in parts, and the
//! actual size of the results is checked.
//!
//! | call | limit |
//! | --- | --- |
//! | in a plan that runs | [`CallLimits::batch`] for the rows of a batch |
//! | evaluated by the optimizer because its arguments are constants | [`CallLimits::constant`], because the constant may be repeated for every row. A larger call stays in the plan |
//!
//! [`SizeLimitedFunction`] wraps such a function. The registered functions are limited for planning; the query planner replaces
//! them with functions limited for execution ([`for_execution`]). Both steps also cover functions that SQL syntax
//! stands for, such as `[a, b]`, which do not come from the registry.

mod arguments;
mod call_limits;
mod function;
mod lists;
mod operators;
mod plan;
mod ranges;
mod size_estimate;
mod sizes;
mod texts;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub(crate) use self::call_limits::CallLimits;
pub(crate) use self::plan::{FunctionSizeLimitRule, execution_functions, for_execution};
use self::{
    function::{EvaluationStage, SizeLimitedFunction},
    size_estimate::SizeEstimator,
};

/// Wraps the functions that need a size limit, and returns all functions.
pub(crate) fn limit_functions(
    functions: &[Arc<ScalarUDF>],
    limits: CallLimits,
) -> Vec<Arc<ScalarUDF>> {
    let growth = |name: &str| {
        SizeEstimator::for_function(name).filter(|_| !SizeEstimator::is_list_literal(name))
    };
    let one = |function: &Arc<ScalarUDF>| match growth(function.name()) {
        Some(growth) => SizeLimitedFunction::new(
            Arc::clone(function),
            growth,
            EvaluationStage::Planning,
            limits,
        )
        .into(),
        None => Arc::clone(function),
    };
    functions.iter().map(one).collect()
}

#[cfg(test)]
mod tests;

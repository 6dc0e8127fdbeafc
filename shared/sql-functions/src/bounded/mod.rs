//! Functions whose results can be much larger than their arguments, with a bound.
//!
//! One expression is computed for one batch at once: while it is, it can't be cancelled, and what it
//! makes is in no memory pool. An allocation that fails ends the process. So these functions are asked
//! before they compute: [`Growth`] counts the bytes that a call would make from its arguments, and
//! beyond a limit the call is an error. Where that is the worst case only, a part of the rows is computed after the
//! other, and what was made is counted.
//!
//! | where | limit |
//! | --- | --- |
//! | a call in a plan that runs | [`BATCH_BYTES`] for the rows of a batch |
//! | a call that the optimizer computes because its arguments are constants | [`CONSTANT_BYTES`]: the constant may be repeated for every row. Beyond it the call stays in the plan |
//!
//! [`Bounded`] is such a function: the registered ones are for planning, and the query planner puts
//! those for execution in their place ([`for_execution`]). Both also find functions that SQL's syntax
//! stands for, as `[a, b]`, which don't come from the registry.

mod function;
mod growth;
mod lists;
mod operands;
mod plan;
mod ranges;
mod sizes;
mod texts;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

pub(crate) use self::plan::{BoundFunctions, for_execution};
use self::{
    function::{Bounded, Stage},
    growth::Growth,
};

/// The most bytes that one call may make for one batch.
const BATCH_BYTES: u64 = 256 << 20;

/// The rows of a batch that a constant may be repeated for.
const BATCH_ROWS: u64 = 8192;

/// The most comparisons that one call may make for one batch: some seconds.
const COMPARISONS: u64 = 1 << 32;

/// The most bytes of a constant that is computed while planning.
const CONSTANT_BYTES: u64 = BATCH_BYTES / BATCH_ROWS;

/// The most that a call may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// For a batch.
    batch: u64,
    /// Of constants, while planning.
    constant: u64,
    /// Comparisons, whenever.
    comparisons: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: BATCH_BYTES,
            constant: CONSTANT_BYTES,
            comparisons: COMPARISONS,
        }
    }
}

/// The same functions, with a bound where they need one.
pub(crate) fn bounded(functions: &[Arc<ScalarUDF>], limits: Limits) -> Vec<Arc<ScalarUDF>> {
    let growth = |name: &str| Growth::of(name).filter(|_| !Growth::is_written_out(name));
    let one = |function: &Arc<ScalarUDF>| match growth(function.name()) {
        Some(growth) => Bounded::new(Arc::clone(function), growth, Stage::Planning, limits).into(),
        None => Arc::clone(function),
    };
    functions.iter().map(one).collect()
}

#[cfg(test)]
mod tests;

//! Expressions with many operands.

use datafusion::logical_expr::{Expr, lit};

/// Combines expressions as a balanced tree, which has the minimum depth. Without expressions, it is true.
pub fn balanced(mut exprs: Vec<Expr>, combine: fn(Expr, Expr) -> Expr) -> Expr {
    while exprs.len() > 1 {
        let mut rest = exprs.into_iter();
        let mut halved = Vec::with_capacity(rest.len().div_ceil(2));
        while let Some(one) = rest.next() {
            halved.push(match rest.next() {
                Some(two) => combine(one, two),
                None => one,
            });
        }
        exprs = halved;
    }
    exprs.pop().unwrap_or_else(|| lit(true))
}

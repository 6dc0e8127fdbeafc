//! A bound of the filters that the optimizer moves below projections.
//!
//! A filter below a projection has the expressions of the projection in the place of its columns. Where each of several
//! projections has a column twice in an expression, such as `v + v AS v`, the filter doubles with each of them: a statement of a
//! kilobyte with thirty of them would have a filter of 2³⁰ expressions. A filter that stays above its projection is as correct.

use std::{borrow::Cow, collections::BTreeMap};

use datafusion::{
    common::{
        Column, Result,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan},
};

/// Maximum number of expressions of a filter below the projections under it.
const MAX_PUSHED_EXPRESSIONS: u64 = 10_000;

/// Whether a filter stays small below all projections under it. True of other plans.
pub(crate) fn stays_small(plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Filter(filter) = plan else {
        return Ok(true);
    };
    let mut columns = ExprSize::new(&filter.predicate)?.columns;
    let mut input = filter.input.as_ref();
    loop {
        let (exprs, below): (Cow<'_, [Expr]>, _) = match input {
            LogicalPlan::Projection(node) => (Cow::Borrowed(&node.expr), &node.input),
            LogicalPlan::Aggregate(node) => (Cow::Borrowed(&node.group_expr), &node.input),
            LogicalPlan::SubqueryAlias(node) => {
                let columns = node.input.schema().columns().into_iter();
                (columns.map(Expr::Column).collect(), &node.input)
            }
            LogicalPlan::Filter(node) => {
                input = &node.input;
                continue;
            }
            _ => return Ok(true),
        };
        let mut total = 0_u64;
        let mut next = BTreeMap::<Column, u64>::new();
        for (column, expr) in input.schema().columns().into_iter().zip(exprs.iter()) {
            let Some(times) = columns.get(&column) else {
                continue;
            };
            let size = ExprSize::new(expr)?;
            total = total.saturating_add(times.saturating_mul(size.expressions));
            for (column, in_expr) in size.columns {
                let known = next.entry(column).or_default();
                *known = known.saturating_add(times.saturating_mul(in_expr));
            }
        }
        if total > MAX_PUSHED_EXPRESSIONS {
            return Ok(false);
        }
        columns = next;
        input = below;
    }
}

/// The number of expressions in one, and how often it has each column.
#[derive(Default)]
struct ExprSize {
    expressions: u64,
    columns: BTreeMap<Column, u64>,
}

impl ExprSize {
    fn new(expr: &Expr) -> Result<Self> {
        let mut size = Self::default();
        expr.apply(|part| {
            size.expressions += 1;
            if let Expr::Column(column) = part {
                *size.columns.entry(column.clone()).or_default() += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(size)
    }
}

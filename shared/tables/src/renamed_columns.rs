//! The optimizer rule that removes names of columns that only the plan itself uses.
//!
//! ```text
//!   Projection: time, out AS max                       Projection: window AS time, agg AS max
//!     Sort: time                                         Sort: window
//!       Projection: window AS time, agg AS out     ->      Aggregate: window, max(usage) AS agg
//!         Aggregate: window, max(field) AS agg               Projection: usage, time
//!           Projection: usage AS field, time
//! ```
//!
//! The planner of InfluxQL gives names of its own to columns, so that a tag, a field and an output may have the same name.
//! An operator that renames columns costs little, but in a query of few rows, to plan it takes a part of the time. A filter
//! projects the columns that it returns, unless they have other names.

use std::{collections::HashMap, sync::Arc};

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        Aggregate, Expr, LogicalPlan, Projection, Sort, SortExpr, expr::Alias,
        expr_rewriter::NamePreserver,
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
};

/// Lets aggregates and sorts read columns by the names that these have below a projection.
#[derive(Debug)]
pub(crate) struct RenamedColumnsRule;

impl OptimizerRule for RenamedColumnsRule {
    fn name(&self) -> &'static str {
        "renamed_columns"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let rewritten = match &plan {
            LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate)?,
            LogicalPlan::Projection(projection) => match projection.input.as_ref() {
                LogicalPlan::Sort(sort) => of_sorted(projection, sort)?,
                _ => None,
            },
            _ => None,
        };
        Ok(match rewritten {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(plan),
        })
    }
}

/// Returns an aggregate over the columns below a projection that renames them; `None` if there is no such projection.
fn of_aggregate(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(projection) = aggregate.input.as_ref() else {
        return Ok(None);
    };
    let Some(names) = FormerNames::of(projection) else {
        return Ok(None);
    };
    let mut groups = aggregate.group_expr.iter();
    if groups.any(|group| matches!(group, Expr::GroupingSet(_))) {
        // They have no names that could be kept.
        return Ok(None);
    }
    let input = Projection::try_new(names.read(), Arc::clone(&projection.input))?;
    let groups = names.restore_all(&aggregate.group_expr)?;
    let functions = names.restore_all(&aggregate.aggr_expr)?;
    let rewritten = Aggregate::try_new_with_schema(
        Arc::new(LogicalPlan::Projection(input)),
        groups,
        functions,
        Arc::clone(&aggregate.schema),
    )?;
    Ok(Some(LogicalPlan::Aggregate(rewritten)))
}

/// Returns a projection over a sort of the rows below another projection, which only renames their columns; `None` if
/// there is no such projection.
fn of_sorted(outer: &Projection, sort: &Sort) -> Result<Option<LogicalPlan>> {
    let LogicalPlan::Projection(inner) = sort.input.as_ref() else {
        return Ok(None);
    };
    let Some(names) = FormerNames::of(inner) else {
        return Ok(None);
    };
    if names.read().len() < inner.input.schema().fields().len() {
        // The sort would move columns that nothing reads.
        return Ok(None);
    }
    let keys = sort.expr.iter().map(|key| {
        Ok(SortExpr {
            expr: names.restore(key.expr.clone())?,
            ..key.clone()
        })
    });
    let sorted = Sort {
        expr: keys.collect::<Result<_>>()?,
        input: Arc::clone(&inner.input),
        fetch: sort.fetch,
    };
    let rewritten = Projection::try_new_with_schema(
        names.restore_all(&outer.expr)?,
        Arc::new(LogicalPlan::Sort(sorted)),
        Arc::clone(&outer.schema),
    )?;
    Ok(Some(LogicalPlan::Projection(rewritten)))
}

/// The columns of a projection that only renames columns.
struct FormerNames {
    /// The columns below by those of the projection.
    columns: HashMap<Column, Column>,
    /// The columns below in the order of the projection.
    below: Vec<Column>,
}

impl FormerNames {
    /// Returns `None` if the projection computes something, or renames nothing.
    fn of(projection: &Projection) -> Option<Self> {
        let mut columns = HashMap::new();
        let mut below: Vec<Column> = Vec::new();
        for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
            let former = match expr {
                Expr::Column(column) => column,
                Expr::Alias(Alias {
                    expr,
                    metadata: None,
                    ..
                }) => expr.try_as_col()?,
                _ => return None,
            };
            if !below.contains(former) {
                below.push(former.clone());
            }
            let column = Column::new(qualifier.cloned(), field.name());
            columns.insert(column, former.clone());
        }
        let is_renamed = columns.iter().any(|(column, former)| column != former);
        is_renamed.then_some(Self { columns, below })
    }

    /// The columns below the projection that it reads.
    fn read(&self) -> Vec<Expr> {
        self.below.iter().cloned().map(Expr::Column).collect()
    }

    /// Returns an expression over the columns below the projection.
    fn restore(&self, expr: Expr) -> Result<Expr> {
        let restored = expr.transform_up(|expr| {
            Ok(match expr {
                Expr::Column(column) => match self.columns.get(&column) {
                    Some(former) => Transformed::yes(Expr::Column(former.clone())),
                    None => Transformed::no(Expr::Column(column)),
                },
                expr => Transformed::no(expr),
            })
        })?;
        Ok(restored.data)
    }

    /// Returns such expressions, each with its name.
    fn restore_all(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        let preserver = NamePreserver::new_for_projection();
        let restored = exprs.iter().map(|expr| {
            let name = preserver.save(expr);
            Ok(name.restore(self.restore(expr.clone())?))
        });
        restored.collect()
    }
}

#[cfg(test)]
mod tests;

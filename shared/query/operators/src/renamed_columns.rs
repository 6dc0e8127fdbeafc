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
//! An operator that renames columns costs little to run, but planning it takes a part of the time of a small query. A filter
//! projects the columns that it returns, but does not rename them.

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
pub struct RenamedColumnsRule;

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
    let Some(renames) = ColumnRenames::from_projection(projection) else {
        return Ok(None);
    };
    let mut groups = aggregate.group_expr.iter();
    if groups.any(|group| matches!(group, Expr::GroupingSet(_))) {
        // They have no names that could be kept.
        return Ok(None);
    }
    let input = Projection::try_new(renames.source_exprs(), Arc::clone(&projection.input))?;
    let groups = renames.rewrite_all(&aggregate.group_expr)?;
    let functions = renames.rewrite_all(&aggregate.aggr_expr)?;
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
    let Some(renames) = ColumnRenames::from_projection(inner) else {
        return Ok(None);
    };
    if renames.sources.len() < inner.input.schema().fields().len() {
        // The sort would move columns that nothing reads.
        return Ok(None);
    }
    let keys = sort.expr.iter().map(|key| {
        Ok(SortExpr {
            expr: renames.rewrite(key.expr.clone())?,
            ..key.clone()
        })
    });
    let sorted = Sort {
        expr: keys.collect::<Result<_>>()?,
        input: Arc::clone(&inner.input),
        fetch: sort.fetch,
    };
    let rewritten = Projection::try_new_with_schema(
        renames.rewrite_all(&outer.expr)?,
        Arc::new(LogicalPlan::Sort(sorted)),
        Arc::clone(&outer.schema),
    )?;
    Ok(Some(LogicalPlan::Projection(rewritten)))
}

/// The columns of a projection that only renames columns.
struct ColumnRenames {
    /// The column below the projection of each of its columns.
    by_name: HashMap<Column, Column>,
    /// The distinct columns below, in the order of the projection.
    sources: Vec<Column>,
}

impl ColumnRenames {
    /// Returns `None` if the projection computes something, or renames nothing.
    fn from_projection(projection: &Projection) -> Option<Self> {
        let mut by_name = HashMap::new();
        let mut sources: Vec<Column> = Vec::new();
        for (expr, (qualifier, field)) in projection.expr.iter().zip(projection.schema.iter()) {
            let source = match expr {
                Expr::Column(column) => column,
                Expr::Alias(Alias {
                    expr,
                    metadata: None,
                    ..
                }) => expr.try_as_col()?,
                _ => return None,
            };
            if !sources.contains(source) {
                sources.push(source.clone());
            }
            let column = Column::new(qualifier.cloned(), field.name());
            by_name.insert(column, source.clone());
        }
        let is_renamed = by_name.iter().any(|(column, source)| column != source);
        is_renamed.then_some(Self { by_name, sources })
    }

    /// The distinct columns below the projection, as expressions.
    fn source_exprs(&self) -> Vec<Expr> {
        self.sources.iter().cloned().map(Expr::Column).collect()
    }

    /// Returns an expression over the columns below the projection.
    fn rewrite(&self, expr: Expr) -> Result<Expr> {
        let rewritten = expr.transform_up(|expr| {
            Ok(match expr {
                Expr::Column(column) => match self.by_name.get(&column) {
                    Some(source) => Transformed::yes(Expr::Column(source.clone())),
                    None => Transformed::no(Expr::Column(column)),
                },
                expr => Transformed::no(expr),
            })
        })?;
        Ok(rewritten.data)
    }

    /// Returns such expressions, each with its name.
    fn rewrite_all(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        let preserver = NamePreserver::new_for_projection();
        let rewritten = exprs.iter().map(|expr| {
            let name = preserver.save(expr);
            Ok(name.restore(self.rewrite(expr.clone())?))
        });
        rewritten.collect()
    }
}

#[cfg(test)]
mod tests;

//! An analyzer rule for subqueries in conditions that DataFusion 55.2 answers wrongly.
//!
//! DataFusion makes joins of them, which lose two things:
//!
//! * *Nulls.* `x NOT IN (SELECT y ...)` is unknown if no `y` is `x` and one is null, or if `x` is null and there is a `y`. Only
//!   the join of a whole condition `x NOT IN` with a column and without outer columns knows this
//!   (<https://github.com/apache/datafusion/issues/25336>). Other conditions get subqueries with `EXISTS` for what is unknown.
//! * *The row of an aggregate without groups.* A subquery with outer columns has it even if its `WHERE` selects no rows
//!   (<https://github.com/apache/datafusion/issues/24960>). `EXISTS` is known then, and `IN` is a comparison with the only row.
//!
//! A conversion of the values of `IN` gets a name, because it would have that of a column that DataFusion adds to the values.
//!
//! Where none of these helps, the statement is refused.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, ExprSchema, Result, ScalarValue,
        config::ConfigOptions,
        not_impl_err,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery,
        binary_expr,
        expr::{Exists, InSubquery},
        lit, not,
        utils::{conjunction, split_conjunction_owned},
    },
    optimizer::AnalyzerRule,
};

/// Rewrites the conditions of filters. It runs after the types of both sides of `IN` are the same.
#[derive(Debug)]
pub struct SubqueryRule;

impl AnalyzerRule for SubqueryRule {
    fn name(&self) -> &'static str {
        "subqueries_with_nulls"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Filter(filter) if has_subquery(&filter.predicate)? => {
                let schema = Arc::clone(filter.input.schema());
                let conditions = split_conjunction_owned(filter.predicate)
                    .into_iter()
                    .map(|condition| rewrite_conjunct(condition, &schema))
                    .collect::<Result<Vec<Expr>>>()?;
                let predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
                let filter = Filter::try_new(predicate, filter.input)?;
                Ok(Transformed::yes(LogicalPlan::Filter(filter)))
            }
            node => Ok(Transformed::no(node)),
        })
        .data()
    }
}

fn has_subquery(condition: &Expr) -> Result<bool> {
    condition.exists(|expr| Ok(matches!(expr, Expr::Exists(_) | Expr::InSubquery(_))))
}

/// What remains of the value of an expression where it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Whether it is true.
    True,
    /// Whether it is false.
    False,
    Value,
}

fn rewrite_conjunct(condition: Expr, schema: &DFSchema) -> Result<Expr> {
    let is_negated_in = match &condition {
        Expr::InSubquery(operator) => has_null_aware_join(operator, true),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::InSubquery(operator) => has_null_aware_join(operator, false),
            _ => false,
        },
        _ => false,
    };
    if is_negated_in {
        return Ok(condition);
    }
    rewrite(condition, Use::True, schema)
}

/// Whether DataFusion joins the rows of `NOT IN` as its nulls require.
fn has_null_aware_join(operator: &InSubquery, negated: bool) -> bool {
    operator.negated == negated
        && operator.subquery.outer_ref_columns.is_empty()
        && operator.expr.any_column_refs()
}

fn rewrite(expr: Expr, used_as: Use, schema: &DFSchema) -> Result<Expr> {
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            binary_expr(rewrite(*left, used_as, schema)?, op, rewrite(*right, used_as, schema)?)
        }
        Expr::Not(inner) => {
            let inside = match used_as {
                Use::True => Use::False,
                Use::False => Use::True,
                Use::Value => Use::Value,
            };
            not(rewrite(*inner, inside, schema)?)
        }
        Expr::Exists(operator) => rewrite_exists(operator)?,
        Expr::InSubquery(operator) => rewrite_in(named_value(operator)?, used_as, schema)?,
        other => {
            let inside = other
                .map_children(|child| Ok(Transformed::yes(rewrite(child, Use::Value, schema)?)));
            inside.data()?
        }
    })
}

fn rewrite_exists(operator: Exists) -> Result<Expr> {
    let Exists { subquery, negated } = &operator;
    if subquery.outer_ref_columns.is_empty() {
        return Ok(Expr::Exists(operator));
    }
    match number_of_rows(&subquery.subquery) {
        Rows::One => Ok(lit(!negated)),
        Rows::OneIf(filter) => {
            let rows = LogicalPlanBuilder::from(Arc::clone(&filter.input))
                .project([filter.predicate.clone()])?
                .build()?;
            let condition = Expr::ScalarSubquery(subquery.with_plan(Arc::new(rows)));
            Ok(if *negated {
                condition.is_not_true()
            } else {
                condition.is_true()
            })
        }
        Rows::Unknown => {
            check_aggregates(&subquery.subquery)?;
            Ok(Expr::Exists(operator))
        }
    }
}

fn rewrite_in(operator: InSubquery, used_as: Use, schema: &DFSchema) -> Result<Expr> {
    let is_correlated = !operator.subquery.outer_ref_columns.is_empty();
    if is_correlated {
        match number_of_rows(&operator.subquery.subquery) {
            Rows::One => {
                let op = if operator.negated {
                    Operator::NotEq
                } else {
                    Operator::Eq
                };
                let row = Expr::ScalarSubquery(operator.subquery);
                return Ok(binary_expr(*operator.expr, op, row));
            }
            Rows::OneIf(_) => {
                return not_impl_err!("IN (SELECT aggregate ... HAVING ...) with outer columns");
            }
            Rows::Unknown => check_aggregates(&operator.subquery.subquery)?,
        }
    }
    // Whether the operator is true is all that the joins know.
    let used_as = match (used_as, operator.negated) {
        (Use::True, true) => Use::False,
        (Use::False, true) => Use::True,
        (used_as, _) => used_as,
    };
    let negated = operator.negated;
    let value = match used_as {
        Use::True => return Ok(Expr::InSubquery(operator)),
        Use::False if is_correlated || !operator.expr.any_column_refs() => {
            exists_comparison(&operator, schema, Expr::is_not_false)?
        }
        Use::False => {
            let unknown = is_unknown(&operator, schema)?;
            is_in(operator).or(unknown)
        }
        Use::Value => {
            let null = Expr::Literal(ScalarValue::Boolean(None), None);
            let unknown = null.and(is_unknown(&operator, schema)?);
            is_in(operator).or(unknown)
        }
    };
    Ok(if negated { not(value) } else { value })
}

/// Names a conversion of the value that `IN` compares. Otherwise it has the name of its column, which DataFusion adds to the values if
/// an outer column is compared with it.
fn named_value(operator: InSubquery) -> Result<InSubquery> {
    if operator.subquery.outer_ref_columns.is_empty() {
        return Ok(operator);
    }
    let LogicalPlan::Projection(projection) = operator.subquery.subquery.as_ref() else {
        return Ok(operator);
    };
    let [value @ Expr::Cast(_)] = projection.expr.as_slice() else {
        return Ok(operator);
    };
    let named = value.clone().alias(value.to_string());
    let rows = Projection::try_new(vec![named], Arc::clone(&projection.input))?;
    let subquery = operator.subquery.with_plan(Arc::new(LogicalPlan::Projection(rows)));
    Ok(InSubquery { subquery, ..operator })
}

fn is_in(operator: InSubquery) -> Expr {
    Expr::InSubquery(InSubquery { negated: false, ..operator })
}

/// Whether a comparison with a row is unknown, at least if none is true.
fn is_unknown(operator: &InSubquery, schema: &DFSchema) -> Result<Expr> {
    if !operator.subquery.outer_ref_columns.is_empty() {
        return exists_comparison(operator, schema, Expr::is_null);
    }
    let (rows, column) = compared_rows(operator)?;
    let any_row = rows.clone().limit(0, Some(1))?;
    let null_row = rows.filter(column.is_null())?.limit(0, Some(1))?;
    let exists = |rows: LogicalPlanBuilder| -> Result<Expr> {
        let subquery = operator.subquery.with_plan(Arc::new(rows.build()?));
        Ok(Expr::Exists(Exists::new(subquery, false)))
    };
    let value_is_null = operator.expr.as_ref().clone().is_null();
    Ok(exists(null_row)?.or(value_is_null.and(exists(any_row)?)))
}

/// Returns `EXISTS (SELECT ... WHERE test(x = y))`.
fn exists_comparison(
    operator: &InSubquery,
    schema: &DFSchema,
    test: fn(Expr) -> Expr,
) -> Result<Expr> {
    let (rows, column) = compared_rows(operator)?;
    let mut outer_columns = operator.subquery.outer_ref_columns.clone();
    let value = operator.expr.as_ref().clone().transform_up(|expr| {
        let Expr::Column(column) = expr else {
            return Ok(Transformed::no(expr));
        };
        let field = Arc::clone(schema.field_from_column(&column)?);
        let outer = Expr::OuterReferenceColumn(field, column);
        if !outer_columns.contains(&outer) {
            outer_columns.push(outer.clone());
        }
        Ok(Transformed::yes(outer))
    })?;
    let comparison = test(value.data.eq(column));
    // As in a statement: of two filters with outer columns, DataFusion would lose the columns of the lower one.
    let filtered = match rows.build()? {
        LogicalPlan::Filter(filter) => LogicalPlanBuilder::from(Arc::clone(&filter.input))
            .filter(filter.predicate.and(comparison))?,
        rows => LogicalPlanBuilder::from(rows).filter(comparison)?,
    };
    let rows = filtered.project([lit(1_i64)])?.build()?;
    let subquery = Subquery {
        subquery: Arc::new(rows),
        outer_ref_columns: outer_columns,
        spans: operator.subquery.spans.clone(),
    };
    Ok(Expr::Exists(Exists::new(subquery, false)))
}

/// Returns the rows of a subquery with the value that is compared. The value is below the projection of the subquery: a filter
/// with outer columns can be pulled up from there, but not out of an alias.
fn compared_rows(operator: &InSubquery) -> Result<(LogicalPlanBuilder, Expr)> {
    let rows = &operator.subquery.subquery;
    if let LogicalPlan::Projection(projection) = rows.as_ref()
        && let [value] = projection.expr.as_slice()
    {
        let rows = LogicalPlanBuilder::from(Arc::clone(&projection.input));
        return Ok((rows, value.clone().unalias()));
    }
    let (qualifier, field) = rows.schema().qualified_field(0);
    let value = Expr::Column(Column::from((qualifier, field)));
    Ok((LogicalPlanBuilder::from(Arc::clone(rows)), value))
}

/// The number of rows of a subquery.
enum Rows<'a> {
    One,
    /// One row if the condition of the filter is true.
    OneIf(&'a Filter),
    Unknown,
}

/// Returns the number of rows of a subquery, which are those of an aggregate without groups, or unknown.
fn number_of_rows(plan: &LogicalPlan) -> Rows<'_> {
    match plan {
        LogicalPlan::Projection(node) => number_of_rows(&node.input),
        LogicalPlan::SubqueryAlias(node) => number_of_rows(&node.input),
        LogicalPlan::Sort(node) if node.fetch.is_none() => number_of_rows(&node.input),
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => Rows::One,
        LogicalPlan::Filter(filter) => match number_of_rows(&filter.input) {
            Rows::One if !is_derived(&filter.input) => Rows::OneIf(filter),
            _ => Rows::Unknown,
        },
        _ => Rows::Unknown,
    }
}

/// Whether an aggregate is that of a derived table. DataFusion can't move outer columns out of the alias as a scalar subquery.
fn is_derived(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::SubqueryAlias(_) => true,
        LogicalPlan::Projection(node) => is_derived(&node.input),
        LogicalPlan::Sort(node) => is_derived(&node.input),
        _ => false,
    }
}

/// Refuses aggregates that have a row for no rows, if outer columns select these rows.
fn check_aggregates(subquery: &LogicalPlan) -> Result<()> {
    let has_outer_aggregate = subquery.exists(|node| {
        let LogicalPlan::Aggregate(aggregate) = node else {
            return Ok(false);
        };
        let groups = &aggregate.group_expr;
        let mut sets = groups.iter();
        let has_row_of_no_rows =
            groups.is_empty() || sets.any(|group| matches!(group, Expr::GroupingSet(_)));
        let is_outer = |node: &LogicalPlan| Ok(node.contains_outer_reference());
        Ok(has_row_of_no_rows && aggregate.input.exists(is_outer)?)
    })?;
    if has_outer_aggregate {
        return not_impl_err!(
            "an aggregate without groups, or with grouping sets, over rows that outer columns select, inside EXISTS or IN"
        );
    }
    Ok(())
}

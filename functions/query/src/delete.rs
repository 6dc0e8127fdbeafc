//! Translates `DELETE FROM table WHERE …` into a condition on time and tags.
//!
//! A delete must apply to all versions of a point or to none, and the manifest stores it until the rows are gone.
//! Therefore a condition compares times and tag values, joined by `AND` and `OR`, and nothing else: no fields, no
//! functions of columns, no "all hosts but this one".

mod answer;

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{Column, ResolvedTableReference, Result, ScalarValue, plan_err},
    execution::SessionState,
    logical_expr::{
        Between, BinaryExpr, Cast, DmlStatement, Expr, Filter, LogicalPlan, Operator, expr::InList,
        simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
};
use neap_catalog::Table;
use neap_manifest::Snapshot;
use neap_row_delete::{Condition, RowDelete};
use neap_schema::TIME_COLUMN;
use neap_tables::{CATALOG, SCHEMA};

pub(crate) use self::answer::{deleted, deleted_schema};

/// Returns the rows that a statement deletes. Placeholders must already have values.
pub(crate) fn row_delete(
    state: &SessionState,
    snapshot: &Snapshot,
    statement: &DmlStatement,
) -> Result<RowDelete> {
    let name = statement.table_name.clone().resolve(CATALOG, SCHEMA);
    let table = deletable(snapshot, &name)?;
    let shown = match statement.input.as_ref() {
        LogicalPlan::TableScan(_) => Condition::EVERYTHING,
        LogicalPlan::Filter(filter) => {
            check_columns(table, &filter.predicate)?;
            predicate_condition(&simplify(state, filter)?)?
        }
        _ => return plan_err!("DELETE supports only a WHERE clause"),
    };
    let condition = shown.with_tag_names(&|name| table.stored_name(name).to_owned());
    if let Err(error) = condition.check_limits() {
        return plan_err!("{error}");
    }
    Ok(RowDelete { table: table.id(), condition })
}

fn deletable<'a>(snapshot: &'a Snapshot, name: &ResolvedTableReference) -> Result<&'a Arc<Table>> {
    let is_ours = (name.catalog.as_ref(), name.schema.as_ref()) == (CATALOG, SCHEMA);
    match snapshot.catalog.value.table(&name.table) {
        Some(table) if is_ours => Ok(table),
        _ => plan_err!("rows of '{name}' can't be deleted"),
    }
}

/// Rejects predicates over columns other than the time and the tags.
fn check_columns(table: &Table, predicate: &Expr) -> Result<()> {
    let is_key = |name: &str| name == TIME_COLUMN || table.is_tag(name);
    let columns = predicate.column_refs();
    match columns.iter().find(|column| !is_key(&column.name)) {
        Some(field) => {
            plan_err!("DELETE can't filter by the field '{}', only by time and tags", field.name)
        }
        None => Ok(()),
    }
}

/// Simplifies the predicate: evaluates all constant expressions, including `now()`.
fn simplify(state: &SessionState, filter: &Filter) -> Result<Expr> {
    let schema = filter.input.schema();
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(schema))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time)
        .build();
    let simplifier = ExprSimplifier::new(context);
    let predicate = simplifier.coerce(filter.predicate.clone(), schema)?;
    simplifier.simplify(predicate)
}

/// Returns the condition that selects the rows for which the predicate is true. A predicate that is NULL for a row does
/// not select it.
fn predicate_condition(predicate: &Expr) -> Result<Condition> {
    match predicate {
        Expr::Literal(ScalarValue::Boolean(Some(true)), _) => Ok(Condition::EVERYTHING),
        Expr::Literal(ScalarValue::Boolean(_) | ScalarValue::Null, _) => Ok(Condition::NOTHING),
        Expr::BinaryExpr(BinaryExpr { op, .. }) if matches!(op, Operator::And | Operator::Or) => {
            let parts = operands(predicate, *op)
                .into_iter()
                .map(predicate_condition)
                .collect::<Result<Vec<_>>>()?
                .into_iter();
            Ok(match op {
                Operator::And => parts.fold(Condition::EVERYTHING, Condition::and),
                _ => parts.fold(Condition::NOTHING, Condition::or),
            })
        }
        Expr::IsTrue(inner) => predicate_condition(inner),
        _ => match comparison_condition(predicate) {
            Some(condition) => Ok(condition),
            None => plan_err!(
                "DELETE can't filter by '{}': it supports comparisons of time, and tags that are \
                 equal to a value or null, joined by AND and OR",
                predicate.human_display()
            ),
        },
    }
}

/// Returns the operands of a chain of one operator. It iterates, because a chain may be too long for recursion.
fn operands(chain: &Expr, operator: Operator) -> Vec<&Expr> {
    let mut pending = vec![chain];
    let mut operands = Vec::new();
    while let Some(next) = pending.pop() {
        match next {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == operator => {
                pending.extend([right.as_ref(), left.as_ref()]);
            }
            operand => operands.push(operand),
        }
    }
    operands
}

/// A component of a row's key.
enum KeyColumn<'a> {
    Time,
    Tag(&'a str),
}

fn comparison_condition(predicate: &Expr) -> Option<Condition> {
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (left, Expr::Literal(value, _)) => key_condition(&key(left)?, *op, value),
            (Expr::Literal(value, _), right) => key_condition(&key(right)?, op.swap()?, value),
            _ => None,
        },
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (low.as_ref(), high.as_ref())
            else {
                return None;
            };
            let key = key(expr)?;
            let from = key_condition(&key, Operator::GtEq, low)?;
            Some(from.and(key_condition(&key, Operator::LtEq, high)?))
        }
        Expr::InList(InList { expr, list, negated: false }) => {
            let key = key(expr)?;
            list.iter().try_fold(Condition::NOTHING, |any, value| {
                let Expr::Literal(value, _) = value else {
                    return None;
                };
                Some(any.or(key_condition(&key, Operator::Eq, value)?))
            })
        }
        Expr::IsNull(expr) => match key(expr)? {
            KeyColumn::Time => Some(Condition::NOTHING),
            KeyColumn::Tag(name) => Some(Condition::Tag { name: name.to_owned(), value: None }),
        },
        _ => None,
    }
}

/// Returns the time or tag that an expression reads, if the expression does not change its value.
fn key(expr: &Expr) -> Option<KeyColumn<'_>> {
    match expr {
        Expr::Column(Column { name, .. }) if name == TIME_COLUMN => Some(KeyColumn::Time),
        Expr::Column(Column { name, .. }) => Some(KeyColumn::Tag(name)),
        Expr::Cast(Cast { expr, field }) => {
            let key = key(expr)?;
            let is_same = match (&key, field.data_type()) {
                (KeyColumn::Time, DataType::Timestamp(TimeUnit::Nanosecond, zone)) => {
                    matches!(zone.as_deref(), None | Some("+00:00" | "UTC" | "Z"))
                }
                (KeyColumn::Tag(_), DataType::Dictionary(_, values)) => values.is_string(),
                (KeyColumn::Tag(_), data_type) => data_type.is_string(),
                _ => false,
            };
            is_same.then_some(key)
        }
        _ => None,
    }
}

fn key_condition(
    key: &KeyColumn<'_>,
    operator: Operator,
    value: &ScalarValue,
) -> Option<Condition> {
    match key {
        _ if value.is_null() && !compares_nulls(operator) => Some(Condition::NOTHING),
        KeyColumn::Time => {
            let ScalarValue::TimestampNanosecond(Some(time), _) = value else {
                return None;
            };
            times(operator, *time)
        }
        KeyColumn::Tag(name) => match (operator, value.try_as_str()??) {
            // A row without the tag has no value for it, and no row has an empty value.
            (Operator::Eq, "") => Some(Condition::NOTHING),
            (Operator::Eq, value) => {
                Some(Condition::Tag { name: (*name).to_owned(), value: Some(value.to_owned()) })
            }
            _ => None,
        },
    }
}

/// Whether the operator yields true or false for NULL operands, rather than NULL.
fn compares_nulls(operator: Operator) -> bool {
    matches!(operator, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom)
}

fn times(operator: Operator, time: i64) -> Option<Condition> {
    let range = |min, max| Condition::Time { min, max };
    let before = || {
        let last = time.checked_sub(1);
        last.map_or(Condition::NOTHING, |last| range(i64::MIN, last))
    };
    let after = || {
        let first = time.checked_add(1);
        first.map_or(Condition::NOTHING, |first| range(first, i64::MAX))
    };
    match operator {
        Operator::Eq => Some(range(time, time)),
        Operator::NotEq => Some(before().or(after())),
        Operator::Lt => Some(before()),
        Operator::LtEq => Some(range(i64::MIN, time)),
        Operator::Gt => Some(after()),
        Operator::GtEq => Some(range(time, i64::MAX)),
        _ => None,
    }
}

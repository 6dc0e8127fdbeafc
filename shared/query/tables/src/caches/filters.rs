//! Filters that a cache applies itself: each reads one key column and is evaluated for its values, not for rows.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, StringArray},
    compute::cast,
    datatypes::{FieldRef, Schema, SchemaRef},
    error::ArrowError,
};
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, Result, ScalarValue},
    logical_expr::{BinaryExpr, Expr, Operator, expr::InList},
    physical_expr::PhysicalExpr,
};
use neap_cache::{KeyFilter, KeyPredicate, TagPredicate};

/// Whether a filter reads exactly one of the columns and never fails, so that it can be evaluated for values without
/// rows.
pub(super) fn is_infallible_on_one_column(filter: &Expr, columns: &[String]) -> bool {
    let mentioned = filter.column_refs();
    let mut names = mentioned.iter().map(|column| &column.name);
    let of_one = match (names.next(), names.next()) {
        (Some(name), None) => columns.contains(name),
        _ => false,
    };
    of_one && is_infallible(filter)
}

/// Whether an expression never fails for any values of the columns: comparisons of columns with literals.
fn is_infallible(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let never_fails = is_comparison(*op)
                || matches!(op, Operator::And | Operator::Or)
                || is_pattern(*op) && matches!(right.as_ref(), Expr::Literal(..));
            never_fails && is_infallible(left) && is_infallible(right)
        }
        Expr::Like(like) | Expr::SimilarTo(like) => {
            is_infallible(&like.expr) && matches!(like.pattern.as_ref(), Expr::Literal(..))
        }
        Expr::InList(InList { expr, list, .. }) => {
            is_infallible(expr) && list.iter().all(is_infallible)
        }
        Expr::Between(between) => {
            is_infallible(&between.expr)
                && is_infallible(&between.low)
                && is_infallible(&between.high)
        }
        Expr::Not(expr)
        | Expr::IsNull(expr)
        | Expr::IsNotNull(expr)
        | Expr::IsTrue(expr)
        | Expr::IsNotTrue(expr)
        | Expr::IsFalse(expr)
        | Expr::IsNotFalse(expr)
        | Expr::IsUnknown(expr)
        | Expr::IsNotUnknown(expr) => is_infallible(expr),
        _ => false,
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

fn is_pattern(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
    )
}

/// Converts a filter for which [`is_infallible_on_one_column`] is true to a filter on the layers of caches. `schema` has the columns that
/// the cache shows.
pub(super) fn key_filter(
    session: &dyn Session,
    filter: &Expr,
    schema: &SchemaRef,
) -> Result<KeyFilter> {
    if let Some(simple) = as_value_set(filter) {
        return Ok(simple);
    }
    let columns = filter.column_refs();
    let name = columns.iter().next().map_or("", |column| &column.name);
    let field = FieldRef::new(schema.field_with_name(name)?.clone());
    let one = Arc::new(Schema::new(vec![field]));
    let unqualified = DFSchema::try_from(Arc::clone(&one))?;
    let predicate = session.create_physical_expr(filter.clone(), &unqualified)?;
    Ok(KeyFilter {
        column: name.to_owned(),
        test: KeyPredicate::Other(Arc::new(TagExprPredicate { predicate, schema: one })),
    })
}

/// Converts `=`, `<>`, `IN` and `NOT IN` of a column and literals, and `=` joined by `OR`, to a set of values.
fn as_value_set(filter: &Expr) -> Option<KeyFilter> {
    let (column, values, negated) = match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            return union_of_filters(as_value_set(left)?, as_value_set(right)?);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let negated = match op {
                Operator::Eq => false,
                Operator::NotEq => true,
                _ => return None,
            };
            let (column, value) = match (name(left), name(right)) {
                (Some(column), None) => (column, right),
                (None, Some(column)) => (column, left),
                _ => return None,
            };
            (column, vec![text(value)?], negated)
        }
        Expr::InList(InList { expr, list, negated }) => {
            let values = list.iter().map(text).collect::<Option<Vec<_>>>()?;
            (name(expr)?, values, *negated)
        }
        _ => return None,
    };
    let has_null = values.contains(&None);
    let values: BTreeSet<String> = values.into_iter().flatten().map(str::to_owned).collect();
    let test = match (negated, has_null) {
        // A comparison with null is unknown.
        (false, _) => KeyPredicate::In(values),
        (true, true) => KeyPredicate::In(BTreeSet::new()),
        (true, false) => KeyPredicate::NotIn(values),
    };
    Some(KeyFilter { column: column.to_owned(), test })
}

fn union_of_filters(one: KeyFilter, other: KeyFilter) -> Option<KeyFilter> {
    match (one.test, other.test) {
        (KeyPredicate::In(mut values), KeyPredicate::In(more)) if one.column == other.column => {
            values.extend(more);
            Some(KeyFilter { column: one.column, test: KeyPredicate::In(values) })
        }
        _ => None,
    }
}

fn name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(Column { name, .. }) => Some(name),
        _ => None,
    }
}

/// Returns the text of a literal, which may be null. `None` if the expression is no string literal.
fn text(expr: &Expr) -> Option<Option<&str>> {
    match expr {
        Expr::Literal(ScalarValue::Null, _) => Some(None),
        Expr::Literal(value, _) => value.try_as_str(),
        _ => None,
    }
}

/// Any other predicate on one column, as a physical expression.
#[derive(Debug)]
struct TagExprPredicate {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl TagPredicate for TagExprPredicate {
    fn test(&self, values: &StringArray) -> Result<BooleanArray, ArrowError> {
        let shown = self.schema.fields().iter().map(|field| field.data_type());
        let columns = shown.map(|shown| cast(values, shown)).collect::<Result<_, _>>()?;
        let nullable = self
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, columns)?;
        let passes = self
            .predicate
            .evaluate(&rows)
            .and_then(|passes| passes.into_array(values.len()))
            .map_err(|error| ArrowError::ExternalError(Box::new(error)))?
            .as_boolean_opt()
            .cloned();
        passes.ok_or_else(|| ArrowError::ComputeError("a filter must return booleans".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{cast, col, lit};

    use super::*;

    #[test]
    fn comparisons_with_literals_become_sets_of_values() {
        let values = |filter: Expr| as_value_set(&filter).map(|filter| filter.test);
        let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let null = || lit(ScalarValue::Utf8(None));
        let cases = [
            (col("k").eq(lit("a")), KeyPredicate::In(set(&["a"]))),
            (lit("a").eq(col("k")), KeyPredicate::In(set(&["a"]))),
            (col("k").not_eq(lit("a")), KeyPredicate::NotIn(set(&["a"]))),
            (col("k").eq(null()), KeyPredicate::In(set(&[]))),
            (col("k").in_list(vec![lit("a"), null()], false), KeyPredicate::In(set(&["a"]))),
            (
                col("k").in_list(vec![lit("a"), lit("b")], true),
                KeyPredicate::NotIn(set(&["a", "b"])),
            ),
            (col("k").in_list(vec![lit("a"), null()], true), KeyPredicate::In(set(&[]))),
            (
                col("k").eq(lit("a")).or(col("k").eq(lit("b"))),
                KeyPredicate::In(set(&["a", "b"])),
            ),
        ];
        for (filter, expected) in cases {
            let found = values(filter.clone());
            assert_eq!(format!("{found:?}"), format!("{:?}", Some(expected)), "{filter}");
        }
        for other in [
            col("k").gt(lit("a")),
            col("k").eq(col("j")),
            col("k").is_null(),
            col("k").eq(lit("a")).or(col("j").eq(lit("b"))),
        ] {
            assert!(values(other).is_none());
        }
    }

    #[test]
    fn only_infallible_filters_of_one_column_are_pushed_down() {
        let columns = ["k".to_owned(), "j".to_owned()];
        let text = arrow::datatypes::DataType::Int64;
        for taken in [
            col("k").gt(lit("a")).or(col("k").is_null()),
            col("k").like(lit("a%")),
            !col("k").in_list(vec![lit("a")], true),
        ] {
            assert!(is_infallible_on_one_column(&taken, &columns), "{taken}");
        }
        for left in [
            col("k").eq(col("j")),
            col("v").eq(lit(1)),
            cast(col("k"), text).eq(lit(1)),
            lit(true),
        ] {
            assert!(!is_infallible_on_one_column(&left, &columns), "{left}");
        }
    }
}

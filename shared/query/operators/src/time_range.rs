//! An analyzer rule for comparisons with times that columns cannot have.
//!
//! Times of rows have nanoseconds, from 1677-09-21T00:12:43.145224192 to 2262-04-11T23:47:16.854775807. DataFusion converts the
//! other side of a comparison to nanoseconds, which fails for `time >= '0001-01-01'`, the start of many clients. The order of
//! the two is known without a conversion: all rows are later.

use std::sync::Arc;

use arrow::{
    compute::kernels::cast_utils::string_to_datetime,
    datatypes::{DataType, TimeUnit},
};
use chrono::Utc;
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, LogicalPlan, Operator, binary_expr, expr::InList,
        expr_rewriter::NamePreserver, not, simplify::SimplifyContext,
    },
    optimizer::{AnalyzerRule, simplify_expressions::ExprSimplifier},
};

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// Compares with the first or the last time in the place of one that is out of range. It runs after the types of both sides are
/// the same.
#[derive(Debug)]
pub struct TimeRangeRule;

impl AnalyzerRule for TimeRangeRule {
    fn name(&self) -> &'static str {
        "times_out_of_range"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(rewrite)?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

/// A time that no row can have.
#[derive(Clone, Debug)]
struct OutsideTime {
    /// Whether it is later than all rows. Otherwise it is earlier.
    is_later: bool,
    zone: Option<Arc<str>>,
}

impl OutsideTime {
    fn from_expr(expr: &Expr) -> Option<Self> {
        let Expr::Cast(Cast { expr, field }) = expr else {
            return None;
        };
        let DataType::Timestamp(TimeUnit::Nanosecond, zone) = field.data_type() else {
            return None;
        };
        let nanos = nanos(&constant(expr)?)?;
        let is_later = nanos > i128::from(i64::MAX);
        (is_later || nanos < i128::from(i64::MIN)).then(|| Self { is_later, zone: zone.clone() })
    }

    /// Returns the comparison of a time of a row with this one; `None` for an operator that doesn't compare.
    fn compared(&self, operator: Operator, time: Expr) -> Option<Expr> {
        let is_true = match operator {
            Operator::Lt | Operator::LtEq => self.is_later,
            Operator::Gt | Operator::GtEq => !self.is_later,
            Operator::NotEq => true,
            Operator::Eq => false,
            _ => return None,
        };
        // Unknown if the time is null.
        let (bound, operator) = match (self.is_later, is_true) {
            (true, true) => (i64::MAX, Operator::LtEq),
            (true, false) => (i64::MAX, Operator::Gt),
            (false, true) => (i64::MIN, Operator::GtEq),
            (false, false) => (i64::MIN, Operator::Lt),
        };
        let bound = ScalarValue::TimestampNanosecond(Some(bound), self.zone.clone());
        Some(binary_expr(time, operator, Expr::Literal(bound, None)))
    }
}

fn rewrite(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::BinaryExpr(comparison) => match rewrite_comparison(&comparison) {
            Some(rewritten) => Transformed::yes(rewritten),
            None => Transformed::no(Expr::BinaryExpr(comparison)),
        },
        Expr::Between(between) if has_outside_bound(&between) => {
            let Between { expr, negated, low, high } = between;
            let start = compare(expr.as_ref().clone(), Operator::GtEq, *low);
            let end = compare(*expr, Operator::LtEq, *high);
            let both = start.and(end);
            Transformed::yes(if negated { not(both) } else { both })
        }
        Expr::InList(list) => rewrite_list(list),
        other => Transformed::no(other),
    })
}

fn rewrite_comparison(comparison: &BinaryExpr) -> Option<Expr> {
    let BinaryExpr { left, op, right } = comparison;
    if let Some(outside) = OutsideTime::from_expr(right) {
        return outside.compared(*op, left.as_ref().clone());
    }
    OutsideTime::from_expr(left)?.compared(op.swap()?, right.as_ref().clone())
}

fn compare(left: Expr, operator: Operator, right: Expr) -> Expr {
    let comparison = BinaryExpr::new(Box::new(left), operator, Box::new(right));
    rewrite_comparison(&comparison).unwrap_or(Expr::BinaryExpr(comparison))
}

fn has_outside_bound(between: &Between) -> bool {
    [&between.low, &between.high].map(|bound| OutsideTime::from_expr(bound).is_some()) != [false; 2]
}

/// Removes the times out of range from a list. If none is left, the last one remains as a comparison.
fn rewrite_list(list: InList) -> Transformed<Expr> {
    let outside = list.list.iter().find_map(OutsideTime::from_expr);
    let Some(outside) = outside else {
        return Transformed::no(Expr::InList(list));
    };
    let possible: Vec<_> = list
        .list
        .into_iter()
        .filter(|time| OutsideTime::from_expr(time).is_none())
        .collect();
    if possible.is_empty() {
        let operator = if list.negated {
            Operator::NotEq
        } else {
            Operator::Eq
        };
        let compared = outside.compared(operator, *list.expr);
        return Transformed::yes(compared.unwrap_or_else(|| datafusion::prelude::lit(false)));
    }
    Transformed::yes(Expr::InList(InList { list: possible, ..list }))
}

/// Returns the value of an expression without columns.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    if expr.any_column_refs() || expr.is_volatile() {
        return None;
    }
    let context = SimplifyContext::builder().with_schema(Arc::new(DFSchema::empty())).build();
    match ExprSimplifier::new(context).simplify(expr.clone()) {
        Ok(Expr::Literal(value, _)) => Some(value),
        _ => None,
    }
}

/// Returns a time in nanoseconds since the Unix epoch.
fn nanos(value: &ScalarValue) -> Option<i128> {
    let (count, unit) = match value {
        ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text))
        | ScalarValue::Utf8View(Some(text)) => {
            let time = string_to_datetime(&Utc, text).ok()?;
            let fraction = i128::from(time.timestamp_subsec_nanos());
            return Some(i128::from(time.timestamp()) * SECOND + fraction);
        }
        ScalarValue::TimestampSecond(Some(count), _) => (*count, SECOND),
        ScalarValue::TimestampMillisecond(Some(count), _) => (*count, SECOND / 1_000),
        ScalarValue::TimestampMicrosecond(Some(count), _) => (*count, SECOND / 1_000_000),
        ScalarValue::Date32(Some(days)) => (i64::from(*days), 86_400 * SECOND),
        ScalarValue::Date64(Some(count)) => (*count, SECOND / 1_000),
        _ => return None,
    };
    Some(i128::from(count) * unit)
}

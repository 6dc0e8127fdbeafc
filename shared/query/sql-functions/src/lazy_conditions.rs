//! Conditions that guard operands which can fail.
//!
//! DataFusion 55.2 evaluates both operands of `AND` and `OR` for all rows of a batch, the arguments of an aggregate for the
//! rows that its `FILTER` leaves out, too, and it turns a `CASE` whose values are conditions into `AND` and `OR`. So
//! `w <> 0 AND 10 / w > 1` divides by zero. Only a `CASE` in the plan that is executed evaluates a value for the rows that
//! select it. After optimization, operands that can fail get one:
//!
//! ```text
//!   w <> 0 AND 10 / w > 1               w <> 0 AND CASE WHEN w <> 0 IS NOT FALSE THEN 10 / w > 1 END
//!   w = 0 OR 10 / w > 1                 w = 0 OR CASE WHEN w = 0 IS NOT TRUE THEN 10 / w > 1 END
//!   sum(10 / w) FILTER (WHERE w <> 0)   sum(CASE WHEN w <> 0 THEN 10 / w END) FILTER (WHERE w <> 0)
//! ```
//!
//! Operands that can't fail are the guards of all others, in whatever order the statement has them, because the optimizer
//! changes the order. An operand that can fail guards those after it.
//!
//! Common parts of the conditions of a filter are not extracted, because the optimizer would compute them for all rows.

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema, Result, ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        BinaryExpr, Case, Cast, Expr, ExprSchemable, LogicalPlan, Operator,
        TableProviderFilterPushDown, TableScan, binary_expr,
        expr::{AggregateFunction, AggregateFunctionParams, WindowFunction},
        expr_rewriter::NamePreserver,
        utils::{merge_schema, split_binary_owned},
    },
};

/// Returns the plan with guards. Expressions keep their names and types.
pub(crate) fn with_lazy_conditions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            return without_failing_filters(scan);
        }
        let names = NamePreserver::new(&node);
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| {
            if !may_fail(&expr, &schema)? {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let expr = guarded(expr, &schema)?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(plan.data)
}

/// Removes the filters that can fail from a scan, which does not have their guards, if a filter above it has them, too.
fn without_failing_filters(mut scan: TableScan) -> Result<Transformed<LogicalPlan>> {
    let mut is_suspect = false;
    for filter in &scan.filters {
        is_suspect |= filter.exists(|expr| Ok(Operation::new(expr).is_some()))?;
    }
    if !is_suspect {
        return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
    }
    let table = scan.table_name.clone();
    let schema = DFSchema::try_from_qualified_schema(table, &scan.source.schema())?;
    let mut filters = Vec::new();
    for filter in std::mem::take(&mut scan.filters) {
        let support = scan.source.supports_filters_pushdown(&[&filter])?;
        let is_repeated = support != [TableProviderFilterPushDown::Exact];
        if !is_repeated || !may_fail(&filter, &schema)? {
            filters.push(filter);
        }
    }
    scan.filters = filters;
    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
}

/// Whether nothing in a plan guards what can fail: no condition of a filter, and no `FILTER` of an aggregate. Common expressions would
/// be computed for all rows.
pub(crate) fn has_no_guard(plan: &LogicalPlan) -> Result<bool> {
    let has_guard = plan.exists(|node| match node {
        LogicalPlan::Filter(filter) => {
            let has_junction = filter.predicate.exists(|expr| Ok(junction(expr).is_some()))?;
            Ok(has_junction && may_fail(&filter.predicate, filter.input.schema())?)
        }
        LogicalPlan::Aggregate(aggregate) => {
            has_guarded_arguments(&aggregate.aggr_expr, aggregate.input.schema())
        }
        LogicalPlan::Window(window) => {
            has_guarded_arguments(&window.window_expr, window.input.schema())
        }
        _ => Ok(false),
    })?;
    Ok(!has_guard)
}

/// Whether an aggregate has a `FILTER`, and arguments that can fail.
fn has_guarded_arguments(exprs: &[Expr], schema: &DFSchema) -> Result<bool> {
    let is_guarded = |expr: &Expr| {
        let (args, filter) = match expr {
            Expr::AggregateFunction(call) => (&call.params.args, &call.params.filter),
            Expr::WindowFunction(window) => (&window.params.args, &window.params.filter),
            _ => return Ok(false),
        };
        let mut is_guarded = false;
        for arg in args {
            is_guarded |= filter.is_some() && may_fail(arg, schema)?;
        }
        Ok(is_guarded)
    };
    for expr in exprs {
        if expr.exists(is_guarded)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the operator of `AND` and `OR`.
fn junction(expr: &Expr) -> Option<Operator> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { op: op @ (Operator::And | Operator::Or), .. }) => Some(*op),
        _ => None,
    }
}

/// Returns an expression that can fail with guards.
fn guarded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if !may_fail(&expr, schema)? {
        return Ok(Transformed::no(expr));
    }
    if let Some(op) = junction(&expr) {
        return guarded_chain(expr, op, schema);
    }
    let expr = expr.map_children(|child| guarded(child, schema))?;
    match expr.data {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let AggregateFunctionParams { args, filter, .. } = params;
            let args = filtered(args, filter.as_deref(), schema)?;
            let params = AggregateFunctionParams { args, filter, ..params };
            let call = AggregateFunction { func, params };
            Ok(Transformed::yes(Expr::AggregateFunction(call)))
        }
        Expr::WindowFunction(mut window) => {
            let WindowFunction { params, .. } = window.as_mut();
            let args = std::mem::take(&mut params.args);
            params.args = filtered(args, params.filter.as_deref(), schema)?;
            Ok(Transformed::yes(Expr::WindowFunction(window)))
        }
        data => Ok(Transformed { data, ..expr }),
    }
}

/// Returns operands of `AND` or `OR` in the order in which they guard each other: those that can't fail, those that can, and
/// those that are no guards. A guard is evaluated twice, so a volatile operand is none, and neither is a compound one that can
/// fail: nested guards would double the expression at each level.
fn guarded_chain(chain: Expr, op: Operator, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (mut safe, mut failing, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for operand in split_binary_owned(chain, op) {
        let can_fail = may_fail(&operand, schema)?;
        let operand = guarded(operand, schema)?.data;
        if operand.is_volatile() || can_fail && is_compound(&operand)? {
            last.push(operand);
        } else if can_fail {
            failing.push(operand);
        } else {
            safe.push(operand);
        }
    }
    let joined =
        |operands: Vec<Expr>| operands.into_iter().reduce(|one, next| binary_expr(one, op, next));
    let operands: Vec<Expr> = joined(safe).into_iter().chain(failing).chain(joined(last)).collect();
    let chain = operands.into_iter().rev().reduce(|rest, guard| guarded_by(guard, op, rest));
    // A split has operands.
    Ok(Transformed::yes(chain.unwrap_or(TRUE)))
}

fn is_compound(expr: &Expr) -> Result<bool> {
    expr.exists(|part| Ok(junction(part).is_some() || matches!(part, Expr::Case(_))))
}

const TRUE: Expr = Expr::Literal(ScalarValue::Boolean(Some(true)), None);

/// Returns `guard AND rest`, or `guard OR rest`, whose rest is evaluated for the rows for which it matters.
fn guarded_by(guard: Expr, op: Operator, rest: Expr) -> Expr {
    let when = if op == Operator::And {
        guard.clone().is_not_false()
    } else {
        guard.clone().is_not_true()
    };
    binary_expr(guard, op, case(when, rest))
}

/// Returns the arguments of an aggregate, which are evaluated for the rows of its filter.
fn filtered(args: Vec<Expr>, filter: Option<&Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    // The filter is evaluated again.
    let Some(filter) = filter.filter(|filter| !filter.is_volatile()) else {
        return Ok(args);
    };
    let args = args.into_iter().map(|arg| {
        Ok(if may_fail(&arg, schema)? {
            case(filter.clone(), arg)
        } else {
            arg
        })
    });
    args.collect()
}

fn case(when: Expr, then: Expr) -> Expr {
    let branches = vec![(Box::new(when), Box::new(then))];
    Expr::Case(Case::new(None, branches, None))
}

/// Whether the evaluation of an expression can fail for the values of a row.
fn may_fail(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    expr.exists(|expr| {
        Ok(match Operation::new(expr) {
            Some(Operation::Division(divisor)) => {
                !is_nonzero(divisor) && divisor_may_fail(divisor, schema)
            }
            Some(Operation::Conversion(from, to)) => {
                let from = from.get_type(schema);
                from.is_ok_and(|from| cast_may_fail(&from, to))
            }
            Some(Operation::Function) => true,
            None => false,
        })
    })
}

/// An operation that fails for some values of some types.
enum Operation<'a> {
    Division(&'a Expr),
    Conversion(&'a Expr, &'a DataType),
    Function,
}

impl<'a> Operation<'a> {
    fn new(expr: &'a Expr) -> Option<Self> {
        match expr {
            Expr::BinaryExpr(BinaryExpr {
                op: Operator::Divide | Operator::Modulo, right, ..
            }) => Some(Self::Division(right)),
            Expr::Cast(Cast { expr, field }) => Some(Self::Conversion(expr, field.data_type())),
            Expr::ScalarFunction(call) if is_failing_function(call.name()) => Some(Self::Function),
            _ => None,
        }
    }
}

/// DataFusion's functions that refuse some values of their arguments, besides those named `to_...`.
const FAILING_FUNCTIONS: [&str; 8] = [
    "arrow_cast",
    "chr",
    "date_trunc",
    "decode",
    "factorial",
    "make_date",
    "make_time",
    "substr",
];

fn is_failing_function(name: &str) -> bool {
    name.starts_with("to_") || FAILING_FUNCTIONS.contains(&name)
}

fn is_nonzero(divisor: &Expr) -> bool {
    let Expr::Literal(value, _) = divisor else {
        return false;
    };
    let zero = ScalarValue::new_zero(&value.data_type());
    !value.is_null() && zero.is_ok_and(|zero| zero != *value)
}

/// Whether a division by zero is an error. That of floats is not.
fn divisor_may_fail(divisor: &Expr, schema: &DFSchema) -> bool {
    let floating = divisor.get_type(schema).map(|kind| kind.is_floating());
    !floating.unwrap_or_default()
}

/// Whether a value of one type may have no equivalent of another one.
fn cast_may_fail(from: &DataType, to: &DataType) -> bool {
    let from = value_type(from);
    let to = value_type(to);
    if from.is_string() {
        return !to.is_string();
    }
    if to.is_integer() && from.is_integer() {
        let is_same_sign = from.is_signed_integer() == to.is_signed_integer();
        return !is_same_sign || from.primitive_width() > to.primitive_width();
    }
    (to.is_integer() || to.is_decimal()) && from.is_numeric()
}

/// Returns the type of the values of a dictionary.
fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, RecordBatch, StringArray},
        util::pretty::pretty_format_batches,
    };
    use datafusion::{
        common::tree_node::TreeNodeRecursion, execution::SessionStateBuilder,
        prelude::SessionContext,
    };

    use super::*;
    use crate::register;

    fn context() -> SessionContext {
        let builder = SessionStateBuilder::new().with_default_features();
        let context = SessionContext::new_with_state(register(builder).build());
        let rows = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(0..6)) as Arc<_>),
            (
                "w",
                Arc::new(Int64Array::from(vec![
                    Some(0),
                    Some(2),
                    None,
                    Some(5),
                    Some(100),
                    Some(0),
                ])) as Arc<_>,
            ),
            (
                "s",
                Arc::new(StringArray::from(vec![
                    Some("a"),
                    Some("7"),
                    None,
                    Some("12"),
                    Some(""),
                    Some("3"),
                ])) as Arc<_>,
            ),
        ]);
        context.register_batch("t", rows.unwrap()).unwrap();
        context
    }

    async fn answer(sql: &str) -> String {
        let rows = context().sql(sql).await.unwrap().collect().await;
        match rows {
            Ok(rows) => pretty_format_batches(&rows).unwrap().to_string(),
            Err(error) => error.strip_backtrace(),
        }
    }

    async fn plan(condition: &str) -> LogicalPlan {
        let sql = format!("SELECT id FROM t WHERE {condition}");
        let rows = context().sql(&sql).await.unwrap();
        with_lazy_conditions(rows.into_optimized_plan().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn guards_add_as_many_expressions_as_there_are_operands() {
        let operand = |number: usize| format!("10 / (w - {number}) > 1");
        let chain: Vec<String> = (0..40).map(operand).collect();
        let mut nested = operand(0);
        for number in 1..20 {
            let op = if number % 2 == 0 { "AND" } else { "OR" };
            nested = format!("{} {op} ({nested})", operand(number));
        }
        for condition in [chain.join(" AND "), nested] {
            let mut expressions = 0;
            plan(&condition)
                .await
                .apply(|node| {
                    node.apply_expressions(|expr| {
                        expr.apply(|_| {
                            expressions += 1;
                            Ok(TreeNodeRecursion::Continue)
                        })
                    })
                })
                .unwrap();
            assert!(expressions < 3_000, "{expressions}: {condition}");
        }
    }

    #[tokio::test]
    async fn a_volatile_operand_is_evaluated_once() {
        for condition in [
            "random() < 0.5 AND 10 / w > 1",
            "10 / w > 1 OR random() < 0.5",
            "10 / (w + random()::bigint) > 1 AND 10 / w > 1",
        ] {
            let plan = plan(condition).await.display_indent().to_string();
            assert_eq!(plan.matches("random()").count(), 1, "{plan}");
        }
    }

    /// Returns the first column of an answer.
    async fn column(sql: &str) -> Vec<String> {
        let answer = answer(sql).await;
        let rows = answer.lines().filter(|line| line.starts_with("| ")).skip(1);
        let values = rows.map(|row| row.split('|').nth(1).unwrap_or_default().trim().to_owned());
        values.collect()
    }

    #[tokio::test]
    async fn conditions_guard_what_can_fail() {
        for (condition, ids) in [
            ("w <> 0 AND 10 / w > 1", &["1", "3"][..]),
            ("10 / w > 1 AND w <> 0", &["1", "3"]),
            ("w = 0 OR 10 % w = 0", &["0", "1", "3", "5"]),
            ("NOT (w = 0 OR 10 / w > 1)", &["4"]),
            ("CASE WHEN w > 0 THEN 1000 / w < 20 ELSE false END", &["4"]),
            ("CASE WHEN w = 0 THEN true ELSE 10 / w > 4 END", &["0", "1", "5"]),
            ("w <> 0 AND (id > 3 OR 10 / w > 1)", &["1", "3", "4"]),
            ("w > 0 AND 10 / w > 1 AND 20 / (10 / w) = 10", &["3"]),
            ("s ~ '^[0-9]+$' AND CAST(s AS BIGINT) > 5", &["1", "3"]),
            ("s ~ '^[0-9]+$' AND s::BIGINT <> 3 AND 36 / (s::BIGINT - 3) > 4", &["1"]),
        ] {
            let sql = format!("SELECT id FROM t WHERE {condition} ORDER BY id");
            assert_eq!(column(&sql).await, ids, "{}", answer(&sql).await);
        }
        let nested = "SELECT id FROM (SELECT * FROM t WHERE w <> 0) WHERE 10 / w > 1 ORDER BY id";
        assert_eq!(column(nested).await, ["1", "3"]);
    }

    #[tokio::test]
    async fn values_of_conditions_are_those_of_three_valued_logic() {
        let sql = "SELECT w <> 0 AND 10 / w > 1 AS c FROM t ORDER BY id";
        assert_eq!(column(sql).await, ["false", "true", "", "true", "false", "false"]);
        let sql = "SELECT w = 0 OR 10 / w > 1 FROM t ORDER BY id";
        assert_eq!(column(sql).await, ["true", "true", "", "true", "false", "true"]);
        assert!(answer(sql).await.contains("t.w = Int64(0) OR Int64(10) / t.w > Int64(1)"));
    }

    #[tokio::test]
    async fn filters_of_aggregates_guard_their_arguments() {
        let sql = "SELECT sum(100 / w) FILTER (WHERE w > 0) AS s FROM t GROUP BY id % 2 ORDER BY s";
        assert_eq!(column(sql).await, ["1", "70"]);
        let sql =
            "SELECT sum(100 / w) FILTER (WHERE w > 0) OVER (ORDER BY id) AS s FROM t ORDER BY id";
        assert_eq!(column(sql).await, ["", "50", "50", "70", "71", "71"]);
    }

    #[tokio::test]
    async fn a_division_without_a_guard_fails() {
        let sql = "SELECT id FROM t WHERE id > 1 AND 10 / w > 1";
        assert!(answer(sql).await.contains("Divide by zero"));
    }
}

//! Functions of the rows of each table: values of all rows, and selected rows.

use datafusion::{
    common::Result,
    execution::{FunctionRegistry, SessionState},
    functions::expr_fn::get_field,
    functions_aggregate::expr_fn::{avg, count, sum},
    functions_window::expr_fn::row_number,
    logical_expr::{
        Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, cast, ident, lit,
    },
};
use neap_flux::{Aggregate, Selector, Span};
use neap_schema::ColumnType;

use crate::{
    branch::{Branch, Column, OrderPart, TIME, hidden_name},
    typed_value::{flux_name, is_number, refused},
};

/// The operations of a step, with the functions of the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepPlanner<'a> {
    pub(crate) state: &'a SessionState,
    /// The position of the step.
    pub(crate) span: Span,
}

impl StepPlanner<'_> {
    /// Returns a call of a scalar function.
    pub(crate) fn call(&self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        Ok(self.state.udf(name)?.call(arguments))
    }

    /// Plans one row for each table, with a value of all its rows.
    pub(crate) fn aggregate(
        &self,
        branch: Branch,
        function: Aggregate,
        column: &str,
    ) -> Result<Branch> {
        let (expr, kind) = self.aggregate_expr(&branch, function, column)?;
        let groups = branch.key_exprs();
        // Without group columns, DataFusion returns a row even for no input.
        let rows = hidden_name("rows");
        let counts_rows = groups.is_empty();
        let mut exprs = vec![expr.alias(column)];
        exprs.extend(counts_rows.then(|| count(lit(1_i64)).alias(&rows)));
        let mut plan = LogicalPlanBuilder::from(branch.plan()?).aggregate(groups, exprs)?;
        if counts_rows {
            plan = plan.filter(ident(&rows).gt(lit(0_i64)))?;
        }
        let mut columns: Vec<Column> = branch.key_columns().cloned().collect();
        columns.push(Column::new(column, kind));
        Ok(Branch { columns, order: Vec::new(), ..branch }.with_rows(plan.build()?))
    }

    /// Returns the value of all rows of a group, and its type.
    pub(crate) fn aggregate_expr(
        &self,
        branch: &Branch,
        function: Aggregate,
        column: &str,
    ) -> Result<(Expr, ColumnType)> {
        let argument = self.argument(branch, column, function.name())?;
        if branch.is_in_key(column) {
            let text = "cannot aggregate columns that are part of the group key";
            return Err(refused(self.span, text));
        }
        if function != Aggregate::Count {
            self.check_number(argument, function.name())?;
        }
        let value = argument.expr();
        Ok(match function {
            Aggregate::Count => (count(lit(1_i64)), ColumnType::Integer),
            Aggregate::Mean => {
                let float = ColumnType::Float;
                (avg(cast(value, float.data_type())), float)
            }
            Aggregate::Sum => (sum(value), argument.kind),
        })
    }

    /// Plans one row of each table.
    pub(crate) fn select(
        &self,
        branch: Branch,
        selector: Selector,
        column: &str,
    ) -> Result<Branch> {
        self.check_selector(&branch, selector, column)?;
        let plan = if is_of_series(&branch, column) {
            let selected = hidden_name("selected");
            let value = self.selected(selector, column)?.alias(&selected);
            let rows = LogicalPlanBuilder::from(branch.plan()?)
                .aggregate(branch.key_exprs(), [value])?
                .filter(ident(&selected).is_not_null())?;
            let mut exprs = named(branch.key_exprs());
            exprs.extend(selected_columns(&selected, column));
            rows.project(exprs)?.build()?
        } else {
            let keys = branch.key_exprs();
            let plan = branch.plan()?;
            let ranked = self.best_rows(&branch, plan, keys, selector, column, false)?;
            LogicalPlanBuilder::from(ranked).project(branch.visible_exprs())?.build()?
        };
        Ok(Branch { order: Vec::new(), ..branch }.with_rows(plan))
    }

    /// Returns an aggregate that selects the value and the time of a row.
    pub(crate) fn selected(&self, selector: Selector, column: &str) -> Result<Expr> {
        let function = self.state.udaf(&format!("selector_{}", selector.name()))?;
        Ok(function.call(vec![ident(column), ident(TIME)]))
    }

    /// Plans the row that a selector of a column selects of each group. With `keeps_empty`, a group without values has any of its
    /// rows.
    pub(crate) fn best_rows(
        &self,
        branch: &Branch,
        plan: LogicalPlan,
        groups: Vec<Expr>,
        selector: Selector,
        column: &str,
        keeps_empty: bool,
    ) -> Result<LogicalPlan> {
        let value = self.argument(branch, column, selector.name())?.expr();
        let mut order = branch.sort_exprs(selector == Selector::Last);
        match selector {
            Selector::First | Selector::Last => {}
            Selector::Min => order.insert(0, value.clone().sort(true, false)),
            Selector::Max => order.insert(0, value.clone().sort(false, false)),
        }
        let rows = if keeps_empty {
            order.insert(0, value.is_null().sort(true, false));
            plan
        } else {
            LogicalPlanBuilder::from(plan).filter(value.is_not_null())?.build()?
        };
        let rank = hidden_name("rank");
        let ranked = ranked(rows, groups, order, &rank)?;
        LogicalPlanBuilder::from(ranked).filter(ident(rank).eq(lit(1_u64)))?.build()
    }

    /// Refuses a column that a selector can't be of.
    pub(crate) fn check_selector(
        &self,
        branch: &Branch,
        selector: Selector,
        column: &str,
    ) -> Result<()> {
        let argument = self.argument(branch, column, selector.name())?;
        if matches!(selector, Selector::Min | Selector::Max) {
            self.check_number(argument, selector.name())?;
        }
        Ok(())
    }

    fn check_number(&self, column: &Column, function: &str) -> Result<()> {
        if is_number(column.kind) {
            return Ok(());
        }
        let kind = flux_name(column.kind);
        let text = format!("unsupported input type for {function} aggregate: {kind}");
        Err(refused(self.span, text))
    }

    fn argument<'b>(&self, branch: &'b Branch, column: &str, function: &str) -> Result<&'b Column> {
        branch.column(column).ok_or_else(|| {
            refused(self.span, format!("{function}: column \"{column}\" does not exist"))
        })
    }
}

/// Whether the rows of each table are those of a series in the order of time, so that functions of the session select rows: the time
/// and one value are all that differs between them.
pub(crate) fn is_of_series(branch: &Branch, column: &str) -> bool {
    let mut order = branch.order.iter().filter(|part| part.column.constant.is_none());
    let is_time = |part: &OrderPart| part.column.name == TIME && !part.descending;
    // Rows with other parts of an order may have equal times.
    let is_by_time = order.next().is_some_and(is_time) && order.next().is_none();
    let mut computed = branch.columns.iter().filter(|column| column.constant.is_none());
    let is_computed = branch.column(column).is_some_and(|it| it.constant.is_none());
    let is_known = |name: &str| name == TIME || name == column || branch.is_in_key(name);
    is_by_time
        && column != TIME
        && is_computed
        && !branch.is_in_key(column)
        && computed.all(|it| is_known(&it.name))
}

/// Returns the columns of a selected row.
pub(crate) fn selected_columns(selected: &str, column: &str) -> [Expr; 2] {
    [
        get_field(ident(selected), "time").alias(TIME),
        get_field(ident(selected), "value").alias(column),
    ]
}

/// Returns columns without the names of their tables.
pub(crate) fn named(columns: Vec<Expr>) -> Vec<Expr> {
    let named = columns.into_iter().map(|expr| match &expr {
        Expr::Column(column) => {
            let name = column.name.clone();
            expr.alias(name)
        }
        _ => expr,
    });
    named.collect()
}

/// Adds the ranks of rows in their groups, counted from 1.
pub(crate) fn ranked(
    plan: LogicalPlan,
    groups: Vec<Expr>,
    order: Vec<SortExpr>,
    name: &str,
) -> Result<LogicalPlan> {
    let ranks = row_number().partition_by(groups);
    // The single row of a group has no order.
    let rank = if order.is_empty() {
        ranks.build()?
    } else {
        ranks.order_by(order).build()?
    };
    LogicalPlanBuilder::from(plan).window([rank.alias(name)])?.build()
}

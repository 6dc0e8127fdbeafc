//! Operations that choose, order and rename rows and columns.

use std::sync::Arc;

use datafusion::{
    common::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, ident, lit},
};
use neap_flux::{ColumnChoice, Constant, GroupMode, MapFunction, Operation, RowExpr};
use neap_schema::ColumnType;

use crate::{
    aggregates::{StepPlanner, ranked},
    branch::{Branch, Column, NewColumn, OrderPart, VALUE, hidden_name},
    expressions::translate,
    merge::merge,
    typed_value::{TypedValue, literal, refused},
};

/// The maximum number of rows that DataFusion can skip and return.
const MAX_PLAN_ROWS: u64 = i64::MAX.unsigned_abs() / 2;

impl StepPlanner<'_> {
    /// Applies an operation to all tables of a pipeline.
    pub(crate) fn apply(
        &self,
        branches: Vec<Branch>,
        operation: &Operation,
    ) -> Result<Vec<Branch>> {
        let branches = branches.into_iter();
        Ok(match operation {
            Operation::Range { .. } => {
                let text = "range() is supported only before other functions than filter()";
                return Err(refused(self.span, text));
            }
            Operation::TagKeys | Operation::TagValues(_) => {
                return Err(refused(self.span, "only the series of a bucket can be listed"));
            }
            Operation::Filter(condition) => {
                let filtered = branches.map(|branch| self.filter(branch, condition));
                filtered.filter_map(Result::transpose).collect::<Result<_>>()?
            }
            Operation::Aggregate { function, column } => {
                let one = |branch| self.aggregate(branch, *function, column);
                branches.map(one).collect::<Result<_>>()?
            }
            Operation::Select { selector, column } => {
                let one = |branch| self.select(branch, *selector, column);
                branches.map(one).collect::<Result<_>>()?
            }
            Operation::Window(spec) => {
                branches.map(|branch| self.window(branch, spec)).collect::<Result<_>>()?
            }
            Operation::Sort { columns, descending } => {
                branches.map(|branch| sort(branch, columns, *descending)).collect()
            }
            Operation::Limit { rows, offset } => {
                let one = |branch| limit(branch, (*rows, *offset), false);
                branches.map(one).collect::<Result<_>>()?
            }
            Operation::Tail { rows, offset } => {
                let one = |branch| limit(branch, (*rows, *offset), true);
                branches.map(one).collect::<Result<_>>()?
            }
            Operation::Rename(names) => {
                branches.map(|branch| self.rename(branch, names)).collect::<Result<_>>()?
            }
            Operation::Pivot(pivot) => self.pivot(branches.collect(), pivot)?,
            Operation::Group { columns, mode } => {
                let grouped = branches.map(|branch| group(branch, columns, *mode)).collect();
                merge(self.span, grouped)?
            }
            Operation::Keep(choice) => self.choose(branches.collect(), choice, true)?,
            Operation::Drop(choice) => self.choose(branches.collect(), choice, false)?,
            Operation::Map(function) => {
                let mapped = branches.map(|branch| map(branch, function));
                merge(self.span, mapped.collect::<Result<_>>()?)?
            }
            Operation::Distinct(column) => {
                let distinct = branches.map(|branch| distinct(branch, column));
                distinct.filter_map(Result::transpose).collect::<Result<_>>()?
            }
        })
    }

    /// Returns the rows that satisfy a condition; `None` if none can.
    fn filter(&self, branch: Branch, condition: &RowExpr) -> Result<Option<Branch>> {
        let rows = match translate(condition, &|name| branch.value(name))? {
            TypedValue::Constant(Constant::Boolean(true)) => return Ok(Some(branch)),
            TypedValue::Constant(Constant::Boolean(false)) | TypedValue::Null => return Ok(None),
            TypedValue::Computed(expr, ColumnType::Boolean) => {
                LogicalPlanBuilder::from(branch.plan()?).filter(expr)?.build()?
            }
            _ => {
                return Err(refused(self.span, "the function of filter() must return a bool"));
            }
        };
        Ok(Some(branch.with_rows(rows)))
    }

    /// Returns the tables with the chosen columns, or with the others.
    fn choose(
        &self,
        branches: Vec<Branch>,
        choice: &ColumnChoice,
        is_kept: bool,
    ) -> Result<Vec<Branch>> {
        let mut projected = Vec::with_capacity(branches.len());
        for branch in branches {
            let mut columns = Vec::new();
            for column in &branch.columns {
                if self.is_chosen(column, choice)? == is_kept {
                    columns.push(NewColumn::unchanged(column));
                }
            }
            if !columns.is_empty() {
                projected.push(branch.project(columns)?);
            }
        }
        merge(self.span, projected)
    }

    fn is_chosen(&self, column: &Column, choice: &ColumnChoice) -> Result<bool> {
        match choice {
            ColumnChoice::Names(names) => Ok(names.contains(&column.name)),
            ColumnChoice::Condition(condition) => {
                let name = |_: &str| TypedValue::Constant(Constant::Text(column.name.clone()));
                match translate(condition, &name)? {
                    TypedValue::Constant(Constant::Boolean(value)) => Ok(value),
                    _ => Err(refused(self.span, "the function must return a bool")),
                }
            }
        }
    }

    fn rename(&self, mut branch: Branch, names: &[(String, String)]) -> Result<Branch> {
        let new_name = |name: &str| {
            let renamed = names.iter().find(|(former, _)| former == name);
            renamed.map_or(name, |(_, new)| new).to_owned()
        };
        let mut columns: Vec<NewColumn> = Vec::with_capacity(branch.columns.len());
        for column in &branch.columns {
            let mut renamed = NewColumn::unchanged(column);
            renamed.column.name = new_name(&column.name);
            if columns.iter().any(|other| other.column.name == renamed.column.name) {
                let text = format!("column \"{}\" already exists", renamed.column.name);
                return Err(refused(self.span, text));
            }
            columns.push(renamed);
        }
        branch.key = branch.key.iter().map(|name| new_name(name)).collect();
        branch.project(columns)
    }
}

/// Orders the rows of each table. Rows with equal values keep their order.
fn sort(mut branch: Branch, columns: &[String], descending: bool) -> Branch {
    let sorted = columns.iter().filter_map(|name| branch.column(name));
    let mut order: Vec<OrderPart> = sorted
        .map(|column| OrderPart { descending, ..OrderPart::ascending(column) })
        .collect();
    branch
        .order
        .retain(|part| order.iter().all(|other| other.column != part.column));
    order.append(&mut branch.order);
    branch.order = order;
    branch
}

/// Divides rows into tables by other columns. Rows of one table are in the order of their former tables.
fn group(mut branch: Branch, columns: &[String], mode: GroupMode) -> Branch {
    let key: Vec<String> = match mode {
        GroupMode::By => {
            columns.iter().filter(|name| branch.column(name).is_some()).cloned().collect()
        }
        GroupMode::Except => {
            let names = branch.columns.iter().map(|column| &column.name);
            names.filter(|name| !columns.contains(name)).cloned().collect()
        }
    };
    let former = branch.key_columns().filter(|column| !key.contains(&column.name));
    let mut order: Vec<OrderPart> = former.map(OrderPart::ascending).collect();
    branch.order.retain(|part| {
        let is_known = order.iter().any(|other| other.column == part.column);
        !is_known && !key.contains(&part.column.name)
    });
    order.append(&mut branch.order);
    branch.order = order;
    branch.key = key;
    branch
}

/// Returns a part of the rows of each table: from the first ones, or from the last ones.
fn limit(branch: Branch, (rows, offset): (u64, u64), is_from_end: bool) -> Result<Branch> {
    let keys = branch.key_exprs();
    let order = branch.sort_exprs(is_from_end);
    let plan = branch.plan()?;
    if keys.is_empty() {
        let count = |number: u64| usize::try_from(number.min(MAX_PLAN_ROWS)).unwrap_or(usize::MAX);
        let sorted = if order.is_empty() {
            plan
        } else {
            sorted(plan, order)
        };
        let limited = LogicalPlanBuilder::from(sorted).limit(count(offset), Some(count(rows)))?;
        return Ok(branch.with_rows(limited.build()?));
    }
    let rank = hidden_name("rank");
    let existing = plan.schema().columns();
    let last = offset.saturating_add(rows);
    let is_chosen = ident(&rank).gt(lit(offset)).and(ident(&rank).lt_eq(lit(last)));
    let chosen = LogicalPlanBuilder::from(ranked(plan, keys, order, &rank)?).filter(is_chosen)?;
    let columns = existing.into_iter().map(Expr::Column);
    let limited = chosen.project(columns)?.build()?;
    Ok(branch.with_rows(limited))
}

/// Sorts rows by columns. The sort of the builder would look for other columns with these names.
pub(crate) fn sorted(plan: LogicalPlan, expr: Vec<SortExpr>) -> LogicalPlan {
    LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None })
}

/// Computes the columns of each row from those of the row. A column that is null in all rows is left out.
fn map(branch: Branch, function: &MapFunction) -> Result<Branch> {
    let mut columns: Vec<NewColumn> = Vec::new();
    if function.extends {
        columns.extend(branch.columns.iter().map(NewColumn::unchanged));
    }
    for (name, value) in &function.columns {
        let computed = translate(value, &|name| branch.value(name))?;
        let new = new_column(name, computed);
        let place = columns.iter().position(|other| other.column.name == *name);
        match (place, new) {
            (Some(place), Some(new)) => {
                if let Some(column) = columns.get_mut(place) {
                    *column = new;
                }
            }
            (Some(place), None) => _ = columns.remove(place),
            (None, new) => columns.extend(new),
        }
    }
    branch.project(columns)
}

/// Returns a column with a value; `None` if it is null.
fn new_column(name: &str, value: TypedValue) -> Option<NewColumn> {
    match value {
        TypedValue::Null | TypedValue::Unknown => None,
        TypedValue::Constant(Constant::Text(text)) => {
            Some(NewColumn::unchanged(&Column::of_text(name, &text)))
        }
        TypedValue::Constant(Constant::Time(nanos)) => {
            Some(NewColumn::unchanged(&Column::of_time(name, nanos)))
        }
        TypedValue::Constant(constant) => {
            let (expr, kind) = literal(&constant);
            Some(NewColumn { column: Column::new(name, kind), expr: Some(expr) })
        }
        TypedValue::Computed(expr, kind) => {
            Some(NewColumn { column: Column::new(name, kind), expr: Some(expr) })
        }
    }
}

/// Returns the distinct values of a column, as `_value`; `None` if there is no such column.
pub(crate) fn distinct(branch: Branch, column: &str) -> Result<Option<Branch>> {
    let Some(source) = branch.column(column) else {
        return Ok(None);
    };
    let mut keys = branch.clone();
    keys.key.retain(|name| name != VALUE);
    let value = Column { name: VALUE.to_owned(), ..source.clone() };
    let mut columns: Vec<NewColumn> = keys.key_columns().map(NewColumn::unchanged).collect();
    columns.push(NewColumn {
        expr: source.constant.is_none().then(|| source.expr()),
        column: value.clone(),
    });
    let is_one_row = columns.iter().all(|column| column.expr.is_none());
    keys.order = Vec::new();
    let projected = keys.project(columns)?;
    let rows = LogicalPlanBuilder::from(projected.plan()?);
    let distinct = if is_one_row {
        rows.limit(0, Some(1))?
    } else {
        rows.distinct()?
    };
    let order = vec![OrderPart::ascending(&value)];
    Ok(Some(Branch { order, ..projected }.with_rows(distinct.build()?)))
}

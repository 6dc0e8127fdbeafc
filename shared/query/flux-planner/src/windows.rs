//! `aggregateWindow()`: functions of the rows of each window of time.

use datafusion::{
    common::{Result, ScalarValue},
    functions_aggregate::expr_fn::first_value,
    logical_expr::{Expr, LogicalPlanBuilder, ident, lit, when},
};
use neap_flux::{FluxDuration, Selector, TimeSource, WindowFunction, WindowedAggregate};
use neap_schema::ColumnType;

use crate::{
    aggregates::{StepPlanner, is_of_series, named, selected_columns},
    branch::{Branch, Column, NewColumn, OrderPart, START, STOP, TIME, hidden_name},
    typed_value::{refused, time},
};

impl StepPlanner<'_> {
    /// Plans one row for each window of each table. As in Flux, windows are cut to the range of the pipeline, and empty windows are
    /// those of the whole range.
    pub(crate) fn window(&self, branch: Branch, spec: &WindowedAggregate) -> Result<Branch> {
        let Some(range) = branch.range else {
            return Err(refused(self.span, "aggregateWindow() needs a range"));
        };
        if branch.column(TIME).is_none() {
            return Err(refused(self.span, "missing time column \"_time\""));
        }
        let (branch, rows, columns) = match spec.function {
            WindowFunction::Aggregate(function) => {
                let (expr, kind) = self.aggregate_expr(&branch, function, &spec.column)?;
                let mut groups = named(branch.key_exprs());
                groups.push(self.window_start(&branch, spec, range)?);
                let rows = LogicalPlanBuilder::from(branch.plan()?)
                    .aggregate(groups, [expr.alias(&spec.column)])?;
                let mut columns: Vec<Column> = branch.key_columns().cloned().collect();
                columns.push(Column::new(&spec.column, kind));
                (branch, rows, columns)
            }
            WindowFunction::Select(selector) => {
                let all = if spec.creates_empty {
                    without_constants(branch)?
                } else {
                    branch
                };
                let rows = self.selected_rows(&all, selector, spec, range)?;
                let columns = all.columns.clone();
                (all, rows, columns)
            }
        };
        let is_time = |column: &&Column| [START, STOP, TIME].contains(&column.name.as_str());
        let others = columns.iter().filter(|column| !is_time(column));
        let unchanged: Vec<NewColumn> = others.map(NewColumn::unchanged).collect();
        let times = [Column::of_time(START, range.0), Column::of_time(STOP, range.1)];
        let mut all = times.map(|column| NewColumn::unchanged(&column)).to_vec();
        all.push(NewColumn {
            column: Column::new(TIME, ColumnType::Time),
            expr: Some(window_time(spec, range)?),
        });
        all.extend(unchanged);
        let mut key = branch.key.clone();
        key.retain(|name| name != TIME);
        for name in [START, STOP] {
            if !branch.is_in_key(name) {
                key.push(name.to_owned());
            }
        }
        let projected = Branch { columns, key, order: Vec::new(), ..branch }
            .with_rows(rows.build()?)
            .project(all)?;
        Ok(Branch {
            order: vec![OrderPart::ascending(&Column::new(TIME, ColumnType::Time))],
            ..projected
        })
    }

    /// Plans the selected row of each window, with the start of its window.
    fn selected_rows(
        &self,
        branch: &Branch,
        selector: Selector,
        spec: &WindowedAggregate,
        range: (i64, i64),
    ) -> Result<LogicalPlanBuilder> {
        self.check_selector(branch, selector, &spec.column)?;
        let keys = branch.key_exprs();
        let start = self.window_start(branch, spec, range)?;
        if is_of_series(branch, &spec.column) {
            let selected = hidden_name("selected");
            let value = self.selected(selector, &spec.column)?.alias(&selected);
            let mut groups = named(keys.clone());
            groups.push(start);
            let mut rows = LogicalPlanBuilder::from(branch.plan()?).aggregate(groups, [value])?;
            if !spec.creates_empty {
                rows = rows.filter(ident(&selected).is_not_null())?;
            }
            let mut exprs = named(keys);
            exprs.push(ident(window_name()));
            exprs.extend(selected_columns(&selected, &spec.column));
            return rows.project(exprs);
        }
        let without_gaps = WindowedAggregate { creates_empty: false, ..spec.clone() };
        let start_of_row = self.window_start(branch, &without_gaps, range)?;
        let plan = branch.plan()?;
        let existing = plan.schema().columns().into_iter().map(Expr::Column);
        let exprs: Vec<Expr> =
            named(existing.collect()).into_iter().chain([start_of_row]).collect();
        let with_windows = LogicalPlanBuilder::from(plan).project(exprs)?.build()?;
        let groups = keys.iter().cloned().chain([ident(window_name())]).collect();
        let best = self.best_rows(
            branch,
            with_windows,
            groups,
            selector,
            &spec.column,
            spec.creates_empty,
        )?;
        if !spec.creates_empty {
            return Ok(LogicalPlanBuilder::from(best));
        }
        // Each window has at most one row, so that all functions of its rows return the values of that row.
        let others = branch.columns.iter().filter(|column| {
            column.constant.is_none() && !branch.is_in_key(&column.name) && column.name != TIME
        });
        // A window without values is an empty one.
        let selected_column = branch.column(&spec.column);
        let has_value =
            selected_column.map_or_else(|| ident(&spec.column), Column::expr).is_not_null();
        let values = others.map(|column| {
            let value = when(has_value.clone(), column.expr()).end()?;
            Ok(first_value(value, Vec::new()).alias(&column.name))
        });
        let values: Vec<Expr> = values.collect::<Result<_>>()?;
        let window = self.bin(ident(window_name()), spec, Some(range))?;
        let mut filled = named(keys);
        filled.push(window.alias(window_name()));
        LogicalPlanBuilder::from(best).aggregate(filled, values)
    }

    /// Returns the start of the window of a row, as a grouping expression that also creates windows without rows.
    fn window_start(
        &self,
        branch: &Branch,
        spec: &WindowedAggregate,
        range: (i64, i64),
    ) -> Result<Expr> {
        let of_row = branch.column(TIME).map_or_else(|| ident(TIME), Column::expr);
        let bin = self.bin(of_row, spec, spec.creates_empty.then_some(range))?;
        Ok(bin.alias(window_name()))
    }

    fn bin(&self, of: Expr, spec: &WindowedAggregate, range: Option<(i64, i64)>) -> Result<Expr> {
        let arguments = vec![interval(spec.every), of, time(spec.offset)];
        match range {
            None => self.call("date_bin", arguments),
            Some((start, stop)) => {
                let bounds = [time(start), time(stop.saturating_sub(1))];
                let bounded = arguments.into_iter().chain(bounds).collect();
                self.call("date_bin_gapfill", bounded)
            }
        }
    }
}

/// Computes the constant columns that rows of empty windows do not have.
fn without_constants(branch: Branch) -> Result<Branch> {
    let is_constant = |column: &Column| {
        let is_time = [START, STOP, TIME].contains(&column.name.as_str());
        column.constant.is_some() && !is_time && !branch.is_in_key(&column.name)
    };
    if !branch.columns.iter().any(is_constant) {
        return Ok(branch);
    }
    let columns = branch.columns.iter().map(|column| {
        if is_constant(column) {
            NewColumn {
                column: Column::new(&column.name, column.kind),
                expr: Some(column.expr()),
            }
        } else {
            NewColumn::unchanged(column)
        }
    });
    let computed = columns.collect();
    branch.project(computed)
}

/// The name of the column with the start of the window.
fn window_name() -> String {
    hidden_name("window")
}

fn interval(length: FluxDuration) -> Expr {
    lit(ScalarValue::new_interval_mdn(length.months, 0, length.nanos))
}

/// Returns the time of the row of a window.
fn window_time(spec: &WindowedAggregate, (start, stop): (i64, i64)) -> Result<Expr> {
    let window = ident(window_name());
    match spec.time_source {
        TimeSource::Start => when(window.clone().lt(time(start)), time(start)).otherwise(window),
        TimeSource::Stop => {
            let end = window + interval(spec.every);
            when(end.clone().gt(time(stop)), time(stop)).otherwise(end)
        }
    }
}

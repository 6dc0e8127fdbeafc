//! `pivot()`: a column for each field.

use datafusion::{
    common::Result,
    functions_aggregate::expr_fn::first_value,
    logical_expr::{Expr, ExprFunctionExt, LogicalPlanBuilder, ident, when},
};
use neap_flux::Pivot;
use neap_schema::{ColumnType, TIME_COLUMN};
use neap_tables::balanced;

use crate::{
    aggregates::StepPlanner,
    branch::{Branch, BranchInput, Column, ConstantValue, NewColumn, OrderPart, TIME, VALUE},
    merge::merge,
    typed_value::refused,
};

impl StepPlanner<'_> {
    /// Plans a row for each group key without the field and each value of the row key, with a column for each field.
    pub(crate) fn pivot(&self, branches: Vec<Branch>, pivot: &Pivot) -> Result<Vec<Branch>> {
        let mut keyed = Vec::with_capacity(branches.len());
        for branch in branches {
            keyed.push(self.of_field(branch, pivot)?);
        }
        if let Some(tables) = whole_tables(&keyed, pivot)? {
            return Ok(tables);
        }
        let of_fields =
            keyed.into_iter().map(|(field, branch)| self.with_field(field, branch, pivot));
        let united = merge(self.span, of_fields.collect::<Result<_>>()?)?;
        united.into_iter().map(|branch| self.joined(branch, pivot)).collect()
    }

    /// Returns the field of a branch, and the branch without the field in its group key.
    fn of_field(&self, mut branch: Branch, pivot: &Pivot) -> Result<(String, Branch)> {
        let names = pivot.row_key.iter().chain([&pivot.value_column]);
        for name in names {
            if branch.column(name).is_none() {
                let text = format!("specified column does not exist in table: {name}");
                return Err(refused(self.span, text));
            }
        }
        let field = branch.column(&pivot.column_key).and_then(|column| column.constant.clone());
        let Some(ConstantValue::Text(field)) = field else {
            let text = format!(
                "pivot() needs the column \"{}\" in the group key; in SQL: fields are columns",
                pivot.column_key
            );
            return Err(refused(self.span, text));
        };
        branch
            .key
            .retain(|name| *name != pivot.column_key && *name != pivot.value_column);
        Ok((field, branch))
    }

    /// Returns the rows of a branch with its value in the column of its field.
    fn with_field(&self, field: String, mut branch: Branch, pivot: &Pivot) -> Result<Branch> {
        let is_kept = |column: &&Column| {
            branch.is_in_key(&column.name) || pivot.row_key.contains(&column.name)
        };
        let mut columns: Vec<NewColumn> =
            branch.columns.iter().filter(is_kept).map(NewColumn::unchanged).collect();
        if columns.iter().any(|other| other.column.name == field) {
            let text = format!("the field \"{field}\" has the name of a column of the row");
            return Err(refused(self.span, text));
        }
        let value = branch.column(&pivot.value_column).cloned();
        columns.extend(value.map(|value| NewColumn {
            expr: Some(value.expr()),
            column: Column::new(&field, value.kind),
        }));
        branch.order = Vec::new();
        branch.project(columns)
    }

    /// Joins the rows of each row key.
    fn joined(&self, branch: Branch, pivot: &Pivot) -> Result<Branch> {
        let is_group = |column: &Column| {
            branch.is_in_key(&column.name) || pivot.row_key.contains(&column.name)
        };
        let computed = || branch.columns.iter().filter(|column| column.constant.is_none());
        let groups: Vec<Expr> = computed().filter(|it| is_group(it)).map(Column::expr).collect();
        let mut values = Vec::new();
        for column in computed().filter(|column| !is_group(column)) {
            // At most one row has a value, unless the rows of a field have equal row keys.
            let present = first_value(column.expr(), Vec::new());
            let value = present.filter(column.expr().is_not_null()).build()?;
            values.push(value.alias(&column.name));
        }
        let rows = LogicalPlanBuilder::from(branch.plan()?).aggregate(groups, values)?.build()?;
        let row_key = pivot.row_key.iter().filter_map(|name| branch.column(name));
        let order = row_key.map(OrderPart::ascending).collect();
        Ok(Branch { order, ..branch }.with_rows(rows))
    }
}

/// Returns tables whose columns are the fields, if the branches are fields as the database stores them: one scan for each table.
fn whole_tables(branches: &[(String, Branch)], pivot: &Pivot) -> Result<Option<Vec<Branch>>> {
    if pivot.row_key != [TIME] || pivot.value_column != VALUE {
        return Ok(None);
    }
    let mut tables: Vec<(&str, Vec<&(String, Branch)>)> = Vec::new();
    for field in branches {
        let BranchInput::Field(scan) = &field.1.input else {
            return Ok(None);
        };
        // All that differs between rows of a table are the time and the values. A field with the name of a column of the row
        // can't be a column beside it.
        let is_series = field.1.columns.iter().all(|column| {
            column.constant.is_some()
                || [TIME, VALUE].contains(&column.name.as_str())
                || field.1.is_in_key(&column.name)
        });
        if scan.field.is_none() || !is_series || field.1.column(&field.0).is_some() {
            return Ok(None);
        }
        match tables.last_mut() {
            Some((table, fields)) if *table == scan.table => fields.push(field),
            _ => tables.push((scan.table.as_str(), vec![field])),
        }
    }
    let whole = tables.into_iter().map(|(_, fields)| whole_table(&fields));
    whole.filter_map(Result::transpose).collect::<Result<_>>().map(Some)
}

fn whole_table(fields: &[&(String, Branch)]) -> Result<Option<Branch>> {
    let Some((_, first)) = fields.first() else {
        return Ok(None);
    };
    let BranchInput::Field(scan) = &first.input else {
        return Ok(None);
    };
    let is_kept = |column: &&Column| column.name == TIME || first.is_in_key(&column.name);
    let mut columns: Vec<Column> = first.columns.iter().filter(is_kept).cloned().collect();
    let stored = columns.iter().filter(|column| column.constant.is_none());
    let mut exprs: Vec<Expr> = stored
        .map(|column| {
            let source = if column.name == TIME {
                TIME_COLUMN
            } else {
                column.name.as_str()
            };
            ident(source).alias(&column.name)
        })
        .collect();
    let mut conditions = Vec::with_capacity(fields.len());
    for (name, branch) in fields {
        let BranchInput::Field(scan) = &branch.input else {
            continue;
        };
        let kind = branch.column(VALUE).map(|column| column.kind);
        let value = match scan.conditions.as_slice() {
            [] => ident(name),
            conditions => {
                let condition = balanced(conditions.to_vec(), Expr::and);
                when(condition, ident(name)).end()?
            }
        };
        exprs.push(value.alias(name));
        columns.extend(kind.map(|kind| Column::new(name, kind)));
        conditions.push(scan.condition());
    }
    let rows = scan.source()?.filter(balanced(conditions, Expr::or))?;
    let plan = rows.project(exprs)?.build()?;
    Ok(Some(Branch {
        input: BranchInput::Plan(plan),
        columns,
        key: first.key.clone(),
        order: vec![OrderPart::ascending(&Column::new(TIME, ColumnType::Time))],
        range: first.range,
    }))
}

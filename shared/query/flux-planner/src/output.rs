//! The plans of the tables of a result.

use std::collections::HashMap;

use datafusion::{
    common::Result,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SortExpr, ident},
};
use neap_flux::Span;
use neap_formats::annotated_csv::{AnnotatedColumn, ColumnSource, TableLayout};
use neap_schema::ColumnType;

use crate::{
    aggregates::named,
    branch::{Branch, Column, ConstantValue, RESERVED, with_one},
    merge::unite,
    operations::sorted,
    typed_value::is_text,
};

/// The plan of tables with the same columns.
#[derive(Debug)]
pub struct TablesPlan {
    /// The plan. Rows of the same table are adjacent.
    pub plan: LogicalPlan,
    /// The columns of the tables.
    pub layout: TableLayout,
}

/// Returns the plans of branches: one for each set of columns beside the group key.
pub(crate) fn plans(span: Span, branches: Vec<Branch>) -> Result<Vec<TablesPlan>> {
    let mut classes: Vec<Vec<Branch>> = Vec::new();
    let mut known: HashMap<Vec<(String, ColumnType)>, usize> = HashMap::new();
    for branch in branches {
        let class = *known.entry(signature(&branch)).or_insert(classes.len());
        match classes.get_mut(class) {
            Some(members) => members.push(branch),
            None => classes.push(vec![branch]),
        }
    }
    let mut plans = Vec::with_capacity(classes.len());
    for members in classes {
        if let Some(branch) = unite(span, members)? {
            plans.push(plan(branch)?);
        }
    }
    Ok(plans)
}

/// Returns the columns that all tables of a plan must have: all except texts of the group key, which may be missing.
fn signature(branch: &Branch) -> Vec<(String, ColumnType)> {
    let columns = branch.columns.iter().map(|column| {
        let kind = if is_text(column.kind) {
            ColumnType::String
        } else {
            column.kind
        };
        (column.name.clone(), kind)
    });
    let is_required = |(name, kind): &(String, ColumnType)| {
        *kind != ColumnType::String || !branch.is_in_key(name)
    };
    columns.filter(is_required).collect()
}

fn plan(branch: Branch) -> Result<TablesPlan> {
    let (first, others): (Vec<&Column>, Vec<&Column>) = branch
        .columns
        .iter()
        .partition(|column| RESERVED.contains(&column.name.as_str()));
    let reserved = RESERVED
        .iter()
        .filter_map(|name| first.iter().find(|column| column.name == *name).copied());
    let mut columns = Vec::with_capacity(branch.columns.len());
    let mut shown = Vec::new();
    for column in reserved.chain(others) {
        let source = match &column.constant {
            Some(ConstantValue::Text(text)) => ColumnSource::Text(text.clone()),
            Some(ConstantValue::Time(nanos)) => ColumnSource::Time(*nanos),
            None => {
                shown.push(ident(&column.name));
                ColumnSource::Batch(shown.len() - 1)
            }
        };
        columns.push(AnnotatedColumn {
            name: column.name.clone(),
            datatype: datatype(column.kind),
            is_key: branch.is_in_key(&column.name),
            source,
        });
    }
    let tables = branch.key_columns().filter(|column| column.constant.is_none());
    let mut order: Vec<SortExpr> = tables.map(|column| column.expr().sort(true, true)).collect();
    order.extend(branch.sort_exprs(false));
    let computed = branch.order.iter().filter(|part| part.column.constant.is_none());
    let hidden: Vec<Expr> = computed
        .filter(|part| branch.column(&part.column.name).is_none())
        .map(|part| part.column.expr().alias(&part.column.name))
        .collect();
    let has_hidden = !hidden.is_empty();
    let all = with_one(named(shown.clone()).into_iter().chain(hidden).collect());
    let mut plan = LogicalPlanBuilder::from(branch.plan()?).project(all)?.build()?;
    // Columns are projected before they are sorted, because DataFusion derives the order of the columns of sorted rows, which
    // takes long for many tags.
    if !order.is_empty() {
        plan = sorted(plan, order);
    }
    if has_hidden {
        plan = LogicalPlanBuilder::from(plan).project(with_one(shown))?.build()?;
    }
    Ok(TablesPlan { plan, layout: TableLayout { columns } })
}

/// Returns the name of a type in annotated CSV.
fn datatype(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Tag | ColumnType::String => "string",
        ColumnType::Time => "dateTime:RFC3339",
        ColumnType::Float => "double",
        ColumnType::Integer => "long",
        ColumnType::UInteger => "unsignedLong",
        ColumnType::Boolean => "boolean",
    }
}

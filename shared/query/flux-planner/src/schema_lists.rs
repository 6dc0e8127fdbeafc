//! Lists of the names and values that the series of a bucket have.

use datafusion::{
    common::Result,
    logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, ident, lit},
};
use neap_flux::Span;
use neap_schema::ColumnType;

use crate::{
    branch::{Branch, BranchInput, Column, FIELD, OrderPart, VALUE, tag_literal},
    merge::unite,
    operations::distinct,
    source::BucketSeries,
};

/// Returns one table with the distinct values of a column of all series.
pub(crate) fn tag_values(
    series: &BucketSeries<'_>,
    span: Span,
    tag: &str,
) -> Result<Option<Branch>> {
    let branches = if [FIELD, VALUE].contains(&tag) {
        series.fields()?
    } else {
        series.tables()?
    };
    let mut values = Vec::with_capacity(branches.len());
    for mut branch in branches {
        branch.key.clear();
        let Some(column) = branch.column(tag) else {
            continue;
        };
        let (is_constant, has_value) = (column.constant.is_some(), column.expr().is_not_null());
        let present = if is_constant {
            branch
        } else {
            let rows = LogicalPlanBuilder::from(branch.plan()?).filter(has_value)?.build()?;
            branch.with_rows(rows)
        };
        values.extend(distinct(present, tag)?);
    }
    let united = unite(span, values)?;
    united.map(|all| distinct(all, VALUE)).transpose().map(Option::flatten)
}

/// Returns one table with the names of the columns of the group keys of all series.
pub(crate) fn tag_keys(series: &BucketSeries<'_>, span: Span) -> Result<Option<Branch>> {
    let branches = series.tables()?;
    let mut names = Vec::new();
    for branch in &branches {
        let tags = branch.key_columns().filter(|column| column.constant.is_none());
        for tag in tags {
            let present = LogicalPlanBuilder::from(branch.plan()?)
                .filter(tag.expr().is_not_null())?
                .limit(0, Some(1))?;
            let name = tag_literal(&tag.name).alias(VALUE);
            names.push(list(present.project([name])?.build()?));
        }
    }
    // Each series has these.
    let mut any = Vec::with_capacity(branches.len());
    for branch in &branches {
        let row = LogicalPlanBuilder::from(branch.plan()?).limit(0, Some(1))?;
        any.push(list(row.project([tag_literal("").alias(VALUE)])?.build()?));
    }
    if let Some(any) = unite(span, any)? {
        let of_all = ["_field", "_measurement", "_start", "_stop"];
        let values = of_all.map(|name| vec![lit(name)]).to_vec();
        let one = LogicalPlanBuilder::from(any.plan()?).limit(0, Some(1))?;
        let joined = one.cross_join(LogicalPlanBuilder::values(values)?.build()?)?;
        let name = cast(ident("column1"), ColumnType::Tag.data_type()).alias(VALUE);
        names.push(list(joined.project([name])?.build()?));
    }
    let united = unite(span, names)?;
    united.map(|all| distinct(all, VALUE)).transpose().map(Option::flatten)
}

/// Returns one table with the column `_value`.
fn list(rows: LogicalPlan) -> Branch {
    let value = Column::new(VALUE, ColumnType::Tag);
    Branch {
        input: BranchInput::Plan(rows),
        order: vec![OrderPart::ascending(&value)],
        columns: vec![value],
        key: Vec::new(),
        range: None,
    }
}

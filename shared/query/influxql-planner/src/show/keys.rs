//! `SHOW TAG KEYS` and `SHOW FIELD KEYS`.

use std::sync::Arc;

use arrow::{array::AsArray, datatypes::Int64Type};
use datafusion::{
    common::Result,
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, ident},
};
use futures::TryStreamExt;
use neap_catalog::Table;
use neap_influxql::{Condition, ShowClauses, ShowTagKeys};
use neap_schema::ColumnType;
use neap_tables::QueryContext;

use super::{NameCondition, ShowRows, ShowRowsBuilder, TableLimit, apply_limit, tables};
use crate::table_rows;

/// Answers `SHOW TAG KEYS`. With a condition, only tags of matching rows are included.
pub(crate) async fn tag_keys(context: &QueryContext, statement: &ShowTagKeys) -> Result<ShowRows> {
    let show = &statement.show;
    let wanted = statement.keys.as_ref().map(NameCondition::matching).transpose()?;
    let mut found = ShowRowsBuilder::new(["tagKey"]);
    let mut limit = TableLimit::from_show(show);
    for table in tables(context, &show.from)? {
        if limit.is_reached() {
            break;
        }
        let mut tags = match &show.condition {
            None => table.tag_names(),
            Some(condition) => tags_in_use(context, &table, condition).await?,
        };
        tags.retain(|tag| wanted.as_ref().is_none_or(|wanted| wanted.matches(tag)));
        if tags.is_empty() || !limit.admit() {
            continue;
        }
        tags.sort_unstable();
        let tags = apply_limit(tags, show.limit, show.offset);
        found.extend(&table, tags.into_iter().map(|tag| [tag]).collect())?;
    }
    found.build()
}

/// Returns the tags that are set in rows that satisfy a condition.
pub(super) async fn tags_in_use(
    context: &QueryContext,
    table: &Arc<Table>,
    condition: &Condition,
) -> Result<Vec<String>> {
    let names = table.tag_names();
    if names.is_empty() {
        return Ok(names);
    }
    let counts = names.iter().map(|name| count(ident(name)));
    let rows = table_rows::filtered(context, table, Some(condition))?;
    let plan = rows.aggregate(Vec::<Expr>::new(), counts)?.build()?;
    let mut counts = table_rows::execute(context, &plan).await?;
    let mut in_use = Vec::new();
    while let Some(batch) = counts.try_next().await? {
        for (name, counts) in names.iter().zip(batch.columns()) {
            let counts = counts.as_primitive::<Int64Type>().values();
            if counts.iter().any(|count| *count > 0) {
                in_use.push(name.clone());
            }
        }
    }
    Ok(in_use)
}

/// Answers `SHOW FIELD KEYS`. Conditions are ignored, because fields belong to tables, not to rows.
pub(crate) fn field_keys(context: &QueryContext, show: &ShowClauses) -> Result<ShowRows> {
    let mut found = ShowRowsBuilder::new(["fieldKey", "fieldType"]);
    let mut limit = TableLimit::from_show(show);
    for table in tables(context, &show.from)? {
        let mut fields = fields(&table);
        if fields.is_empty() || !limit.admit() {
            continue;
        }
        fields.sort_unstable();
        found.extend(&table, apply_limit(fields, show.limit, show.offset))?;
    }
    found.build()
}

/// Returns the fields of a table with InfluxQL's names of their types.
pub(super) fn fields(table: &Table) -> Vec<[String; 2]> {
    let fields = table.columns().iter().filter_map(|column| {
        let kind = column.column_type;
        let is_field = !matches!(kind, ColumnType::Tag | ColumnType::Time);
        is_field.then(|| [column.name.clone(), kind.influxql_name().to_owned()])
    });
    fields.collect()
}

//! `SHOW TAG VALUES`.

use std::sync::Arc;

use arrow::{array::AsArray, compute::cast, datatypes::DataType};
use datafusion::{common::Result, logical_expr::ident};
use futures::TryStreamExt;
use neap_catalog::Table;
use neap_influxql::{Condition, NameMatch, ShowTagValues};
use neap_tables::QueryContext;

use super::{NameCondition, ShowRows, ShowRowsBuilder, TableLimit, apply_limit, check, tables};
use crate::table_rows;

/// Answers `SHOW TAG VALUES`. Covers all times unless the condition limits them.
pub(crate) async fn tag_values(
    context: &QueryContext,
    statement: &ShowTagValues,
) -> Result<ShowRows> {
    let show = &statement.show;
    let mut found = ShowRowsBuilder::new(["key", "value"]);
    let mut limit = TableLimit::from_show(show);
    for table in tables(context, &show.from)? {
        if limit.is_reached() {
            break;
        }
        let mut rows = Vec::new();
        for key in keys(&table, &statement.keys)? {
            let values = distinct(context, &table, &key, show.condition.as_ref()).await?;
            rows.extend(values.into_iter().map(|value| [key.clone(), value]));
        }
        if !rows.is_empty() && limit.admit() {
            found.extend(&table, apply_limit(rows, show.limit, show.offset))?;
        }
    }
    found.build()
}

/// Returns the matching tags, sorted by name.
pub(super) fn keys(table: &Table, keys: &NameMatch) -> Result<Vec<String>> {
    let names = NameCondition::matching(keys)?;
    let mut keys = table.tag_names();
    keys.retain(|key| names.matches(key));
    keys.sort_unstable();
    Ok(keys)
}

/// Returns the values of a tag in the rows that satisfy a condition, sorted. A plan of this form is answered from a
/// distinct value cache if there is one for the tag.
pub(super) async fn distinct(
    context: &QueryContext,
    table: &Arc<Table>,
    tag: &str,
    condition: Option<&Condition>,
) -> Result<Vec<String>> {
    let rows = table_rows::filtered(context, table, condition)?;
    let plan = rows.project([ident(tag)])?.distinct()?.build()?;
    let mut rows = table_rows::execute(context, &plan).await?;
    let mut values = Vec::new();
    let mut bytes = 0;
    while let Some(batch) = rows.try_next().await? {
        let Some(column) = batch.columns().first() else {
            continue;
        };
        let column = cast(column, &DataType::Utf8)?;
        for value in column.as_string::<i32>().iter().flatten() {
            bytes += value.len() + size_of::<String>();
            values.push(value.to_owned());
        }
        check(bytes)?;
    }
    values.sort_unstable();
    Ok(values)
}

//! `SHOW MEASUREMENTS`.

use std::sync::Arc;

use arrow::array::StringArray;
use datafusion::common::Result;
use futures::TryStreamExt;
use neap_catalog::Table;
use neap_formats::series::{MEASUREMENT_COLUMN, SeriesLayout};
use neap_influxql::{Condition, ShowMeasurements};
use neap_tables::QueryContext;

use super::{NameCondition, ShowRows, apply_limit, batch_of, is_enough, named};
use crate::table_rows;

/// Answers `SHOW MEASUREMENTS`. With a condition, only tables with matching rows are included.
pub(crate) async fn measurements(
    context: &QueryContext,
    show: &ShowMeasurements,
) -> Result<ShowRows> {
    let names = show.with.as_ref().map(NameCondition::matching).transpose()?;
    let mut found = Vec::new();
    for table in named(context, &[])? {
        if is_enough(&found, show.limit, show.offset) {
            break;
        }
        if names.as_ref().is_some_and(|names| !names.matches(table.name())) {
            continue;
        }
        if let Some(condition) = &show.condition
            && !has_rows(context, &table, condition).await?
        {
            continue;
        }
        found.push(table);
    }
    let found = apply_limit(found, show.limit, show.offset);
    let series: StringArray = found.iter().map(|_| Some("measurements")).collect();
    let names: StringArray = found.iter().map(|table| Some(table.name())).collect();
    Ok(ShowRows {
        rows: batch_of(vec![(MEASUREMENT_COLUMN, Arc::new(series)), ("name", Arc::new(names))])?,
        series: SeriesLayout::by_table(),
    })
}

/// Whether any row of a table satisfies a condition.
pub(super) async fn has_rows(
    context: &QueryContext,
    table: &Arc<Table>,
    condition: &Condition,
) -> Result<bool> {
    let rows = table_rows::filtered(context, table, Some(condition))?;
    let plan = rows.limit(0, Some(1))?.build()?;
    let mut rows = table_rows::execute(context, &plan).await?;
    while let Some(batch) = rows.try_next().await? {
        if batch.num_rows() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

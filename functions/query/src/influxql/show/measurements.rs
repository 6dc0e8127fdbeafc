//! `SHOW MEASUREMENTS`.

use std::sync::Arc;

use arrow::array::StringArray;
use datafusion::common::Result;
use futures::TryStreamExt;
use neap_catalog::Table;
use neap_influxql::{Condition, ShowMeasurements};

use super::{Names, Shown, batch, cut, is_enough, named};
use crate::{
    influxql::{group_key::MEASUREMENT_COLUMN, plan, series::Series},
    session::Scope,
};

/// `SHOW MEASUREMENTS`: with a condition, the tables that have rows which satisfy it.
pub(in crate::influxql) async fn measurements(
    scope: &Arc<Scope>,
    show: &ShowMeasurements,
) -> Result<Shown> {
    let names = show.with.as_ref().map(Names::matching).transpose()?;
    let mut found = Vec::new();
    for table in named(scope, &[])? {
        if is_enough(&found, show.limit, show.offset) {
            break;
        }
        if names
            .as_ref()
            .is_some_and(|names| !names.contain(table.name()))
        {
            continue;
        }
        if let Some(condition) = &show.condition
            && !has_rows(scope, &table, condition).await?
        {
            continue;
        }
        found.push(table);
    }
    let found = cut(found, show.limit, show.offset);
    let series: StringArray = found.iter().map(|_| Some("measurements")).collect();
    let names: StringArray = found.iter().map(|table| Some(table.name())).collect();
    Ok(Shown {
        rows: batch(vec![
            (MEASUREMENT_COLUMN, Arc::new(series)),
            ("name", Arc::new(names)),
        ])?,
        series: Series::of_tables(),
    })
}

/// Whether any row of a table satisfies a condition.
pub(super) async fn has_rows(
    scope: &Arc<Scope>,
    table: &Arc<Table>,
    condition: &Condition,
) -> Result<bool> {
    let rows = plan::filtered(scope, table, Some(condition))?;
    let plan = rows.limit(0, Some(1))?.build()?;
    let mut rows = plan::run(scope, &plan).await?;
    while let Some(batch) = rows.try_next().await? {
        if batch.num_rows() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

//! The rows of a continuous query in a range of windows.

use std::sync::Arc;

use neap_formats::series::{AnswerInterface, GroupKey, SeriesLayout};
use neap_influxql::{CompareOp, Condition, Expr, Literal, Statement, parse};
use neap_manifest::TimeRange;
use neap_schema::{DatabaseId, TIME_COLUMN};

use super::{error::InfluxqlError, planners::RowsPlanner};
use crate::{QueryEngine, QueryRequest, Rows};

/// Returns the rows of a continuous query in a range of whole windows, with the columns that are tags.
pub(crate) async fn window_rows(
    engine: &QueryEngine,
    database: DatabaseId,
    request: QueryRequest,
    windows: TimeRange,
) -> Result<(Rows, GroupKey), InfluxqlError> {
    let Some(Statement::Select(mut select)) = parse(&request.text)?.pop() else {
        let text = "the query of a continuous query is a SELECT".to_owned();
        return Err(InfluxqlError::Invalid(text));
    };
    let bound = |op, time| Condition::Compare {
        left: Expr::column(TIME_COLUMN),
        op,
        right: Expr::Literal(Literal::Integer(time)),
    };
    let bounds = bound(CompareOp::GreaterOrEqual, windows.first)
        .and(bound(CompareOp::LessOrEqual, windows.last));
    select.condition = Some(match select.condition.take() {
        Some(condition) => condition.and(bounds),
        None => bounds,
    });
    let planner = RowsPlanner::new(Statement::Select(select), AnswerInterface::V1);
    let planner = Arc::new(planner);
    let rows = engine.run(database, request, Arc::clone(&planner) as _).await?;
    match planner.series() {
        SeriesLayout::Columns(key) => Ok((rows, key)),
        SeriesLayout::Single(_) => {
            let text = "the query of a continuous query groups by time".to_owned();
            Err(InfluxqlError::Invalid(text))
        }
    }
}

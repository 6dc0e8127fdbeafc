//! Plans of few rows, which take longer to be planned than to be executed.
//!
//! * One partition: a second one adds operators that distribute rows and merge them again, tasks, and the time to plan
//!   them, which together take longer than some thousand rows.
//! * One pass of the optimizer: DataFusion makes a second one to see that nothing is left to change. For the scan of one table,
//!   which has no joins to move filters through, it removes at most a limit above a sort that has the same limit.

use std::sync::Arc;

use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    execution::SessionState,
    logical_expr::{LogicalPlan, TableScan},
    physical_plan::ExecutionPlan,
};
use neap_scan::SnapshotTable;
use neap_sql_functions::is_gap_fill;

use crate::{caches::CachedTable, unsupported_plans::explained};

/// Maximum number of rows of a plan that is executed in one partition.
const MAX_SMALL_ROWS: u64 = 1 << 16;

/// Optimizes a plan and chooses its operators, with the options of the session that suit the number of rows.
///
/// # Errors
/// The plan can't be executed.
pub async fn create_physical_plan(
    state: &mut SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let optimized = optimize(state, plan)?;
    create_optimized_plan(state, &optimized).await
}

/// Optimizes a plan, with the options of the session that suit it.
///
/// # Errors
/// The plan can't be executed.
pub fn optimize(state: &mut SessionState, plan: &LogicalPlan) -> Result<LogicalPlan> {
    if is_one_scan(plan) {
        state.config_mut().options_mut().optimizer.max_passes = 1;
    }
    state.optimize(plan)
}

/// Chooses the operators of an optimized plan, with the options of the session that suit the number of rows.
///
/// # Errors
/// The plan can't be executed.
pub async fn create_optimized_plan(
    state: &mut SessionState,
    optimized: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    if estimated_rows(optimized).is_some_and(|rows| rows <= MAX_SMALL_ROWS) {
        let options = state.config_mut().options_mut();
        options.execution.target_partitions = 1;
    }
    let planner = Arc::clone(state.query_planner());
    planner.create_physical_plan(optimized, state).await.map_err(explained)
}

/// Whether a plan reads one table of a snapshot, without caches that it could read instead, and has no subqueries.
pub fn is_one_scan(plan: &LogicalPlan) -> bool {
    let mut scans = 0;
    let mut is_plain = true;
    let visited = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                scans += 1;
                let provider = source_as_provider(&scan.source);
                is_plain &= provider.is_ok_and(|provider| provider.is::<SnapshotTable>());
            }
            node @ LogicalPlan::Extension(_) => is_plain &= is_gap_fill(node),
            LogicalPlan::Subquery(_) | LogicalPlan::Union(_) => is_plain = false,
            _ => {}
        }
        Ok(if is_plain {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    visited.is_ok() && is_plain && scans == 1
}

/// Returns about how many rows a plan reads from the tables of a snapshot; `None` if the plan reads other sources, or may
/// create more rows than it reads.
fn estimated_rows(plan: &LogicalPlan) -> Option<u64> {
    let mut rows = Some(0_u64);
    let visited = plan.apply_with_subqueries(|node| {
        let of_node = match node {
            LogicalPlan::TableScan(scan) => rows_of(scan),
            LogicalPlan::Join(_) | LogicalPlan::RecursiveQuery(_) | LogicalPlan::Unnest(_) => None,
            _ => Some(0),
        };
        rows = rows.and_then(|rows| rows.checked_add(of_node?));
        Ok(match rows {
            Some(_) => TreeNodeRecursion::Continue,
            None => TreeNodeRecursion::Stop,
        })
    });
    rows.filter(|_| visited.is_ok())
}

fn rows_of(scan: &TableScan) -> Option<u64> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table = match provider.downcast_ref::<CachedTable>() {
        Some(cached) => &cached.rows,
        None => provider.downcast_ref::<SnapshotTable>()?,
    };
    table.estimated_rows(&scan.filters)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
    use datafusion::{
        datasource::MemTable,
        execution::SessionStateBuilder,
        logical_expr::{FetchType, Sort},
        prelude::SessionContext,
    };

    use super::*;

    /// Statements that read one table.
    const STATEMENTS: [&str; 11] = [
        "SELECT * FROM cpu WHERE host = 'a' AND time > now() - INTERVAL '1 hour' ORDER BY time DESC LIMIT 5",
        "SELECT date_bin(INTERVAL '1 minute', time) AS t, max(v) FROM cpu WHERE host IN ('a', 'b') GROUP BY t ORDER BY t",
        "SELECT host, avg(v) + 1 AS m FROM cpu GROUP BY host HAVING avg(v) + 1 > 2",
        "SELECT t, m FROM (SELECT time AS t, v * 2 AS m, host FROM cpu) AS doubled WHERE m > 1 AND host = 'a'",
        "SELECT DISTINCT ON (host) * FROM cpu ORDER BY host, time DESC",
        "SELECT DISTINCT host FROM cpu WHERE 1 = 1",
        "SELECT count(DISTINCT host) FROM cpu WHERE v > 1 AND v > 1",
        "SELECT host, lag(v) OVER (PARTITION BY host ORDER BY time) AS before FROM cpu LIMIT 3",
        "SELECT count(*) FROM cpu WHERE time >= '2024-01-01' AND (host = 'a' OR host = 'b')",
        "SELECT date_bin_gapfill(INTERVAL '1 minute', time) AS t, host, max(v) AS m FROM cpu \
         WHERE time >= '2024-01-01' AND time < '2024-01-02' AND host = 'a' GROUP BY t, host ORDER BY t LIMIT 9",
        "SELECT t, m FROM (SELECT date_bin_gapfill(INTERVAL '1 minute', time) AS t, host, locf(max(v)) AS m, count(v) \
         FROM cpu WHERE time BETWEEN '2024-01-01' AND '2024-01-02' GROUP BY t, host) WHERE host = 'b' AND m > 2",
    ];

    /// Returns the sort below a limit if it has the same limit.
    fn limited_by_its_sort(plan: &LogicalPlan) -> Option<&LogicalPlan> {
        let LogicalPlan::Limit(limit) = plan else {
            return None;
        };
        let is_same = |sort: &Sort| {
            let rows = limit.get_fetch_type().ok();
            limit.skip.is_none()
                && rows.is_some_and(
                    |rows| matches!(rows, FetchType::Literal(rows) if rows == sort.fetch),
                )
        };
        match limit.input.as_ref() {
            LogicalPlan::Sort(sort) if is_same(sort) => Some(limit.input.as_ref()),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_second_pass_removes_at_most_a_limit_of_a_plan_of_one_scan() {
        let schema = Schema::new(vec![
            Field::new_dictionary("host", DataType::Int32, DataType::Utf8, true),
            Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
            Field::new("v", DataType::Float64, true),
        ]);
        let table = MemTable::try_new(Arc::new(schema), vec![vec![]]).unwrap();
        let builder = SessionStateBuilder::new().with_default_features();
        let state = neap_sql_functions::register(builder).build();
        let context = SessionContext::new_with_state(state);
        context.register_table("cpu", Arc::new(table)).unwrap();
        let mut different = Vec::new();
        for statement in STATEMENTS {
            let mut state = context.state();
            let plan = state.create_logical_plan(statement).await.unwrap();
            let several = state.optimize(&plan).unwrap();
            state.config_mut().options_mut().optimizer.max_passes = 1;
            let one = state.optimize(&plan).unwrap();
            if one != several && limited_by_its_sort(&one) != Some(&several) {
                different.push(format!("{statement}\n{one}\n{several}"));
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
    }
}

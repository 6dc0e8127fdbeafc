//! Plans of few rows, which take longer to be planned than to be executed.
//!
//! * One partition: a second one adds operators that distribute rows and merge them again, tasks, and the time to plan
//!   them, which together take longer than some thousand rows.
//! * One pass of the optimizer: a second pass over the scan of one table, which has no joins to move filters through, finds
//!   nothing to change. DataFusion makes it to see that.

use std::sync::Arc;

use datafusion::{
    common::{Result, tree_node::TreeNodeRecursion},
    datasource::source_as_provider,
    execution::SessionState,
    logical_expr::{LogicalPlan, TableScan},
    physical_plan::ExecutionPlan,
};

use crate::{caches::CachedTable, scan::SnapshotTable};

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
    if is_one_scan(plan) {
        state.config_mut().options_mut().optimizer.max_passes = 1;
    }
    let optimized = state.optimize(plan)?;
    if estimated_rows(&optimized).is_some_and(|rows| rows <= MAX_SMALL_ROWS) {
        let options = state.config_mut().options_mut();
        options.execution.target_partitions = 1;
    }
    let planner = Arc::clone(state.query_planner());
    planner.create_physical_plan(&optimized, state).await
}

/// Whether a plan reads one table of a snapshot, without caches that it could read instead, and has no subqueries.
fn is_one_scan(plan: &LogicalPlan) -> bool {
    let mut scans = 0;
    let mut is_plain = true;
    let visited = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::TableScan(scan) => {
                scans += 1;
                let provider = source_as_provider(&scan.source);
                is_plain &= provider.is_ok_and(|provider| provider.is::<SnapshotTable>());
            }
            LogicalPlan::Subquery(_) | LogicalPlan::Union(_) | LogicalPlan::Extension(_) => {
                is_plain = false;
            }
            _ => {}
        }
        Ok(match is_plain {
            true => TreeNodeRecursion::Continue,
            false => TreeNodeRecursion::Stop,
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

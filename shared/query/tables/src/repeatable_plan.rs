//! Plans that return the same rows each time they are executed over a snapshot.

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::{Expr, LogicalPlan, TableScan, Volatility},
};
use neap_scan::{SnapshotTable, first_time};
use neap_schema::TableId;

use crate::{
    caches::{CachedTable, RewrittenTable},
    scope::QueryScope,
};

/// Whether a plan, before it is optimized, returns the same rows each time it is executed over a snapshot, apart from rows that
/// expire meanwhile. Such a plan reads only tables of the snapshot, and calls no function whose value changes, such as
/// `now()`. The optimizer replaces some of these calls by their values.
pub fn is_repeatable(plan: &LogicalPlan) -> bool {
    let mut is_repeatable = true;
    let visited = plan.apply_with_subqueries(|node| {
        is_repeatable &= match node {
            LogicalPlan::TableScan(scan) => rows_of(scan).is_some(),
            LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Ddl(_)
            | LogicalPlan::Copy(_) => false,
            _ => true,
        };
        node.apply_expressions(|expr| {
            is_repeatable &= !expr.exists(|expr| Ok(is_changing(expr)))?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(if is_repeatable {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    visited.is_ok() && is_repeatable
}

/// Whether the value of an expression can differ between two executions.
fn is_changing(expr: &Expr) -> bool {
    let volatility = match expr {
        Expr::ScalarFunction(call) => call.func.signature().volatility,
        Expr::AggregateFunction(call) => call.func.signature().volatility,
        Expr::WindowFunction(call) => call.fun.signature().volatility,
        Expr::ScalarVariable(..) => return true,
        _ => return false,
    };
    volatility != Volatility::Immutable
}

/// The tables that an optimized plan reads, each with the first time in nanoseconds since the Unix epoch that passes its filters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScannedTimes(Vec<(TableId, i64)>);

impl ScannedTimes {
    /// Reads the tables and their filters from an optimized plan; `None` if it reads anything else.
    pub fn from_plan(optimized: &LogicalPlan) -> Option<Self> {
        let mut scanned = Some(Vec::new());
        let visited = optimized.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let first =
                    rows_of(scan).map(|rows| (rows.table().id(), first_time(&scan.filters)));
                scanned = scanned.take().zip(first).map(|(mut scanned, first)| {
                    scanned.push(first);
                    scanned
                });
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visited.ok().and(scanned).map(Self)
    }

    /// Returns the bytes that the tables hold in memory.
    pub fn held_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(TableId, i64)>()
    }

    /// Whether no row of these times has expired in the view of a query, so that the rows do not depend on the time.
    pub fn are_retained(&self, scope: &QueryScope) -> bool {
        let catalog = &scope.snapshot.catalog.value;
        let cutoff = |table| catalog.cutoff_of(table, scope.times.retention_base);
        let mut scanned = self.0.iter();
        scanned.all(|(table, first)| cutoff(*table).is_none_or(|cutoff| cutoff <= *first))
    }
}

/// Returns the rows of the table of a snapshot that a scan reads, perhaps from caches.
fn rows_of(scan: &TableScan) -> Option<SnapshotTable> {
    let provider = source_as_provider(&scan.source).ok()?;
    if let Some(cached) = provider.downcast_ref::<CachedTable>() {
        return Some(cached.rows.clone());
    }
    if let Some(rewritten) = provider.downcast_ref::<RewrittenTable>() {
        return Some(rewritten.rows.clone());
    }
    provider.downcast_ref::<SnapshotTable>().cloned()
}

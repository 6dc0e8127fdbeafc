//! A plan whose expressions can be compared with those of other statements.

use datafusion::{
    common::Result,
    execution::SessionState,
    logical_expr::LogicalPlan,
    optimizer::{AnalyzerRule, analyzer::type_coercion::TypeCoercion},
};
use neap_sql_functions::with_gap_fill_nodes;

/// Converts arguments to the types of functions and operators, as the analyzer does, so that expressions of different
/// statements can be compared. Aggregates of gap-filling queries get nodes above them, and plain functions.
pub(super) fn with_types(state: &SessionState, plan: LogicalPlan) -> Result<LogicalPlan> {
    let typed = TypeCoercion::new().analyze(plan, state.config_options())?;
    with_gap_fill_nodes(typed)
}

//! Plans and executes the statements that select samples and labels of metrics.

use datafusion::{
    common::{Result, internal_err},
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::LogicalPlan,
};
use neap_sql_functions::limit_for_execution;
use neap_tables::{QueryContext, create_optimized_plan, optimize};

use crate::{
    Parameters, QueryRequest,
    plan_cache::PlanCache,
    statement::{self, PlannedStatement},
};

/// Maximum number of statements of a selector or list whose plans are kept. More of them would replace the plans of other
/// statements.
pub(super) const MAX_KEPT_PLANS: usize = 50;

/// Returns the optimized plan of a statement. If it may be kept, it is that of an earlier statement that differs only in texts.
pub(super) async fn plan_statement(
    context: &QueryContext,
    plans: &PlanCache,
    sql: String,
    may_be_kept: bool,
) -> Result<LogicalPlan> {
    // Tables show the aliases of columns that this statement names.
    let of_statement = context.with_statement(&sql);
    let request = QueryRequest::new(sql);
    let planned = if may_be_kept {
        plans.plan(&of_statement, &request).await?
    } else {
        statement::plan(&of_statement, &request.text, Parameters::default()).await?
    };
    match planned {
        PlannedStatement::Optimized(_, plan) => Ok(plan),
        PlannedStatement::Query(mut state, plan) => {
            limit_for_execution(&optimize(&mut state, &plan)?)
        }
        other => internal_err!("the statement is no query: {other:?}"),
    }
}

/// Executes an optimized plan in an [optimized session](QueryContext::optimized_session).
pub(super) async fn execute_plan(
    context: &QueryContext,
    mut session: SessionState,
    plan: &LogicalPlan,
) -> Result<SendableRecordBatchStream> {
    let planned = create_optimized_plan(&mut session, plan).await?;
    context.execute(&session, planned)
}

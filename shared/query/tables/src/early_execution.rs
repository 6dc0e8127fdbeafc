//! Executes plans while a statement is planned: its answer, such as that of `SHOW`, depends on their rows.

use std::sync::Arc;

use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, SessionState, TaskContext},
    physical_plan::{ExecutionPlan, execute_stream},
};
use neap_operators::with_cancellation;

use crate::session::QueryContext;

impl QueryContext {
    /// Executes a plan. Its operators end when the query is cancelled, and hold the [running guard](Self::with_running_guard) of the
    /// query until then.
    ///
    /// # Errors
    /// The plan can't be executed.
    pub fn execute(
        &self,
        session: &SessionState,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<SendableRecordBatchStream> {
        let plan = with_cancellation(plan, &self.cancellation)?;
        let mut config = session.config().clone();
        if let Some(guard) = &self.running_guard {
            config.set_extension(Arc::clone(guard));
        }
        let context = TaskContext::from(session).with_session_config(config);
        execute_stream(plan, Arc::new(context))
    }
}

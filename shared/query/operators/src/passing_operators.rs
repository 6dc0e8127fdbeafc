//! The operators that output the rows of their inputs as they are. Rules look for scans below them.

use datafusion::physical_plan::{
    ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, coop::CooperativeExec,
    repartition::RepartitionExec, union::UnionExec,
};
use neap_scan::SequenceExec;

/// Whether an operator outputs each row of its inputs once, and nothing else.
pub(crate) fn passes_all_rows(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<UnionExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<SequenceExec>()
}

//! The check of a distributed plan before it is executed: each task computes a part of the rows of its stage, and
//! another process can execute it. A plan that fails the check is not executed: the query runs in this process.
//!
//! A stage with several tasks divides its rows among them. An operator that needs all rows in one partition, or all rows
//! of a key, is right in such a stage only if its input comes from a shuffle by that key or from a broadcast.
//! DataFusion takes an input of one partition as sufficient, which is true of one task only. The check refuses it.

use std::{borrow::Cow, sync::Arc};

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    execution::TaskContext,
    physical_expr::Distribution,
    physical_optimizer::{PhysicalOptimizerRule, sanity_checker::SanityCheckPlan},
    physical_plan::{ExecutionPlan, ExecutionPlanProperties},
    prelude::SessionConfig,
};
use datafusion_distributed::{
    BroadcastExec, DistributedCodec, DistributedLeafExec, NetworkBoundaryExt, NetworkBroadcastExec,
};
use datafusion_proto::{
    bytes::{
        physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
    },
    physical_plan::DeduplicatingProtoConverter,
};
use neap_scan::SnapshotScanExec;

use crate::{exchange::Exchange, portability::Portability, received_plan::changed_operator};

/// Maximum bytes that the scans of a broadcast may read. Its rows wait in memory, outside the limit of queries, until all
/// consumers have read them.
const MAX_BROADCAST_BYTES: u64 = 64 << 20;

/// The reason why a plan is not executed on workers.
pub(crate) type Refusal = Cow<'static, str>;

/// Checks the stages of plans.
pub(crate) struct StageCheck<'a> {
    pub(crate) portability: &'a Portability,
    pub(crate) exchange: Exchange,
}

impl StageCheck<'_> {
    /// Checks all stages of a plan. Returns the number of stages.
    pub(crate) fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<usize, Refusal> {
        let mut stages = 0;
        let mut open = vec![(Arc::clone(plan), false)];
        while let Some((node, is_in_stage)) = open.pop() {
            let Some(boundary) = node.as_network_boundary() else {
                let inputs = node.children().into_iter();
                open.extend(inputs.map(|input| (Arc::clone(input), is_in_stage)));
                continue;
            };
            if is_in_stage && self.exchange == Exchange::Coordinator {
                return Err("a stage reads rows of other workers".into());
            }
            let stage = boundary.input_stage();
            let Some(stage_plan) = stage.local_plan() else {
                return Err("a stage has no plan".into());
            };
            stages += 1;
            self.check_operators(stage_plan, stage.task_count())?;
            open.push((Arc::clone(stage_plan), true));
        }
        Ok(stages)
    }

    /// Checks the operators of one stage.
    fn check_operators(&self, node: &Arc<dyn ExecutionPlan>, tasks: usize) -> Result<(), Refusal> {
        if node.is_network_boundary() {
            return Ok(());
        }
        if !self.portability.is_portable(node.as_ref()) {
            return Err(format!("{} can't run on a worker", node.name()).into());
        }
        if tasks > 1 {
            check_division(node, tasks)?;
        }
        if node.is::<BroadcastExec>() && scanned_bytes(node) > MAX_BROADCAST_BYTES {
            return Err("a broadcast is too large".into());
        }
        let mut inputs = node.children().into_iter();
        inputs.try_for_each(|input| self.check_operators(input, tasks))
    }
}

/// Returns the bytes that the scans below a node read.
fn scanned_bytes(node: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = node.downcast_ref::<SnapshotScanExec>();
    let of_leaf = node
        .downcast_ref::<DistributedLeafExec>()
        .and_then(|leaf| leaf.original().downcast_ref::<SnapshotScanExec>());
    let own = own.or(of_leaf).map_or(0, SnapshotScanExec::read_bytes);
    let inputs = node.children().into_iter();
    own.saturating_add(inputs.map(scanned_bytes).fold(0, u64::saturating_add))
}

/// Checks that an operator is right if each of several tasks has a part of the rows.
fn check_division(node: &Arc<dyn ExecutionPlan>, tasks: usize) -> Result<(), Refusal> {
    let inputs = node.children();
    if inputs.is_empty() {
        let parts = node.downcast_ref::<DistributedLeafExec>();
        let is_divided = parts.is_some_and(|leaf| {
            let partitions = leaf.properties().partitioning.partition_count();
            leaf.variants().len() == tasks && partitions > 1
        });
        return if is_divided {
            Ok(())
        } else {
            Err(format!("{} can't be divided among workers", node.name()).into())
        };
    }
    let requirements = node.input_distribution_requirements().into_per_child();
    for (input, requirement) in inputs.into_iter().zip(requirements) {
        let needs_all = !matches!(requirement, Distribution::UnspecifiedDistribution);
        let has_one = input.output_partitioning().partition_count() == 1;
        if needs_all && has_one && !is_replicated(input) {
            return Err(format!("{} needs all rows in one task", node.name()).into());
        }
    }
    Ok(())
}

/// Whether each task of a stage has all rows of this input.
fn is_replicated(node: &Arc<dyn ExecutionPlan>) -> bool {
    if node.is_network_boundary() {
        return node.is::<NetworkBroadcastExec>();
    }
    // Without an order, each task would keep other rows.
    let inputs = node.children();
    node.fetch().is_none() && !inputs.is_empty() && inputs.into_iter().all(is_replicated)
}

/// Checks that each operator gets its rows in the order that it needs. An exchange between stages does not know that a
/// column is constant, for example.
pub(crate) fn check_order(
    plan: &Arc<dyn ExecutionPlan>,
    config: &SessionConfig,
) -> Result<(), Refusal> {
    let checked = SanityCheckPlan::new().optimize(Arc::clone(plan), config.options());
    match checked {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("an operator would get its rows unsorted: {error}").into()),
    }
}

/// Checks that the stages of a plan survive their encoding. `context` is that of a task on a worker.
pub(crate) fn check_encoding(
    plan: &Arc<dyn ExecutionPlan>,
    config: &SessionConfig,
    context: &TaskContext,
) -> Result<(), Refusal> {
    let mut open = vec![Arc::clone(plan)];
    while let Some(node) = open.pop() {
        let Some(boundary) = node.as_network_boundary() else {
            open.extend(node.children().into_iter().cloned());
            continue;
        };
        // The plan of a stage contains those of the stages below it.
        if let Some(stage) = boundary.input_stage().local_plan() {
            let sent = first_task(stage);
            let received = sent.and_then(|sent| {
                let received = decode(&sent, config, context)?;
                let changed = changed_operator(&sent, &received)?;
                Ok((changed.map(|operator| operator.name().to_owned()), received))
            });
            match received {
                Ok((None, received)) => check_order(&received, config)?,
                Ok((Some(name), _)) => {
                    return Err(format!("{name} changes when it is sent to a worker").into());
                }
                Err(error) => {
                    return Err(format!("a stage can't be sent to a worker: {error}").into());
                }
            }
        }
    }
    Ok(())
}

/// Returns the plan of the first task of a stage.
fn first_task(stage: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let with_part = Arc::clone(stage).transform_down(|node| {
        let leaf = node.downcast_ref::<DistributedLeafExec>();
        let part = leaf.and_then(|leaf| leaf.variants().first().cloned());
        Ok(match part {
            Some(part) => Transformed::yes(part),
            None => Transformed::no(node),
        })
    })?;
    Ok(with_part.data)
}

/// Returns the plan that a worker gets.
fn decode(
    sent: &Arc<dyn ExecutionPlan>,
    config: &SessionConfig,
    context: &TaskContext,
) -> Result<Arc<dyn ExecutionPlan>> {
    let codec = DistributedCodec::new_combined_with_user(config);
    let converter = DeduplicatingProtoConverter::default();
    let bytes = physical_plan_to_bytes_with_proto_converter(Arc::clone(sent), &codec, &converter)?;
    let codec = DistributedCodec::new_combined_with_user(context.session_config());
    let converter = DeduplicatingProtoConverter::default();
    physical_plan_from_bytes_with_proto_converter(&bytes, context, &codec, &converter)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::{
        coalesce_partitions::CoalescePartitionsExec, empty::EmptyExec, limit::GlobalLimitExec,
        limit::LocalLimitExec,
    };

    use super::*;

    /// A leaf that two tasks divide.
    fn leaf(partitions: usize) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::empty());
        let part: Arc<dyn ExecutionPlan> =
            Arc::new(EmptyExec::new(schema).with_partitions(partitions));
        let parts = [Arc::clone(&part), Arc::clone(&part)];
        Arc::new(DistributedLeafExec::try_new(part, parts).unwrap())
    }

    #[test]
    fn an_operator_that_needs_all_rows_is_refused_in_a_divided_stage() {
        let one: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(leaf(2)));
        let limit: Arc<dyn ExecutionPlan> = Arc::new(GlobalLimitExec::new(one, 0, Some(1)));
        assert!(check_division(&limit, 2).is_err());
        let limit: Arc<dyn ExecutionPlan> = Arc::new(LocalLimitExec::new(leaf(2), 1));
        assert_eq!(check_division(&limit, 2), Ok(()));
    }

    #[test]
    fn a_leaf_of_a_divided_stage_has_a_part_for_each_task_and_several_partitions() {
        assert_eq!(check_division(&leaf(2), 2), Ok(()));
        assert!(check_division(&leaf(2), 3).is_err());
        assert!(check_division(&leaf(1), 2).is_err());
        let whole: Arc<dyn ExecutionPlan> =
            Arc::new(EmptyExec::new(Arc::new(Schema::empty())).with_partitions(2));
        assert!(check_division(&whole, 2).is_err());
    }
}

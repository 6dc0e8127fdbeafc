//! The encoding of the operators of `neap-scan` and `neap-operators`: scans by name, the selection of last rows, aggregates
//! by runs, sorts by ranks, rows without declared orders, and small batches.

use std::sync::Arc;

use datafusion::{
    common::{Result, internal_err, not_impl_err},
    error::DataFusionError,
    execution::TaskContext,
    logical_expr::Expr,
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    logical_plan::{
        DefaultLogicalExtensionCodec, from_proto::parse_expr, to_proto::serialize_expr,
    },
    physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension},
    protobuf::LogicalExprNode,
};
use neap_operators::{
    LastRowsExec, LastRowsParameters, RankSortExec, RunAggregateExec, SmallBatchesExec,
    UnorderedExec,
};
use neap_scan::{ScanEnvironment, ScanFragment, SnapshotScanExec};
use neap_schema::DatabaseId;
use prost::Message;

use crate::ticket::TicketError;

/// Encodes and decodes [`SnapshotScanExec`], [`LastRowsExec`], [`RunAggregateExec`], [`RankSortExec`], [`UnorderedExec`] and
/// [`SmallBatchesExec`].
#[derive(Clone, Debug)]
pub struct ScanCodec {
    environment: Arc<ScanEnvironment>,
    /// The only database whose scans are decoded; `None`: any.
    database: Option<DatabaseId>,
}

/// An operator on the wire.
#[derive(Clone, PartialEq, Message)]
struct OperatorMessage {
    /// The fragment of a scan as JSON.
    #[prost(bytes = "vec", tag = "1")]
    fragment: Vec<u8>,
    /// The filters of a scan that another process understands.
    #[prost(message, repeated, tag = "2")]
    filters: Vec<LogicalExprNode>,
    /// The parameters of a selection of last rows as JSON. If they are present, the operator is no scan.
    #[prost(bytes = "vec", optional, tag = "3")]
    last_rows: Option<Vec<u8>>,
    /// Whether the operator computes the aggregate that is its input.
    #[prost(bool, tag = "4")]
    is_run_aggregate: bool,
    /// Whether the operator does the sort that is its input.
    #[prost(bool, tag = "5")]
    is_rank_sort: bool,
    /// Whether the operator returns the rows of its input without their declared order.
    #[prost(bool, tag = "6")]
    is_unordered: bool,
    /// The maximum number of rows of a batch, if the operator divides those of its input.
    #[prost(uint64, optional, tag = "7")]
    max_batch_rows: Option<u64>,
}

impl ScanCodec {
    /// A codec whose scans execute in `environment`.
    pub fn new(environment: Arc<ScanEnvironment>) -> Self {
        Self { environment, database: None }
    }

    /// Refuses scans of other databases.
    #[must_use]
    pub fn with_database(self, database: DatabaseId) -> Self {
        Self { database: Some(database), ..self }
    }

    /// Encodes a filter; `None` if another process could not decode it. The scan uses filters only to skip objects and
    /// pages, so that it may do without.
    fn encode_filter(&self, filter: &Expr) -> Option<LogicalExprNode> {
        let codec = DefaultLogicalExtensionCodec {};
        let node = serialize_expr(filter, &codec).ok()?;
        let context = self.environment.session().task_ctx();
        let decoded = parse_expr(&node, &context, &codec).ok()?;
        (decoded == *filter).then_some(node)
    }
}

impl PhysicalExtensionCodec for ScanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = OperatorMessage::decode(bytes).map_err(external)?;
        if let Some(parameters) = &message.last_rows {
            return decode_last_rows(parameters, inputs);
        }
        if message.is_run_aggregate {
            let aggregate = only_input(inputs)?;
            return Ok(Arc::new(RunAggregateExec::new(aggregate)));
        }
        if message.is_rank_sort {
            return Ok(Arc::new(RankSortExec::new(only_input(inputs)?)));
        }
        if message.is_unordered {
            return Ok(Arc::new(UnorderedExec::new(only_input(inputs)?)));
        }
        if let Some(rows) = message.max_batch_rows {
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            return Ok(Arc::new(SmallBatchesExec::new(only_input(inputs)?, rows)));
        }
        let fragment: ScanFragment = serde_json::from_slice(&message.fragment).map_err(external)?;
        if self.database.is_some_and(|id| id != fragment.database()) {
            return Err(external(TicketError::OtherDatabase(fragment.database())));
        }
        let codec = DefaultLogicalExtensionCodec {};
        let filters = message
            .filters
            .iter()
            .map(|filter| parse_expr(filter, context, &codec).map_err(external))
            .collect::<Result<Vec<Expr>>>()?;
        let environment = Arc::clone(&self.environment);
        let scan = SnapshotScanExec::from_fragment(fragment, filters, environment)?;
        Ok(Arc::new(scan))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let message = if let Some(scan) = node.downcast_ref::<SnapshotScanExec>() {
            let filters = scan.filters().iter();
            OperatorMessage {
                fragment: serde_json::to_vec(scan.fragment()).map_err(external)?,
                filters: filters.filter_map(|filter| self.encode_filter(filter)).collect(),
                ..OperatorMessage::default()
            }
        } else if let Some(last_rows) = node.downcast_ref::<LastRowsExec>() {
            let parameters = serde_json::to_vec(last_rows.parameters()).map_err(external)?;
            OperatorMessage { last_rows: Some(parameters), ..OperatorMessage::default() }
        } else if node.is::<RunAggregateExec>() {
            OperatorMessage { is_run_aggregate: true, ..OperatorMessage::default() }
        } else if node.is::<RankSortExec>() {
            OperatorMessage { is_rank_sort: true, ..OperatorMessage::default() }
        } else if node.is::<UnorderedExec>() {
            OperatorMessage { is_unordered: true, ..OperatorMessage::default() }
        } else if let Some(small_batches) = node.downcast_ref::<SmallBatchesExec>() {
            OperatorMessage {
                max_batch_rows: u64::try_from(small_batches.max_batch_rows()).ok(),
                ..OperatorMessage::default()
            }
        } else {
            return not_impl_err!("{} can't be sent to another process", node.name());
        };
        match message.encode(bytes) {
            Ok(()) => Ok(()),
            Err(error) => internal_err!("{} can't be encoded: {error}", node.name()),
        }
    }
}

fn decode_last_rows(
    parameters: &[u8],
    inputs: &[Arc<dyn ExecutionPlan>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let parameters: LastRowsParameters = serde_json::from_slice(parameters).map_err(external)?;
    Ok(Arc::new(LastRowsExec::try_new(only_input(inputs)?, parameters)?))
}

fn only_input(inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    match inputs {
        [input] => Ok(Arc::clone(input)),
        _ => internal_err!("the operator has one input, not {}", inputs.len()),
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

//! `system.nodes` of `_internal`: the processes with a heartbeat in the last 24 hours, with the columns of InfluxDB 3.
//!
//! The version and address of a process are in `cli_params`, as JSON.

use std::sync::Arc;

use arrow::{
    array::{ListBuilder, RecordBatch, StringViewBuilder, UInt32Array},
    datatypes::{DataType, Field},
};
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_bucket::Bucket;
use neap_catalog::{Node, nodes};
use neap_scan::external;
use serde_json::json;

use super::{source::SystemTableSource, table_builder::SystemTableBuilder};

/// The processes on a bucket.
#[derive(Debug)]
pub(super) struct NodesSource(pub(super) Bucket);

fn rows(nodes: &[Node]) -> Result<RecordBatch> {
    let item = Field::new("item", DataType::Utf8View, true);
    let mut modes = ListBuilder::new(StringViewBuilder::new()).with_field(item);
    for node in nodes {
        modes.append_value(node.record.mode.iter().map(Some));
    }
    // Processes have no catalog id, so the id is the index in the list.
    let numbers = UInt32Array::from_iter_values((0..).take(nodes.len()));
    SystemTableBuilder::new(nodes)
        .views("node_id", |node| node.record.name())
        .column("node_catalog_id", false, Arc::new(numbers))
        .views("instance_id", |node| node.record.instance_id.to_string())
        .column("mode", false, Arc::new(modes.finish()))
        .counts("core_count", |node| node.record.core_count)
        .views("state", |node| node.record.shown_state())
        .millis("updated_at", |node| node.updated)
        .views_or_null("cli_params", |Node { record, .. }| {
            let more = json!({"address": record.address, "version": record.version});
            Some(more.to_string())
        })
        .finish()
}

#[async_trait]
impl SystemTableSource for NodesSource {
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        rows(&nodes(&self.0).await.map_err(external)?)
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}

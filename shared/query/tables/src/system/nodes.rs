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

use super::{
    columns::{counts, millis, table, views, views_or_null},
    source::SystemTableSource,
};

/// The processes on a bucket.
#[derive(Debug)]
pub(super) struct NodesSource(pub(super) Bucket);

fn rows(nodes: &[Node]) -> Result<RecordBatch> {
    let records = || nodes.iter().map(|node| &node.record);
    let item = Field::new("item", DataType::Utf8View, true);
    let mut modes = ListBuilder::new(StringViewBuilder::new()).with_field(item);
    for record in records() {
        modes.append_value(record.mode.iter().map(Some));
    }
    // Processes have no catalog id, so the id is the index in the list.
    let numbers = (0..).take(nodes.len());
    let more = records().map(|record| {
        let more = json!({"address": record.address, "version": record.version});
        Some(more.to_string())
    });
    table(vec![
        (
            "node_id",
            false,
            views(records().map(|record| record.name())),
        ),
        (
            "node_catalog_id",
            false,
            Arc::new(UInt32Array::from_iter_values(numbers)),
        ),
        (
            "instance_id",
            false,
            views(records().map(|record| record.instance_id.to_string())),
        ),
        ("mode", false, Arc::new(modes.finish())),
        (
            "core_count",
            false,
            counts(records().map(|record| record.core_count)),
        ),
        (
            "state",
            false,
            views(records().map(|record| record.shown_state())),
        ),
        (
            "updated_at",
            false,
            millis(nodes.iter().map(|node| node.updated)),
        ),
        ("cli_params", true, views_or_null(more)),
    ])
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

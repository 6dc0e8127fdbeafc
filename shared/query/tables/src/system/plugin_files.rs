//! `system.plugin_files` of `_internal`: the files of plugins, with the columns of InfluxDB 3.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_scan::external;

use super::{
    source::SystemTableSource, system_sources::SystemSources, table_builder::SystemTableBuilder,
};
use crate::plugin_files::PluginFile;

#[derive(Debug)]
pub(super) struct PluginFilesSource(pub(super) Arc<SystemSources>);

fn rows(files: &[PluginFile]) -> Result<RecordBatch> {
    SystemTableBuilder::new(files)
        .utf8("plugin_name", |file| &file.plugin)
        .utf8("file_name", |file| &file.name)
        .utf8("file_path", |file| &file.path)
        .integers("size_bytes", |file| i64::try_from(file.size_bytes).unwrap_or(i64::MAX))
        .integers("last_modified", |file| file.modified_ms)
        .finish()
}

#[async_trait]
impl SystemTableSource for PluginFilesSource {
    /// Costs 1 GET of the root catalog, 1 GET of the catalog of each database with triggers, and 1 GET for each plugin
    /// in the bucket that this process has not cached.
    async fn rows(&self, _: &[Expr]) -> Result<RecordBatch> {
        match self.0.plugin_files.get() {
            Some(files) => rows(&files.files().await.map_err(external)?),
            None => rows(&[]),
        }
    }

    fn empty(&self) -> Result<RecordBatch> {
        rows(&[])
    }
}

//! `system.plugin_files` of `_internal`: the files of plugins, with the columns of InfluxDB 3.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_scan::external;

use super::{
    columns::{table, utf8},
    source::SystemTableSource,
    system_sources::SystemSources,
};
use crate::plugin_files::PluginFile;

/// The files of all plugins.
#[derive(Debug)]
pub(super) struct PluginFilesSource(pub(super) Arc<SystemSources>);

fn rows(files: &[PluginFile]) -> Result<RecordBatch> {
    let texts = |text: fn(&PluginFile) -> &str| utf8(files.iter().map(text));
    let numbers = |number: fn(&PluginFile) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(files.iter().map(number)))
    };
    let size = |file: &PluginFile| i64::try_from(file.size_bytes).unwrap_or(i64::MAX);
    table(vec![
        ("plugin_name", false, texts(|file| &file.plugin)),
        ("file_name", false, texts(|file| &file.name)),
        ("file_path", false, texts(|file| &file.path)),
        ("size_bytes", false, numbers(size)),
        ("last_modified", false, numbers(|file| file.modified_ms)),
    ])
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

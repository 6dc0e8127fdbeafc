//! `system.parquet_files`: the Parquet files of a database, with the columns of InfluxDB 3, and the
//! storage class of cold ones.
//!
//! One object, at `path`, may contain several small files, so a path may occur more than once; the size is that of the
//! single file. A dropped table is listed under the name that the deletion gave it, until its data are deleted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_manifest::{SectionWithFooter, Snapshot, TimeRange};
use neap_scan::{ScanContext, external};

use super::{
    source::{NameFilter, SystemTableSource},
    table_builder::SystemTableBuilder,
};

/// The column whose filters limit the lookup to some tables.
const TABLE_NAME: &str = "table_name";

/// The sections of a snapshot.
#[derive(Debug)]
pub(super) struct ParquetFilesSource {
    pub(super) shared: Arc<ScanContext>,
    pub(super) snapshot: Arc<Snapshot>,
}

impl ParquetFilesSource {
    fn table(&self, files: &[(&str, SectionWithFooter)]) -> Result<RecordBatch> {
        let database = self.snapshot.database;
        SystemTableBuilder::new(files)
            .utf8(TABLE_NAME, |(name, _)| name)
            .utf8("path", |(_, file)| file.section.key(database).to_string())
            .counts("size_bytes", |(_, file)| file.section.length)
            .counts("row_count", |(_, file)| file.section.rows)
            .integers("min_time", |(_, file)| file.section.min_time)
            .integers("max_time", |(_, file)| file.section.max_time)
            .utf8_or_null("storage_class", |(_, file)| Some(file.section.class?.as_str()))
            .finish()
    }
}

#[async_trait]
impl SystemTableSource for ParquetFilesSource {
    /// Returns the files of the tables that the filters select. Reads the manifest's pages of these tables.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let wanted = NameFilter::new(TABLE_NAME, filters);
        let mut tables: Vec<_> = self
            .snapshot
            .catalog
            .value
            .all_tables()
            .filter(|table| wanted.matches(table.name()))
            .collect();
        tables.sort_unstable_by_key(|table| table.name());
        let mut files: Vec<(&str, SectionWithFooter)> = Vec::new();
        for table in tables {
            let shared = &self.shared;
            let sections = shared
                .sections(&self.snapshot, table.id(), TimeRange::ALL)
                .await
                .map_err(external)?;
            files.extend(sections.into_iter().map(|section| (table.name(), section)));
        }
        self.table(&files)
    }

    fn empty(&self) -> Result<RecordBatch> {
        self.table(&[])
    }
}

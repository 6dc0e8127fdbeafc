//! `system.parquet_files`: the Parquet files of a database, with the columns of InfluxDB 3, and the
//! storage class of cold ones.
//!
//! One object, at `path`, may contain several small files, so a path may occur more than once; the size is that of the
//! single file. A dropped table is listed under the name that the deletion gave it, until its data are deleted.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use datafusion::{common::Result, logical_expr::Expr};
use neap_manifest::{Section, SectionWithFooter, Snapshot, TimeRange};
use neap_scan::{ScanContext, external};

use super::{
    columns::{counts, table, utf8, utf8_or_null},
    source::{NameFilter, SystemTableSource},
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
        let sections = || files.iter().map(|(_, file)| &file.section);
        let times = |time: fn(&Section) -> i64| -> ArrayRef {
            let times = sections().map(|section| time(section));
            Arc::new(Int64Array::from_iter_values(times))
        };
        table(vec![
            (TABLE_NAME, false, utf8(files.iter().map(|(name, _)| name))),
            (
                "path",
                false,
                utf8(sections().map(|section| section.key(database).to_string())),
            ),
            (
                "size_bytes",
                false,
                counts(sections().map(|section| section.length)),
            ),
            (
                "row_count",
                false,
                counts(sections().map(|section| section.rows)),
            ),
            ("min_time", false, times(|section| section.min_time)),
            ("max_time", false, times(|section| section.max_time)),
            (
                "storage_class",
                true,
                utf8_or_null(sections().map(|section| Some(section.class?.as_str()))),
            ),
        ])
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

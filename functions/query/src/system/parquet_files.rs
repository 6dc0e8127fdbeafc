//! `system.parquet_files`: the Parquet files of a database, with the columns that InfluxDB 3 gives it.
//!
//! Several small files may lie in one object, at `path`, so a path can come more than once; the size is that
//! of the one file. Tables that were dropped are listed under the names that they were given then, for as
//! long as their data are there.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Column, Result},
    datasource::memory::MemorySourceConfig,
    error::DataFusionError,
    logical_expr::{
        BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType, expr::InList,
        utils::split_conjunction,
    },
    physical_plan::ExecutionPlan,
};
use neap_catalog::Table;
use neap_manifest::{SectionWithFooter, Snapshot, TimeRange};

use crate::scan::Shared;

/// The column by which only the files of some tables are looked up.
const TABLE_NAME: &str = "table_name";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let field = |name, data_type| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        field(TABLE_NAME, DataType::Utf8),
        field("path", DataType::Utf8),
        field("size_bytes", DataType::UInt64),
        field("row_count", DataType::UInt64),
        field("min_time", DataType::Int64),
        field("max_time", DataType::Int64),
    ]))
});

/// The sections of a snapshot.
#[derive(Debug)]
pub(super) struct ParquetFiles {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
}

impl ParquetFiles {
    /// The sections of this snapshot.
    pub(super) fn new(shared: Arc<Shared>, snapshot: Arc<Snapshot>) -> Self {
        Self { shared, snapshot }
    }

    /// The files of the tables that the filters leave. Reads the manifest's pages of these tables.
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let mut files: Vec<(&str, SectionWithFooter)> = Vec::new();
        for table in self.wanted(filters) {
            let sections = self.shared.manifests.load_sections(
                self.snapshot.database,
                &self.snapshot.manifest.value,
                table.id(),
                TimeRange::ALL,
            );
            let sections = sections.await;
            let sections = sections.map_err(|error| DataFusionError::External(Box::new(error)))?;
            files.extend(sections.into_iter().map(|section| (table.name(), section)));
        }
        let database = self.snapshot.database;
        let sections = || files.iter().map(|(_, file)| &file.section);
        let names = files.iter().map(|(name, _)| Some(*name));
        let paths = sections().map(|section| Some(section.key(database).to_string()));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(names.collect::<StringArray>()),
            Arc::new(paths.collect::<StringArray>()),
            Arc::new(UInt64Array::from_iter_values(
                sections().map(|section| section.length),
            )),
            Arc::new(UInt64Array::from_iter_values(
                sections().map(|section| section.rows),
            )),
            Arc::new(Int64Array::from_iter_values(
                sections().map(|section| section.min_time),
            )),
            Arc::new(Int64Array::from_iter_values(
                sections().map(|section| section.max_time),
            )),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?)
    }

    /// The tables whose files are asked for, by name.
    fn wanted(&self, filters: &[Expr]) -> Vec<&Arc<Table>> {
        let tables = self.snapshot.catalog.value.all_tables();
        let named: Vec<Vec<&str>> = filters
            .iter()
            .flat_map(split_conjunction)
            .filter_map(table_names)
            .collect();
        let mut wanted: Vec<_> = tables
            .filter(|table| named.iter().all(|names| names.contains(&table.name())))
            .collect();
        wanted.sort_unstable_by_key(|table| table.name());
        wanted
    }
}

/// The names that a filter leaves, if it says nothing but names.
fn table_names(filter: &Expr) -> Option<Vec<&str>> {
    let is_name =
        |expr: &Expr| matches!(expr, Expr::Column(Column { name, .. }) if name == TABLE_NAME);
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if *op == Operator::Eq => {
            match (left.as_ref(), right.as_ref()) {
                (name, value) | (value, name) if is_name(name) => Some(vec![literal(value)?]),
                _ => None,
            }
        }
        Expr::InList(InList {
            expr,
            list,
            negated: false,
        }) if is_name(expr) => list.iter().map(literal).collect(),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str()?,
        _ => None,
    }
}

#[async_trait]
impl TableProvider for ParquetFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&SCHEMA)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.rows(filters).await?;
        Ok(MemorySourceConfig::try_new_exec(
            &[vec![rows]],
            Arc::clone(&SCHEMA),
            projection.cloned(),
        )?)
    }
}

//! The schema `system`: tables that describe a database and its cluster.
//!
//! | table | a row for each |
//! |---|---|
//! | `alerts` | alert of a rule |
//! | `aliases` | former name that still stands for a table or a database |
//! | `audit` | recorded administrative change |
//! | `compactions` | job that recently changed the manifest, or that has claimed sections |
//! | `distinct_caches` | distinct value cache |
//! | `influxdb_schema` | column of a table |
//! | `last_caches` | last value cache |
//! | `materialized_views` | materialized view or continuous query, with its progress |
//! | `parquet_files` | section |
//! | `processing_engine_*` | trigger, argument of a trigger, recent log line of a trigger |
//! | `queries` | running or recent query of this process |
//! | `row_deletes` | request to delete rows |
//! | `versions` | recorded version of the manifest (`x-neap-as-of`) |
//!
//! Only the database `_internal`, which describes the cluster, has these:
//!
//! | table | a row for each |
//! |---|---|
//! | `databases`, `tables`, `tokens` | database, table, token in the catalogs |
//! | `nodes` | process with a recent heartbeat |
//! | `generation_durations` | no rows, because files are not divided into generations |
//! | `plugin_files` | file of a plugin |
//! | `store_requests` | kind of request to the store and database |

mod alerts;
mod aliases;
mod audit;
mod caches;
mod catalogs;
mod compactions;
mod databases;
mod distinct_caches;
mod generation_durations;
mod influxdb_schema;
mod last_caches;
mod materialized_views;
mod nodes;
mod parquet_files;
mod plugin_files;
mod processing_engine_logs;
mod processing_engine_triggers;
mod queries;
mod row_deletes;
mod source;
mod store_requests;
mod system_sources;
mod table_builder;
mod tables;
mod tokens;
mod versions;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, SchemaProvider, TableProvider},
    common::Result,
    logical_expr::TableType,
};
use neap_catalog::INTERNAL_DATABASE_ID;
use neap_schema::DatabaseId;

pub use processing_engine_logs::FORMER_TIME_COLUMN;
pub use queries::{QueryHistory, QueryRecord};
pub use system_sources::{StoreRequests, SystemSources};

use crate::scope::QueryScope;
use source::{SystemTable, SystemTableSource};

/// The tables of every database, by name.
const DATABASE_TABLES: [&str; 15] = [
    "alerts",
    "aliases",
    "audit",
    "compactions",
    "distinct_caches",
    "influxdb_schema",
    "last_caches",
    "materialized_views",
    "parquet_files",
    "processing_engine_logs",
    "processing_engine_trigger_arguments",
    "processing_engine_triggers",
    "queries",
    "row_deletes",
    "versions",
];

/// The tables of the database `_internal`, by name.
const CLUSTER_TABLES: [&str; 22] = [
    "alerts",
    "aliases",
    "audit",
    "compactions",
    "databases",
    "distinct_caches",
    "generation_durations",
    "influxdb_schema",
    "last_caches",
    "materialized_views",
    "nodes",
    "parquet_files",
    "plugin_files",
    "processing_engine_logs",
    "processing_engine_trigger_arguments",
    "processing_engine_triggers",
    "queries",
    "row_deletes",
    "store_requests",
    "tables",
    "tokens",
    "versions",
];

/// The schema `system` of one query.
#[derive(Debug)]
pub(crate) struct SystemSchema {
    pub(crate) scope: Arc<QueryScope>,
    pub(crate) sources: Arc<SystemSources>,
    /// Whether the statement names columns that were renamed.
    pub(crate) has_former_columns: bool,
}

impl SystemSchema {
    fn is_of_cluster(&self) -> bool {
        self.scope.snapshot.database == INTERNAL_DATABASE_ID
    }

    /// The database whose records are shown; `None`: all databases.
    fn asked(&self) -> Option<DatabaseId> {
        (!self.is_of_cluster()).then_some(self.scope.snapshot.database)
    }

    fn names(&self) -> &'static [&'static str] {
        if self.is_of_cluster() {
            &CLUSTER_TABLES
        } else {
            &DATABASE_TABLES
        }
    }

    /// Returns the rows of a table that has few of them and needs no requests to the store; `None` for other tables.
    fn at_hand(&self, name: &str) -> Option<Result<RecordBatch>> {
        let (scope, snapshot) = (&self.scope, &self.scope.snapshot);
        let catalog = &snapshot.catalog.value;
        Some(match name {
            "compactions" => compactions::rows(snapshot, scope.times.retention_base),
            "distinct_caches" => distinct_caches::rows(snapshot),
            "generation_durations" => generation_durations::generation_durations(),
            "last_caches" => last_caches::rows(snapshot),
            "processing_engine_trigger_arguments" => processing_engine_triggers::arguments(catalog),
            "processing_engine_triggers" => processing_engine_triggers::rows(catalog),
            "queries" => queries::rows(&self.sources.queries.queries(self.asked())),
            "versions" => versions::rows(snapshot),
            _ => return None,
        })
    }

    /// Returns a table whose rows are computed when it is read, because they are many or need requests to the store.
    fn deferred_table(&self, name: &str) -> Option<Result<SystemTable>> {
        let scope = &self.scope;
        let cluster = || Arc::clone(&self.sources);
        let snapshot = Arc::clone(&scope.snapshot);
        let source: Arc<dyn SystemTableSource> = match name {
            "alerts" => Arc::new(alerts::AlertsSource {
                bucket: cluster().catalog.bucket().clone(),
                snapshot,
            }),
            "aliases" => Arc::new(aliases::AliasesSource {
                catalog: Arc::clone(&cluster().catalog),
                database: self.asked(),
            }),
            "audit" if self.is_of_cluster() => {
                Arc::new(audit::ClusterAuditSource(Arc::clone(&cluster().catalog)))
            }
            "audit" => Arc::new(audit::DatabaseAuditSource(snapshot)),
            "databases" => Arc::new(databases::DatabasesSource(Arc::clone(&cluster().catalog))),
            "nodes" => Arc::new(nodes::NodesSource(cluster().catalog.bucket().clone())),
            "influxdb_schema" => {
                let source = Arc::new(influxdb_schema::InfluxdbSchemaSource(snapshot));
                return Some(SystemTable::new(source, None));
            }
            "materialized_views" => Arc::new(materialized_views::MaterializedViewsSource {
                shared: Arc::clone(&scope.tables.scan),
                bucket: cluster().catalog.bucket().clone(),
                snapshot,
                now: scope.times.retention_base,
            }),
            "parquet_files" => Arc::new(parquet_files::ParquetFilesSource {
                shared: Arc::clone(&scope.tables.scan),
                snapshot,
            }),
            "plugin_files" => Arc::new(plugin_files::PluginFilesSource(cluster())),
            "processing_engine_logs" => Arc::new(processing_engine_logs::PluginLogsSource {
                cluster: cluster(),
                database: self.asked(),
                has_former_column: self.has_former_columns,
            }),
            "row_deletes" => Arc::new(row_deletes::RowDeletesSource {
                catalog: Arc::clone(&cluster().catalog),
                database: self.asked(),
            }),
            "store_requests" => Arc::new(store_requests::StoreRequestsSource(cluster())),
            "tables" => Arc::new(tables::TablesSource(Arc::clone(&cluster().catalog))),
            "tokens" => Arc::new(tokens::TokensSource(cluster())),
            _ => return None,
        };
        Some(SystemTable::new(source, Some(&scope.tables.scan.io_runtime)))
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        self.names().iter().map(|&name| name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        if let Some(rows) = self.at_hand(name).transpose()? {
            let schema = rows.schema();
            return Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![rows]])?)));
        }
        let table = self.deferred_table(name).transpose()?;
        Ok(table.map(|table| Arc::new(table) as _))
    }

    /// The default implementation creates the provider of the table, with rows if it needs no requests for them.
    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names().contains(&name)
    }
}

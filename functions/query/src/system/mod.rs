//! The schema `system`: what a database and its cluster are made of, as tables.
//!
//! | table | a row for each |
//! |---|---|
//! | `audit` | administrative change that is remembered |
//! | `compactions` | job that changed the manifest lately, or that is claimed now |
//! | `distinct_caches` | distinct value cache |
//! | `influxdb_schema` | column of a table |
//! | `last_caches` | last value cache |
//! | `parquet_files` | section |
//! | `processing_engine_*` | trigger, argument of one, line that one logged lately |
//! | `queries` | query that this process answers, or did lately |
//! | `versions` | version of the manifest that can be read (`x-neap-as-of`) |
//!
//! Only the database `_internal`, which tells about the cluster, has these:
//!
//! | table | a row for each |
//! |---|---|
//! | `databases`, `tables`, `tokens` | of the catalogs |
//! | `nodes` | process that was heard of lately |
//! | `generation_durations` | none: files are not cut into generations |
//! | `plugin_files` | file of a plugin |

mod audit;
mod caches;
mod catalogs;
mod columns;
mod compactions;
mod databases;
mod distinct_caches;
mod influxdb_schema;
mod last_caches;
mod nodes;
mod nothing;
mod parquet_files;
mod plugin_files;
mod processing_engine_logs;
mod processing_engine_triggers;
mod queries;
mod source;
mod tables;
mod tokens;
mod versions;

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, SchemaProvider, TableProvider},
    common::Result,
};
use neap_bucket::StoreTime;
use neap_catalog::{Catalog, EngineLogs, INTERNAL_DATABASE_ID};
use neap_schema::DatabaseId;

use crate::{PluginFiles, log::QueryLog, session::Scope};
use source::SystemTable;

/// The tables of every database, by name.
const OF_DATABASES: [&str; 11] = [
    "audit",
    "compactions",
    "distinct_caches",
    "influxdb_schema",
    "last_caches",
    "parquet_files",
    "processing_engine_logs",
    "processing_engine_trigger_arguments",
    "processing_engine_triggers",
    "queries",
    "versions",
];

/// The tables of the database that tells about the cluster, by name.
const OF_CLUSTER: [&str; 17] = [
    "audit",
    "compactions",
    "databases",
    "distinct_caches",
    "generation_durations",
    "influxdb_schema",
    "last_caches",
    "nodes",
    "parquet_files",
    "plugin_files",
    "processing_engine_logs",
    "processing_engine_trigger_arguments",
    "processing_engine_triggers",
    "queries",
    "tables",
    "tokens",
    "versions",
];

/// What the tables tell about, beside the database.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The catalogs.
    pub(crate) catalog: Arc<Catalog>,
    /// The queries of this process.
    pub(crate) log: Arc<QueryLog>,
    /// What plugins log.
    pub(crate) plugin_logs: OnceLock<Arc<EngineLogs>>,
    /// The files of plugins, where anybody knows them.
    pub(crate) plugin_files: OnceLock<Arc<dyn PluginFiles>>,
    /// Whether `tokens` shows what hashes begin with.
    pub(crate) shows_token_hashes: bool,
}

/// A time in nanoseconds since the Unix epoch, if it can be told in them.
fn nanoseconds(time: StoreTime) -> Option<i64> {
    time.micros().checked_mul(1_000)
}

/// The tables that tell about the database of a scope.
#[derive(Debug)]
pub(crate) struct SystemSchema(pub(crate) Arc<Scope>);

impl SystemSchema {
    fn is_of_cluster(&self) -> bool {
        self.0.snapshot.database == INTERNAL_DATABASE_ID
    }

    /// The database whose records are shown; `None`: those of all databases.
    fn asked(&self) -> Option<DatabaseId> {
        (!self.is_of_cluster()).then_some(self.0.snapshot.database)
    }

    fn names(&self) -> &'static [&'static str] {
        match self.is_of_cluster() {
            true => &OF_CLUSTER,
            false => &OF_DATABASES,
        }
    }

    /// The rows of a table that takes no requests.
    fn at_hand(&self, name: &str) -> Option<Result<RecordBatch>> {
        let (scope, snapshot) = (&self.0, &self.0.snapshot);
        let catalog = &snapshot.catalog.value;
        Some(match name {
            "compactions" => compactions::rows(snapshot, scope.times.kept_until),
            "distinct_caches" => distinct_caches::rows(snapshot),
            "generation_durations" => nothing::generation_durations(),
            "influxdb_schema" => influxdb_schema::rows(catalog),
            "last_caches" => last_caches::rows(snapshot),
            "processing_engine_trigger_arguments" => processing_engine_triggers::arguments(catalog),
            "processing_engine_triggers" => processing_engine_triggers::rows(catalog),
            "queries" => queries::rows(&scope.cluster().log.queries(self.asked())),
            "versions" => versions::rows(snapshot),
            _ => return None,
        })
    }

    /// A table whose rows are asked for when it is read.
    fn to_read(&self, name: &str) -> Option<Result<SystemTable>> {
        let scope = &self.0;
        let cluster = || Arc::clone(scope.cluster());
        let snapshot = Arc::clone(&scope.snapshot);
        let home = &scope.shared().home;
        Some(match name {
            "audit" if self.is_of_cluster() => {
                SystemTable::new(audit::AuditOfAll(Arc::clone(&cluster().catalog)), home)
            }
            "audit" => SystemTable::new(audit::AuditOfOne(snapshot), home),
            "databases" => {
                SystemTable::new(databases::Databases(Arc::clone(&cluster().catalog)), home)
            }
            "nodes" => SystemTable::new(nodes::Nodes(cluster().catalog.bucket().clone()), home),
            "parquet_files" => {
                let shared = Arc::clone(scope.shared());
                SystemTable::new(parquet_files::ParquetFiles { shared, snapshot }, home)
            }
            "plugin_files" => SystemTable::new(plugin_files::Files(cluster()), home),
            "processing_engine_logs" => SystemTable::new(
                processing_engine_logs::Logs {
                    cluster: cluster(),
                    database: self.asked(),
                },
                home,
            ),
            "tables" => SystemTable::new(tables::Tables(Arc::clone(&cluster().catalog)), home),
            "tokens" => SystemTable::new(tokens::Tokens(cluster()), home),
            _ => return None,
        })
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
        let table = self.to_read(name).transpose()?;
        Ok(table.map(|table| Arc::new(table) as _))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names().contains(&name)
    }
}

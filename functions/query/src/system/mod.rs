//! The schema `system`: what a database is made of, as tables.
//!
//! | table | a row for each |
//! |---|---|
//! | `compactions` | job that changed the manifest lately, or that is claimed now |
//! | `distinct_caches` | distinct value cache |
//! | `last_caches` | last value cache |
//! | `parquet_files` | section |
//! | `versions` | version of the manifest that can be read (`x-neap-as-of`) |

mod caches;
mod compactions;
mod distinct_caches;
mod last_caches;
mod parquet_files;
mod versions;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{Field, Schema},
};
use async_trait::async_trait;
use datafusion::{
    catalog::{MemTable, SchemaProvider, TableProvider},
    common::Result,
};
use neap_bucket::StoreTime;
use neap_manifest::Snapshot;

use crate::scan::Shared;
use parquet_files::ParquetFiles;

/// The tables of the schema, by name.
const TABLES: [&str; 5] = [
    "compactions",
    "distinct_caches",
    "last_caches",
    "parquet_files",
    "versions",
];

/// Rows with these columns: the name of each, whether it has nulls, and its values.
fn table(columns: Vec<(&str, bool, ArrayRef)>) -> Result<RecordBatch> {
    let fields = columns
        .iter()
        .map(|(name, has_nulls, values)| Field::new(*name, values.data_type().clone(), *has_nulls));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, _, values)| values).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// A time in nanoseconds since the Unix epoch, if it can be told in them.
fn nanoseconds(time: StoreTime) -> Option<i64> {
    time.micros().checked_mul(1_000)
}

/// The tables that tell about the database of a snapshot.
#[derive(Debug)]
pub(crate) struct SystemSchema {
    shared: Arc<Shared>,
    snapshot: Arc<Snapshot>,
    now: StoreTime,
}

impl SystemSchema {
    /// The schema for the database of a snapshot, at the time `now` of the store.
    pub(crate) fn new(shared: Arc<Shared>, snapshot: Arc<Snapshot>, now: StoreTime) -> Self {
        Self {
            shared,
            snapshot,
            now,
        }
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        TABLES.map(str::to_owned).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let of_rows = |rows: RecordBatch| -> Result<Option<Arc<dyn TableProvider>>> {
            Ok(Some(Arc::new(MemTable::try_new(
                rows.schema(),
                vec![vec![rows]],
            )?)))
        };
        match name {
            "compactions" => of_rows(compactions::rows(&self.snapshot, self.now)?),
            "distinct_caches" => of_rows(distinct_caches::rows(&self.snapshot)?),
            "last_caches" => of_rows(last_caches::rows(&self.snapshot)?),
            "parquet_files" => {
                let (shared, snapshot) = (Arc::clone(&self.shared), Arc::clone(&self.snapshot));
                Ok(Some(Arc::new(ParquetFiles::new(shared, snapshot))))
            }
            "versions" => of_rows(versions::rows(&self.snapshot)?),
            _ => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.contains(&name)
    }
}

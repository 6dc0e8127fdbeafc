//! Lists of the tables of a database: those that a statement can name, and those that are published.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    catalog::{SchemaProvider, information_schema::InformationSchemaProvider},
    logical_expr::TableType,
};
use neap_manifest::SnapshotError;
use neap_operators::Cancellation;
use neap_scan::StaleTail;
use neap_schema::{DatabaseId, TableId};
use neap_tables::{CATALOG, QueryContext, SCHEMA};

use crate::{QueryEngine, QueryError, QueryRequest};

/// The schema that describes tables and columns.
const INFORMATION_SCHEMA: &str = "information_schema";

/// A table of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTable {
    /// The schema of the table: `iox`, `system` or `information_schema`.
    pub schema: String,
    /// The name of the table.
    pub name: String,
    /// The former names that still stand for the table.
    pub aliases: Vec<String>,
    /// Whether the table is a view.
    pub is_view: bool,
    /// The columns of the table; `None` if they were not requested.
    pub columns: Option<SchemaRef>,
}

impl QueryEngine {
    /// The name of the catalog of all tables.
    pub const CATALOG: &str = CATALOG;

    /// The names of the schemas of the catalog.
    pub const SCHEMAS: [&str; 3] = [SCHEMA, "system", INFORMATION_SCHEMA];

    /// Lists the tables of a database, and of the schemas that describe it, by schema and name. The caller of this
    /// method checks the permission to read the database.
    ///
    /// # Errors
    /// The state of the database can't be read, or too many queries are waiting.
    pub async fn list_tables(
        &self,
        database: DatabaseId,
        request: &QueryRequest,
        with_columns: bool,
    ) -> Result<Vec<ListedTable>, QueryError> {
        let list = async {
            let options = self.snapshot_options(request);
            let cancellation = Cancellation::default();
            let context =
                self.context(database, options, request, StaleTail::Rebuild, cancellation);
            list(&context.await?, with_columns).await
        };
        self.run_with_permit(list).await
    }

    /// Returns the tables of a database that have a publication for other tools, also if they are dropped. The caller of
    /// this method checks the permission to read the database.
    ///
    /// # Errors
    /// The manifest can't be read.
    pub async fn published_tables(
        &self,
        database: DatabaseId,
    ) -> Result<BTreeSet<TableId>, QueryError> {
        let manifest = self.manifests().read(database, None).await.map_err(SnapshotError::from)?;
        Ok(manifest
            .value
            .publications
            .iter()
            .map(|publication| publication.table)
            .collect())
    }
}

async fn list(context: &QueryContext, with_columns: bool) -> Result<Vec<ListedTable>, QueryError> {
    let state = context.full_session();
    let catalogs = Arc::clone(state.catalog_list());
    let Some(catalog) = catalogs.catalog(CATALOG) else {
        return Ok(Vec::new());
    };
    let database = &context.snapshot.catalog.value;
    let mut tables = Vec::new();
    for schema in QueryEngine::SCHEMAS {
        let provider: Option<Arc<dyn SchemaProvider>> = match schema {
            INFORMATION_SCHEMA => Some(Arc::new(InformationSchemaProvider::new(Arc::clone(
                &catalogs,
            )))),
            _ => catalog.schema(schema),
        };
        let Some(provider) = provider else { continue };
        let mut names = provider.table_names();
        names.sort_unstable();
        for name in names {
            let table = provider.table(&name).await.map_err(QueryError::Planning)?;
            let Some(table) = table else { continue };
            let own = database.table(&name).filter(|_| schema == SCHEMA);
            tables.push(ListedTable {
                schema: schema.to_owned(),
                aliases: own.map(|table| table.aliases().to_vec()).unwrap_or_default(),
                name,
                is_view: table.table_type() == TableType::View,
                columns: with_columns.then(|| table.schema()),
            });
        }
    }
    Ok(tables)
}

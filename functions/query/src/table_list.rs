//! Lists of the tables of a database: those that a statement can name, and those that are published.

use std::{collections::BTreeSet, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{
    catalog::{SchemaProvider, information_schema::InformationSchemaProvider},
    logical_expr::TableType,
};
use neap_catalog::Table;
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
            let context = self.list_context(database, request).await?;
            list(&context, with_columns).await
        };
        self.run_with_permit(list).await
    }

    /// Lists the tables of a database by name, without those that describe it. Their tags come before other columns, in the order of
    /// the series key. The caller of this method checks the permission to read the database.
    ///
    /// # Errors
    /// The state of the database can't be read, or too many queries are waiting.
    pub(crate) async fn list_own_tables(
        &self,
        database: DatabaseId,
        request: &QueryRequest,
    ) -> Result<Vec<ListedTable>, QueryError> {
        let list = async {
            let context = self.list_context(database, request).await?;
            Ok(own_tables(&context, |table| Some(columns_by_key(table))))
        };
        self.run_with_permit(list).await
    }

    async fn list_context(
        &self,
        database: DatabaseId,
        request: &QueryRequest,
    ) -> Result<QueryContext, QueryError> {
        let options = self.snapshot_options(request);
        let cancellation = Cancellation::default();
        self.context(database, options, request, StaleTail::Rebuild, cancellation).await
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

/// Returns the tables of the database of a context, by name.
fn own_tables(
    context: &QueryContext,
    columns: impl Fn(&Table) -> Option<SchemaRef>,
) -> Vec<ListedTable> {
    let tables = context.snapshot.catalog.value.tables();
    let mut listed: Vec<ListedTable> = tables
        .map(|table| ListedTable {
            schema: SCHEMA.to_owned(),
            name: table.name().to_owned(),
            aliases: table.aliases().to_vec(),
            is_view: false,
            columns: columns(table),
        })
        .collect();
    listed.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    listed
}

/// Returns the columns of a table: the tags in the order of the series key, then the others by name.
fn columns_by_key(table: &Table) -> SchemaRef {
    let key = table.tag_names();
    let mut fields = table.arrow_schema().fields().to_vec();
    fields.sort_by_key(|field| {
        let position = key.iter().position(|tag| tag == field.name());
        position.unwrap_or(key.len())
    });
    Arc::new(Schema::new(fields))
}

async fn list(context: &QueryContext, with_columns: bool) -> Result<Vec<ListedTable>, QueryError> {
    let by_name = |table: &Table| with_columns.then(|| table.arrow_schema());
    let mut tables = own_tables(context, by_name);
    let state = context.full_session();
    let catalogs = Arc::clone(state.catalog_list());
    let Some(catalog) = catalogs.catalog(CATALOG) else {
        return Ok(tables);
    };
    let describing = QueryEngine::SCHEMAS.into_iter().filter(|schema| *schema != SCHEMA);
    for schema in describing {
        let provider: Option<Arc<dyn SchemaProvider>> = match schema {
            INFORMATION_SCHEMA => {
                Some(Arc::new(InformationSchemaProvider::new(Arc::clone(&catalogs))))
            }
            _ => catalog.schema(schema),
        };
        let Some(provider) = provider else { continue };
        let mut names = provider.table_names();
        names.sort_unstable();
        for name in names {
            let table = provider.table(&name).await.map_err(QueryError::from_planning)?;
            let Some(table) = table else { continue };
            tables.push(ListedTable {
                schema: schema.to_owned(),
                aliases: Vec::new(),
                name,
                is_view: table.table_type() == TableType::View,
                columns: with_columns.then(|| table.schema()),
            });
        }
    }
    Ok(tables)
}

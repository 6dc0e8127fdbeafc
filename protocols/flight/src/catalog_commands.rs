//! The commands of Flight SQL that describe catalogs, schemas, tables and keys.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int32Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use arrow_flight::sql::{Any, Command, CommandGetPrimaryKeys, CommandGetTables};
use neap_query::{ListedTable, QueryEngine};
use neap_schema::ColumnType;
use tonic::Status;

use crate::{request_metadata::RequestMetadata, row_stream::visible_columns, server_info, status};

/// The type of views in lists.
const VIEW: &str = "VIEW";

/// A command that describes catalogs, schemas, tables or keys.
#[derive(Clone, Debug)]
pub(crate) struct CatalogCommand(Command);

impl CatalogCommand {
    /// Returns the command if it is one of these.
    pub(crate) fn from_command(command: &Command) -> Option<Self> {
        match command {
            Command::CommandGetCatalogs(_)
            | Command::CommandGetDbSchemas(_)
            | Command::CommandGetTables(_)
            | Command::CommandGetTableTypes(_)
            | Command::CommandGetSqlInfo(_)
            | Command::CommandGetXdbcTypeInfo(_)
            | Command::CommandGetPrimaryKeys(_)
            | Command::CommandGetExportedKeys(_)
            | Command::CommandGetImportedKeys(_)
            | Command::CommandGetCrossReference(_) => Some(Self(command.clone())),
            _ => None,
        }
    }

    /// Returns the command as the ticket of its answer.
    pub(crate) fn ticket(&self) -> Any {
        self.0.clone().into_any()
    }

    /// Returns the columns of the answer.
    ///
    /// # Errors
    /// `Internal`.
    pub(crate) fn columns(&self) -> Result<SchemaRef, Status> {
        Ok(match self.0.clone() {
            Command::CommandGetCatalogs(command) => command.into_builder().schema(),
            Command::CommandGetDbSchemas(command) => command.into_builder().schema(),
            Command::CommandGetTables(command) => command.into_builder().schema(),
            Command::CommandGetTableTypes(command) => command.into_builder().schema(),
            Command::CommandGetSqlInfo(_) => server_info::sql_info()?.schema(),
            Command::CommandGetXdbcTypeInfo(_) => server_info::data_types()?.schema(),
            Command::CommandGetPrimaryKeys(_) => Arc::new(primary_key_schema()),
            _ => Arc::new(foreign_key_schema()),
        })
    }

    /// Returns the answer.
    ///
    /// # Errors
    /// The metadata are malformed, the sender lacks a permission, or the database can't be read.
    pub(crate) async fn answer(
        self,
        engine: &QueryEngine,
        metadata: &RequestMetadata,
    ) -> Result<RecordBatch, Status> {
        let internal =
            |error: arrow_flight::error::FlightError| Status::internal(error.to_string());
        match self.0 {
            Command::CommandGetCatalogs(command) => {
                let mut builder = command.into_builder();
                builder.append(QueryEngine::CATALOG);
                builder.build().map_err(internal)
            }
            Command::CommandGetDbSchemas(command) => {
                let mut builder = command.into_builder();
                for schema in QueryEngine::SCHEMAS {
                    builder.append(QueryEngine::CATALOG, schema);
                }
                builder.build().map_err(internal)
            }
            Command::CommandGetTables(command) => tables(command, engine, metadata).await,
            Command::CommandGetTableTypes(command) => {
                let mut builder = command.into_builder();
                builder.append(metadata.table_type()?);
                builder.append(VIEW);
                builder.build().map_err(internal)
            }
            Command::CommandGetSqlInfo(command) => {
                let info = server_info::sql_info()?;
                command.into_builder(info).build().map_err(internal)
            }
            Command::CommandGetXdbcTypeInfo(command) => {
                let types = server_info::data_types()?;
                command.into_builder(types).build().map_err(internal)
            }
            Command::CommandGetPrimaryKeys(command) => {
                primary_keys(command, engine, metadata).await
            }
            // There are no foreign keys.
            _ => Ok(RecordBatch::new_empty(Arc::new(foreign_key_schema()))),
        }
    }
}

async fn tables(
    command: CommandGetTables,
    engine: &QueryEngine,
    metadata: &RequestMetadata,
) -> Result<RecordBatch, Status> {
    let base = metadata.table_type()?;
    let with_columns = command.include_schema;
    let listed = list_tables(engine, metadata, with_columns).await?;
    let mut builder = command.into_builder();
    let empty = Schema::empty();
    for table in listed {
        let table_type = if table.is_view { VIEW } else { base };
        let visible = table.columns.as_ref().map(visible_columns);
        let columns = visible.as_deref().unwrap_or(&empty);
        let appended =
            builder.append(QueryEngine::CATALOG, table.schema, table.name, table_type, columns);
        appended.map_err(|error| Status::internal(error.to_string()))?;
    }
    builder.build().map_err(|error| Status::internal(error.to_string()))
}

async fn list_tables(
    engine: &QueryEngine,
    metadata: &RequestMetadata,
    with_columns: bool,
) -> Result<Vec<ListedTable>, Status> {
    let name = metadata.required_database()?;
    let database = engine
        .resolve_for_read(metadata.caller(), &name)
        .await
        .map_err(status::of_client_query)?;
    let tables = engine.list_tables(database, metadata.query_options(), with_columns);
    tables.await.map_err(status::of_query)
}

/// Returns the primary key of a table: its tags and its time. Flight SQL defines the columns.
async fn primary_keys(
    command: CommandGetPrimaryKeys,
    engine: &QueryEngine,
    metadata: &RequestMetadata,
) -> Result<RecordBatch, Status> {
    let is_ours = |given: &Option<String>, ours: &str| given.as_deref().is_none_or(|it| it == ours);
    let [own_schema, ..] = QueryEngine::SCHEMAS;
    let is_known =
        is_ours(&command.catalog, QueryEngine::CATALOG) && is_ours(&command.db_schema, own_schema);
    let mut listed = list_tables(engine, metadata, true).await?.into_iter();
    let table = listed.find(|table| table.schema == own_schema && table.name == command.table);
    let columns = table.filter(|_| is_known).and_then(|table| table.columns);
    let keys: Vec<String> = columns.iter().flat_map(|columns| key_columns(columns)).collect();
    primary_key_rows(&command.table, own_schema, &keys)
        .map_err(|error| Status::internal(error.to_string()))
}

fn key_columns(columns: &Schema) -> Vec<String> {
    let fields = columns.fields().iter();
    let tags = fields.clone().filter(|field| ColumnType::Tag.is_named_by(field));
    let time = fields.filter(|field| ColumnType::Time.is_named_by(field));
    tags.chain(time).map(|field| field.name().clone()).collect()
}

fn primary_key_schema() -> Schema {
    Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ])
}

fn primary_key_rows(table: &str, schema: &str, keys: &[String]) -> Result<RecordBatch, ArrowError> {
    let repeated = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; keys.len()])) };
    let numbers = (1..).take(keys.len());
    let columns = vec![
        repeated(QueryEngine::CATALOG),
        repeated(schema),
        repeated(table),
        Arc::new(StringArray::from_iter_values(keys)),
        Arc::new(StringArray::new_null(keys.len())),
        Arc::new(Int32Array::from_iter_values(numbers)),
    ];
    RecordBatch::try_new(Arc::new(primary_key_schema()), columns)
}

fn foreign_key_schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_key_is_the_tags_and_the_time() {
        let columns = Schema::new(vec![
            ColumnType::Time.arrow_field("time"),
            ColumnType::Float.arrow_field("value"),
            ColumnType::Tag.arrow_field("room"),
            ColumnType::Tag.arrow_field("host"),
        ]);
        let keys = key_columns(&columns);
        assert_eq!(keys, ["room", "host", "time"]);
        let rows = primary_key_rows("t", "iox", &keys).unwrap();
        assert_eq!(rows.num_rows(), 3);
    }
}

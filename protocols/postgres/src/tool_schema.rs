//! The schemas `pg_catalog` and `information_schema`, with what tools expect of their tables, and those of
//! `datafusion-pg-catalog` and of DataFusion lack.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    common::{Column, Result, ScalarValue},
    datasource::{ViewTable, empty::EmptyTable, provider_as_source},
    logical_expr::{Expr, LogicalPlanBuilder, case, cast, lit, when},
};

/// Columns of `pg_index`, `pg_constraint` and `pg_extension` that are lists of numbers.
const LISTS: [&str; 7] = [
    "conkey",
    "confkey",
    "extconfig",
    "indclass",
    "indcollation",
    "indkey",
    "indoption",
];

/// The object id of the schema `pg_catalog` in PostgreSQL, which its types and functions name.
const PG_CATALOG_ID: i32 = 11;

/// The name of a type in Arrow, in SQL, and in PostgreSQL.
type TypeNames = (&'static str, &'static str, &'static str);

const COLUMN_TYPES: [TypeNames; 12] = [
    ("Binary", "bytea", "bytea"),
    ("Boolean", "boolean", "bool"),
    ("Dictionary(Int32, Utf8)", "text", "text"),
    ("Float32", "real", "float4"),
    ("Float64", "double precision", "float8"),
    ("Int16", "smallint", "int2"),
    ("Int32", "integer", "int4"),
    ("Int64", "bigint", "int8"),
    ("Timestamp(ns)", "timestamp without time zone", "timestamp"),
    ("UInt64", "numeric", "numeric"),
    ("Utf8", "text", "text"),
    ("Utf8View", "text", "text"),
];

/// Tables of `information_schema` about keys, which Neap does not have, with their columns.
const KEY_TABLES: [(&str, &[&str]); 2] = [
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
        ],
    ),
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
];

/// The tables of DataFusion's `information_schema`, with types of PostgreSQL, and without keys.
#[derive(Debug)]
pub(crate) struct InformationSchema(pub(crate) Arc<dyn SchemaProvider>);

#[async_trait]
impl SchemaProvider for InformationSchema {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.0.table_names();
        names.extend(KEY_TABLES.map(|(name, _)| name.to_owned()));
        names
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name) || KEY_TABLES.iter().any(|(known, _)| *known == name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((_, columns)) = KEY_TABLES.iter().find(|(known, _)| *known == name) {
            let fields = columns.iter().map(|column| Field::new(*column, DataType::Utf8, true));
            let schema = Schema::new(fields.collect::<Vec<_>>());
            return Ok(Some(Arc::new(EmptyTable::new(Arc::new(schema)))));
        }
        match self.0.table(name).await? {
            Some(table) if name == "columns" => with_types(table).map(Some),
            other => Ok(other),
        }
    }
}

/// Counts columns from 1, and gives them types of PostgreSQL.
fn with_types(table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let mut selected = Vec::new();
    for field in table.schema().fields() {
        let name = field.name().as_str();
        let column = Expr::from(Column::from_name(name));
        selected.push(match name {
            "data_type" => type_name(|(_, sql, _)| sql)?.alias(name),
            "ordinal_position" => (cast(column, DataType::Int32) + lit(1_i32)).alias(name),
            _ => column,
        });
    }
    selected.push(lit("pg_catalog").alias("udt_schema"));
    selected.push(type_name(|(_, _, postgres)| postgres)?.alias("udt_name"));
    selected.push(lit("NO").alias("is_identity"));
    selected.push(lit("NEVER").alias("is_generated"));
    view(table, selected)
}

/// Returns a name of the type of a column; that of Arrow for types that columns of users do not have.
fn type_name(chosen: fn(TypeNames) -> &'static str) -> Result<Expr> {
    let arrow_name = Expr::from(Column::from_name("data_type"));
    let mut names = case(arrow_name.clone());
    for known in COLUMN_TYPES {
        names = names.when(lit(known.0), lit(chosen(known)));
    }
    names.otherwise(arrow_name)
}

/// The tables of `datafusion-pg-catalog`, some of them changed.
#[derive(Debug)]
pub(crate) struct ToolSchema(pub(crate) Arc<dyn SchemaProvider>);

#[async_trait]
impl SchemaProvider for ToolSchema {
    fn table_names(&self) -> Vec<String> {
        self.0.table_names()
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = self.0.table(name).await? else {
            return Ok(None);
        };
        let changed = match name {
            "pg_class" => with_options(table)?,
            "pg_constraint" | "pg_extension" | "pg_index" => without_rows(table.as_ref()),
            "pg_namespace" => with_known_id(table)?,
            _ => table,
        };
        Ok(Some(changed))
    }
}

/// Adds the privileges and options of tables, which have none.
fn with_options(table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let texts = DataType::new_list(DataType::Utf8, true);
    let mut selected = columns(table.as_ref());
    selected.push(lit(ScalarValue::Utf8(None)).alias("relacl"));
    selected.push(lit(ScalarValue::try_new_null(&texts)?).alias("reloptions"));
    view(table, selected)
}

/// Gives the schema `pg_catalog` the object id that it has in PostgreSQL.
fn with_known_id(table: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>> {
    let mut selected = columns(table.as_ref());
    for column in &mut selected {
        if matches!(column, Expr::Column(known) if known.name == "oid") {
            let is_catalog = Expr::from(Column::from_name("nspname")).eq(lit("pg_catalog"));
            let id = when(is_catalog, lit(PG_CATALOG_ID)).otherwise(column.clone())?;
            *column = id.alias("oid");
        }
    }
    view(table, selected)
}

fn columns(table: &dyn TableProvider) -> Vec<Expr> {
    let schema = table.schema();
    let names = schema.fields().iter().map(|field| Column::from_name(field.name()));
    names.map(Expr::from).collect()
}

fn view(table: Arc<dyn TableProvider>, selected: Vec<Expr>) -> Result<Arc<dyn TableProvider>> {
    let scan = LogicalPlanBuilder::scan("described", provider_as_source(table), None)?;
    let plan = scan.project(selected)?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// Returns a table of indexes, constraints or extensions, which Neap does not have. Its lists are lists, not texts.
fn without_rows(table: &dyn TableProvider) -> Arc<dyn TableProvider> {
    let schema = table.schema();
    let fields = schema.fields().iter().map(|field| {
        if LISTS.contains(&field.name().as_str()) {
            let numbers = DataType::new_list(DataType::Int16, true);
            Arc::new(Field::new(field.name(), numbers, true))
        } else {
            Arc::clone(field)
        }
    });
    let listed = Schema::new(fields.collect::<Vec<_>>());
    Arc::new(EmptyTable::new(Arc::new(listed)))
}

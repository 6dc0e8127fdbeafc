//! The schema `pg_catalog`, with what tools expect of its tables and those of `datafusion-pg-catalog` lack.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    common::{Column, Result, ScalarValue},
    datasource::{ViewTable, empty::EmptyTable, provider_as_source},
    logical_expr::{Expr, LogicalPlanBuilder, lit, when},
};

/// Columns of `pg_index` and `pg_constraint` that are lists of numbers.
const LISTS: [&str; 6] = [
    "conkey",
    "confkey",
    "indclass",
    "indcollation",
    "indkey",
    "indoption",
];

/// The object id of the schema `pg_catalog` in PostgreSQL, which its types and functions name.
const PG_CATALOG_ID: i32 = 11;

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
            "pg_constraint" | "pg_index" => without_rows(table.as_ref()),
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

/// Returns a table of indexes or constraints, which Neap does not have. Its lists are lists, not texts.
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

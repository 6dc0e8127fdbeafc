//! Arrow schemas that tables of a request share.
//!
//! Requests of Prometheus and OpenTelemetry have hundreds of tables with few rows, most of them with the columns of a table
//! before. Building a schema takes longer than building the columns of a few rows, and what is derived from a schema
//! later can be found by its address.

use std::{collections::VecDeque, sync::Arc};

use arrow_schema::{Schema, SchemaRef};
use neap_schema::ColumnType;

/// Maximum number of schemas that are kept.
const MAX_SCHEMAS: usize = 8;

/// The schemas that were built last.
#[derive(Debug, Default)]
pub(crate) struct RecentSchemas {
    recent: VecDeque<RecentSchema>,
}

#[derive(Debug)]
struct RecentSchema {
    types: Vec<ColumnType>,
    schema: SchemaRef,
}

impl RecentSchemas {
    /// Returns the schema of columns with these names and types, in this order.
    pub(crate) fn schema(&mut self, columns: &[(&str, ColumnType)]) -> SchemaRef {
        if let Some(known) = self.recent.iter().find(|known| known.has(columns)) {
            return Arc::clone(&known.schema);
        }
        let fields = columns.iter().map(|(name, column_type)| column_type.arrow_field(name));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        if self.recent.len() >= MAX_SCHEMAS {
            self.recent.pop_back();
        }
        self.recent.push_front(RecentSchema {
            types: columns.iter().map(|(_, column_type)| *column_type).collect(),
            schema: Arc::clone(&schema),
        });
        schema
    }
}

impl RecentSchema {
    fn has(&self, columns: &[(&str, ColumnType)]) -> bool {
        let fields = self.schema.fields();
        let mut named = fields.iter().zip(&self.types).zip(columns);
        fields.len() == columns.len()
            && named.all(|((field, column_type), (name, wanted))| {
                column_type == wanted && field.name() == name
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_with_the_same_columns_share_a_schema() {
        let mut schemas = RecentSchemas::default();
        let columns = [("host", ColumnType::Tag), ("time", ColumnType::Time)];
        let first = schemas.schema(&columns);
        assert_eq!(first.field(0), ColumnType::Tag.arrow_field("host").as_ref());
        assert_eq!(first.field(1), ColumnType::Time.arrow_field("time").as_ref());
        for other in [
            &columns[..1],
            &[("host", ColumnType::String), ("time", ColumnType::Time)],
            &[("rack", ColumnType::Tag), ("time", ColumnType::Time)],
            &[("time", ColumnType::Time), ("host", ColumnType::Tag)],
        ] {
            assert_ne!(schemas.schema(other), first);
        }
        assert!(Arc::ptr_eq(&schemas.schema(&columns), &first));
    }

    #[test]
    fn few_schemas_are_kept() {
        let mut schemas = RecentSchemas::default();
        for number in 0..100 {
            schemas.schema(&[(number.to_string().as_str(), ColumnType::Float)]);
        }
        assert_eq!(schemas.recent.len(), MAX_SCHEMAS);
    }
}

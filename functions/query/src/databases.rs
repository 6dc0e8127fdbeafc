//! Lists databases as rows.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray, StringBuilder},
    datatypes::{DataType, Field, Schema},
};

use neap_catalog::{INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_schema::DatabaseId;

use crate::{QueryEngine, QueryError};

impl QueryEngine {
    /// Returns the names of the databases that the caller may see: the live ones sorted by name, then, with
    /// `with_deleted`, the dropped ones and a column that marks them. With `with_settings`, columns show what writes to
    /// them may create, and what their rows do to earlier ones, which costs 1 GET for each.
    ///
    /// # Errors
    /// The catalog can't be read.
    pub async fn databases(
        &self,
        with_deleted: bool,
        with_settings: bool,
        sees: impl Fn(DatabaseId) -> bool,
    ) -> Result<RecordBatch, QueryError> {
        let root = self.catalog().root(Duration::ZERO).await?;
        let mut databases: Vec<(bool, &str, DatabaseId)> = root
            .value
            .databases()
            .iter()
            // Copies that backups hold are no databases of users.
            .filter(|(_, entry)| entry.backup.is_none())
            .map(|(id, entry)| (*id, entry.deletion.is_some(), entry.name.as_str()))
            .chain([(INTERNAL_DATABASE_ID, false, INTERNAL_DATABASE)])
            .filter(|(id, deleted, _)| (with_deleted || !deleted) && sees(*id))
            .map(|(id, deleted, name)| (deleted, name, id))
            .collect();
        databases.sort_unstable();
        let names: StringArray = databases.iter().map(|(_, name, _)| Some(*name)).collect();
        let mut fields = vec![Field::new("iox::database", DataType::Utf8, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
        if with_deleted {
            let deleted: BooleanArray =
                databases.iter().map(|(deleted, ..)| Some(*deleted)).collect();
            fields.push(Field::new("deleted", DataType::Boolean, false));
            columns.push(Arc::new(deleted));
        }
        if with_settings {
            let mut auto_create = StringBuilder::new();
            let mut on_duplicate = StringBuilder::new();
            for (_, _, id) in &databases {
                if *id == INTERNAL_DATABASE_ID {
                    auto_create.append_null();
                    on_duplicate.append_null();
                } else {
                    let catalog = self.catalog().database(*id, Duration::ZERO).await?;
                    auto_create.append_value(catalog.value.auto_create().as_str());
                    on_duplicate.append_value(catalog.value.on_duplicate().as_str());
                }
            }
            fields.push(Field::new("auto_create", DataType::Utf8, true));
            columns.push(Arc::new(auto_create.finish()));
            fields.push(Field::new("on_duplicate", DataType::Utf8, true));
            columns.push(Arc::new(on_duplicate.finish()));
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        rows.map_err(|error| QueryError::Execution(error.into()))
    }
}

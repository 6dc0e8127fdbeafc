//! Lists databases as rows.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};

use neap_catalog::{INTERNAL_DATABASE, INTERNAL_DATABASE_ID};
use neap_schema::DatabaseId;

use crate::{QueryEngine, QueryError};

impl QueryEngine {
    /// Returns the names of the databases that the caller may see: the live ones sorted by name, then, with
    /// `with_deleted`, the dropped ones and a column that marks them.
    ///
    /// # Errors
    /// The catalog can't be read.
    pub async fn databases(
        &self,
        with_deleted: bool,
        sees: impl Fn(DatabaseId) -> bool,
    ) -> Result<RecordBatch, QueryError> {
        let root = self.catalog().root(Duration::ZERO).await?;
        let mut databases: Vec<(bool, &str)> = root
            .value
            .databases()
            .iter()
            // Copies that backups hold are no databases of users.
            .filter(|(_, entry)| entry.backup.is_none())
            .map(|(id, entry)| (*id, entry.deletion.is_some(), entry.name.as_str()))
            .chain([(INTERNAL_DATABASE_ID, false, INTERNAL_DATABASE)])
            .filter(|(id, deleted, _)| (with_deleted || !deleted) && sees(*id))
            .map(|(_, deleted, name)| (deleted, name))
            .collect();
        databases.sort_unstable();
        let names: StringArray = databases.iter().map(|(_, name)| Some(*name)).collect();
        let mut fields = vec![Field::new("iox::database", DataType::Utf8, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
        if with_deleted {
            let deleted: BooleanArray =
                databases.iter().map(|(deleted, _)| Some(*deleted)).collect();
            fields.push(Field::new("deleted", DataType::Boolean, false));
            columns.push(Arc::new(deleted));
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        rows.map_err(|error| QueryError::Execution(error.into()))
    }
}

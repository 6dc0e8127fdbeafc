//! The list of databases, as rows.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};

use crate::{QueryEngine, QueryError};

impl QueryEngine {
    /// The names of all databases: the live ones by name, then, if asked for, the dropped ones, with a
    /// column that tells them apart.
    pub async fn databases(&self, with_deleted: bool) -> Result<RecordBatch, QueryError> {
        let root = self.catalog().root(Duration::ZERO).await?;
        let mut databases: Vec<(bool, &str)> = root
            .value
            .databases()
            .values()
            .map(|database| (database.deletion.is_some(), database.name.as_str()))
            .filter(|(deleted, _)| with_deleted || !deleted)
            .collect();
        databases.sort_unstable();
        let names: StringArray = databases.iter().map(|(_, name)| Some(*name)).collect();
        let mut fields = vec![Field::new("iox::database", DataType::Utf8, false)];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names)];
        if with_deleted {
            let deleted: BooleanArray = databases
                .iter()
                .map(|(deleted, _)| Some(*deleted))
                .collect();
            fields.push(Field::new("deleted", DataType::Boolean, false));
            columns.push(Arc::new(deleted));
        }
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        rows.map_err(|error| QueryError::Execution(error.into()))
    }
}

//! Rows that a client writes: held until they are complete, and stored in one request.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, FieldRef, Schema, SchemaRef},
};
use neap_bucket::Stamp;
use neap_query::{ClientQuery, QueryEngine, quoted_name};
use neap_rows::columnar::{
    ColumnMapping, ColumnarRows, NumberedBatch, TablePart, TagColumns, TimeColumn, batch_bytes,
};
use neap_schema::DatabaseId;
use neap_write::{Precision, RequestMemoryReservation, WriteFailure, WriteOptions, WriteService};

use crate::{
    change::WriteTarget,
    change_error::ChangeError,
    sql_error::{SqlError, SqlState, names_missing_table},
};

/// The columns that a statement writes, with the types of the table.
#[derive(Clone, Debug)]
pub struct WrittenColumns {
    /// The name of the table.
    pub table: String,
    /// The columns.
    pub fields: Vec<FieldRef>,
}

impl WrittenColumns {
    /// Returns the query whose answer has the columns of the table.
    pub fn query(target: &WriteTarget) -> String {
        format!("SELECT * FROM iox.{}", quoted_name(&target.table))
    }

    /// Asks the query function for the columns of the table, with the text of [`query`](Self::query).
    ///
    /// # Errors
    /// The sender may not read the table, or it does not exist; those of [`resolve`](Self::resolve).
    pub async fn describe(
        queries: &Arc<QueryEngine>,
        query: ClientQuery,
        target: &WriteTarget,
    ) -> Result<Self, ChangeError> {
        match queries.describe_as(query).await {
            Ok(described) => Ok(Self::resolve(&described.columns, target)?),
            Err(error) if names_missing_table(&error) => {
                let message = format!("relation \"{}\" does not exist", target.table);
                let hint = "CREATE TABLE creates it, or a write of line protocol.";
                Err(SqlError::new(SqlState::UNDEFINED_TABLE, message).with_hint(hint).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds the columns of a statement in those of the table.
    ///
    /// # Errors
    /// The table has no such column, or the statement names one twice.
    pub fn resolve(schema: &Schema, target: &WriteTarget) -> Result<Self, SqlError> {
        let mut fields: Vec<FieldRef> = Vec::new();
        for name in &target.columns {
            let (_, field) = schema.fields().find(name).ok_or_else(|| {
                let message =
                    format!("column \"{name}\" of relation \"{}\" does not exist", target.table);
                let hint = "Writes of line protocol add columns.";
                SqlError::new(SqlState::UNDEFINED_COLUMN, message).with_hint(hint)
            })?;
            if fields.iter().any(|known| known.name() == name) {
                let message = format!("column \"{name}\" specified more than once");
                return Err(SqlError::new(SqlState("42701"), message));
            }
            fields.push(Arc::clone(field));
        }
        if target.columns.is_empty() {
            fields = schema.fields().iter().cloned().collect();
        }
        Ok(Self { table: target.table.clone(), fields })
    }

    /// Returns the first value that [`batch`](Self::batch) refuses because of its type: its row, and the name of its column.
    pub fn refused_value(&self, columns: &[ArrayRef]) -> Option<(usize, &str)> {
        let of_columns = columns.iter().zip(&self.fields).filter_map(|(column, field)| {
            let row = refused_row(column, field.data_type())?;
            Some((row, field.name().as_str()))
        });
        of_columns.min_by_key(|(row, _)| *row)
    }

    /// Returns rows with the types of the table.
    ///
    /// # Errors
    /// There are more or fewer columns, or a value has not the type of its column.
    pub fn batch(&self, columns: &[ArrayRef]) -> Result<RecordBatch, SqlError> {
        if columns.len() != self.fields.len() {
            let message = format!(
                "INSERT has {} expressions for {} target columns",
                columns.len(),
                self.fields.len()
            );
            return Err(SqlError::syntax(message));
        }
        let mut arrays = Vec::with_capacity(columns.len());
        let mut fields = Vec::with_capacity(columns.len());
        for (column, field) in columns.iter().zip(&self.fields) {
            let array = converted(column, field.data_type())?;
            let field = field.as_ref().clone().with_data_type(array.data_type().clone());
            fields.push(field.with_nullable(true));
            arrays.push(array);
        }
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        Ok(RecordBatch::try_new(schema, arrays)?)
    }
}

/// Returns the first row whose value can't be converted.
fn refused_row(column: &ArrayRef, target: &DataType) -> Option<usize> {
    converted(column, target).err()?;
    // The rows before the first number can be converted, and those before the second one can't.
    let (mut good, mut bad) = (0, column.len());
    while bad - good > 1 {
        let middle = usize::midpoint(good, bad);
        if converted(&column.slice(good, middle - good), target).is_ok() {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Some(good)
}

/// Converts a column. Numbers keep their type, because the write function converts them only if no digit is lost.
fn converted(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, SqlError> {
    let source = column.data_type();
    if source == target || (source.is_numeric() && target.is_numeric()) {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, target, &options)?)
}

/// Rows that are not stored yet.
#[derive(Debug, Default)]
pub struct PendingRows {
    parts: Vec<TablePart>,
    reservation: Option<RequestMemoryReservation>,
    bytes: usize,
    rows: usize,
    only: Option<DatabaseId>,
}

impl PendingRows {
    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Drops the rows after the first `rows`. Their bytes count on, because they stay reserved.
    pub fn truncate(&mut self, rows: usize) {
        for part in &mut self.parts {
            part.batches.retain(|numbered| numbered.first_row <= rows);
        }
        self.parts.retain(|part| !part.batches.is_empty());
        self.rows = rows;
    }

    /// Adds rows of a table. `only` is the database that the sender may write to.
    ///
    /// # Errors
    /// There are more bytes than allowed, or there is no memory.
    pub async fn add(
        &mut self,
        writes: &WriteService,
        table: &str,
        batch: RecordBatch,
        max_bytes: usize,
        only: Option<DatabaseId>,
    ) -> Result<(), ChangeError> {
        let bytes = batch_bytes(&batch);
        if self.bytes.saturating_add(bytes) > max_bytes {
            let message = format!("the rows are larger than {max_bytes} bytes");
            let hint =
                "Use smaller statements and transactions, COPY outside of one, or line protocol.";
            return Err(SqlError::new(SqlState::LIMIT_EXCEEDED, message).with_hint(hint).into());
        }
        let reservation = writes.reserve(bytes).await?;
        match &mut self.reservation {
            Some(reserved) => reserved.merge(reservation),
            None => self.reservation = Some(reservation),
        }
        self.bytes += bytes;
        self.only = only;
        let numbered = NumberedBatch {
            first_row: self.rows + 1,
            batch,
            refused: Vec::new(),
            has_tag_dictionaries: false,
        };
        self.rows += numbered.batch.num_rows();
        match self.parts.last_mut() {
            Some(part) if part.mapping.table == table => part.batches.push(numbered),
            _ => self.parts.push(TablePart {
                mapping: ColumnMapping {
                    table: table.to_owned(),
                    tags: TagColumns::ByType,
                    time: TimeColumn::default(),
                },
                batches: vec![numbered],
            }),
        }
        Ok(())
    }

    /// Stores the rows, all or none, and returns the stamp of the write.
    ///
    /// # Errors
    /// A row is refused, or the rows are not stored.
    pub async fn store(
        self,
        writes: &WriteService,
        database: &str,
        after: Option<Stamp>,
    ) -> Result<Option<Stamp>, ChangeError> {
        let Some(reservation) = self.reservation else {
            return Ok(None);
        };
        let rows = ColumnarRows::from_parts(self.parts)
            .map_err(|error| SqlError::new(SqlState("22000"), error.to_string()))?;
        let options = WriteOptions {
            precision: Precision::Nanosecond,
            accept_partial: false,
            only: self.only,
            after,
            ..WriteOptions::default()
        };
        match writes.write_rows(reservation, database, &rows, options).await {
            Ok(accepted) => Ok(accepted.stamp),
            Err(WriteFailure::Empty) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Float64Array, Int64Array, StringArray};
    use neap_schema::ColumnType;

    use super::*;

    fn target(columns: &[&str]) -> WriteTarget {
        WriteTarget {
            table: "t".to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn schema() -> Schema {
        Schema::new(vec![
            ColumnType::Tag.arrow_field("host"),
            ColumnType::Time.arrow_field("time"),
            ColumnType::Integer.arrow_field("n"),
        ])
    }

    #[test]
    fn columns_are_found_by_name_or_by_position() {
        let named = WrittenColumns::resolve(&schema(), &target(&["n", "time"])).unwrap();
        let names: Vec<&str> = named.fields.iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["n", "time"]);
        assert_eq!(WrittenColumns::resolve(&schema(), &target(&[])).unwrap().fields.len(), 3);
        for (columns, state) in [(&["x"][..], "42703"), (&["n", "n"], "42701")] {
            let error = WrittenColumns::resolve(&schema(), &target(columns)).unwrap_err();
            assert_eq!(error.state.0, state);
        }
    }

    #[test]
    fn texts_become_the_types_of_the_table_and_numbers_stay() {
        let columns = WrittenColumns::resolve(&schema(), &target(&[])).unwrap();
        let batch = columns
            .batch(&[
                Arc::new(StringArray::from(vec![Some("a"), None])),
                Arc::new(StringArray::from(vec!["2024-01-01 00:00:00", "2024-01-01T00:00:01Z"])),
                Arc::new(Float64Array::from(vec![1.0, 1.5])),
            ])
            .unwrap();
        assert_eq!(batch.column(1).data_type(), &ColumnType::Time.data_type());
        assert_eq!(batch.column(2).data_type(), &DataType::Float64);
        assert_eq!(batch.column(0).null_count(), 1);
        let error = columns.batch(&[Arc::new(Int64Array::from(vec![1]))]).unwrap_err();
        assert_eq!(error.state, SqlState::SYNTAX);
        let words: ArrayRef = Arc::new(StringArray::from(vec!["soon"]));
        let error = columns.batch(&[Arc::clone(&words), Arc::clone(&words), words]).unwrap_err();
        assert_eq!(error.state, SqlState::INVALID_TEXT);
    }

    #[test]
    fn the_first_value_that_is_refused_is_found() {
        let columns = WrittenColumns::resolve(&schema(), &target(&[])).unwrap();
        let texts = |bad: Option<usize>, good: &str| -> ArrayRef {
            let values = (0..9).map(|row| Some(if Some(row) == bad { "soon" } else { good }));
            Arc::new(StringArray::from_iter(values))
        };
        let hosts = texts(None, "a");
        for (time, n, expected) in [
            (None, None, None),
            (Some(0), None, Some((0, "time"))),
            (Some(8), Some(3), Some((3, "n"))),
            (Some(4), Some(5), Some((4, "time"))),
        ] {
            let found = columns.refused_value(&[
                Arc::clone(&hosts),
                texts(time, "2024-01-01"),
                texts(n, "7"),
            ]);
            assert_eq!(found, expected);
        }
    }
}

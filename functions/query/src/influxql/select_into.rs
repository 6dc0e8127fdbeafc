//! `SELECT ... INTO`: stores the rows of a query as points.
//!
//! ```text
//!   rows of the query ──► points: tags of GROUP BY, other columns as fields ──► RowWriter, part by part
//! ```
//!
//! As in InfluxDB 1.x, the tags by which `top` and `bottom` select rows stay tags. Other tags that the statement selects
//! without `GROUP BY` become fields, null values are absent, and rows without a value are skipped. A repeated statement
//! writes the same points.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampNanosecondArray,
    },
    compute::{self, cast, filter_record_batch, nullif},
    datatypes::{DataType, Field, Float64Type, Schema, TimeUnit},
};
use datafusion::common::DataFusionError;
use futures::StreamExt;
use neap_bucket::Stamp;
use neap_catalog::{CatalogError, DatabaseAction, INTERNAL_DATABASE};
use neap_formats::series::{GroupKey, SeriesLayout};
use neap_influxql::{IntoTarget, SelectInto, Statement};
use neap_rows::columnar::{
    ColumnMapping, ColumnarRows, NumberedBatch, RowWriter, TablePart, TagColumns, TimeColumn,
    batch_bytes,
};
use neap_schema::{ColumnType, DatabaseId, TIME_COLUMN};

use super::{
    changes::SELECT_INTO,
    error::InfluxqlError,
    prepared_statement::PreparedStatement,
    session::{InfluxqlSession, StatementAnswer},
};
use crate::{BatchStream, QueryError, Rows};

/// The size at which rows are stored, in bytes.
const PART_BYTES: usize = 4 << 20;

/// The name of the series in the answer, and its columns, as in InfluxDB 1.x.
const RESULT_SERIES: &str = "result";
const WRITTEN_COLUMN: &str = "written";

/// The database that gets the rows.
#[derive(Debug)]
struct TargetDatabase {
    name: String,
    id: DatabaseId,
}

impl InfluxqlSession {
    /// Executes the query, stores its rows, and answers their number.
    pub(super) async fn select_into(
        &self,
        prepared: &PreparedStatement,
        statement: &SelectInto,
    ) -> Result<StatementAnswer, InfluxqlError> {
        let engine = &self.engine;
        let writer = engine.row_writer().ok_or(QueryError::NoWriter)?;
        let target = self.target_database(prepared, &statement.target).await?;
        // The log of the database that is read does not name the target.
        let query = PreparedStatement {
            text: statement.select.to_string(),
            statement: Statement::Select(Box::new(statement.select.clone())),
            ..prepared.clone()
        };
        let StatementAnswer { rows, series } = self.rows(&query).await?;
        let SeriesLayout::Columns(key) = series else {
            return Err(InfluxqlError::NotImplemented(SELECT_INTO));
        };
        let mut storage = RowStorage {
            writer: writer.as_ref(),
            target: &target,
            table: statement.target.table.as_deref(),
            key: &key,
            parts: Vec::new(),
            part_bytes: 0,
            added: 0,
            stored: 0,
            stamp: None,
        };
        let stored = storage.store(rows.batches).await;
        if stored.is_err() {
            rows.logged.iter().for_each(|query| query.fail());
        }
        stored?;
        written(storage.stored)
    }

    /// Returns the database of the target, which must exist, if the caller may write to it.
    async fn target_database(
        &self,
        prepared: &PreparedStatement,
        target: &IntoTarget,
    ) -> Result<TargetDatabase, InfluxqlError> {
        let policy = target.retention_policy.as_deref();
        let root = self.seen.root(self.engine.catalog()).await?;
        let name = match (&target.database, &prepared.requested) {
            (Some(database), _) => root.policy_database(database, policy),
            (None, Some(requested)) => {
                let policy = policy.or(requested.retention_policy.as_deref());
                root.policy_database(&requested.database, policy)
            }
            (None, None) => return Err(InfluxqlError::NoDatabase),
        };
        if name == INTERNAL_DATABASE {
            let text = format!("{INTERNAL_DATABASE} can't be changed");
            return Err(InfluxqlError::Invalid(text));
        }
        let Some(id) = self.find(&name).await? else {
            self.caller.require(DatabaseAction::Write, None)?;
            return Err(QueryError::DatabaseNotFound(name).into());
        };
        let may = |action| self.caller.may(action, Some(id));
        let checked = self.engine.catalog().check_row_permission(id, may).await;
        checked.map_err(|error| match error {
            CatalogError::Forbidden | CatalogError::AppendRefused => {
                InfluxqlError::Forbidden(error.into())
            }
            error => error.into(),
        })?;
        Ok(TargetDatabase { name, id })
    }
}

/// The part of the rows that is not stored yet.
struct RowStorage<'a> {
    writer: &'a dyn RowWriter,
    target: &'a TargetDatabase,
    /// The table of all rows; `None`: the table with the name of the source of each row.
    table: Option<&'a str>,
    key: &'a GroupKey,
    parts: Vec<TablePart>,
    part_bytes: usize,
    /// The number of rows that were added.
    added: usize,
    stored: usize,
    stamp: Option<Stamp>,
}

impl RowStorage<'_> {
    /// Stores all rows of the query.
    async fn store(&mut self, mut batches: BatchStream) -> Result<(), InfluxqlError> {
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| self.interrupted(error))?;
            self.add(&batch).await?;
        }
        self.flush().await
    }

    /// Adds rows of the query, and stores the part when it is large enough.
    async fn add(&mut self, batch: &RecordBatch) -> Result<(), InfluxqlError> {
        let of_tables = match self.table {
            Some(table) => vec![(table.to_owned(), batch.clone())],
            None => by_source(batch, self.key)?,
        };
        for (table, batch) in of_tables {
            let batch = points(&batch, self.key).map_err(QueryError::Execution)?;
            if batch.num_rows() == 0 {
                continue;
            }
            self.part_bytes += batch_bytes(&batch);
            let rows = batch.num_rows();
            self.parts.push(TablePart {
                mapping: self.mapping(table),
                batches: vec![NumberedBatch {
                    first_row: self.added + 1,
                    batch,
                    refused: Vec::new(),
                    has_tag_dictionaries: false,
                }],
            });
            self.added += rows;
        }
        if self.part_bytes >= PART_BYTES {
            self.flush().await
        } else {
            Ok(())
        }
    }

    fn mapping(&self, table: String) -> ColumnMapping {
        let tags = self.key.point_tags();
        ColumnMapping {
            table,
            tags: TagColumns::Named(tags.map(|tag| tag.tag_key.clone()).collect()),
            time: TimeColumn::default(),
        }
    }

    /// Stores the part.
    async fn flush(&mut self) -> Result<(), InfluxqlError> {
        if self.parts.is_empty() {
            return Ok(());
        }
        self.part_bytes = 0;
        let rows = ColumnarRows::from_parts(std::mem::take(&mut self.parts))
            .map_err(|error| self.failed(&error))?;
        let TargetDatabase { name, id } = self.target;
        // A later part may have other values for the points of an earlier one.
        let stored = self
            .writer
            .store_rows(name, *id, &rows, self.stamp)
            .await
            .map_err(|error| self.failed(&error))?;
        self.stored += stored.rows;
        self.stamp = self.stamp.max(stored.stamp);
        Ok(())
    }

    /// Returns the error of a query that failed after a part of its rows.
    fn interrupted(&self, error: QueryError) -> InfluxqlError {
        match self.stored {
            0 => error.into(),
            stored => InfluxqlError::PartlyStored { stored, error },
        }
    }

    fn failed(&self, error: &dyn std::error::Error) -> InfluxqlError {
        InfluxqlError::Invalid(match self.stored {
            0 => error.to_string(),
            stored => format!("{stored} rows are stored, the others are not: {error}"),
        })
    }
}

/// Divides a batch, whose rows are sorted by source, into the rows of each source.
fn by_source(
    batch: &RecordBatch,
    key: &GroupKey,
) -> Result<Vec<(String, RecordBatch)>, InfluxqlError> {
    let column = batch
        .columns()
        .get(key.measurement_column_index as usize)
        .ok_or(InfluxqlError::NotImplemented(SELECT_INTO))?;
    let texts =
        cast(column, &DataType::Utf8).map_err(|error| QueryError::Execution(error.into()))?;
    let names = texts.as_string::<i32>();
    let ranges = compute::partition(&[Arc::clone(&texts)])
        .map_err(|error| QueryError::Execution(error.into()))?;
    let parts = ranges.ranges().into_iter().map(|range| {
        let source = names.value(range.start).to_owned();
        (source, batch.slice(range.start, range.len()))
    });
    Ok(parts.collect())
}

/// Converts rows of an answer to points: tags get their own names, and rows without a value are removed. A tag of the points
/// that is selected, too, is no field.
fn points(batch: &RecordBatch, key: &GroupKey) -> Result<RecordBatch, DataFusionError> {
    let mut columns: Vec<(String, ArrayRef)> = Vec::with_capacity(batch.num_columns());
    let mut has_value = BooleanArray::from(vec![false; batch.num_rows()]);
    for (index, (field, values)) in
        batch.schema_ref().fields().iter().zip(batch.columns()).enumerate()
    {
        let tag = key.point_tags().find(|tag| tag.column_index as usize == index);
        let repeats_tag = || {
            ColumnType::is_tag_type(field.data_type())
                && key.point_tags().any(|tag| tag.tag_key == *field.name())
        };
        if let Some(tag) = tag {
            columns.push((tag.tag_key.clone(), Arc::clone(values)));
        } else if field.name() == TIME_COLUMN {
            columns.push((field.name().clone(), Arc::clone(values)));
        } else if index != key.measurement_column_index as usize && !repeats_tag() {
            let values = finite(values)?;
            has_value = compute::or(&has_value, &compute::is_not_null(&values)?)?;
            columns.push((field.name().clone(), values));
        }
    }
    let fields = columns
        .iter()
        .map(|(name, values)| Field::new(name.clone(), values.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    let points = RecordBatch::try_new(schema, columns)?;
    Ok(filter_record_batch(&points, &has_value)?)
}

/// Replaces floats that can't be stored, NaN and infinities, by nulls.
fn finite(values: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let Some(floats) = values.as_primitive_opt::<Float64Type>() else {
        return Ok(Arc::clone(values));
    };
    let are_not_finite: BooleanArray =
        floats.values().iter().map(|value| Some(!value.is_finite())).collect();
    Ok(nullif(values, &are_not_finite)?)
}

/// Returns the answer: the number of written rows.
fn written(rows: usize) -> Result<StatementAnswer, InfluxqlError> {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let schema = Schema::new(vec![
        Field::new(TIME_COLUMN, time, false),
        Field::new(WRITTEN_COLUMN, DataType::Int64, false),
    ]);
    let count = i64::try_from(rows).unwrap_or(i64::MAX);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampNanosecondArray::from(vec![0])),
        Arc::new(Int64Array::from(vec![count])),
    ];
    let batch = RecordBatch::try_new(Arc::new(schema), columns)
        .map_err(|error| QueryError::Execution(error.into()))?;
    Ok(StatementAnswer {
        rows: Rows::from_batch(batch),
        series: SeriesLayout::Single(Some(RESULT_SERIES)),
    })
}

#[cfg(test)]
mod tests;

//! Validates the rows of batches in their order.

use std::collections::HashMap;

use ahash::RandomState;
use arrow_array::RecordBatch;
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::ArrowError;

use crate::{
    columnar::{
        batch::{BatchColumn, BatchColumns, KnownColumn, RequestTime},
        error::RowRefusal,
        mapping::ColumnMapping,
        numbered_batch::NumberedBatch,
        recent_schemas::RecentSchemas,
        render::render_row,
        table::TableBuilder,
    },
    line_protocol::{LineError, Options, ParsedBody, SchemaView},
    schema_limits::LimitExceeded,
};

/// The tables and errors of a request so far.
pub(crate) struct Validator<'a> {
    schema: &'a dyn SchemaView,
    options: &'a Options,
    time: RequestTime,
    tables: Vec<TableBuilder>,
    tables_by_name: HashMap<String, usize, RandomState>,
    /// The number of new tables that have rows.
    new_tables: usize,
    /// The number of cells of all tables except the current one.
    other_cells: usize,
    /// The number of cells of all tables after the previous batch.
    cells: usize,
    rows_read: usize,
    rows_accepted: usize,
    errors: Vec<LineError>,
    is_stopped: bool,
}

impl<'a> Validator<'a> {
    pub(crate) fn new(schema: &'a dyn SchemaView, options: &'a Options) -> Self {
        Self {
            schema,
            options,
            time: RequestTime {
                precision: options.precision,
                default_time: options.precision.truncate(options.default_time_ns),
            },
            tables: Vec::new(),
            tables_by_name: HashMap::default(),
            new_tables: 0,
            other_cells: 0,
            cells: 0,
            rows_read: 0,
            rows_accepted: 0,
            errors: Vec::new(),
            is_stopped: false,
        }
    }

    /// Validates the rows of a batch. Does nothing after an error if validation stops at the first one.
    pub(crate) fn add_batch(
        &mut self,
        numbered: &NumberedBatch,
        mapping: &ColumnMapping,
    ) -> Result<(), ArrowError> {
        if self.is_stopped || numbered.batch.num_rows() == 0 {
            return Ok(());
        }
        let index = self.find_or_add_table(&mapping.table);
        let Some(table) = self.tables.get(index) else {
            return Ok(());
        };
        self.other_cells = self.cells.saturating_sub(table.cells(0));
        let known = |name: &str| {
            Some(KnownColumn {
                column_type: table.column_type(name)?,
                present_name: table.present_name(name).map(str::to_owned),
            })
        };
        let mut columns = BatchColumns::new(numbered, mapping, self.time, known)?;
        for column in &mut columns.columns {
            // A column of another type is not that of the table, even if accepted rows have no value in it.
            if !column.has_conflict() {
                column.table_column = table.find(column.name());
            }
        }
        let accepted = self.validate_rows(index, &mut columns, &numbered.batch, numbered.first_row);
        if let Some(table) = self.tables.get_mut(index) {
            self.cells = self.other_cells.saturating_add(table.cells(0));
            table.add_batch(columns, accepted);
        }
        Ok(())
    }

    fn find_or_add_table(&mut self, name: &str) -> usize {
        if let Some(index) = self.tables_by_name.get(name) {
            return *index;
        }
        let index = self.tables.len();
        self.tables_by_name.insert(name.to_owned(), index);
        let hasher = self.tables_by_name.hasher().clone();
        let table = TableBuilder::new(name.to_owned(), self.schema.table(name), hasher);
        self.tables.push(table);
        index
    }

    /// Validates each row of a batch. Returns the accepted ones; `None` if all are.
    fn validate_rows(
        &mut self,
        index: usize,
        batch: &mut BatchColumns,
        source: &RecordBatch,
        first_row: usize,
    ) -> Option<BooleanBuffer> {
        let mut accepted: Option<BooleanBufferBuilder> = None;
        let mut unseen = unseen_columns(&batch.columns);
        for row in 0..batch.rows {
            if self.accept_rest(index, batch, row, &unseen) {
                break;
            }
            self.rows_read += 1;
            let Err(refusal) = self.validate_row(index, batch, row, &mut unseen) else {
                self.rows_accepted += 1;
                continue;
            };
            let accepted = accepted.get_or_insert_with(|| BooleanBufferBuilder::new(batch.rows));
            accepted.append_n(row - accepted.len(), true);
            accepted.append(false);
            self.report(source, row, first_row + row, &refusal);
            if self.options.stop_at_first_error {
                self.is_stopped = true;
                accepted.append_n(batch.rows - accepted.len(), false);
                break;
            }
        }
        let mut accepted = accepted?;
        accepted.append_n(batch.rows - accepted.len(), true);
        Some(accepted.finish())
    }

    /// Accepts all rows from `row` on at once. Returns false if some of them may be refused, or may add columns: then each
    /// row is validated.
    fn accept_rest(
        &mut self,
        index: usize,
        batch: &BatchColumns,
        row: usize,
        unseen: &[usize],
    ) -> bool {
        let Some(table) = self.tables.get_mut(index) else {
            return false;
        };
        let rows = batch.rows - row;
        let cells = self.other_cells.saturating_add(table.cells(rows));
        let limit = self.options.max_cells;
        if table.rows == 0
            || batch.refused.is_some()
            || !unseen.is_empty()
            || limit.is_some_and(|limit| cells > limit)
        {
            return false;
        }
        table.rows += rows;
        self.rows_read += rows;
        self.rows_accepted += rows;
        true
    }

    /// Validates a row, and counts it if it is accepted. `unseen` are the columns of the batch that no accepted row has
    /// named.
    #[inline]
    fn validate_row(
        &mut self,
        index: usize,
        batch: &mut BatchColumns,
        row: usize,
        unseen: &mut Vec<usize>,
    ) -> Result<(), RowRefusal> {
        let Some(table) = self.tables.get_mut(index) else {
            return Ok(());
        };
        let is_refused = batch.refused.as_ref().is_some_and(|rows| rows.value(row));
        let has_value = |column: &usize| {
            let column: Option<&BatchColumn> = batch.columns.get(*column);
            column.is_some_and(|column| column.has_value(row))
        };
        let is_plain = !is_refused && table.rows > 0 && !unseen.iter().any(has_value);
        let column_count = table.column_count();
        let limits = RowLimits { options: self.options, new_tables: self.new_tables };
        let row_validated = if is_plain {
            Ok(())
        } else {
            limits.validate_in_full(table, batch, row)
        };
        let validated = row_validated.and_then(|()| match self.options.max_cells {
            Some(limit) if self.other_cells + table.cells(1) > limit => {
                Err(LimitExceeded::Cells(limit).into())
            }
            _ => Ok(()),
        });
        if let Err(refusal) = validated {
            table.truncate_columns(column_count);
            for column in &mut batch.columns {
                column.table_column = column.table_column.filter(|index| *index < column_count);
            }
            return Err(refusal);
        }
        self.new_tables += usize::from(table.is_to_be_created());
        table.rows += 1;
        if table.column_count() > column_count {
            *unseen = unseen_columns(&batch.columns);
        }
        Ok(())
    }

    fn report(&mut self, batch: &RecordBatch, row: usize, number: usize, refusal: &RowRefusal) {
        let limit = self.options.max_errors;
        if limit.is_some_and(|limit| self.errors.len() >= limit) {
            return;
        }
        self.errors.push(LineError {
            line_number: number,
            original_line: render_row(batch, row),
            error_message: refusal.to_string(),
            kind: refusal.kind(),
            conflict: None,
        });
    }

    pub(crate) fn finish(self) -> Result<ParsedBody, ArrowError> {
        let mut schemas = RecentSchemas::default();
        let tables = self
            .tables
            .into_iter()
            .filter_map(|table| table.finish(&mut schemas).transpose());
        Ok(ParsedBody {
            tables: tables.collect::<Result<_, _>>()?,
            errors: self.errors,
            lines: self.rows_read,
            rows: self.rows_accepted,
        })
    }
}

fn unseen_columns(columns: &[BatchColumn]) -> Vec<usize> {
    let unseen = columns.iter().enumerate();
    unseen
        .filter(|(_, column)| column.table_column.is_none())
        .map(|(index, _)| index)
        .collect()
}

/// The limits that a row is checked against.
#[derive(Clone, Copy, Debug)]
struct RowLimits<'a> {
    options: &'a Options,
    new_tables: usize,
}

impl RowLimits<'_> {
    /// Checks a row in the order of the line protocol parser: values that are not line protocol, tags, fields, time.
    /// Adds the columns that the row names first to the table, even if it is refused.
    fn validate_in_full(
        self,
        table: &mut TableBuilder,
        batch: &mut BatchColumns,
        row: usize,
    ) -> Result<(), RowRefusal> {
        let time = batch.time_refusal(row);
        batch.check_syntax(row, time.as_ref())?;
        if table.is_to_be_created() {
            self.options.limits.check_new_table(|| table.name().to_owned())?;
            if let Some(limit) = self.options.tables {
                limit.check(self.new_tables)?;
            }
        }
        for column in &mut batch.columns {
            if !column.has_value(row) {
                continue;
            }
            if let Some(refusal) = column.type_refusal().or_else(|| column.value_refusal(row)) {
                return Err(refusal);
            }
            if column.table_column.is_none() {
                let limits = &self.options.limits;
                let added = table.add_column(column.name(), column.column_type, limits)?;
                column.table_column = Some(added);
            }
        }
        time.map_or(Ok(()), Err)
    }
}

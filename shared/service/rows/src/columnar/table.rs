//! The accepted rows of one table.

use std::sync::Arc;

use ahash::RandomState;
use arrow_array::{
    Array, ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray, cast::AsArray,
    types::Int32Type,
};
use arrow_buffer::{BooleanBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use neap_schema::{ColumnType, ORDER_COLUMN, TIME_COLUMN, validate_column_name};

use crate::{
    columnar::{
        batch::BatchColumns,
        column_names::ColumnNames,
        convert::ConvertedColumn,
        error::RowRefusal,
        joined_column::{ColumnPart, join_parts},
        recent_schemas::RecentSchemas,
        tag_dictionary::TagDictionary,
    },
    line_protocol::{ROWS_PER_COLUMN, TableRows, TableView},
    schema_limits::{NewColumns, SchemaLimits},
};

/// A table while rows are added to it.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    name: String,
    /// The existing table, if there is one.
    view: Option<Arc<TableView>>,
    /// The columns that accepted rows name, in the order of their first row.
    columns: Vec<TableColumn>,
    names: ColumnNames,
    hasher: RandomState,
    new_columns: NewColumns,
    pub(crate) rows: usize,
    batches: Vec<AcceptedRows>,
}

#[derive(Debug)]
struct TableColumn {
    name: String,
    column_type: ColumnType,
    /// The position of the column in the catalog's order; `None` if it is new.
    position: Option<usize>,
}

/// The accepted rows of a batch.
#[derive(Debug)]
struct AcceptedRows {
    /// The values with the indexes of their columns in the table, in this order.
    columns: Vec<(usize, ConvertedColumn)>,
    times: ScalarBuffer<i64>,
    /// The accepted rows; `None` if all are.
    selection: Option<BooleanBuffer>,
    rows: usize,
    /// Whether the dictionaries of tags have exactly the values of all rows.
    has_tag_dictionaries: bool,
}

impl AcceptedRows {
    /// Returns the values of a column of the table.
    fn column(&self, index: usize) -> Option<&ConvertedColumn> {
        let found = self.columns.binary_search_by_key(&index, |(index, _)| *index);
        found.ok().and_then(|at| self.columns.get(at)).map(|(_, column)| column)
    }
}

impl TableBuilder {
    pub(crate) fn new(name: String, view: Option<Arc<TableView>>, hasher: RandomState) -> Self {
        Self {
            name,
            view,
            columns: Vec::new(),
            names: ColumnNames::new(hasher.clone()),
            hasher,
            new_columns: NewColumns::default(),
            rows: 0,
            batches: Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type of a column that exists or that an accepted row has named.
    pub(crate) fn column_type(&self, name: &str) -> Option<ColumnType> {
        match self.find(name) {
            Some(index) => self.columns.get(index).map(|column| column.column_type),
            None => self.view.as_ref().and_then(|view| view.column_type(name)),
        }
    }

    /// Returns the column with a name or an alias, if an accepted row has named it.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let present = self.present_name(name).unwrap_or(name);
        self.names.find(present, &self.columns, |column| &column.name)
    }

    /// Returns the present name of the column of an alias.
    pub(crate) fn present_name(&self, alias: &str) -> Option<&str> {
        self.view.as_ref()?.present_name(alias.as_bytes())
    }

    /// Returns whether the next accepted row creates the table.
    pub(crate) fn is_to_be_created(&self) -> bool {
        self.rows == 0 && self.view.is_none()
    }

    pub(crate) fn column_count(&self) -> usize {
        self.columns.len()
    }

    /// Removes the columns after the first `count` ones.
    pub(crate) fn truncate_columns(&mut self, count: usize) {
        for (offset, column) in self.columns.drain(count..).enumerate() {
            self.names.remove(&column.name, count + offset);
            if column.position.is_none() {
                self.new_columns.remove(column.column_type);
            }
        }
    }

    /// Adds a column, whose type does not conflict with the existing one.
    pub(crate) fn add_column(
        &mut self,
        name: &str,
        column_type: ColumnType,
        limits: &SchemaLimits,
    ) -> Result<usize, RowRefusal> {
        let position = self.view.as_ref().and_then(|view| view.position(name));
        if position.is_none() {
            self.check_new_column(name, column_type, limits)?;
            self.new_columns.add(column_type);
        }
        let index = self.columns.len();
        let present_name = self.present_name(name).unwrap_or(name).to_owned();
        self.columns.push(TableColumn { name: present_name, column_type, position });
        self.names.add_last(&self.columns, |column| &column.name);
        Ok(index)
    }

    /// Checks whether a column may be created, as the line protocol parser does.
    fn check_new_column(
        &self,
        name: &str,
        column_type: ColumnType,
        limits: &SchemaLimits,
    ) -> Result<(), RowRefusal> {
        if name == TIME_COLUMN && !self.is_to_be_created() {
            return Err(RowRefusal::ColumnType {
                column: name.to_owned(),
                expected: ColumnType::Time,
                got: column_type,
            });
        }
        if name == TIME_COLUMN || name == ORDER_COLUMN {
            return Err(RowRefusal::ReservedColumn(name.to_owned()));
        }
        validate_column_name(name)?;
        let view = self.view.as_deref();
        if view.is_some() {
            limits.check_new_column(|| self.name.clone(), || name.to_owned())?;
        }
        Ok(self.new_columns.check(view, column_type, limits)?)
    }

    /// Returns the number of cells of the table with `more_rows` additional rows; 0 if it has no rows.
    pub(crate) fn cells(&self, more_rows: usize) -> usize {
        match self.rows + more_rows {
            0 => 0,
            rows => (self.columns.len() + 1) * (rows + ROWS_PER_COLUMN),
        }
    }

    /// Adds the accepted rows of a batch, which are already counted: all, if there is no selection.
    pub(crate) fn add_batch(&mut self, batch: BatchColumns, selection: Option<BooleanBuffer>) {
        let selected = selection.as_ref().map(BooleanBuffer::count_set_bits);
        let rows = selected.unwrap_or(batch.rows);
        if rows == 0 {
            return;
        }
        let mut columns: Vec<_> = batch
            .columns
            .into_iter()
            .filter_map(|column| Some((column.table_column?, column.converted)))
            .collect();
        columns.sort_unstable_by_key(|(index, _)| *index);
        self.batches.push(AcceptedRows {
            columns,
            times: batch.times,
            selection,
            rows,
            has_tag_dictionaries: batch.has_tag_dictionaries,
        });
    }

    /// Returns the rows, or `None` if there are none.
    pub(crate) fn finish(
        self,
        schemas: &mut RecentSchemas,
    ) -> Result<Option<TableRows>, ArrowError> {
        if self.rows == 0 {
            return Ok(None);
        }
        let new_columns = self
            .columns
            .iter()
            .filter(|column| column.position.is_none())
            .map(|column| (column.name.clone(), column.column_type))
            .collect();
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        // The sort is stable, and new columns are in the order of first occurrence.
        order.sort_by_key(|index| {
            let column = self.columns.get(*index);
            let is_field = column.is_none_or(|column| column.column_type != ColumnType::Tag);
            let position = column.and_then(|column| column.position);
            (is_field, position.unwrap_or(usize::MAX))
        });
        let mut columns: Vec<(&str, ColumnType)> = Vec::with_capacity(order.len() + 1);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(order.len() + 1);
        for index in order {
            let Some(column) = self.columns.get(index) else {
                continue;
            };
            columns.push((&column.name, column.column_type));
            arrays.push(match column.column_type {
                ColumnType::Tag => self.build_tag(index)?,
                column_type => self.build_field(index, column_type)?,
            });
        }
        columns.push((TIME_COLUMN, ColumnType::Time));
        arrays.push(Arc::new(TimestampNanosecondArray::new(self.build_times(), None)));
        Ok(Some(TableRows {
            batch: RecordBatch::try_new(schemas.schema(&columns), arrays)?,
            name: self.name,
            is_new: self.view.is_none(),
            new_columns,
        }))
    }

    fn build_field(&self, index: usize, column_type: ColumnType) -> Result<ArrayRef, ArrowError> {
        if let [batch] = self.batches.as_slice()
            && batch.selection.is_none()
            && let Some(column) = batch.column(index)
        {
            return Ok(Arc::clone(&column.values));
        }
        let parts = self.batches.iter().map(|batch| {
            let column = batch.column(index);
            ColumnPart {
                values: column.map(|column| column.values.as_ref()),
                selection: batch.selection.as_ref(),
                rows: batch.rows,
            }
        });
        join_parts(column_type, &parts.collect::<Vec<_>>())
    }

    fn build_tag(&self, index: usize) -> Result<ArrayRef, ArrowError> {
        if let [batch] = self.batches.as_slice()
            && batch.has_tag_dictionaries
            && batch.selection.is_none()
            && let Some(column) = batch.column(index)
        {
            return Ok(Arc::clone(&column.values));
        }
        let mut dictionary = TagDictionary::with_capacity(self.rows, self.hasher.clone());
        for batch in &self.batches {
            match batch.column(index) {
                Some(column) => push_tags(&mut dictionary, column, batch.selection.as_ref()),
                None => dictionary.push_nulls(batch.rows),
            }
        }
        dictionary.finish()
    }

    fn build_times(&self) -> ScalarBuffer<i64> {
        if let [batch] = self.batches.as_slice()
            && batch.selection.is_none()
        {
            return batch.times.clone();
        }
        let mut times = Vec::with_capacity(self.rows);
        for batch in &self.batches {
            match &batch.selection {
                Some(selection) => {
                    times.extend(selection.set_indices().filter_map(|row| batch.times.get(row)))
                }
                None => times.extend_from_slice(&batch.times),
            }
        }
        times.into()
    }
}

/// Adds the selected rows of a tag column.
fn push_tags(
    dictionary: &mut TagDictionary,
    column: &ConvertedColumn,
    selection: Option<&BooleanBuffer>,
) {
    let is_accepted = |row| selection.is_none_or(|selection| selection.value(row));
    let has_value = |row| {
        let nulls = column.nulls.as_ref();
        nulls.is_none_or(|nulls| nulls.is_valid(row))
    };
    let accepted = (0..column.values.len()).filter(|row| is_accepted(*row));
    let source = column.values.as_dictionary_opt::<Int32Type>();
    if let Some(source) = source.and_then(|source| source.downcast_dict::<StringArray>()) {
        // Each value of the source is looked up once.
        let mut keys: Vec<Option<i32>> = vec![None; source.values().len()];
        for row in accepted {
            let key = usize::try_from(source.keys().value(row)).unwrap_or(usize::MAX);
            match keys.get_mut(key).filter(|_| has_value(row)) {
                Some(known) => {
                    let key =
                        *known.get_or_insert_with(|| dictionary.key(source.values().value(key)));
                    dictionary.push_key(key);
                }
                None => dictionary.push_nulls(1),
            }
        }
        return;
    }
    let texts = column.values.as_string::<i32>();
    let mut previous: Option<(&str, i32)> = None;
    for row in accepted {
        if !has_value(row) {
            dictionary.push_nulls(1);
            continue;
        }
        let text = texts.value(row);
        let key = match previous {
            Some((value, key)) if value == text => key,
            _ => dictionary.key(text),
        };
        previous = Some((text, key));
        dictionary.push_key(key);
    }
}

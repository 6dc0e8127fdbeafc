//! The rows of one table while a body is parsed.

use std::{borrow::Cow, sync::Arc};

use ahash::RandomState;
use arrow_array::{ArrayRef, RecordBatch, TimestampNanosecondArray};
use arrow_schema::{ArrowError, FieldRef, Schema};
use hashbrown::HashMap;
use neap_schema::{ColumnType, ORDER_COLUMN, TIME_COLUMN, validate_column_name};

use crate::{
    SchemaLimits,
    line_protocol::{
        column::ColumnBuilder,
        error::{LineRefusal, text},
        line::{ExpectedField, FieldText},
        scan::{Token, TokenKind},
        schema::TableView,
    },
    schema_limits::NewColumns,
};

/// The accepted lines of one table, as columns.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The name of the table.
    pub name: String,
    /// Whether the table is new.
    pub is_new: bool,
    /// The new columns without `time`, in the order in which the body first names them. The order of the tags among
    /// them is that of the series key.
    pub new_columns: Vec<(String, ColumnType)>,
    /// One row for each line, in the order of the lines. Contains the columns that occur in the body: tags, then
    /// fields, then `time`. Within tags and fields, existing columns come first, in the order of the catalog, then new
    /// columns.
    pub batch: RecordBatch,
}

/// The number of rows that a column counts for besides its values.
pub const ROWS_PER_COLUMN: usize = 32;

/// The treatment of a name that a line repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepeatedNames {
    /// The line is refused.
    Refused,
    /// The first value counts, as in QuestDB. Tags come before fields.
    Ignored,
}

/// The number of columns of a table before a line. Used to roll back a refused line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollbackPoint(usize);

#[derive(Debug)]
pub(crate) struct TableBuilder<'a> {
    name: Cow<'a, [u8]>,
    /// The existing table, if there is one.
    view: Option<Arc<TableView>>,
    columns: Vec<ColumnBuilder<'a>>,
    columns_by_name: HashMap<Cow<'a, [u8]>, u32, RandomState>,
    new_columns: NewColumns,
    /// The fields of the previous lines by their position in the line.
    expected_fields: Vec<ExpectedField<'a>>,
    tag_sets: u32,
    tag_set_of_row: Vec<u32>,
    times: Vec<i64>,
}

impl<'a> TableBuilder<'a> {
    pub(crate) fn new(name: Cow<'a, [u8]>, view: Option<Arc<TableView>>) -> Self {
        Self {
            name,
            view,
            columns: Vec::new(),
            columns_by_name: HashMap::default(),
            new_columns: NewColumns::default(),
            expected_fields: Vec::new(),
            tag_sets: 0,
            tag_set_of_row: Vec::new(),
            times: Vec::new(),
        }
    }

    pub(crate) fn expected_fields(&self) -> &[ExpectedField<'a>] {
        &self.expected_fields
    }

    pub(crate) fn name(&self) -> String {
        text(&self.name).into_owned()
    }

    /// Returns whether the next accepted line creates the table.
    #[inline]
    pub(crate) fn is_to_be_created(&self) -> bool {
        self.times.is_empty() && self.view.is_none()
    }

    pub(crate) fn checkpoint(&self) -> RollbackPoint {
        RollbackPoint(self.columns.len())
    }

    /// Removes the columns that were added since the checkpoint.
    pub(crate) fn roll_back(&mut self, checkpoint: RollbackPoint) {
        for column in self.columns.drain(checkpoint.0..) {
            self.columns_by_name.remove(column.name.as_ref());
            if column.position.is_none() {
                self.new_columns.remove(column.column_type);
            }
        }
    }

    /// Resolves the columns of the tags of a line, and adds missing ones. A tag that is ignored has none.
    pub(crate) fn resolve_tags(
        &mut self,
        tags: &[(Token<'a>, Token<'a>)],
        line: usize,
        limits: &SchemaLimits,
        repeated: RepeatedNames,
        columns: &mut Vec<Option<u32>>,
    ) -> Result<(), LineRefusal> {
        columns.clear();
        for (key, _) in tags {
            let index = self.resolve(key.unescape(TokenKind::Key), ColumnType::Tag, limits)?;
            let is_repeated = self.mark_seen(index, line);
            if is_repeated && repeated == RepeatedNames::Refused {
                let name = text(&key.unescape(TokenKind::Key)).into_owned();
                return Err(LineRefusal::DuplicateTag(name));
            }
            columns.push((!is_repeated).then_some(index));
        }
        Ok(())
    }

    /// Removes the columns of the fields whose names their line has before, as a tag or as another field, and resolves
    /// those of the others like [`resolve_fields`](Self::resolve_fields). `tag_set` is that of the line; `None` if the
    /// tags were resolved for this line.
    pub(crate) fn resolve_first_fields(
        &mut self,
        fields: &mut [FieldText<'a>],
        line: usize,
        limits: &SchemaLimits,
        tag_set: Option<u32>,
    ) -> Result<(), LineRefusal> {
        let mut is_empty = true;
        for field in fields {
            if self.is_repeated(field, line, tag_set) {
                field.column = None;
            } else {
                self.resolve_fields(std::slice::from_mut(field), line, limits)?;
                is_empty = false;
            }
        }
        if is_empty {
            Err(LineRefusal::SymbolsOnly)
        } else {
            Ok(())
        }
    }

    fn is_repeated(&self, field: &FieldText<'a>, line: usize, tag_set: Option<u32>) -> bool {
        let known = || self.find(&field.name());
        let column = field.column.or_else(known).and_then(|index| self.column(index));
        column.is_some_and(|column| {
            column.seen_in_line == line || tag_set.is_some_and(|tag_set| column.has_tag(tag_set))
        })
    }

    /// Resolves the columns of the fields of a line, and adds missing ones.
    pub(crate) fn resolve_fields(
        &mut self,
        fields: &mut [FieldText<'a>],
        line: usize,
        limits: &SchemaLimits,
    ) -> Result<(), LineRefusal> {
        for field in fields {
            let column_type = field.value.column_type();
            let index = match field.column {
                Some(index) => {
                    self.check_type(index, column_type)?;
                    index
                }
                None => self.resolve(field.name(), column_type, limits)?,
            };
            if self.mark_seen(index, line) {
                return Err(LineRefusal::DuplicateField(text(&field.name()).into_owned()));
            }
            field.column = Some(index);
        }
        Ok(())
    }

    /// Records that a line names a column. Returns whether the line named it before.
    #[inline]
    fn mark_seen(&mut self, index: u32, line: usize) -> bool {
        self.column_mut(index)
            .is_some_and(|column| std::mem::replace(&mut column.seen_in_line, line) == line)
    }

    #[inline]
    fn column_mut(&mut self, index: u32) -> Option<&mut ColumnBuilder<'a>> {
        self.columns.get_mut(usize::try_from(index).unwrap_or(usize::MAX))
    }

    #[inline]
    fn column(&self, index: u32) -> Option<&ColumnBuilder<'a>> {
        self.columns.get(usize::try_from(index).unwrap_or(usize::MAX))
    }

    /// Returns the column with a name or an alias, if a line has named it.
    fn find(&self, name: &[u8]) -> Option<u32> {
        let known = self.columns_by_name.get(name);
        let aliased = || self.columns_by_name.get(self.present_name(name)?.as_bytes());
        known.or_else(aliased).copied()
    }

    /// Returns the present name of the column of an alias.
    fn present_name(&self, alias: &[u8]) -> Option<&str> {
        self.view.as_ref()?.present_name(alias)
    }

    #[inline]
    fn check_type(&self, index: u32, got: ColumnType) -> Result<(), LineRefusal> {
        match self.column(index) {
            Some(column) if column.column_type != got => {
                Err(self.type_conflict(&column.name, column.column_type, got))
            }
            _ => Ok(()),
        }
    }

    fn resolve(
        &mut self,
        name: Cow<'a, [u8]>,
        column_type: ColumnType,
        limits: &SchemaLimits,
    ) -> Result<u32, LineRefusal> {
        if let Some(index) = self.find(&name) {
            self.check_type(index, column_type)?;
            return Ok(index);
        }
        let known = self.view.as_ref().and_then(|view| view.column(&name));
        match known {
            Some(known) if known.column_type != column_type => {
                return Err(self.type_conflict(&name, known.column_type, column_type));
            }
            Some(_) => {}
            None => self.check_new_column(&name, column_type, limits)?,
        }
        let index = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        let present_name = match self.present_name(&name) {
            Some(present) => Cow::Owned(present.as_bytes().to_vec()),
            None => name,
        };
        self.columns_by_name.insert(present_name.clone(), index);
        self.columns.push(ColumnBuilder::new(
            present_name,
            column_type,
            known.map(|known| known.position),
        ));
        if known.is_none() {
            self.new_columns.add(column_type);
        }
        Ok(index)
    }

    /// Checks whether a column may be created. If the table exists, a column with the name of its time column is a type
    /// conflict, as in InfluxDB 3.
    fn check_new_column(
        &self,
        name: &[u8],
        column_type: ColumnType,
        limits: &SchemaLimits,
    ) -> Result<(), LineRefusal> {
        let exists = self.view.is_some() || !self.times.is_empty();
        if name == TIME_COLUMN.as_bytes() && exists {
            return Err(self.type_conflict(name, ColumnType::Time, column_type));
        }
        if name == TIME_COLUMN.as_bytes() || name == ORDER_COLUMN.as_bytes() {
            return Err(LineRefusal::ReservedColumn(text(name).into_owned()));
        }
        validate_column_name(&text(name))?;
        let view = self.view.as_deref();
        if view.is_some() {
            limits.check_new_column(|| self.name(), || text(name).into_owned())?;
        }
        Ok(self.new_columns.check(view, column_type, limits)?)
    }

    fn type_conflict(&self, name: &[u8], expected: ColumnType, got: ColumnType) -> LineRefusal {
        LineRefusal::ColumnType {
            table: self.name(),
            column: text(name).into_owned(),
            expected,
            got,
        }
    }

    /// Returns the number of cells of the table with `more_rows` additional rows; 0 if it has no rows.
    #[inline]
    pub(crate) fn cells(&self, more_rows: usize) -> usize {
        match self.times.len() + more_rows {
            0 => 0,
            rows => (self.columns.len() + 1) * (rows + ROWS_PER_COLUMN),
        }
    }

    /// Adds a tag set whose columns are resolved. Returns its number.
    pub(crate) fn add_tag_set(
        &mut self,
        tags: &[(Token<'a>, Token<'a>)],
        columns: &[Option<u32>],
    ) -> u32 {
        let tag_set = self.tag_sets;
        let position = usize::try_from(tag_set).unwrap_or(usize::MAX);
        for ((_, value), index) in tags.iter().zip(columns) {
            if let Some(column) = index.and_then(|index| self.column_mut(index)) {
                column.set_tag(position, *value);
            }
        }
        self.tag_sets += 1;
        tag_set
    }

    /// Adds a row whose fields are resolved. The next line is expected to have these fields at the same positions.
    #[inline]
    pub(crate) fn add_row(&mut self, tag_set: u32, fields: &[FieldText<'a>], time: i64) {
        let row = self.times.len();
        for (place, field) in fields.iter().enumerate() {
            let Some(index) = field.column else { continue };
            if field.unexpected {
                self.expect_field(place, ExpectedField { key: field.key, column: index });
            }
            if let Some(column) = self.column_mut(index) {
                column.set(row, field.value);
            }
        }
        self.tag_set_of_row.push(tag_set);
        self.times.push(time);
    }

    fn expect_field(&mut self, place: usize, expected: ExpectedField<'a>) {
        match self.expected_fields.get_mut(place) {
            Some(field) => *field = expected,
            None => self.expected_fields.push(expected),
        }
    }

    /// Returns the rows, or `None` if there are none.
    pub(crate) fn finish(self) -> Result<Option<TableRows>, ArrowError> {
        if self.times.is_empty() {
            return Ok(None);
        }
        let name = self.name();
        let column_name = |column: &ColumnBuilder<'_>| text(&column.name).into_owned();
        let new_columns = self
            .columns
            .iter()
            .filter(|column| column.position.is_none())
            .map(|column| (column_name(column), column.column_type))
            .collect();
        let mut columns = self.columns;
        // The sort is stable, and new columns are in the order of first occurrence.
        columns.sort_by_key(|column| {
            let is_field = column.column_type != ColumnType::Tag;
            (is_field, column.position.unwrap_or(usize::MAX))
        });
        let mut fields: Vec<FieldRef> = Vec::with_capacity(columns.len() + 1);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len() + 1);
        for column in columns {
            fields.push(column.column_type.arrow_field(&text(&column.name)));
            arrays.push(column.finish(&self.tag_set_of_row)?);
        }
        fields.push(ColumnType::Time.arrow_field(TIME_COLUMN));
        arrays.push(Arc::new(TimestampNanosecondArray::from(self.times)));
        Ok(Some(TableRows {
            name,
            is_new: self.view.is_none(),
            new_columns,
            batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?,
        }))
    }
}

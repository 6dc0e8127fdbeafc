//! The columns of one batch, prepared for the validation of its rows.

use std::collections::HashSet;

use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, FieldRef};
use neap_schema::{COLUMN_TYPE_METADATA_KEY, ColumnType};

use crate::{
    columnar::{
        convert::{
            ConvertedColumn, are_numeric, convert_field, convert_tag, decode_encoding, field_type,
            is_text, union,
        },
        error::RowRefusal,
        mapping::{ColumnMapping, TagColumns},
        numbered_batch::{NumberedBatch, UnreadableRow},
        render::render_value,
        time::TimeValues,
    },
    line_protocol::{LineErrorKind, Precision},
};

/// The columns of a batch: tags, then fields.
#[derive(Debug)]
pub(crate) struct BatchColumns {
    pub(crate) rows: usize,
    pub(crate) columns: Vec<BatchColumn>,
    /// The times in nanoseconds.
    pub(crate) times: ScalarBuffer<i64>,
    /// The rows that cannot be accepted, whatever the limits are.
    pub(crate) refused: Option<BooleanBuffer>,
    /// Whether the dictionaries of tags are stored as they are.
    pub(crate) has_tag_dictionaries: bool,
    time_values: Option<TimeValues>,
    default_time: i64,
    unread: Vec<UnreadableRow>,
}

/// A column of a batch that has a value in some row.
#[derive(Debug)]
pub(crate) struct BatchColumn {
    field: FieldRef,
    /// The type in which the column is stored.
    pub(crate) column_type: ColumnType,
    pub(crate) converted: ConvertedColumn,
    /// The column of the table; `None` until a row with a value is accepted.
    pub(crate) table_column: Option<usize>,
    conflict: Option<ColumnRefusal>,
    source: ArrayRef,
    /// The name of the column in the table, if the batch names it by an alias.
    present_name: Option<String>,
}

/// What a table knows of a column of a batch.
#[derive(Debug)]
pub(crate) struct KnownColumn {
    pub(crate) column_type: ColumnType,
    /// The present name, if the batch names the column by an alias.
    pub(crate) present_name: Option<String>,
}

/// Reasons why no value of a column can be stored.
#[derive(Debug)]
enum ColumnRefusal {
    /// The Arrow type cannot be stored.
    Unsupported(DataType),
    /// The table has the column with another type.
    Column(ColumnType),
    /// Another column of the batch is the same one of the table: one of them has the name of an alias.
    Repeated,
}

/// The settings of a request that concern times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestTime {
    pub(crate) precision: Precision,
    /// The time of rows without a time, in nanoseconds.
    pub(crate) default_time: i64,
}

impl BatchColumns {
    /// Converts the columns of a batch. `existing` returns what the table knows of a column that it already has.
    pub(crate) fn new(
        numbered: &NumberedBatch,
        mapping: &ColumnMapping,
        time: RequestTime,
        existing: impl Fn(&str) -> Option<KnownColumn>,
    ) -> Result<Self, ArrowError> {
        let batch = &numbered.batch;
        let rows = batch.num_rows();
        let time_name = mapping.time.name();
        let mut columns: Vec<BatchColumn> = Vec::with_capacity(batch.num_columns());
        let mut time_values = None;
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            if array.logical_null_count() == rows {
                continue;
            }
            let array = decode_encoding(array)?;
            if field.name() == time_name {
                time_values = TimeValues::new(&array, &mapping.time, time.precision)?;
                continue;
            }
            let known = existing(field.name());
            let column = BatchColumn::new(field, array, &mapping.tags, known)?;
            if column.is_empty() {
                continue;
            }
            columns.push(column);
        }
        refuse_repeated(&mut columns);
        // The sort is stable: columns of the same rank keep the order of the batch.
        columns.sort_by_cached_key(|column| tag_order(&mapping.tags, column));
        let (times, refused_times) = match &time_values {
            Some(values) => values.decode_all(time.default_time),
            None => (vec![time.default_time; rows].into(), None),
        };
        let refused = find_refused(rows, &columns, refused_times);
        let refused = if numbered.refused.is_empty() {
            refused
        } else {
            union(refused, &unreadable_rows(rows, &numbered.refused))
        };
        Ok(Self {
            rows,
            columns,
            times,
            refused,
            has_tag_dictionaries: numbered.has_tag_dictionaries,
            time_values,
            default_time: time.default_time,
            unread: numbered.refused.clone(),
        })
    }

    /// Returns whether a row has a time of its own.
    pub(crate) fn has_time(&self, row: usize) -> bool {
        let values = self.time_values.as_ref();
        values.is_some_and(|values| values.has_time(row))
    }

    /// Checks the values of a row that could not be line protocol. `time` is the error of its time.
    pub(crate) fn check_syntax(
        &self,
        row: usize,
        time: Option<&RowRefusal>,
    ) -> Result<(), RowRefusal> {
        if let Ok(found) = self.unread.binary_search_by_key(&row, |unread| unread.index)
            && let Some(unread) = self.unread.get(found)
        {
            return Err(RowRefusal::Unreadable(unread.message.clone()));
        }
        let mut has_field = false;
        for column in &self.columns {
            has_field |= column.column_type != ColumnType::Tag && column.has_value(row);
            match column.value_refusal(row) {
                Some(refusal) if refusal.kind() == LineErrorKind::Parse => return Err(refusal),
                _ => {}
            }
        }
        if !has_field {
            return Err(RowRefusal::NoFields);
        }
        match time {
            Some(refusal) if refusal.kind() == LineErrorKind::Parse => Err(refusal.clone()),
            _ => Ok(()),
        }
    }

    /// Returns the error of the time of a row.
    pub(crate) fn time_refusal(&self, row: usize) -> Option<RowRefusal> {
        self.time_values
            .as_ref()
            .and_then(|values| values.decode(row, self.default_time).err())
    }
}

/// Returns the rank of a column: tags in the order of their names, then other tags, then fields.
fn tag_order(tags: &TagColumns, column: &BatchColumn) -> usize {
    match tags {
        _ if column.column_type != ColumnType::Tag => usize::MAX,
        TagColumns::ByType => 0,
        TagColumns::Named(names) => {
            let position = names.iter().position(|name| name == column.name());
            position.unwrap_or(names.len())
        }
    }
}

/// Refuses columns that an earlier one is, too, by an alias.
fn refuse_repeated(columns: &mut [BatchColumn]) {
    if columns.iter().all(|column| column.present_name.is_none()) {
        return;
    }
    let mut seen = HashSet::new();
    for column in columns {
        let name = column.present_name.as_deref().unwrap_or(column.name());
        if !seen.insert(name.to_owned()) {
            column.conflict = Some(ColumnRefusal::Repeated);
        }
    }
}

fn unreadable_rows(rows: usize, unread: &[UnreadableRow]) -> BooleanBuffer {
    let mut set = BooleanBufferBuilder::new(rows);
    set.append_n(rows, false);
    for row in unread.iter().filter(|row| row.index < rows) {
        set.set_bit(row.index, true);
    }
    set.finish()
}

/// Returns the rows without a field, and those with a value that is refused.
fn find_refused(
    rows: usize,
    columns: &[BatchColumn],
    refused_times: Option<BooleanBuffer>,
) -> Option<BooleanBuffer> {
    let mut refused = refused_times;
    for column in columns {
        if column.conflict.is_some() {
            let has_value = match &column.converted.nulls {
                Some(nulls) => nulls.inner().clone(),
                None => BooleanBuffer::new_set(rows),
            };
            refused = union(refused, &has_value);
        } else if let Some(values) = &column.converted.refused {
            refused = union(refused, values);
        }
    }
    let fields = || {
        let columns = columns.iter();
        columns.filter(|column| column.column_type != ColumnType::Tag)
    };
    if fields().any(|field| field.converted.nulls.is_none()) {
        return refused;
    }
    let mut has_field = BooleanBuffer::new_unset(rows);
    for nulls in fields().filter_map(|field| field.converted.nulls.as_ref()) {
        has_field = &has_field | nulls.inner();
    }
    if has_field.count_set_bits() < rows {
        refused = union(refused, &!&has_field);
    }
    refused
}

impl BatchColumn {
    fn new(
        field: &FieldRef,
        array: ArrayRef,
        tags: &TagColumns,
        known: Option<KnownColumn>,
    ) -> Result<Self, ArrowError> {
        let existing = known.as_ref().map(|known| known.column_type);
        let natural = if is_tag(field, array.data_type(), tags, existing) {
            tag_type(array.data_type())
        } else {
            field_type(array.data_type())
        };
        let (column_type, conflict) = match (natural, existing) {
            (None, _) => {
                (ColumnType::String, Some(ColumnRefusal::Unsupported(array.data_type().clone())))
            }
            (Some(natural), Some(existing)) if natural == existing => (natural, None),
            (Some(natural), Some(existing)) if are_numeric([natural, existing]) => (existing, None),
            (Some(natural), Some(existing)) => (natural, Some(ColumnRefusal::Column(existing))),
            (Some(natural), None) => (natural, None),
        };
        let converted = match (&conflict, natural) {
            (Some(_), _) | (None, None) => ConvertedColumn {
                nulls: array.logical_nulls(),
                values: ArrayRef::clone(&array),
                refused: None,
            },
            (None, Some(ColumnType::Tag)) => convert_tag(&array)?,
            (None, Some(natural)) => convert_field(&array, natural, column_type)?,
        };
        Ok(Self {
            field: FieldRef::clone(field),
            column_type,
            converted,
            table_column: None,
            conflict,
            source: array,
            present_name: known.and_then(|known| known.present_name),
        })
    }

    pub(crate) fn name(&self) -> &str {
        self.field.name()
    }

    /// Returns whether no value of the column can be stored.
    pub(crate) fn has_conflict(&self) -> bool {
        self.conflict.is_some()
    }

    /// Returns whether the column has no value.
    fn is_empty(&self) -> bool {
        let nulls = self.converted.nulls.as_ref();
        nulls.is_some_and(|nulls| nulls.null_count() == nulls.len())
    }

    #[inline]
    pub(crate) fn has_value(&self, row: usize) -> bool {
        let nulls = self.converted.nulls.as_ref();
        nulls.is_none_or(|nulls: &NullBuffer| nulls.is_valid(row))
    }

    /// Returns why the column cannot be stored; `None` if it can.
    pub(crate) fn type_refusal(&self) -> Option<RowRefusal> {
        let column = self.name().to_owned();
        Some(match self.conflict.as_ref()? {
            ColumnRefusal::Repeated => RowRefusal::RepeatedColumn(column),
            ColumnRefusal::Unsupported(data_type) => {
                RowRefusal::UnsupportedType { column, data_type: data_type.clone() }
            }
            ColumnRefusal::Column(existing) => {
                RowRefusal::ColumnType { column, expected: *existing, got: self.column_type }
            }
        })
    }

    /// Returns why the value of a row cannot be stored; `None` if it can.
    pub(crate) fn value_refusal(&self, row: usize) -> Option<RowRefusal> {
        if !self.converted.refused.as_ref()?.value(row) {
            return None;
        }
        let column = self.name().to_owned();
        let natural = field_type(self.source.data_type());
        Some(match self.column_type {
            ColumnType::Tag | ColumnType::String => RowRefusal::StringTooLong(column),
            ColumnType::Float if natural == Some(ColumnType::Float) => {
                RowRefusal::NotFinite { column, value: render_value(self.source.as_ref(), row) }
            }
            expected => RowRefusal::Inexact {
                column,
                value: render_value(self.source.as_ref(), row),
                expected,
            },
        })
    }
}

/// Returns whether a column is a tag. `existing` is the type that the table has under its name.
fn is_tag(
    field: &Field,
    data_type: &DataType,
    tags: &TagColumns,
    existing: Option<ColumnType>,
) -> bool {
    let has_named_type = field.metadata().contains_key(COLUMN_TYPE_METADATA_KEY);
    let is_text = is_text(data_type);
    let is_dictionary = is_text && matches!(data_type, DataType::Dictionary(..));
    match tags {
        TagColumns::Named(names) if names.contains(field.name()) => true,
        TagColumns::ByType if has_named_type => ColumnType::Tag.is_named_by(field),
        _ if is_text && existing == Some(ColumnType::Tag) => true,
        _ if is_text && existing == Some(ColumnType::String) => false,
        TagColumns::ByType => is_dictionary,
        TagColumns::Named(_) => false,
    }
}

/// Returns the type of a tag with values of an Arrow type; `None` if they cannot be tags.
fn tag_type(data_type: &DataType) -> Option<ColumnType> {
    field_type(data_type).map(|_| ColumnType::Tag)
}

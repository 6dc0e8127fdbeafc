//! JSON lines.

use std::{
    collections::HashMap,
    fmt,
    io::{BufRead, BufReader, Read},
    sync::Arc,
};

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, StringArray,
    UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use neap_rows::columnar::{ColumnMapping, NumberedBatch, TablePart, UnreadableRow};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    ReadError,
    cells::{CellType, inexact_message},
    input::CountingReader,
    json_cell::JsonCell,
    limits::{MAX_BATCH_ROWS, MAX_COLUMNS, MAX_PART_BYTES, check_columns},
    part_source::PartSource,
};

/// Maximum length of a line, in bytes.
const MAX_LINE_BYTES: usize = 16 << 20;

/// A file with one JSON object in each line.
pub(crate) struct JsonLinesFile {
    reader: BufReader<CountingReader>,
    mapping: ColumnMapping,
    columns: JsonColumns,
    /// The number of rows that are read.
    rows: usize,
}

/// Maximum number of cells of a part, including absent values; one more row may exceed it.
const MAX_PART_CELLS: usize = 1 << 22;

/// The columns in the order of their first row.
#[derive(Default)]
struct JsonColumns {
    columns: Vec<JsonColumn>,
    by_name: HashMap<String, usize>,
}

struct JsonColumn {
    name: String,
    /// The type that earlier parts have fixed.
    fixed_type: Option<CellType>,
    /// The type of the values in the current part; `None` if they are all null.
    part_type: Option<CellType>,
}

/// A row: the indexes of its columns with their values.
type Row = Vec<(usize, JsonCell)>;

/// The members of an object in their order.
#[derive(Default)]
struct ObjectMembers {
    /// At most [`MAX_COLUMNS`].
    members: Vec<(String, JsonCell)>,
    count: usize,
}

impl<'de> Deserialize<'de> for ObjectMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = ObjectMembers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectMembers, A::Error> {
                let mut object = ObjectMembers::default();
                while object.members.len() < MAX_COLUMNS {
                    let Some(member) = map.next_entry()? else {
                        break;
                    };
                    object.members.push(member);
                }
                object.count = object.members.len();
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    object.count += 1;
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

impl JsonLinesFile {
    pub(crate) fn new(input: CountingReader, mapping: ColumnMapping) -> Self {
        Self {
            reader: BufReader::new(input),
            mapping,
            columns: JsonColumns::default(),
            rows: 0,
        }
    }

    /// Reads the next line that is not blank into `line`. Returns whether there is one.
    fn read_line(&mut self, line: &mut Vec<u8>, row: usize) -> Result<bool, ReadError> {
        loop {
            line.clear();
            let limit = MAX_LINE_BYTES as u64 + 1;
            let mut limited = self.reader.by_ref().take(limit);
            let read = limited.read_until(b'\n', line)?;
            if read == 0 {
                return Ok(false);
            }
            if read > MAX_LINE_BYTES {
                return Err(ReadError::RowTooLong { row, limit: MAX_LINE_BYTES });
            }
            if row == 1 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

impl PartSource for JsonLinesFile {
    fn read_parts(&mut self) -> Result<Vec<TablePart>, ReadError> {
        let first_row = self.rows + 1;
        let mut rows: Vec<Row> = Vec::new();
        let mut refused = Vec::new();
        let mut line = Vec::new();
        let (mut bytes, mut columns) = (0, 0);
        while rows.len() < MAX_BATCH_ROWS
            && bytes < MAX_PART_BYTES
            && rows.len().saturating_mul(columns) < MAX_PART_CELLS
        {
            if !self.read_line(&mut line, first_row + rows.len())? {
                break;
            }
            bytes += line.len();
            let object = serde_json::from_slice(&line).unwrap_or_else(|error| {
                refused.push(UnreadableRow {
                    index: rows.len(),
                    message: format!("the line is not a JSON object: {error}"),
                });
                ObjectMembers::default()
            });
            check_columns(object.count)?;
            let (row, added) = self.columns.resolve(object.members);
            check_columns(self.columns.columns.len())?;
            columns += added;
            rows.push(row);
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.rows += rows.len();
        let batch = self
            .columns
            .build(&rows, &mut refused)
            .map_err(|error| ReadError::Arrow { row: first_row - 1, error })?;
        refused.sort_by_key(|row| row.index);
        refused.dedup_by_key(|row| row.index);
        Ok(vec![TablePart {
            mapping: self.mapping.clone(),
            batches: vec![NumberedBatch { first_row, batch, refused, has_tag_dictionaries: false }],
        }])
    }
}

impl JsonColumns {
    /// Finds the columns of an object, and adds new ones. Returns the row without nulls, and the number of columns that
    /// the part did not have before.
    fn resolve(&mut self, members: Vec<(String, JsonCell)>) -> (Row, usize) {
        let mut added = 0;
        let mut row = Vec::with_capacity(members.len());
        for (name, value) in members {
            let Some(value_type) = value.cell_type() else {
                continue;
            };
            let index = match self.by_name.get(&name) {
                Some(index) => *index,
                None => {
                    let index = self.columns.len();
                    self.by_name.insert(name.clone(), index);
                    self.columns.push(JsonColumn { name, fixed_type: None, part_type: None });
                    index
                }
            };
            if let Some(column) = self.columns.get_mut(index) {
                added += usize::from(column.part_type.is_none());
                let known = column.part_type.unwrap_or(value_type);
                column.part_type = Some(union(known, value_type));
            }
            row.push((index, value));
        }
        (row, added)
    }

    /// Builds the columns that the rows of a part name.
    fn build(
        &mut self,
        rows: &[Row],
        refused: &mut Vec<UnreadableRow>,
    ) -> Result<RecordBatch, ArrowError> {
        let mut cells: Vec<Vec<Option<&JsonCell>>> = Vec::new();
        let mut used: Vec<(&str, CellType)> = Vec::new();
        let mut positions: HashMap<usize, usize> = HashMap::new();
        for (index, column) in self.columns.iter_mut().enumerate() {
            let Some(part_type) = column.part_type.take() else {
                continue;
            };
            let fixed = *column.fixed_type.get_or_insert(part_type);
            positions.insert(index, cells.len());
            used.push((&column.name, fixed));
            cells.push(vec![None; rows.len()]);
        }
        for (number, row) in rows.iter().enumerate() {
            for (index, value) in row {
                let column = positions.get(index).and_then(|position| cells.get_mut(*position));
                if let Some(cell) = column.and_then(|column| column.get_mut(number)) {
                    *cell = Some(value);
                }
            }
        }
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        for ((name, cell_type), values) in used.into_iter().zip(&cells) {
            let array = to_array(name, cell_type, values, refused);
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        if arrays.is_empty() {
            // Rows without any value still have numbers.
            fields.push(Field::new("no columns", DataType::Null, true));
            arrays.push(Arc::new(NullArray::new(rows.len())));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}

/// Returns the type of a column with values of both types: that of all numbers, otherwise the first one.
fn union(first: CellType, other: CellType) -> CellType {
    let is_number = |cell_type: CellType| {
        matches!(cell_type, CellType::Integer | CellType::UInteger | CellType::Float)
    };
    if first != other && is_number(first) && is_number(other) {
        CellType::Float
    } else {
        first
    }
}

fn to_array(
    name: &str,
    cell_type: CellType,
    values: &[Option<&JsonCell>],
    refused: &mut Vec<UnreadableRow>,
) -> ArrayRef {
    let mut check = |row: usize, is_valid: bool, value: &JsonCell| {
        if !is_valid {
            refused.push(UnreadableRow {
                index: row,
                message: describe_mismatch(name, cell_type, value),
            });
        }
    };
    macro_rules! build {
        ($array:ty, $get:expr) => {{
            let values = values.iter().enumerate().map(|(row, value)| {
                let value: &JsonCell = (*value)?;
                let got = $get(value);
                check(row, got.is_some(), value);
                got
            });
            Arc::new(values.collect::<$array>())
        }};
    }
    match cell_type {
        CellType::Text => build!(StringArray, JsonCell::as_str),
        CellType::Integer => build!(Int64Array, JsonCell::as_i64),
        CellType::UInteger => build!(UInt64Array, JsonCell::as_u64),
        CellType::Float => build!(Float64Array, JsonCell::as_f64),
        CellType::Boolean => build!(BooleanArray, JsonCell::as_bool),
    }
}

fn describe_mismatch(name: &str, cell_type: CellType, value: &JsonCell) -> String {
    let shown: String = value.to_string().chars().take(64).collect();
    match (cell_type, value) {
        (_, JsonCell::Nested) => {
            format!("column '{name}' has an object or a list, which cannot be stored")
        }
        (CellType::Float, JsonCell::Integer(_) | JsonCell::UInteger(_)) => {
            inexact_message(name, &shown)
        }
        _ => format!("value `{shown}` of column '{name}' is not a valid {}", cell_type.name()),
    }
}

//! A section with annotations of InfluxDB 2.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Array, ArrayRef, NullArray, RecordBatch, StringArray};
use arrow_schema::{ArrowError, Field, Schema};
use neap_rows::columnar::{
    ColumnMapping, NumberedBatch, TablePart, TagColumns, TimeColumn, TimeFormat, UnreadableRow,
};

use super::{
    annotations::{Annotations, ColumnRole, ConstantColumn},
    chunk::{Chunk, refuse},
};
use crate::cells::{CellType, DecimalMark, TypeOrigin};

/// The name of the time in the batches of a section.
const TIME_COLUMN: &str = "time";

/// Maximum number of cells that the fields of a pivoted batch have.
const MAX_PIVOTED_CELLS: usize = 1 << 22;

/// The columns of the section by their roles.
pub(super) struct AnnotatedSection {
    columns: Vec<SectionColumn>,
    constants: Vec<ConstantColumn>,
    /// The table of rows without a measurement, and the zone of times.
    mapping: ColumnMapping,
    /// The types of fields that are inferred, by name.
    inferred: HashMap<String, CellType>,
}

#[derive(Debug)]
struct SectionColumn {
    name: String,
    role: ColumnRole,
    /// The value of empty cells.
    default: Option<String>,
}

/// Rows of one table in a chunk.
#[derive(Clone, Copy, Debug)]
struct Run {
    start: usize,
    length: usize,
}

/// Returns whether a section is annotated, or its header has the names of InfluxDB 2.
pub(super) fn is_annotated(header: &[&str], annotations: &Annotations) -> bool {
    annotations.is_annotated
        || header.contains(&"_measurement")
        || header.iter().any(|label| typed_label(label).is_some())
}

/// Splits a label such as `temperature|double|0` into its name, its role and its default.
fn typed_label(label: &str) -> Option<(&str, ColumnRole, &str)> {
    let (name, rest) = label.split_once('|')?;
    let (type_name, default) = rest.split_once('|').unwrap_or((rest, ""));
    ColumnRole::of_type(type_name).ok().flatten().map(|role| (name, role, default))
}

impl AnnotatedSection {
    pub(super) fn new(
        header: &[&str],
        annotations: Annotations,
        mapping: &ColumnMapping,
    ) -> Result<Self, String> {
        let is_pivoted = header.contains(&"_field") && header.contains(&"_value");
        let mut columns = Vec::with_capacity(header.len());
        for (index, label) in header.iter().enumerate() {
            let typed = typed_label(label);
            let declared = match (&typed, annotations.types.get(index)) {
                (Some((_, role, _)), _) => Some(role.clone()),
                (None, Some(type_name)) => ColumnRole::of_type(type_name)?,
                (None, None) => None,
            };
            let (name, default) = match &typed {
                Some((name, _, default)) => (*name, *default),
                None => (*label, ""),
            };
            let default = match annotations.defaults.get(index) {
                Some(value) if !value.is_empty() => value.as_str(),
                _ => default,
            };
            let group = annotations.groups.get(index).copied();
            let is_name_column = index == 0 && annotations.has_name_column;
            let role = if is_name_column || name.is_empty() {
                ColumnRole::Ignored
            } else {
                role_of(name, declared, group, is_pivoted, annotations.has_name_column)
            };
            columns.push(SectionColumn {
                name: name.to_owned(),
                role,
                default: (!default.is_empty()).then(|| default.to_owned()),
            });
        }
        ignore_other_times(&mut columns)?;
        let mut mapping = mapping.clone();
        mapping.time.zone = annotations.zone.or(mapping.time.zone);
        Ok(Self {
            columns,
            constants: annotations.constants,
            mapping,
            inferred: HashMap::new(),
        })
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(super) fn convert(&mut self, mut chunk: Chunk) -> Result<Vec<TablePart>, ArrowError> {
        for (column, cells) in self.columns.iter().zip(&mut chunk.columns) {
            if let Some(default) = &column.default {
                *cells = cells.iter().map(|cell| cell.or(Some(default))).collect();
            }
        }
        let tables = self.find(&chunk, |role| *role == ColumnRole::Measurement);
        let mut parts = Vec::new();
        let mut start = 0;
        while start < chunk.rows {
            let table = |row: usize| {
                let table = tables.filter(|cells| cells.is_valid(row));
                table.map(|cells| cells.value(row))
            };
            let same = (start..chunk.rows).take_while(|row| table(*row) == table(start));
            let run = Run { start, length: same.count() };
            self.convert_run(&chunk, run, table(start), &mut parts)?;
            start += run.length;
        }
        Ok(parts)
    }

    fn find<'a>(
        &self,
        chunk: &'a Chunk,
        is: impl Fn(&ColumnRole) -> bool,
    ) -> Option<&'a StringArray> {
        let index = self.columns.iter().position(|column| is(&column.role))?;
        chunk.columns.get(index)
    }

    /// Converts the rows of one table. Splits them if they have too many different fields.
    fn convert_run(
        &mut self,
        chunk: &Chunk,
        run: Run,
        table: Option<&str>,
        parts: &mut Vec<TablePart>,
    ) -> Result<(), ArrowError> {
        let names = self
            .find(chunk, |role| *role == ColumnRole::FieldName)
            .map(|names| names.slice(run.start, run.length));
        let field_names = names.as_ref().map(distinct).unwrap_or_default();
        if run.length > 1 && field_names.len() * run.length > MAX_PIVOTED_CELLS {
            let half = run.length / 2;
            for (start, length) in [(run.start, half), (run.start + half, run.length - half)] {
                self.convert_run(chunk, Run { start, length }, table, parts)?;
            }
            return Ok(());
        }
        let end = run.start + run.length;
        let refused =
            chunk
                .refused
                .iter()
                .filter(|row| (run.start..end).contains(&row.index))
                .map(|row| UnreadableRow {
                    index: row.index - run.start,
                    message: row.message.clone(),
                });
        let mut batch = RunBatch {
            rows: run.length,
            refused: refused.collect(),
            ..RunBatch::default()
        };
        for (column, cells) in self.columns.iter().zip(&chunk.columns) {
            let cells = cells.slice(run.start, run.length);
            let names = names.as_ref().map(|names| (names, &field_names[..]));
            batch.add(&column.role, &column.name, &cells, names, &mut self.inferred);
        }
        let mut table = table;
        for constant in &self.constants {
            if constant.role == ColumnRole::Measurement {
                table = table.or(Some(&constant.value));
                continue;
            }
            let cells = StringArray::from(vec![constant.value.as_str(); run.length]);
            batch.add(&constant.role, &constant.name, &cells, None, &mut self.inferred);
        }
        let table = table.unwrap_or(&self.mapping.table).to_owned();
        parts.push(batch.into_part(table, &self.mapping, chunk.first_row + run.start)?);
        Ok(())
    }
}

/// Returns the role of a column with a name and a declared role, if there is one. `group` says whether the column is
/// part of the key of its table.
fn role_of(
    name: &str,
    declared: Option<ColumnRole>,
    group: Option<bool>,
    is_pivoted: bool,
    is_query_result: bool,
) -> ColumnRole {
    let value_type = match &declared {
        Some(ColumnRole::Field(value_type)) => *value_type,
        _ => None,
    };
    match (name, declared) {
        ("_start" | "_stop", _) => ColumnRole::Ignored,
        (
            _,
            Some(
                role @ (ColumnRole::Measurement
                | ColumnRole::Tag
                | ColumnRole::Ignored
                | ColumnRole::Time(_)),
            ),
        ) => role,
        ("_measurement", _) => ColumnRole::Measurement,
        ("_time", _) => ColumnRole::Time(TimeFormat::Auto),
        ("_field", _) if is_pivoted => ColumnRole::FieldName,
        ("_value", _) if is_pivoted => ColumnRole::FieldValue(value_type),
        ("result" | "table", _) if is_query_result => ColumnRole::Ignored,
        _ if group == Some(true) || (is_pivoted && group.is_none()) => ColumnRole::Tag,
        _ => ColumnRole::Field(value_type),
    }
}

/// Ignores columns of times beside `_time`.
fn ignore_other_times(columns: &mut [SectionColumn]) -> Result<(), String> {
    let is_time = |column: &SectionColumn| matches!(column.role, ColumnRole::Time(_));
    let has_time = columns.iter().any(|column| is_time(column) && column.name == "_time");
    let mut times: Vec<_> = columns.iter_mut().filter(|column| is_time(column)).collect();
    match (times.as_slice(), has_time) {
        ([] | [_], _) => {}
        (_, true) => {
            for column in times.iter_mut().filter(|column| column.name != "_time") {
                column.role = ColumnRole::Ignored;
            }
        }
        ([first, second, ..], false) => {
            return Err(format!(
                "the columns '{}' and '{}' are both times: make one of them ignored",
                first.name, second.name
            ));
        }
    }
    Ok(())
}

/// Returns the different texts in the order of their first row.
fn distinct(names: &StringArray) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let mut by_name: HashMap<&str, ()> = HashMap::new();
    for name in names.iter().flatten() {
        if by_name.insert(name, ()).is_none() {
            seen.push(name.to_owned());
        }
    }
    seen
}

/// The columns of a batch while they are converted.
#[derive(Default)]
struct RunBatch {
    rows: usize,
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
    tags: Vec<String>,
    time_format: Option<TimeFormat>,
    refused: Vec<UnreadableRow>,
}

impl RunBatch {
    /// Adds a column. `names` are the names of the fields in the rows of a pivoted section, and the different ones among
    /// them.
    fn add(
        &mut self,
        role: &ColumnRole,
        name: &str,
        cells: &StringArray,
        names: Option<(&StringArray, &[String])>,
        inferred: &mut HashMap<String, CellType>,
    ) {
        match (role, names) {
            (ColumnRole::Tag, _) => {
                self.tags.push(name.to_owned());
                self.push(name, Arc::new(cells.clone()));
            }
            (ColumnRole::Time(format), _) => {
                self.time_format = Some(format.clone());
                self.push(TIME_COLUMN, Arc::new(cells.clone()));
            }
            (ColumnRole::Field(value_type), _) => {
                self.add_field(*value_type, name, cells, inferred)
            }
            (ColumnRole::FieldValue(value_type), Some((names, different))) => {
                for field_name in different {
                    let values: StringArray = names
                        .iter()
                        .zip(cells)
                        .map(|(name, cell)| cell.filter(|_| name == Some(field_name)))
                        .collect();
                    self.add_field(*value_type, field_name, &values, inferred);
                }
            }
            _ => {}
        }
    }

    fn add_field(
        &mut self,
        value_type: Option<CellType>,
        name: &str,
        cells: &StringArray,
        inferred: &mut HashMap<String, CellType>,
    ) {
        let origin = match value_type {
            Some(_) => TypeOrigin::Declared,
            None => TypeOrigin::Inferred,
        };
        let value_type = value_type.or_else(|| match inferred.get(name) {
            Some(value_type) => Some(*value_type),
            None => {
                let value_type = CellType::infer(cells, DecimalMark::Point)?;
                inferred.insert(name.to_owned(), value_type);
                Some(value_type)
            }
        });
        let array: ArrayRef = match value_type {
            Some(value_type) => {
                let (array, invalid) = value_type.convert(name, cells, origin, DecimalMark::Point);
                refuse(&mut self.refused, invalid);
                array
            }
            None => Arc::new(NullArray::new(cells.len())),
        };
        self.push(name, array);
    }

    fn push(&mut self, name: &str, array: ArrayRef) {
        self.fields.push(Field::new(name, array.data_type().clone(), true));
        self.arrays.push(array);
    }

    fn into_part(
        mut self,
        table: String,
        mapping: &ColumnMapping,
        first_row: usize,
    ) -> Result<TablePart, ArrowError> {
        if self.arrays.is_empty() {
            self.push("no columns", Arc::new(NullArray::new(self.rows)));
        }
        let time = TimeColumn {
            name: self.time_format.is_some().then(|| TIME_COLUMN.to_owned()),
            format: match self.time_format {
                Some(TimeFormat::Auto) | None => mapping.time.format.clone(),
                Some(format) => format,
            },
            zone: mapping.time.zone,
        };
        Ok(TablePart {
            mapping: ColumnMapping { table, tags: TagColumns::Named(self.tags), time },
            batches: vec![NumberedBatch {
                first_row,
                batch: RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)?,
                refused: self.refused,
                has_tag_dictionaries: false,
            }],
        })
    }
}

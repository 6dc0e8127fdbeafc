//! The types of the columns of an imported file.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, can_cast_types, cast_with_options};
use arrow_schema::{DataType, Field, Schema};
use neap_rows::columnar::{ColumnMapping, TagColumns, TimeColumn};
use neap_schema::{ColumnType, TIME_COLUMN};
use serde::{Deserialize, Serialize};

/// Maximum number of columns in a mapping.
const MAX_MAPPED_COLUMNS: usize = 10_000;

/// The type of a column, with the names of InfluxDB 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImportColumnType {
    I64,
    U64,
    F64,
    Bool,
    String,
    Time,
    Tag,
}

/// The types of columns by name. The other columns keep the types that they have in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ColumnTypes(BTreeMap<String, ImportColumnType>);

/// The request's form of [`ColumnTypes`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnMetadata {
    #[serde(alias = "schema", alias = "column_metadata")]
    column_mapping: ColumnTypes,
}

/// The reason why a file does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ColumnError {
    #[error("invalid column_metadata: {0}")]
    Syntax(String),
    #[error("column_metadata names more than {MAX_MAPPED_COLUMNS} columns")]
    TooMany,
    #[error("the file has no column '{0}'")]
    Missing(String),
    #[error("the file has several columns '{0}'")]
    Duplicate(String),
    #[error("several columns are mapped to time: '{0}' and '{1}'")]
    SeveralTimes(String, String),
    #[error("the file has no column '{TIME_COLUMN}', and no column is mapped to time")]
    NoTime,
    #[error("column '{column}' of type {from} can't be of type {wanted}")]
    Type {
        column: String,
        from: DataType,
        wanted: ImportColumnType,
    },
    #[error("row {row}: the value of column '{column}' is not of type {wanted}")]
    Value {
        column: String,
        row: usize,
        wanted: ImportColumnType,
    },
    #[error("column '{column}' can't be converted: {reason}")]
    Convert { column: String, reason: String },
}

impl ImportColumnType {
    /// The type that values of a field are converted to; `None` for tags and times, which keep theirs.
    fn field_type(self) -> Option<DataType> {
        match self {
            Self::I64 => Some(DataType::Int64),
            Self::U64 => Some(DataType::UInt64),
            Self::F64 => Some(DataType::Float64),
            Self::Bool => Some(DataType::Boolean),
            Self::String => Some(DataType::Utf8),
            Self::Time | Self::Tag => None,
        }
    }
}

impl FromStr for ColumnTypes {
    type Err = ColumnError;

    /// Parses JSON such as `{"column_mapping": {"room": "tag", "at": "time"}}`.
    fn from_str(text: &str) -> Result<Self, ColumnError> {
        let metadata: ColumnMetadata =
            serde_json::from_str(text).map_err(|error| ColumnError::Syntax(error.to_string()))?;
        match metadata.column_mapping.0.len() {
            count if count > MAX_MAPPED_COLUMNS => Err(ColumnError::TooMany),
            _ => Ok(metadata.column_mapping),
        }
    }
}

impl ColumnTypes {
    /// Whether no column has a type of its own.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a column has a type of its own.
    pub(crate) fn names(&self, column: &str) -> bool {
        self.0.contains_key(column)
    }

    /// Checks that a file has the columns, and that their types can be converted.
    ///
    /// # Errors
    /// The first column that does not fit, or the file has no time.
    pub(crate) fn check(&self, schema: &Schema) -> Result<(), ColumnError> {
        let mut times = self.times();
        if let (Some(one), Some(other)) = (times.next(), times.next()) {
            return Err(ColumnError::SeveralTimes(one.to_owned(), other.to_owned()));
        }
        for (name, wanted) in &self.0 {
            let mut found = schema.fields().iter().filter(|field| field.name() == name);
            let field = found.next().ok_or_else(|| ColumnError::Missing(name.clone()))?;
            if found.next().is_some() {
                return Err(ColumnError::Duplicate(name.clone()));
            }
            let from = field.data_type();
            if wanted.field_type().is_some_and(|to| !can_cast_types(from, &to)) {
                return Err(ColumnError::Type {
                    column: name.clone(),
                    from: from.clone(),
                    wanted: *wanted,
                });
            }
        }
        match schema.field_with_name(self.time_column()) {
            Ok(_) => Ok(()),
            Err(_) => Err(ColumnError::NoTime),
        }
    }

    fn times(&self) -> impl Iterator<Item = &str> {
        let times = self.0.iter();
        times
            .filter(|(_, column_type)| **column_type == ImportColumnType::Time)
            .map(|(name, _)| name.as_str())
    }

    /// The name of the column with the times.
    pub(crate) fn time_column(&self) -> &str {
        self.times().next().unwrap_or(TIME_COLUMN)
    }

    /// Returns the tags of a file in the order of its columns: those of the mapping, and those that InfluxDB marked.
    pub(crate) fn tags(&self, schema: &Schema) -> Vec<String> {
        let is_tag = |field: &Field| match self.0.get(field.name()) {
            Some(wanted) => *wanted == ImportColumnType::Tag,
            None => ColumnType::Tag.is_named_by(field),
        };
        let fields = schema.fields().iter();
        fields.filter(|field| is_tag(field)).map(|field| field.name().clone()).collect()
    }

    /// Returns the roles of the columns of a file.
    pub(crate) fn mapping(&self, table: &str, schema: &Schema) -> ColumnMapping {
        let tags = self.tags(schema);
        ColumnMapping {
            table: table.to_owned(),
            tags: if tags.is_empty() {
                TagColumns::ByType
            } else {
                TagColumns::Named(tags)
            },
            time: TimeColumn {
                name: Some(self.time_column().to_owned()),
                ..TimeColumn::default()
            },
        }
    }

    /// Converts the columns of a batch to their types. `first_row` is the number of the first row, for errors.
    pub(crate) fn convert(
        &self,
        batch: &RecordBatch,
        first_row: usize,
    ) -> Result<RecordBatch, ColumnError> {
        let schema = batch.schema();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let wanted = self.0.get(field.name()).copied();
            let to = wanted.and_then(ImportColumnType::field_type);
            let (Some(wanted), Some(to)) = (wanted, to) else {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
                continue;
            };
            let converted = convert_column(column, &to, field.name(), first_row, wanted)?;
            // The metadata of the file's type no longer holds.
            fields.push(Arc::new(Field::new(field.name(), to, true)));
            columns.push(converted);
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
        batch.map_err(|error| ColumnError::Convert {
            column: String::new(),
            reason: error.to_string(),
        })
    }
}

fn convert_column(
    column: &dyn Array,
    to: &DataType,
    name: &str,
    first_row: usize,
    wanted: ImportColumnType,
) -> Result<ArrayRef, ColumnError> {
    // A value that can't be converted becomes null, so that the error can name its row.
    let options = CastOptions { safe: true, ..CastOptions::default() };
    let converted = cast_with_options(column, to, &options).map_err(|error| {
        ColumnError::Convert { column: name.to_owned(), reason: error.to_string() }
    })?;
    let is_lost = |row: &usize| converted.is_null(*row) && !column.is_null(*row);
    match (0..column.len()).find(is_lost) {
        None => Ok(converted),
        Some(row) => Err(ColumnError::Value {
            column: name.to_owned(),
            row: first_row.saturating_add(row),
            wanted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int64Array, StringArray, cast::AsArray, types::Int64Type};

    use super::*;

    fn types(text: &str) -> ColumnTypes {
        format!(r#"{{"column_mapping":{text}}}"#).parse().unwrap()
    }

    fn batch() -> RecordBatch {
        let columns: [(&str, ArrayRef); 4] = [
            ("at", Arc::new(Int64Array::from(vec![1, 2]))),
            ("room", Arc::new(StringArray::from(vec!["a", "b"]))),
            ("n", Arc::new(StringArray::from(vec![Some("7"), None]))),
            ("temp", Arc::new(Float64Array::from(vec![1.5, 2.0]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn mappings_have_three_names_and_known_types() {
        let expected = types(r#"{"room":"tag"}"#);
        for key in ["schema", "column_metadata"] {
            let text = format!(r#"{{"{key}":{{"room":"tag"}}}}"#);
            assert_eq!(text.parse(), Ok(expected.clone()));
        }
        for text in ["", "{}", r#"{"column_mapping":{"a":"int"}}"#, r#"{"columns":{}}"#] {
            let error = text.parse::<ColumnTypes>().unwrap_err();
            assert!(matches!(error, ColumnError::Syntax(_)), "{text}");
        }
    }

    #[test]
    fn columns_are_converted_to_their_types() {
        let types = types(r#"{"at":"time","room":"tag","n":"i64","temp":"string"}"#);
        let batch = batch();
        assert_eq!(types.check(&batch.schema()), Ok(()));
        let converted = types.convert(&batch, 1).unwrap();
        assert_eq!(converted.column(2).as_primitive::<Int64Type>().value(0), 7);
        assert!(converted.column(2).is_null(1));
        assert_eq!(converted.column(3).as_string::<i32>().value(0), "1.5");
        let mapping = types.mapping("home", &batch.schema());
        assert_eq!(mapping.time.name.as_deref(), Some("at"));
        assert!(matches!(mapping.tags, TagColumns::Named(tags) if tags == ["room"]));
    }

    #[test]
    fn files_that_do_not_fit_are_errors() {
        let schema = batch().schema();
        let error = |text: &str| types(text).check(&schema).unwrap_err().to_string();
        assert_eq!(error("{}"), "the file has no column 'time', and no column is mapped to time");
        assert_eq!(error(r#"{"x":"tag"}"#), "the file has no column 'x'");
        assert_eq!(
            error(r#"{"at":"time","temp":"time"}"#),
            "several columns are mapped to time: 'at' and 'temp'"
        );
        let lost = types(r#"{"at":"time","room":"f64"}"#).convert(&batch(), 11);
        assert_eq!(
            lost.unwrap_err().to_string(),
            "row 11: the value of column 'room' is not of type f64"
        );
    }
}

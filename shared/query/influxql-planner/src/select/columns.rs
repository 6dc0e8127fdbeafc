//! The columns of a `SELECT`'s sources, merged over all sources.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{Expr, ident, try_cast},
};
use neap_influxql::{Cast, Column, ColumnKind};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::typed_expr::{TypedExpr, is_number};

/// The tags and fields of one or more sources, by name. The time is not included. A name can be a tag of one source and a
/// field of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceColumns {
    fields: BTreeMap<String, ColumnType>,
    tags: BTreeSet<String>,
    /// Aliases, which wildcards leave out.
    hidden: BTreeSet<String>,
}

/// The meaning of a column reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResolvedColumn {
    /// The time of the row.
    Time,
    Tag,
    /// A field of the first type, read as the second type.
    Field(ColumnType, ColumnType),
    /// No such column, or one of another kind.
    Unknown,
}

impl SourceColumns {
    /// Returns the columns of a table or a subquery.
    pub(super) fn from_schema(schema: &SchemaRef) -> Self {
        let mut columns = Self::default();
        for field in schema.fields() {
            let name = field.name();
            match column_type(field.data_type()) {
                _ if name == TIME_COLUMN => {}
                Some(ColumnType::Tag) => _ = columns.tags.insert(name.clone()),
                Some(kind) => _ = columns.fields.insert(name.clone(), kind),
                None => {}
            }
        }
        columns
    }

    /// Returns the columns, some of which wildcards leave out.
    #[must_use]
    pub(super) fn hiding(self, names: impl Iterator<Item = String>) -> Self {
        Self { hidden: names.collect(), ..self }
    }

    /// Whether wildcards have a column with this name.
    fn shows(&self, name: &str) -> bool {
        let is_there = self.has_tag(name) || self.fields.contains_key(name);
        is_there && !self.hidden.contains(name)
    }

    pub(super) fn field(&self, name: &str) -> Option<ColumnType> {
        self.fields.get(name).copied()
    }

    /// Whether a source has this tag.
    pub(super) fn has_tag(&self, name: &str) -> bool {
        self.tags.contains(name)
    }

    /// Whether a name is a tag of one source and a field of another.
    pub(super) fn is_mixed(&self, name: &str) -> bool {
        self.has_tag(name) && self.fields.contains_key(name)
    }

    /// Names and types, sorted by name, a field before a tag of the same name, without aliases.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        let shown = self.fields.iter().filter(|(name, _)| self.shows(name));
        let fields = shown.map(|(name, kind)| (name.as_str(), *kind));
        let tags = self.tags().map(|name| (name, ColumnType::Tag));
        let mut columns: Vec<_> = fields.chain(tags).collect();
        columns.sort_by_key(|(name, kind)| (*name, *kind == ColumnType::Tag));
        columns.into_iter()
    }

    /// The names of the tags, sorted, without aliases.
    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        let shown = self.tags.iter().filter(|name| self.shows(name));
        shown.map(String::as_str)
    }

    /// Returns the columns with all tags as strings, except those of `GROUP BY`.
    #[must_use]
    pub(super) fn with_texts(&self, dimensions: &[String]) -> Self {
        let mut columns = self.clone();
        for tag in &self.tags {
            if !dimensions.contains(tag) {
                columns.tags.remove(tag);
                columns.add_field(tag, ColumnType::String);
            }
        }
        columns
    }

    /// Adds the columns of another source. If the types of a field differ, the one that comes first in InfluxDB's order
    /// wins: float, integer, unsigned, string, boolean.
    pub(super) fn merge(&mut self, other: &Self) {
        let hidden = self.hidden.union(&other.hidden);
        let is_hidden = |name: &&String| !self.shows(name) && !other.shows(name);
        self.hidden = hidden.filter(is_hidden).cloned().collect();
        self.tags.extend(other.tags.iter().cloned());
        for (name, kind) in &other.fields {
            self.add_field(name, *kind);
        }
    }

    fn add_field(&mut self, name: &str, kind: ColumnType) {
        let known = self.fields.entry(name.to_owned()).or_insert(kind);
        if precedence(kind) < precedence(*known) {
            *known = kind;
        }
    }

    /// Resolves a column reference of a statement. As in InfluxDB 1, a name of a tag and of a field is the field, unless it
    /// is cast to a tag.
    pub(super) fn resolve(&self, column: &Column) -> ResolvedColumn {
        let name = column.name.as_str();
        if name == TIME_COLUMN {
            return ResolvedColumn::Time;
        }
        match (column.cast, self.field(name)) {
            (None, None) | (Some(Cast::Kind(ColumnKind::Tag)), _) if self.has_tag(name) => {
                ResolvedColumn::Tag
            }
            (None | Some(Cast::Kind(ColumnKind::Field)), Some(kind)) => {
                ResolvedColumn::Field(kind, kind)
            }
            (Some(Cast::Kind(_)), _) | (_, None) => ResolvedColumn::Unknown,
            (Some(cast), Some(kind)) => {
                let wanted = wanted(cast);
                if is_number(kind) && is_number(wanted) || kind == wanted {
                    ResolvedColumn::Field(kind, wanted)
                } else {
                    ResolvedColumn::Unknown
                }
            }
        }
    }

    /// Returns the value of a column in a relation of [`super::relation`].
    pub(super) fn read(&self, column: &Column) -> TypedExpr {
        match self.resolve(column) {
            ResolvedColumn::Time => TypedExpr::new(ident(TIME_COLUMN), ColumnType::Time),
            ResolvedColumn::Tag => TypedExpr::new(ident(tag_column(&column.name)), ColumnType::Tag),
            ResolvedColumn::Field(kind, wanted) => {
                TypedExpr::new(ident(field_column(&column.name)), kind).read_as(wanted)
            }
            ResolvedColumn::Unknown => TypedExpr::null(),
        }
    }
}

/// Returns the type that a [`Cast`] reads a field as.
fn wanted(cast: Cast) -> ColumnType {
    match cast {
        Cast::Float => ColumnType::Float,
        Cast::Integer => ColumnType::Integer,
        Cast::Unsigned => ColumnType::UInteger,
        Cast::String => ColumnType::String,
        Cast::Boolean => ColumnType::Boolean,
        Cast::Kind(ColumnKind::Tag) => ColumnType::Tag,
        Cast::Kind(ColumnKind::Field) => ColumnType::Float,
    }
}

fn precedence(kind: ColumnType) -> u8 {
    match kind {
        ColumnType::Float => 0,
        ColumnType::Integer => 1,
        ColumnType::UInteger => 2,
        ColumnType::String => 3,
        ColumnType::Boolean => 4,
        ColumnType::Tag => 5,
        ColumnType::Time => 6,
    }
}

/// Returns the type of a column with values of this Arrow type.
pub(super) fn column_type(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Dictionary(..) => ColumnType::Tag,
        DataType::Float64 => ColumnType::Float,
        DataType::Int64 => ColumnType::Integer,
        DataType::UInt64 => ColumnType::UInteger,
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => ColumnType::String,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Timestamp(..) => ColumnType::Time,
        _ => return None,
    })
}

/// Returns the name of a tag's column in a relation.
pub(super) fn tag_column(name: &str) -> String {
    format!("tag:{name}")
}

/// Returns the name of a field's column in a relation.
pub(super) fn field_column(name: &str) -> String {
    format!("field:{name}")
}

/// Returns a column that is NULL in every row.
pub(super) fn null_of(kind: ColumnType) -> Result<Expr> {
    let null = ScalarValue::try_from(&kind.data_type())?;
    Ok(Expr::Literal(null, None))
}

/// Converts a field of one source to its merged type: a number to another number type, else NULL.
pub(super) fn align_type(expr: Expr, from: ColumnType, to: ColumnType) -> Result<Expr> {
    match (from, to) {
        _ if from == to => Ok(expr),
        _ if is_number(from) && is_number(to) => Ok(try_cast(expr, to.data_type())),
        _ => null_of(to),
    }
}

/// Returns the measurement as a constant column.
pub(super) fn measurement_literal(name: &str) -> Expr {
    let text = ScalarValue::Utf8(Some(name.to_owned()));
    let dictionary = ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(text));
    Expr::Literal(dictionary, None)
}

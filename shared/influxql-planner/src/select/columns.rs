//! The columns of a `SELECT`'s sources, merged over all sources.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::{
    common::{Result, ScalarValue, not_impl_err},
    logical_expr::{Expr, ident, try_cast},
};
use neap_influxql::{Cast, Column, ColumnKind};
use neap_schema::{ColumnType, TIME_COLUMN};

use super::value::TypedExpr;

/// The tags and fields of one or more sources, by name. The time is not included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceColumns(BTreeMap<String, ColumnType>);

/// The meaning of a column reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResolvedColumn {
    /// The time of the row.
    Time,
    /// A tag.
    Tag,
    /// A field of the first type, read as the second type.
    Field(ColumnType, ColumnType),
    /// No such column, or one of another kind.
    Unknown,
}

impl SourceColumns {
    /// Returns the columns of a table or a subquery.
    pub(super) fn of(schema: &SchemaRef) -> Self {
        let columns = schema.fields().iter().filter_map(|field| {
            let kind = column_type(field.data_type())?;
            (field.name() != TIME_COLUMN).then(|| (field.name().clone(), kind))
        });
        Self(columns.collect())
    }

    /// The type of a column.
    pub(super) fn get(&self, name: &str) -> Option<ColumnType> {
        self.0.get(name).copied()
    }

    /// Names and types, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, ColumnType)> {
        self.0.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// The names of the tags, sorted.
    pub(super) fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.iter().filter(|(_, kind)| *kind == ColumnType::Tag);
        tags.map(|(name, _)| name)
    }

    /// Returns the columns with all tags as strings, except those of `GROUP BY`.
    #[must_use]
    pub(super) fn with_texts(&self, dimensions: &[String]) -> Self {
        let columns = self.0.iter().map(|(name, kind)| {
            let is_selected = *kind == ColumnType::Tag && !dimensions.contains(name);
            let kind = if is_selected {
                ColumnType::String
            } else {
                *kind
            };
            (name.clone(), kind)
        });
        Self(columns.collect())
    }

    /// Adds the columns of another source. If the types of a field differ, the one that comes first in InfluxDB's order
    /// wins: float, integer, unsigned, string, boolean.
    ///
    /// # Errors
    /// Not implemented: a tag in one source that is a field in another (as in InfluxDB 3).
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        for (name, kind) in &other.0 {
            let merged = match self.0.get(name).copied() {
                None => *kind,
                Some(known) if (known == ColumnType::Tag) != (*kind == ColumnType::Tag) => {
                    return not_impl_err!(
                        "cannot mix tag and field columns with the same name: {name}"
                    );
                }
                Some(known) if precedence(known) <= precedence(*kind) => known,
                Some(_) => *kind,
            };
            self.0.insert(name.clone(), merged);
        }
        Ok(())
    }

    /// Resolves a column reference of a statement.
    pub(super) fn resolve(&self, column: &Column) -> ResolvedColumn {
        if column.name == TIME_COLUMN {
            return ResolvedColumn::Time;
        }
        let Some(kind) = self.get(&column.name) else {
            return ResolvedColumn::Unknown;
        };
        let is_tag = kind == ColumnType::Tag;
        match column.cast {
            None if is_tag => ResolvedColumn::Tag,
            None => ResolvedColumn::Field(kind, kind),
            Some(Cast::Kind(ColumnKind::Tag)) if is_tag => ResolvedColumn::Tag,
            Some(Cast::Kind(ColumnKind::Field)) if !is_tag => ResolvedColumn::Field(kind, kind),
            Some(Cast::Kind(_)) => ResolvedColumn::Unknown,
            Some(cast) => {
                let wanted = wanted(cast);
                let fits = is_number(kind) && is_number(wanted) || kind == wanted;
                match fits && !is_tag {
                    true => ResolvedColumn::Field(kind, wanted),
                    false => ResolvedColumn::Unknown,
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

/// Whether the type is one of the three number types.
pub(super) fn is_number(kind: ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Float | ColumnType::Integer | ColumnType::UInteger
    )
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

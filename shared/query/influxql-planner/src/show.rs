//! `SHOW`: describes the tables of a database, from the catalog if possible, else from their rows.
//!
//! Tables are sorted by name, and so are their tags, fields and values. Tables are read one after the other, so that a
//! statement may cover any number of them. The result in memory has a limit in bytes.

mod keys;
mod measurements;
mod series;
mod values;

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use datafusion::common::{DataFusionError, Result};
use neap_catalog::Table;
use neap_formats::series::{MEASUREMENT_COLUMN, SeriesLayout};
use neap_influxql::{Measurement, MeasurementName, NameMatch, ShowClauses};
use neap_tables::QueryContext;

use crate::{select::compile_pattern, table_rows::ShowRows};

pub(super) use keys::{field_keys, tag_keys};
pub(super) use measurements::measurements;
pub(super) use series::{cardinality, series};
pub(super) use values::tag_values;

/// The maximum size of the names and values in an answer, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// Returns the tables that `FROM` names, or all tables, sorted by name.
fn tables(context: &QueryContext, from: &[Measurement]) -> Result<Vec<Arc<Table>>> {
    let names = from.iter().map(|measurement| &measurement.name);
    named(context, &names.collect::<Vec<_>>())
}

fn named(context: &QueryContext, names: &[&MeasurementName]) -> Result<Vec<Arc<Table>>> {
    let tests: Vec<NameCondition> =
        names.iter().map(|name| NameCondition::from_name(name)).collect::<Result<_>>()?;
    let catalog = &context.snapshot.catalog.value;
    let is_meant =
        |table: &&Arc<Table>| tests.is_empty() || tests.iter().any(|test| test.selects(table));
    let mut tables: Vec<_> = catalog.tables().filter(is_meant).cloned().collect();
    tables.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    Ok(tables)
}

/// A filter on names.
enum NameCondition {
    Equal(String),
    NotEqual(String),
    In(Vec<String>),
    Matching { pattern: regex::Regex, wanted: bool },
}

impl NameCondition {
    fn from_name(name: &MeasurementName) -> Result<Self> {
        Ok(match name {
            MeasurementName::Name(name) => Self::Equal(name.clone()),
            MeasurementName::Regex(pattern) => {
                Self::Matching { pattern: compile_pattern(pattern)?, wanted: true }
            }
        })
    }

    fn matching(names: &NameMatch) -> Result<Self> {
        let (pattern, wanted) = match names {
            NameMatch::Equal(name) => return Ok(Self::Equal(name.clone())),
            NameMatch::NotEqual(name) => return Ok(Self::NotEqual(name.clone())),
            NameMatch::In(names) => return Ok(Self::In(names.clone())),
            NameMatch::Matches(pattern) => (pattern, true),
            NameMatch::NotMatches(pattern) => (pattern, false),
        };
        let pattern = compile_pattern(pattern)?;
        Ok(Self::Matching { pattern, wanted })
    }

    /// Whether the name of a table matches, or this is one of its aliases.
    fn selects(&self, table: &Table) -> bool {
        match self {
            Self::Equal(name) => table.is_named(name),
            _ => self.matches(table.name()),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Equal(equal) => equal == name,
            Self::NotEqual(other) => other != name,
            Self::In(names) => names.iter().any(|other| other == name),
            Self::Matching { pattern, wanted } => pattern.is_match(name) == *wanted,
        }
    }
}

/// Applies `LIMIT` and `OFFSET`.
fn apply_limit<T>(elements: Vec<T>, limit: Option<u64>, offset: Option<u64>) -> Vec<T> {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let offset = offset.map_or(0, count);
    // In InfluxQL, a limit of zero means no limit.
    let limit = limit.filter(|limit| *limit > 0).map_or(usize::MAX, count);
    elements.into_iter().skip(offset).take(limit).collect()
}

/// Applies `SLIMIT` and `SOFFSET` to tables with rows in the answer, one after the other.
struct TableLimit {
    passed_over: u64,
    left: Option<u64>,
}

impl TableLimit {
    fn from_show(show: &ShowClauses) -> Self {
        Self {
            passed_over: show.soffset.unwrap_or(0),
            left: show.slimit.filter(|limit| *limit > 0),
        }
    }

    /// Whether the limit excludes all further tables.
    fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether the limit includes the next table. Must not be called for tables without rows in the answer.
    fn admit(&mut self) -> bool {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return false;
        }
        let is_left = !self.is_reached();
        self.left = self.left.map(|left| left.saturating_sub(1));
        is_left
    }
}

/// Whether the elements suffice for `LIMIT` and `OFFSET`.
fn is_enough<T>(elements: &[T], limit: Option<u64>, offset: Option<u64>) -> bool {
    let limit = limit.filter(|limit| *limit > 0);
    let needed = limit.map(|limit| limit.saturating_add(offset.unwrap_or(0)));
    needed.is_some_and(|needed| elements.len() as u64 >= needed)
}

/// Names and values by table, limited in bytes.
#[derive(Debug)]
struct ShowRowsBuilder<const N: usize> {
    columns: [&'static str; N],
    rows: Vec<(Arc<Table>, [String; N])>,
    bytes: usize,
}

impl<const N: usize> ShowRowsBuilder<N> {
    fn new(columns: [&'static str; N]) -> Self {
        Self { columns, rows: Vec::new(), bytes: 0 }
    }

    fn extend(&mut self, table: &Arc<Table>, rows: Vec<[String; N]>) -> Result<()> {
        let bytes = rows.iter().flatten().map(|text| text.len() + size_of::<String>());
        self.bytes += bytes.sum::<usize>();
        check(self.bytes)?;
        let rows = rows.into_iter().map(|row| (Arc::clone(table), row));
        self.rows.extend(rows);
        Ok(())
    }

    /// Returns the rows, with one series for each table.
    fn build(self) -> Result<ShowRows> {
        let tables: StringArray = self.rows.iter().map(|(table, _)| Some(table.name())).collect();
        let mut columns = vec![(MEASUREMENT_COLUMN, Arc::new(tables) as ArrayRef)];
        for (index, name) in self.columns.into_iter().enumerate() {
            let values = self.rows.iter().map(|(_, row)| row.get(index));
            columns.push((name, Arc::new(values.collect::<StringArray>())));
        }
        Ok(ShowRows { rows: batch_of(columns)?, series: SeriesLayout::by_table() })
    }
}

/// Rejects an answer that is too large.
fn check(bytes: usize) -> Result<()> {
    if bytes <= MAX_BYTES {
        Ok(())
    } else {
        Err(DataFusionError::Plan(format!(
            "the answer has more than {MAX_BYTES} bytes; add a condition or a LIMIT"
        )))
    }
}

/// Creates a batch of columns without nulls.
pub fn batch_of(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields = columns.iter().map(|(name, values)| {
        let data_type: DataType = values.data_type().clone();
        Field::new(*name, data_type, false)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}

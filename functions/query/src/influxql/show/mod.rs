//! `SHOW`: what the tables of a database have, out of the catalog where it knows, and else out of their rows.
//!
//! Tables come by name, and so do their tags, fields and values. Rows are looked at one table after the other,
//! so that any number of tables can be asked for at once; what is kept of them has a bound in bytes.

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
use neap_influxql::{Measurement, MeasurementName, NameMatch, Show};

use super::{group_key::MEASUREMENT_COLUMN, select::compiled, series::Series};
use crate::session::Scope;

pub(super) use super::plan::Shown;
pub(super) use keys::{field_keys, tag_keys};
pub(super) use measurements::measurements;
pub(super) use series::{cardinality, series};
pub(super) use values::tag_values;

/// The most bytes of names and values that an answer may have.
const MAX_BYTES: usize = 64 << 20;

/// The tables that `FROM` names, or all, by name.
fn tables(scope: &Scope, from: &[Measurement]) -> Result<Vec<Arc<Table>>> {
    let names = from.iter().map(|measurement| &measurement.name);
    named(scope, &names.collect::<Vec<_>>())
}

fn named(scope: &Scope, names: &[&MeasurementName]) -> Result<Vec<Arc<Table>>> {
    let tests = names.iter().map(|name| Names::of(name));
    let tests: Vec<Names> = tests.collect::<Result<_>>()?;
    let catalog = &scope.snapshot.catalog.value;
    let is_meant = |table: &&Arc<Table>| {
        tests.is_empty() || tests.iter().any(|test| test.contain(table.name()))
    };
    let mut tables: Vec<_> = catalog.tables().filter(is_meant).cloned().collect();
    tables.sort_unstable_by(|one, other| one.name().cmp(other.name()));
    Ok(tables)
}

/// Which names are meant.
enum Names {
    Equal(String),
    NotEqual(String),
    In(Vec<String>),
    Matching { pattern: regex::Regex, wanted: bool },
}

impl Names {
    fn of(name: &MeasurementName) -> Result<Self> {
        Ok(match name {
            MeasurementName::Name(name) => Self::Equal(name.clone()),
            MeasurementName::Regex(pattern) => Self::Matching {
                pattern: compiled(pattern)?,
                wanted: true,
            },
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
        let pattern = compiled(pattern)?;
        Ok(Self::Matching { pattern, wanted })
    }

    fn contain(&self, name: &str) -> bool {
        match self {
            Self::Equal(equal) => equal == name,
            Self::NotEqual(other) => other != name,
            Self::In(names) => names.iter().any(|other| other == name),
            Self::Matching { pattern, wanted } => pattern.is_match(name) == *wanted,
        }
    }
}

/// The elements that `LIMIT` and `OFFSET` leave.
fn cut<T>(elements: Vec<T>, limit: Option<u64>, offset: Option<u64>) -> Vec<T> {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let offset = offset.map_or(0, count);
    // No limit and a limit of zero are the same to InfluxQL.
    let limit = limit.filter(|limit| *limit > 0).map_or(usize::MAX, count);
    elements.into_iter().skip(offset).take(limit).collect()
}

/// Which tables with something to show `SLIMIT` and `SOFFSET` leave, one after the other.
struct TableLimit {
    passed_over: u64,
    left: Option<u64>,
}

impl TableLimit {
    fn of(show: &Show) -> Self {
        Self {
            passed_over: show.soffset.unwrap_or(0),
            left: show.slimit.filter(|limit| *limit > 0),
        }
    }

    /// Whether no further table is left.
    fn is_reached(&self) -> bool {
        self.left == Some(0)
    }

    /// Whether the next table is left. Tables with nothing to show are not to be counted.
    fn leaves(&mut self) -> bool {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return false;
        }
        let is_left = !self.is_reached();
        self.left = self.left.map(|left| left.saturating_sub(1));
        is_left
    }
}

/// Whether no more than these are needed for what `LIMIT` and `OFFSET` leave.
fn is_enough<T>(elements: &[T], limit: Option<u64>, offset: Option<u64>) -> bool {
    let limit = limit.filter(|limit| *limit > 0);
    let needed = limit.map(|limit| limit.saturating_add(offset.unwrap_or(0)));
    needed.is_some_and(|needed| elements.len() as u64 >= needed)
}

/// Names and values by table, within a bound.
#[derive(Debug)]
struct Found<const N: usize> {
    columns: [&'static str; N],
    rows: Vec<(Arc<Table>, [String; N])>,
    bytes: usize,
}

impl<const N: usize> Found<N> {
    fn new(columns: [&'static str; N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            bytes: 0,
        }
    }

    fn extend(&mut self, table: &Arc<Table>, rows: Vec<[String; N]>) -> Result<()> {
        let bytes = rows
            .iter()
            .flatten()
            .map(|text| text.len() + size_of::<String>());
        self.bytes += bytes.sum::<usize>();
        check(self.bytes)?;
        let rows = rows.into_iter().map(|row| (Arc::clone(table), row));
        self.rows.extend(rows);
        Ok(())
    }

    /// The rows of each table as a series.
    fn shown(self) -> Result<Shown> {
        let tables = self.rows.iter().map(|(table, _)| Some(table.name()));
        let tables: StringArray = tables.collect();
        let mut columns = vec![(MEASUREMENT_COLUMN, Arc::new(tables) as ArrayRef)];
        for (index, name) in self.columns.into_iter().enumerate() {
            let values = self.rows.iter().map(|(_, row)| row.get(index));
            columns.push((name, Arc::new(values.collect::<StringArray>())));
        }
        Ok(Shown {
            rows: batch(columns)?,
            series: Series::of_tables(),
        })
    }
}

/// Refuses an answer that is too large.
fn check(bytes: usize) -> Result<()> {
    match bytes <= MAX_BYTES {
        true => Ok(()),
        false => Err(DataFusionError::Plan(format!(
            "the answer has more than {MAX_BYTES} bytes, ask with a condition or a limit"
        ))),
    }
}

/// Rows of columns without nulls.
pub(super) fn batch(columns: Vec<(&str, ArrayRef)>) -> Result<RecordBatch> {
    let fields = columns.iter().map(|(name, values)| {
        let data_type: DataType = values.data_type().clone();
        Field::new(*name, data_type, false)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
